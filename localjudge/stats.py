"""Verdicts to numbers: pure functions, no files, no printing. Unscored grades enter no rate; coverage counts them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from localjudge.records import TaskType
from localjudge.verdicts import Grade, Unscored, Usage, Verdict


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class IndicatorSummary(_Frozen):
    """One indicator over all records asked about it."""

    rubric: str
    id: str
    indicator: str
    asked: int
    scored: int
    passed: int
    """Score 1, whether met or not applicable."""
    not_applicable: int
    unscored: dict[str, int]
    """Why there is no score -> how many."""
    contradictions: int = 0
    """Grades whose reason argues against their own score; they count as scored."""
    by_rule: int = 0
    """Grades that a check decided, without the model."""
    witnessed: int = 0
    """Opinions of witnesses, 0 or 1, that stand beside a grade of the model's."""
    disagreements: int = 0
    """Those of `witnessed` that are not the grade's score."""
    reads: int = 0
    """Scored grades that have a read's margin."""
    numerically_undecided: int = 0
    """Those of `reads` whose score the noise of the arithmetic could turn."""

    @property
    def pass_rate(self) -> float | None:
        """passed / scored; None when nothing is scored."""
        return self.passed / self.scored if self.scored else None

    @property
    def applicable_pass_rate(self) -> float | None:
        """The same over records that the indicator applies to; None when there are none."""
        applicable = self.scored - self.not_applicable
        return (self.passed - self.not_applicable) / applicable if applicable else None

    @property
    def disagreement_rate(self) -> float | None:
        """disagreements / witnessed: a figure of the model's health, and of the rule's; None without witnesses."""
        return self.disagreements / self.witnessed if self.witnessed else None

    @property
    def coverage(self) -> float:
        """scored / asked."""
        return self.scored / self.asked if self.asked else 0.0


class TaskSummary(_Frozen):
    """All records of one task type."""

    task_type: TaskType
    rubric: str
    records: int
    total_score: int
    max_score: int
    scored: int
    not_applicable: int
    indicators: tuple[IndicatorSummary, ...]
    flags: dict[str, int] = {}
    """Flag -> records that have it."""
    flagged: int = 0
    """Records with any flag."""

    @property
    def pass_rate(self) -> float | None:
        """Over all scored indicators of all records; None when nothing is scored."""
        return self.total_score / self.scored if self.scored else None


class Summary(_Frozen):
    """A whole run."""

    records: int
    usage: Usage
    tasks: tuple[TaskSummary, ...]
    noise_band: float | None = None
    """In margin, as a probe measured it; None: not probed, and nothing is marked."""


class _Outcome(NamedTuple):
    """All that a grade counts by."""

    score: int | None
    applicable: bool | None
    contradiction: bool
    unscored: Unscored | None
    by_rule: bool
    witnessed: int
    disagreeing: int
    read: bool
    undecided: bool


def _outcome(grade: Grade) -> _Outcome:
    score, by_rule = grade.score, grade.source == "rule"
    spoken = _spoken(grade) if grade.witnesses and score is not None and not by_rule else ()
    return _Outcome(
        score,
        grade.applicable,
        grade.contradiction,
        grade.unscored,
        by_rule,
        len(spoken),
        len(spoken) - spoken.count(score) if spoken else 0,
        grade.margin is not None,
        grade.numerically_undecided,
    )


def _spoken(grade: Grade) -> tuple[int, ...]:
    return tuple(witness.score for witness in grade.witnesses if witness.score is not None and witness.applicable)


class _Tally:
    def __init__(self) -> None:
        self.records = 0
        self.rubric = ""
        self.grades: dict[str, tuple[str, dict[_Outcome, int]]] = {}
        self.flags: Counter[str] = Counter()
        self.flagged = 0

    def add(self, verdict: Verdict) -> None:
        self.records += 1
        self.rubric = verdict.rubric
        self.flags.update(verdict.flags)
        self.flagged += bool(verdict.flags)
        for grade in verdict.detail:
            known = self.grades.get(grade.id)
            if known is None:
                known = self.grades[grade.id] = (grade.indicator, {})
            outcomes, outcome = known[1], _outcome(grade)
            outcomes[outcome] = outcomes.get(outcome, 0) + 1


class Rate(NamedTuple):
    """A share with its 95 % interval."""

    value: float
    low: float
    high: float


def wilson(hits: int, count: int) -> Rate:
    """hits / count with Wilson's score interval (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927, pp. 209-212), which stays
    within 0 and 1 and says something of zero hits too. 0 of 0 is anything: (0, 0, 1)."""
    if not count:
        return Rate(0.0, 0.0, 1.0)
    z2 = 1.959963984540054**2
    share, scale = hits / count, 1 + z2 / count
    middle = (share + z2 / (2 * count)) / scale
    half = math.sqrt(z2 * (share * (1 - share) + z2 / (4 * count)) / count) / scale
    return Rate(share, max(0.0, middle - half) if hits else 0.0, min(1.0, middle + half) if hits < count else 1.0)


def summarize(verdicts: Iterable[Verdict], *, noise_band: float | None = None) -> Summary:
    """Counts a stream of verdicts, marked under `noise_band`; memory grows with the number of indicators alone."""
    tallies: dict[TaskType, _Tally] = {}
    spent: Counter[str] = Counter()
    records = 0
    for verdict in verdicts:
        records += 1
        for name in Usage.model_fields:
            spent[name] += getattr(verdict.usage, name)
        tallies.setdefault(verdict.task_type, _Tally()).add(verdict)
    tasks = tuple(_task(task_type, tallies[task_type]) for task_type in sorted(tallies))
    return Summary(records=records, usage=Usage(**spent), tasks=tasks, noise_band=noise_band)


def _task(task_type: TaskType, tally: _Tally) -> TaskSummary:
    indicators = tuple(
        _indicator(tally.rubric, indicator_id, title, counts) for indicator_id, (title, counts) in tally.grades.items()
    )
    return TaskSummary(
        task_type=task_type,
        rubric=tally.rubric,
        records=tally.records,
        total_score=sum(row.passed for row in indicators),
        max_score=sum(row.asked for row in indicators),
        scored=sum(row.scored for row in indicators),
        not_applicable=sum(row.not_applicable for row in indicators),
        indicators=indicators,
        flags=dict(sorted(tally.flags.items())),
        flagged=tally.flagged,
    )


def _indicator(rubric: str, indicator_id: str, title: str, counts: dict[_Outcome, int]) -> IndicatorSummary:
    causes: Counter[str] = Counter()
    for outcome, count in counts.items():
        if outcome.unscored is not None:
            causes[str(outcome.unscored)] += count
    scored = [(outcome, count) for outcome, count in counts.items() if outcome.unscored is None]
    return IndicatorSummary(
        rubric=rubric,
        id=indicator_id,
        indicator=title,
        asked=sum(counts.values()),
        scored=sum(count for _, count in scored),
        passed=sum(count for outcome, count in scored if outcome.score),
        not_applicable=sum(count for outcome, count in scored if outcome.applicable is False),
        contradictions=sum(count for outcome, count in scored if outcome.contradiction),
        by_rule=sum(count for outcome, count in scored if outcome.by_rule),
        witnessed=sum(count * outcome.witnessed for outcome, count in scored),
        disagreements=sum(count * outcome.disagreeing for outcome, count in scored),
        reads=sum(count for outcome, count in scored if outcome.read),
        numerically_undecided=sum(count for outcome, count in scored if outcome.undecided),
        unscored=dict(sorted(causes.items())),
    )
