"""The spine: every record becomes one whole verdict, whatever the engine does, without running ahead of it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator

import pytest

from localjudge.engines.base import Completion, Engine, EngineInfo, Message, Request
from localjudge.engines.fake import FakeEngine, made_up
from localjudge.errors import EngineError, UsageError
from localjudge.judge import Judge
from localjudge.records import Record, TaskType, parse_record
from localjudge.rubric import Rubric, load_rubric
from localjudge.strategies import Settings, Strategy
from localjudge.verdicts import NOT_APPLICABLE, Unscored, Verdict

Script = Callable[[Request], Completion]
RUBRICS: dict[TaskType, Rubric] = {"push": load_rubric("push"), "reply": load_rubric("reply")}
SMALL = RUBRICS["push"].select(("1.1", "2.1", "5.5"))
EXPLAIN = Settings(strategy="explain", rules="off")


class Shuffled(Engine):
    """Finishes requests in any order, several at a time, and fails the test when it is overfed."""

    def __init__(self, script: Script, *, capacity: int = 8, seed: int = 0) -> None:
        self.info = EngineInfo(engine="shuffled", model="none", context_length=100_000)
        self.most = 0
        self.seen: list[Request] = []
        self._script = script
        self._capacity = capacity
        self._dice = random.Random(seed)
        self._flying: list[Request] = []

    @property
    def capacity(self) -> int:
        return self._capacity

    @property
    def in_flight(self) -> int:
        return len(self._flying)

    def submit(self, request: Request) -> None:
        assert request.id not in {other.id for other in self._flying}
        self.seen.append(request)
        self._flying.append(request)
        self.most = max(self.most, len(self._flying))

    def poll(self) -> list[Completion]:
        self._dice.shuffle(self._flying)
        done = [self._flying.pop() for _ in range(self._dice.randint(1, len(self._flying)))]
        return [self._script(request) for request in done]

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        return 0


def record(number: int = 0, task: str = "push", **fields: object) -> Record:
    return parse_record({"id": f"r{number}", "task_type": task, "message": f"第{number}条消息"} | fields)


def answer(score: int = 1, reason: str = "没有问题") -> str:
    return json.dumps({"reason": reason, "score": score}, ensure_ascii=False, separators=(",", ":"))


def says(text: str, finish: str = "stop", **fields: object) -> Script:
    return lambda request: Completion(request.id, text, finish, **fields)  # type: ignore[arg-type]


def judge_one(script: Script, settings: Settings | None = None, rubric: Rubric = SMALL) -> Verdict:
    (verdict,) = Judge(FakeEngine(script), {"push": rubric}, settings or EXPLAIN).judge([record()])
    return verdict


# Whole verdicts


@pytest.mark.parametrize("strategy", ["explain", "joint"])
@pytest.mark.parametrize("task", ["push", "reply"])
def test_detail_is_in_rubric_order_whatever_order_answers_come_in(strategy: Strategy, task: TaskType) -> None:
    rubric = RUBRICS[task]
    records = [record(number, task) for number in range(12)]
    verdicts = list(Judge(Shuffled(made_up), RUBRICS, Settings(strategy=strategy)).judge(records))
    assert sorted(verdict.id for verdict in verdicts) == sorted(entry.id for entry in records)
    for verdict in verdicts:
        assert [grade.id for grade in verdict.detail] == [indicator.id for indicator in rubric.indicators]
        assert [grade.indicator for grade in verdict.detail] == [indicator.title for indicator in rubric.indicators]
        assert (verdict.rubric, verdict.scored) == (rubric.ref, len(rubric.indicators))


def test_every_answer_lands_at_its_own_record_and_indicator() -> None:
    def script(request: Request) -> Completion:
        shown = "".join(part.text for message in request.messages for part in message.parts)
        number = next(part.text for part in request.messages[-1].parts if part.text.startswith("第")).strip("第条消息")
        asked = next(i.id for i in SMALL.indicators if i.criterion in shown)
        return Completion(request.id, answer(1, f"记录{number}指标{asked}"), "stop")

    judge = Judge(Shuffled(script, capacity=5), {"push": SMALL}, EXPLAIN)
    for verdict in judge.judge(record(number) for number in range(30)):
        assert [grade.reason for grade in verdict.detail] == [
            f"记录{verdict.id[1:]}指标{i.id}" for i in SMALL.indicators
        ]


def test_extra_fields_and_ids_are_carried_through() -> None:
    (verdict,) = Judge(FakeEngine(), {"push": SMALL}).judge([record(来源="工单", id="甲/1+")])
    assert (verdict.id, verdict.extra) == ("甲/1+", {"来源": "工单"})


def test_records_with_one_id_are_still_judged_apart() -> None:
    twins = [record(1), record(1)]
    assert len(list(Judge(Shuffled(made_up), {"push": SMALL}).judge(twins))) == 2


def test_no_records_are_no_verdicts() -> None:
    assert list(Judge(FakeEngine(), RUBRICS).judge([])) == []


def test_a_judge_is_used_again() -> None:
    judge = Judge(FakeEngine(), {"push": SMALL})
    assert [len(list(judge.judge([record(n) for n in range(3)]))) for _ in range(3)] == [3, 3, 3]


def test_usage_counts_every_request_of_a_record() -> None:
    script = says(answer(), prompt_tokens=100, cached_tokens=80, output_tokens=7, thinking_tokens=2)
    usage = judge_one(script).usage
    assert usage.model_dump() == {
        "requests": 3,
        "prompt_tokens": 300,
        "cached_tokens": 240,
        "output_tokens": 21,
        "thinking_tokens": 6,
    }


# What is asked


def test_questions_about_a_record_share_everything_but_their_last_part() -> None:
    engine = FakeEngine()
    list(Judge(engine, RUBRICS, EXPLAIN).judge([record()]))
    prefixes = {(request.messages[:-1], request.messages[-1].parts[:-1]) for request in engine.seen}
    assert len(engine.seen) == 22
    assert len(prefixes) == 1
    assert len({request.schema for request in engine.seen}) == 1


def test_joint_asks_once_for_all() -> None:
    engine = FakeEngine()
    list(Judge(engine, RUBRICS, Settings(strategy="joint")).judge([record(1), record(2)]))
    assert len(engine.seen) == 2


def test_settings_reach_every_request() -> None:
    engine = FakeEngine()
    list(Judge(engine, {"push": SMALL}, Settings(strategy="explain", thinking_budget=5, seed=9)).judge([record()]))
    assert {(request.thinking_budget, request.seed) for request in engine.seen} == {(5, 9)}


def test_a_task_type_without_a_rubric_is_refused_by_record() -> None:
    with pytest.raises(UsageError, match=r"r7.*reply"):
        list(Judge(FakeEngine(), {"push": SMALL}).judge([record(7, "reply")]))


# Capacity


@pytest.mark.parametrize("strategy", ["explain", "joint"])
@pytest.mark.parametrize("capacity", [1, 7, 64])
def test_the_engine_is_kept_full_but_never_overfed(strategy: Strategy, capacity: int) -> None:
    engine = Shuffled(made_up, capacity=capacity)
    count = len(list(Judge(engine, {"push": SMALL}, Settings(strategy=strategy)).judge(record(n) for n in range(100))))
    assert (count, engine.most) == (100, capacity)


@pytest.mark.parametrize(("strategy", "per_record"), [("explain", 3), ("joint", 1)])
def test_no_more_records_are_held_than_keep_the_engine_busy(strategy: Strategy, per_record: int) -> None:
    capacity, pulled, given = 12, 0, 0

    def source() -> Iterator[Record]:
        nonlocal pulled
        for number in range(400):
            pulled += 1
            yield record(number)

    engine = Shuffled(made_up, capacity=capacity)
    for _ in Judge(engine, {"push": SMALL}, Settings(strategy=strategy)).judge(source()):
        given += 1
        # A record stays open until its last answer is in, so each may hold as little as one place of the engine.
        assert pulled - given <= capacity + per_record
    assert given == pulled == 400


def test_records_are_pulled_only_as_verdicts_are_taken() -> None:
    pulled = 0

    def source() -> Iterator[Record]:
        nonlocal pulled
        while True:
            pulled += 1
            yield record(pulled)

    verdicts = Judge(FakeEngine(capacity=4), {"push": SMALL}).judge(source())
    assert pulled == 0
    next(verdicts)
    assert pulled <= 4


# What may go wrong with an answer


def test_an_answer_cut_off_is_asked_again_with_more_room() -> None:
    engine = FakeEngine(lambda r: Completion(r.id, answer(0), "length" if len(engine.seen) == 1 else "stop"))
    (verdict,) = Judge(engine, {"push": SMALL.select(("1.1",))}, EXPLAIN).judge([record()])
    first, second = engine.seen
    assert second == first._replace(id=second.id, max_tokens=second.max_tokens)
    assert second.max_tokens > first.max_tokens
    assert [grade.score for grade in verdict.detail] == [0]
    assert verdict.usage.requests == 2


def test_an_answer_cut_off_twice_is_unscored_and_asked_no_third_time() -> None:
    engine = FakeEngine(says('{"reason":"太长', "length"))
    (verdict,) = Judge(engine, {"push": SMALL}, EXPLAIN).judge([record()])
    assert len(engine.seen) == 6
    assert {grade.unscored for grade in verdict.detail} == {Unscored.TRUNCATED}
    assert (verdict.scored, verdict.total_score, verdict.max_score) == (0, 0, 3)


def test_a_joint_answer_cut_off_twice_keeps_its_complete_indicators() -> None:
    text = f'{{"1.1":{answer(1)},"2.1":{answer(0)},"5.5":{{"reason":"没说'
    verdict = judge_one(says(text, "length"), Settings(strategy="joint"))
    assert [grade.score for grade in verdict.detail] == [1, 0, None]
    assert verdict.detail[2].unscored is Unscored.TRUNCATED
    assert (verdict.total_score, verdict.scored, verdict.usage.requests) == (1, 2, 2)


@pytest.mark.parametrize(
    ("second", "why", "scores"),
    [
        (Completion("", "", "too_long", error="9 tokens do not fit 8"), Unscored.TOO_LONG, [1, 0, None]),
        (Completion("", "", "error", error="lost"), Unscored.ENGINE_ERROR, [1, 0, None]),
        (Completion("", f'{{"1.1":{answer(0)},"2.1":{{"rea', "length"), Unscored.TRUNCATED, [0, 0, None]),
    ],
)
def test_a_joint_answer_keeps_what_it_had_whole_when_asking_again_fails(
    second: Completion, why: Unscored, scores: list[int | None]
) -> None:
    first = Completion("", f'{{"1.1":{answer(1)},"2.1":{answer(0)},"5.5":{{"rea', "length", thinking_tokens=3)
    verdict = judge_one(
        lambda r: (second if r.id.endswith("+") else first)._replace(request_id=r.id), Settings(strategy="joint")
    )
    assert [grade.score for grade in verdict.detail] == scores
    assert (verdict.detail[2].unscored, verdict.detail[2].reason) == (why, second.error)
    assert [grade.source for grade in verdict.detail[:2]] == ["thinking" if scores[0] else "model", "thinking"]
    assert verdict.usage.requests == 2


@pytest.mark.parametrize("strategy", ["explain", "joint"])
@pytest.mark.parametrize(
    ("script", "why"),
    [
        (says("胡说"), Unscored.UNPARSEABLE),
        (says(""), Unscored.UNPARSEABLE),
        (says("", "too_long", error="9 tokens do not fit 8"), Unscored.TOO_LONG),
        (says(answer(), "error", error="lost"), Unscored.ENGINE_ERROR),
    ],
)
def test_what_is_no_answer_is_unscored_with_its_reason(strategy: Strategy, script: Script, why: Unscored) -> None:
    verdict = judge_one(script, Settings(strategy=strategy))
    assert {(grade.score, grade.applicable, grade.unscored) for grade in verdict.detail} == {(None, None, why)}
    assert (verdict.total_score, verdict.scored, verdict.not_applicable) == (0, 0, 0)
    told = script(Request("x", ())).error
    assert all(grade.reason == told for grade in verdict.detail)


def test_one_bad_answer_costs_its_indicator_alone() -> None:
    def script(request: Request) -> Completion:
        bad = SMALL.indicators[1].criterion in request.messages[-1].parts[-1].text
        return Completion(request.id, "坏" if bad else answer(1), "stop")

    assert [grade.score for grade in judge_one(script).detail] == [1, None, 1]


@pytest.mark.parametrize("strategy", ["explain", "joint"])
def test_not_applicable_passes_and_is_counted_apart(strategy: Strategy) -> None:
    one = answer(1, "无需评估，没有历史")
    joint = "{" + ",".join(f'"{indicator.id}":{one}' for indicator in SMALL.indicators) + "}"
    verdict = judge_one(says(one if strategy == "explain" else joint), Settings(strategy=strategy))
    assert {(grade.score, grade.applicable, grade.reason) for grade in verdict.detail} == {(1, False, NOT_APPLICABLE)}
    assert (verdict.total_score, verdict.not_applicable) == (3, 3)


def test_not_applicable_with_zero_counts_as_nothing() -> None:
    verdict = judge_one(says(answer(0, NOT_APPLICABLE)))
    assert {grade.unscored for grade in verdict.detail} == {Unscored.CONTRADICTORY}
    assert (verdict.scored, verdict.not_applicable) == (0, 0)


@pytest.mark.parametrize("keep", [False, True])
def test_thinking_is_kept_only_where_asked_for(keep: bool) -> None:
    script = says(answer(), thinking="想了想", thinking_tokens=3)
    verdict = judge_one(script, Settings(strategy="explain", thinking_budget=8, keep_thinking=keep))
    assert {grade.thinking for grade in verdict.detail} == {"想了想" if keep else None}
    assert {grade.source for grade in verdict.detail} == {"thinking"}


def test_an_engine_that_is_gone_is_told_after_the_verdicts_that_were_whole() -> None:
    def script(request: Request) -> Completion:
        if len(engine.seen) > 6 and request.id not in {seen.id for seen in engine.seen[:6]}:
            raise EngineError("the engine is gone")
        return made_up(request)

    engine = FakeEngine(script, capacity=1)
    verdicts = Judge(engine, {"push": SMALL}, EXPLAIN).judge([record(n) for n in range(5)])
    assert [next(verdicts).id, next(verdicts).id] == ["r0", "r1"]
    with pytest.raises(EngineError, match="gone"):
        next(verdicts)


def test_a_judge_left_halfway_can_be_used_again() -> None:
    judge = Judge(FakeEngine(), {"push": SMALL})
    next(judge.judge([record(n) for n in range(9)]))
    again = judge.judge([record(n) for n in range(20, 23)])
    assert sorted(verdict.id for verdict in again) == ["r20", "r21", "r22"]
