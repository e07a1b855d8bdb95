"""Verdicts to numbers. Expected values are worked by hand in the comments."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localjudge.rubric import TaskType
from localjudge.stats import Summary, summarize, wilson
from localjudge.verdicts import Grade, Unscored, Usage, Verdict

MARKS: dict[str, dict[str, Any]] = {
    "1": {"score": 1, "applicable": True},
    "0": {"score": 0, "applicable": True},
    "n": {"score": 1, "applicable": False},
    "t": {"score": None, "applicable": None, "unscored": Unscored.TRUNCATED},
    "l": {"score": None, "applicable": None, "unscored": Unscored.TOO_LONG},
}


def verdict(name: str, marks: str, task_type: TaskType = "push", usage: Usage | None = None) -> Verdict:
    """One grade a mark: 1 pass, 0 fail, n not applicable, t truncated, l too long."""
    detail = tuple(
        Grade(id=f"1.{number}", indicator=f"题{number}", reason="", **MARKS[mark])
        for number, mark in enumerate(marks, start=1)
    )
    return Verdict(
        id=name,
        task_type=task_type,
        rubric=f"{task_type}@1.0.0",
        total_score=sum(grade.score or 0 for grade in detail),
        max_score=len(detail),
        scored=sum(grade.score is not None for grade in detail),
        not_applicable=marks.count("n"),
        detail=detail,
        usage=usage or Usage(),
    )


def five() -> Summary:
    # record   1.1 1.2 1.3
    # a         1   0   n
    # b         1   0   n
    # c         0   t   n
    # d         n   l   n
    # e         1   t   n
    return summarize(
        verdict(name, marks) for name, marks in zip("abcde", ("10n", "10n", "0tn", "nln", "1tn"), strict=True)
    )


def test_each_indicator_is_counted() -> None:
    first, second, third = five().tasks[0].indicators
    assert (first.id, first.indicator, first.rubric) == ("1.1", "题1", "push@1.0.0")
    # 1.1: five asked, five scored; passes a b d e = 4, one of them not applicable; 3 of the 4 it applies to pass.
    assert (first.asked, first.scored, first.passed, first.not_applicable, first.unscored) == (5, 5, 4, 1, {})
    assert first.pass_rate == pytest.approx(4 / 5)
    assert first.applicable_pass_rate == pytest.approx(3 / 4)
    assert first.coverage == 1.0
    # 1.2: two scored of five, both 0; two truncated and one too long. Unscored is no failure and no pass.
    assert (second.asked, second.scored, second.passed, second.not_applicable) == (5, 2, 0, 0)
    assert second.unscored == {"too_long": 1, "truncated": 2}
    assert second.pass_rate == 0.0
    assert second.coverage == pytest.approx(2 / 5)
    # 1.3: never applies; all pass, and there is no rate over records that it applies to.
    assert (third.scored, third.passed, third.not_applicable) == (5, 5, 5)
    assert third.pass_rate == 1.0
    assert third.applicable_pass_rate is None


def test_a_task_is_the_sum_of_its_indicators() -> None:
    (task,) = five().tasks
    # passes 4 + 0 + 5 = 9 of 5 + 2 + 5 = 12 scored of 15 asked; not applicable 1 + 0 + 5 = 6.
    assert (task.records, task.total_score, task.scored, task.max_score, task.not_applicable) == (5, 9, 12, 15, 6)
    assert task.pass_rate == pytest.approx(9 / 12)


def test_an_indicator_that_was_never_scored_has_no_rate() -> None:
    (task,) = summarize([verdict("a", "t"), verdict("b", "l")]).tasks
    assert task.indicators[0].pass_rate is None
    assert task.indicators[0].applicable_pass_rate is None
    assert task.indicators[0].coverage == 0.0
    assert (task.pass_rate, task.scored, task.max_score) == (None, 0, 2)


@pytest.mark.parametrize("why", list(Unscored))
def test_no_kind_of_unscored_changes_a_rate(why: Unscored) -> None:
    lost = Grade(id="1.1", indicator="题1", score=None, applicable=None, reason="", unscored=why)
    with_lost = [verdict("a", "1"), verdict("b", "0"), verdict("c", "1").model_copy(update={"detail": (lost,)})]
    (task,) = summarize(with_lost).tasks
    assert task.pass_rate == pytest.approx(1 / 2)
    assert task.indicators[0].unscored == {why.value: 1}
    assert task.indicators[0].coverage == pytest.approx(2 / 3)


def test_push_and_reply_are_kept_apart_in_a_fixed_order() -> None:
    summary = summarize([verdict("a", "1", "reply"), verdict("b", "0", "push"), verdict("c", "1", "reply")])
    assert [(task.task_type, task.records, task.total_score) for task in summary.tasks] == [
        ("push", 1, 0),
        ("reply", 2, 2),
    ]
    assert summary.records == 3


def test_indicators_keep_the_order_of_the_rubric() -> None:
    (task,) = summarize([verdict("a", "1" * 12)]).tasks
    assert [row.id for row in task.indicators] == [f"1.{number}" for number in range(1, 13)]


def test_usage_is_added_up_over_all_tasks() -> None:
    usage = Usage(requests=3, prompt_tokens=100, cached_tokens=60, output_tokens=9, thinking_tokens=2)
    summary = summarize([verdict("a", "1", "push", usage), verdict("b", "1", "reply", usage)])
    assert summary.usage == Usage(requests=6, prompt_tokens=200, cached_tokens=120, output_tokens=18, thinking_tokens=4)


def test_nothing_is_nothing() -> None:
    assert summarize([]) == Summary(records=0, usage=Usage(), tasks=())


def test_the_order_of_verdicts_does_not_matter() -> None:
    verdicts = [verdict(str(number), marks) for number, marks in enumerate(("10n", "1tn", "0ln", "nnn"))]
    assert summarize(verdicts) == summarize(reversed(verdicts))


@given(st.integers(0, 500), st.integers(0, 500))
def test_wilsons_interval_holds_the_share_and_stays_within_0_and_1(hits: int, rest: int) -> None:
    rate = wilson(hits, hits + rest)
    assert 0 <= rate.low <= rate.value <= rate.high <= 1


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    # Newcombe, Statistics in Medicine 17, 1998, table I: method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_the_published_one(hits: int, count: int, low: float, high: float) -> None:
    rate = wilson(hits, count)
    assert (round(rate.low, 4), round(rate.high, 4)) == (low, high)
