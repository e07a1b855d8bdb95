"""A one-token read: how three log-probabilities become a score, a probability and a margin, or nothing at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localjudge.engines.base import Completion, Request
from localjudge.engines.fake import FakeEngine
from localjudge.judge import Judge
from localjudge.reads import MIN_LABEL_MASS, READ_LABELS, Read, parse_read
from localjudge.records import parse_record
from localjudge.rubric import load_rubric
from localjudge.strategies import Settings
from localjudge.verdicts import Unscored, Verdict

SMALL = load_rubric("push").select(("1.1", "2.1", "5.5"))
LOGPROB = st.floats(-60, 0)


def read(met: float, not_met: float, not_applicable: float) -> Read:
    """Of probabilities, for a case worked by hand."""
    outcome = parse_read((math.log(met), math.log(not_met), math.log(not_applicable)))
    assert isinstance(outcome, Read)
    return outcome


def on_labels(*logprobs: float) -> tuple[float, ...]:
    """The same odds with all of the probability on the labels."""
    most = max(logprobs)
    total = most + math.log(sum(math.exp(value - most) for value in logprobs))
    return tuple(value - total for value in logprobs)


# Parsing


def test_passing_is_met_or_not_applicable() -> None:
    # (.5 + .1) of .8, odds .6 to .2
    outcome = read(0.5, 0.2, 0.1)
    assert outcome.p_pass == pytest.approx(0.75)
    assert outcome.label_mass == pytest.approx(0.8)
    assert outcome.margin == pytest.approx(math.log(3))
    assert (outcome.score, outcome.applicable) == (1, True)


def test_not_met_fails_and_even_odds_pass() -> None:
    assert read(0.2, 0.6, 0.1).score == 0
    outcome = parse_read((math.log(0.25), math.log(0.5), math.log(0.25)))
    assert isinstance(outcome, Read)
    assert (outcome.p_pass, outcome.margin, outcome.score) == (0.5, pytest.approx(0), 1)


def test_not_applicable_only_where_it_leads() -> None:
    assert read(0.3, 0.1, 0.5).applicable is False
    assert read(0.4, 0.1, 0.4).applicable is True
    assert read(0.1, 0.5, 0.3).applicable is True


@pytest.mark.parametrize(
    ("logprobs", "p_pass", "margin"),
    [
        ((0.0, -200.0, -200.0), 1.0, 200.0),
        ((-200.0, 0.0, -200.0), 0.0, math.log(2) - 200),
        ((-200.0, -200.0, 0.0), 1.0, 200.0),
        ((0.0, -1e4, -1e4), 1.0, 1e4),
        ((-1e4, 0.0, -1e4), 0.0, math.log(2) - 1e4),
    ],
)
def test_extreme_log_probabilities_keep_a_finite_margin(
    logprobs: tuple[float, ...], p_pass: float, margin: float
) -> None:
    outcome = parse_read(logprobs)
    assert isinstance(outcome, Read)
    assert outcome.p_pass == pytest.approx(p_pass)
    assert math.isfinite(outcome.margin)
    assert outcome.margin == pytest.approx(margin)


@given(LOGPROB, LOGPROB, LOGPROB)
def test_figures_stay_in_their_ranges(met: float, not_met: float, not_applicable: float) -> None:
    outcome = parse_read(on_labels(met, not_met, not_applicable))
    assert isinstance(outcome, Read)
    assert 0 <= outcome.p_pass <= 1
    assert MIN_LABEL_MASS <= outcome.label_mass <= 1
    assert outcome.p_pass == pytest.approx(1 / (1 + math.exp(-outcome.margin)), abs=1e-9)
    assert outcome.score == (outcome.p_pass >= 0.5)


@given(LOGPROB, LOGPROB, LOGPROB, st.floats(0, 20))
def test_a_likelier_pass_never_lowers_p_pass(met: float, not_met: float, not_applicable: float, more: float) -> None:
    # Odds alone count, so one label may be raised before all are brought onto the labels.
    less_likely = parse_read(on_labels(met, not_met, not_applicable))
    likelier = parse_read(on_labels(met + more, not_met, not_applicable))
    assert isinstance(less_likely, Read)
    assert isinstance(likelier, Read)
    assert likelier.p_pass >= less_likely.p_pass - 1e-12
    assert likelier.margin >= less_likely.margin - 1e-9


@given(LOGPROB, LOGPROB, LOGPROB, st.floats(0, 1))
def test_off_label_is_exactly_a_mass_under_the_threshold(
    met: float, not_met: float, not_applicable: float, share: float
) -> None:
    logprobs = tuple(value + math.log(max(share, 1e-9)) for value in on_labels(met, not_met, not_applicable))
    off = sum(math.exp(value) for value in logprobs) < MIN_LABEL_MASS
    assert (parse_read(logprobs) is Unscored.OFF_LABEL) == off


def test_the_threshold_itself_is_enough() -> None:
    at = (math.log(MIN_LABEL_MASS), -1000.0, -1000.0)
    assert isinstance(parse_read(at), Read)
    assert parse_read((at[0] - 1e-9, *at[1:])) is Unscored.OFF_LABEL


def test_there_are_three_different_labels() -> None:
    assert len(set(READ_LABELS)) == 3


# The strategy


def judge_one(script: Callable[[Request], Completion]) -> tuple[Verdict, FakeEngine]:
    engine = FakeEngine(script)
    record = parse_record({"id": "r", "task_type": "push", "message": "粥还热着"})
    (verdict,) = Judge(engine, {"push": SMALL}, Settings(strategy="read")).judge([record])
    return verdict, engine


def says(*shares: float, **fields: Any) -> Callable[[Request], Completion]:
    logprobs = tuple(map(math.log, shares))
    return lambda request: Completion(request.id, "", "length", choice_logprobs=logprobs, **fields)


def test_a_read_asks_each_indicator_for_one_token_of_the_labels() -> None:
    _, engine = judge_one(says(0.9, 0.05, 0.05))
    assert [(request.choices, request.max_tokens, request.schema) for request in engine.seen] == [
        (READ_LABELS, 1, None)
    ] * 3
    assert len({request.messages[-1].parts[:-1] for request in engine.seen}) == 1
    assert len({request.messages[-1].parts[-1] for request in engine.seen}) == 3


def test_a_read_gives_a_score_and_its_figures_and_no_reason() -> None:
    verdict, _ = judge_one(says(0.1, 0.6, 0.1, prompt_tokens=50, cached_tokens=40, output_tokens=1))
    for grade in verdict.detail:
        assert (grade.score, grade.applicable, grade.reason, grade.unscored) == (0, True, "", None)
        assert (grade.p_pass, grade.label_mass) == (pytest.approx(0.25), pytest.approx(0.8))
        assert grade.margin == pytest.approx(-math.log(3))
    usage = verdict.usage
    assert (usage.requests, usage.prompt_tokens, usage.cached_tokens, usage.output_tokens) == (3, 150, 120, 3)


def test_a_read_that_leads_with_not_applicable_passes() -> None:
    verdict, _ = judge_one(says(0.1, 0.1, 0.7))
    assert {(grade.score, grade.applicable) for grade in verdict.detail} == {(1, False)}
    assert verdict.not_applicable == 3


def test_a_read_off_the_labels_is_unscored_with_its_mass() -> None:
    verdict, _ = judge_one(says(0.2, 0.1, 0.1))
    assert {(grade.score, grade.unscored) for grade in verdict.detail} == {(None, Unscored.OFF_LABEL)}
    assert {grade.p_pass for grade in verdict.detail} == {None}
    assert [grade.label_mass for grade in verdict.detail] == [pytest.approx(0.4)] * 3
    assert verdict.scored == 0


@pytest.mark.parametrize(
    ("finish", "why"),
    [("error", Unscored.ENGINE_ERROR), ("too_long", Unscored.TOO_LONG), ("stop", Unscored.ENGINE_ERROR)],
)
def test_a_read_without_log_probabilities_is_unscored_with_its_cause(finish: Any, why: Unscored) -> None:
    verdict, _ = judge_one(lambda request: Completion(request.id, "", finish, error="told"))
    assert {(grade.unscored, grade.reason, grade.label_mass) for grade in verdict.detail} == {(why, "told", None)}
