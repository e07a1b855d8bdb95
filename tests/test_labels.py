"""A model that does not answer reads is told early, with examples; one that mostly does is left alone."""

from __future__ import annotations

import pytest

from localjudge.engines.base import Completion, Request
from localjudge.engines.fake import FakeEngine, made_up
from localjudge.errors import EngineError
from localjudge.judge import Judge
from localjudge.labels import FIRST, insist_on_labels
from localjudge.records import Record, parse_record
from localjudge.rubric import builtin_rubrics
from localjudge.strategies import Settings, Strategy
from localjudge.verdicts import Verdict


def records(count: int) -> list[Record]:
    return [parse_record({"id": f"r{n}", "task_type": "push", "message": f"消息{n}"}) for n in range(count)]


def mute(request: Request) -> Completion:
    """Puts a hundredth of the probability on the labels, and writes answers as asked."""
    if request.choices:
        return Completion(request.id, "", "length", choice_logprobs=(-5.3, -5.3, -9.0))
    return made_up(request)


def judged(script: object, strategy: Strategy) -> list[Verdict]:
    judge = Judge(FakeEngine(script), builtin_rubrics(), Settings(strategy=strategy, rules="off"))  # type: ignore[arg-type]
    passed = []
    for verdict in insist_on_labels(judge.judge(records(12))):
        passed.append(verdict)
    return passed


@pytest.mark.parametrize("strategy", ["read", "cascade"])
def test_a_model_off_the_labels_is_stopped_after_the_first_reads_with_three_of_them(strategy: Strategy) -> None:
    with pytest.raises(EngineError, match=r"110 of the first 110 reads .* r\d+ 1\.1 \(0\.010\), .*, .*") as caught:
        judged(mute, strategy)
    assert str(caught.value).count("(0.010)") == 3
    assert "--strategy explain" in str(caught.value)


@pytest.mark.parametrize("strategy", ["read", "cascade", "explain"])
def test_a_model_that_answers_and_a_strategy_without_reads_go_on(strategy: Strategy) -> None:
    assert len(judged(made_up, strategy)) == 12
    assert len(judged(mute, "explain")) == 12


def test_a_run_shorter_than_the_first_reads_is_never_stopped() -> None:
    judge = Judge(FakeEngine(mute), builtin_rubrics(), Settings(strategy="read", rules="off"))
    few = FIRST // 22
    assert len(list(insist_on_labels(judge.judge(records(few))))) == few
