"""Rules beside the model: what the checks of a rubric say of a record, and how it joins the verdict. A check that
decides is the grade, and its question is not asked; a witness stands beside the grade and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

from localjudge.checks.base import Opinion
from localjudge.flags import Flag, flags_of
from localjudge.records import Record
from localjudge.rubric import Rubric
from localjudge.verdicts import NOT_APPLICABLE, Grade, Usage, Verdict

Rules = Literal["off", "witness", "on"]
"""`off`: no check runs. `witness`: all stand beside the grades. `on`: those that decide are the grade."""


@dataclass(frozen=True)
class Ruling:
    """What the rules say of one record."""

    record: Record
    rubric: Rubric
    decided: dict[str, Grade]
    """Indicator id -> the grade that needs no model."""
    witnesses: dict[str, tuple[Opinion, ...]]

    @cached_property
    def flags(self) -> tuple[Flag, ...]:
        """Those of the record."""
        return flags_of(self.record)

    @property
    def undecided(self) -> tuple[str, ...]:
        """Ids of the indicators that are left to the model, in rubric order."""
        return tuple(entry.id for entry in self.rubric.indicators if entry.id not in self.decided)

    def join(self, verdict: Verdict | None) -> Verdict:
        """The whole verdict: the rules' grades, and the model's for the rest. None: nothing was left to ask."""
        asked = {grade.id: grade for grade in verdict.detail} if verdict else {}
        grades = asked | self.decided
        return Verdict.of(
            id=self.record.id,
            rubric=self.rubric,
            detail=tuple(self._witnessed(grades[entry.id]) for entry in self.rubric.indicators),
            usage=verdict.usage if verdict else Usage(),
            extra=dict(self.record.extra),
            flags=self.flags,
        )

    def _witnessed(self, grade: Grade) -> Grade:
        said = self.witnesses.get(grade.id)
        return grade.model_copy(update={"witnesses": said}) if said else grade


def rule(record: Record, rubric: Rubric, rules: Rules) -> Ruling:
    """Runs the checks of a rubric on a record. A check that does not know leaves its indicator to the model."""
    decided: dict[str, Grade] = {}
    witnesses: dict[str, tuple[Opinion, ...]] = {}
    for indicator in rubric.checked if rules != "off" else ():
        beside = []
        for check in indicator.check:
            opinion = check.look(record)
            if rules == "on" and opinion.confidence == "decides" and opinion.score is not None:
                reason = opinion.evidence if opinion.applicable else NOT_APPLICABLE
                decided[indicator.id] = _grade(indicator.id, indicator.title, opinion.score, opinion.applicable, reason)
                continue
            # Something found that it cannot settle stands beside the model's grade; having nothing to say does not.
            if opinion.evidence:
                beside.append(opinion if opinion.confidence == "witness" else _demoted(opinion))
        if beside:
            witnesses[indicator.id] = tuple(beside)
    return Ruling(record, rubric, decided, witnesses)


def deciding(rubric: Rubric) -> tuple[str, ...]:
    """Ids of the indicators that have a deciding check."""
    return tuple(entry.id for entry in rubric.indicators if any(check.decides for check in entry.check))


def _demoted(opinion: Opinion) -> Opinion:
    return opinion.model_copy(update={"confidence": "witness"})


@lru_cache(maxsize=256)
def _grade(id: str, title: str, score: Literal[0, 1], applicable: bool | None, reason: str) -> Grade:
    return Grade(id=id, indicator=title, score=score, applicable=applicable, reason=reason, source="rule")
