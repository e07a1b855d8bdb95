"""Verdicts to numbers: pure functions, no files, no printing. Unscored grades enter no rate; coverage counts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from localjudge.records import TaskType
from localjudge.verdicts import Grade, Usage, Verdict


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

    @property
    def pass_rate(self) -> float | None:
        """Over all scored indicators of all records; None when nothing is scored."""
        return self.total_score / self.scored if self.scored else None


class Summary(_Frozen):
    """A whole run."""

    records: int
    usage: Usage
    tasks: tuple[TaskSummary, ...]


class _Tally:
    def __init__(self) -> None:
        self.records = 0
        self.rubric = ""
        self.grades: dict[str, tuple[str, Counter[str]]] = {}

    def add(self, verdict: Verdict) -> None:
        self.records += 1
        self.rubric = verdict.rubric
        for grade in verdict.detail:
            _, counts = self.grades.setdefault(grade.id, (grade.indicator, Counter()))
            counts.update(_counted(grade))


def summarize(verdicts: Iterable[Verdict]) -> Summary:
    """Counts a stream of verdicts; memory grows with the number of indicators alone."""
    tallies: dict[TaskType, _Tally] = {}
    usage = Usage()
    records = 0
    for verdict in verdicts:
        records += 1
        usage += verdict.usage
        tallies.setdefault(verdict.task_type, _Tally()).add(verdict)
    tasks = tuple(_task(task_type, tallies[task_type]) for task_type in sorted(tallies))
    return Summary(records=records, usage=usage, tasks=tasks)


def _counted(grade: Grade) -> list[str]:
    if grade.unscored is not None:
        return ["asked", f"unscored:{grade.unscored}"]
    names = ["asked", "scored"]
    if grade.score:
        names.append("passed")
    if grade.applicable is False:
        names.append("not_applicable")
    if grade.contradiction:
        names.append("contradiction")
    if grade.source == "rule":
        names.append("by_rule")
    else:
        spoken = [witness.score for witness in grade.witnesses if witness.score is not None and witness.applicable]
        names += ["witnessed"] * len(spoken)
        names += ["disagreement"] * sum(score != grade.score for score in spoken)
    return names


def _task(task_type: TaskType, tally: _Tally) -> TaskSummary:
    indicators = tuple(
        IndicatorSummary(
            rubric=tally.rubric,
            id=indicator_id,
            indicator=title,
            asked=counts["asked"],
            scored=counts["scored"],
            passed=counts["passed"],
            not_applicable=counts["not_applicable"],
            contradictions=counts["contradiction"],
            by_rule=counts["by_rule"],
            witnessed=counts["witnessed"],
            disagreements=counts["disagreement"],
            unscored={
                name.removeprefix("unscored:"): count
                for name, count in sorted(counts.items())
                if name.startswith("unscored:")
            },
        )
        for indicator_id, (title, counts) in tally.grades.items()
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
    )
