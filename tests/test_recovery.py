"""Engines that die: of one record, of all, or of nothing in particular. The rest of the run must not suffer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from localjudge.engines.base import Completion, Engine, Request
from localjudge.engines.fake import FakeEngine, made_up
from localjudge.errors import EngineError
from localjudge.records import Record, TaskType, parse_record
from localjudge.recovery import SteadyJudge
from localjudge.rubric import Rubric, load_rubric
from localjudge.strategies import Settings
from localjudge.verdicts import Unscored, Verdict

RUBRICS: dict[TaskType, Rubric] = {"push": load_rubric("push").select(("1.1", "5.4"))}
Dies = Callable[[int, Request], bool]


class Mortal:
    """Opens fake engines that die when a condition on the engine's number and the request says so."""

    def __init__(self, dies: Dies, *, opens: int = 1000, capacity: int = 64) -> None:
        self.dies, self.opens, self.capacity = dies, opens, capacity
        self.opened = 0

    def __call__(self) -> Engine:
        if self.opened >= self.opens:
            raise EngineError("no memory is left.")
        self.opened += 1
        number = self.opened
        dead = False

        def answer(request: Request) -> Completion:
            nonlocal dead
            dead = dead or self.dies(number, request)
            if dead:
                raise EngineError("the engine is gone.")
            return made_up(request)

        return FakeEngine(answer, capacity=self.capacity)


def records(count: int) -> list[Record]:
    return [parse_record({"id": f"r{n:03d}", "task_type": "push", "message": f"消息{n:03d}。"}) for n in range(count)]


EXPLAIN = Settings(strategy="explain", rules="off")


def poisoned(*numbers: int) -> Dies:
    return lambda _, request: any(f"消息{number:03d}。" in str(request.messages) for number in numbers)


def judged(engines: Mortal, count: int) -> tuple[dict[str, Verdict], SteadyJudge]:
    judge = SteadyJudge(engines, RUBRICS, EXPLAIN)
    found = list(judge.judge(iter(records(count))))
    assert len(found) == len({verdict.id for verdict in found}), "a record was judged twice"
    return {verdict.id: verdict for verdict in found}, judge


def sound(count: int) -> dict[str, Verdict]:
    return judged(Mortal(lambda *_: False), count)[0]


@pytest.mark.parametrize("capacity", [1, 64])
@pytest.mark.parametrize("poison", [0, 17, 39])
def test_one_poisonous_record_is_set_apart_and_all_others_are_judged(poison: int, capacity: int) -> None:
    engines = Mortal(poisoned(poison), capacity=capacity)
    found, judge = judged(engines, 40)
    name = f"r{poison:03d}"
    assert {grade.unscored for grade in found[name].detail} == {Unscored.ENGINE_ERROR}
    assert {grade.reason for grade in found[name].detail} == {"the engine is gone."}
    assert {key: value for key, value in found.items() if key != name} == {
        key: value for key, value in sound(40).items() if key != name
    }
    assert judge.reopened == engines.opened - 1 <= 5


def test_a_record_that_the_engine_dies_of_keeps_what_rules_decide() -> None:
    judge = SteadyJudge(Mortal(poisoned(1)), RUBRICS, Settings())
    found = {verdict.id: verdict for verdict in judge.judge(records(3))}
    ruled = {name: [grade for grade in verdict.detail if grade.source == "rule"] for name, verdict in found.items()}
    assert [grade.id for grade in ruled["r001"]] == ["5.4"]
    assert ruled["r001"] == ruled["r000"]
    assert [grade.unscored for grade in found["r001"].detail] == [Unscored.ENGINE_ERROR, None]
    assert (found["r001"].scored, found["r001"].usage.requests) == (1, 0)


def test_several_poisonous_records_are_each_set_apart() -> None:
    found, _ = judged(Mortal(poisoned(3, 20, 21, 39)), 40)
    failed = [name for name, verdict in sorted(found.items()) if not verdict.scored]
    assert (len(found), failed) == (40, ["r003", "r020", "r021", "r039"])


def test_an_engine_that_dies_once_is_opened_again_and_nothing_is_missing() -> None:
    met: list[int] = []

    def dies(number: int, request: Request) -> bool:
        met.append(number)
        return number == 1 and len(met) == 20

    found, judge = judged(Mortal(dies), 40)
    assert (found, judge.reopened) == (sound(40), 1)


def test_an_engine_that_always_dies_is_given_up_soon_and_no_record_is_blamed() -> None:
    engines = Mortal(lambda *_: True)
    with pytest.raises(EngineError, match="the engine is gone"):
        list(SteadyJudge(engines, RUBRICS, EXPLAIN).judge(iter(records(100))))
    assert engines.opened <= 7


def test_an_engine_that_always_dies_is_given_up_however_few_records_it_is_given_at_a_time() -> None:
    judge, verdicts = SteadyJudge(Mortal(lambda *_: True), RUBRICS, EXPLAIN), list[Verdict]()
    with pytest.raises(EngineError, match="the engine is gone"):
        for record in records(10):
            verdicts += judge.judge([record])
    assert len(verdicts) == 2


def test_verdicts_of_rules_alone_do_not_speak_for_an_engine() -> None:
    rubrics: dict[TaskType, Rubric] = {
        "reply": load_rubric("reply").select(("1.1",)),
        "push": load_rubric("push").select(("5.4",)),
    }
    asked, ruled = {"task_type": "reply", "message": "好的。"}, {"task_type": "push", "message": "好的。"}
    judge, verdicts = SteadyJudge(Mortal(lambda *_: True), rubrics, Settings()), list[Verdict]()
    with pytest.raises(EngineError, match="the engine is gone"):
        for number in range(10):
            verdicts += judge.judge([parse_record({"id": f"r{number}", **(ruled if number % 2 else asked)})])
    assert [(verdict.id, verdict.scored) for verdict in verdicts] == [("r0", 0), ("r1", 1), ("r2", 0), ("r3", 1)]


def test_an_engine_that_dies_again_and_again_of_nothing_is_given_up() -> None:
    seen: dict[int, int] = {}

    def dies(number: int, _: Request) -> bool:
        seen[number] = seen.get(number, 0) + 1
        return seen[number] > 90

    verdicts: list[Verdict] = []
    with pytest.raises(EngineError):
        for verdict in SteadyJudge(Mortal(dies), RUBRICS, EXPLAIN).judge(iter(records(200))):
            verdicts.append(verdict)
    assert len(verdicts) > 40
    assert all(verdict.scored == 2 for verdict in verdicts)


def test_an_engine_that_cannot_be_opened_again_ends_the_work_with_both_reasons() -> None:
    with pytest.raises(EngineError, match=r"gone\. It could not be opened again: no memory"):
        judged(Mortal(poisoned(5), opens=1), 10)


def test_a_fault_of_the_input_is_not_taken_for_one_of_the_engine() -> None:
    def source() -> Iterator[Record]:
        yield from records(3)
        raise OSError("the input is gone")

    with pytest.raises(OSError, match="input is gone"):
        list(SteadyJudge(Mortal(lambda *_: False), RUBRICS, EXPLAIN).judge(source()))


def test_no_more_records_are_taken_than_keep_the_engine_busy() -> None:
    taken = 0

    def source() -> Iterator[Record]:
        nonlocal taken
        for record in records(100):
            taken += 1
            yield record

    for given, _ in enumerate(SteadyJudge(Mortal(poisoned(50)), RUBRICS, EXPLAIN).judge(source()), start=1):
        assert taken - given <= 34
