"""Watches whether a model answers reads at all, and says so before a whole run has gone by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from localjudge.errors import EngineError
from localjudge.reads import MIN_LABEL_MASS
from localjudge.verdicts import Unscored, Verdict

FIRST = 100
"""Reads to look at."""
MOST = 0.9
"""Share of them that may be off the labels."""
SHOWN = 3


@dataclass
class Reads:
    """The reads looked at so far."""

    count: int = 0
    off: list[str] = field(default_factory=list)
    """Those off the labels, as they are shown."""


def insist_on_labels(verdicts: Iterable[Verdict], reads: Reads | None = None) -> Iterator[Verdict]:
    """Passes verdicts through. Raises EngineError after the first reads when nearly all of them were off the labels:
    such a model has no opinion to read. The verdicts up to then have been passed on. `reads`: those of an earlier call,
    where the verdicts of one model come in several parts."""
    reads = reads or Reads()
    for verdict in verdicts:
        yield verdict
        if reads.count >= FIRST:
            continue
        for name, mass, why in _reads(verdict):
            reads.count += 1
            if why is Unscored.OFF_LABEL:
                reads.off.append(f"{verdict.id} {name} ({mass or 0:.3f})")
        if reads.count >= FIRST and len(reads.off) > MOST * reads.count:
            raise EngineError(
                f"{len(reads.off)} of the first {reads.count} reads put less than {MIN_LABEL_MASS:g} of the "
                f"probability on the labels, for example {', '.join(reads.off[:SHOWN])}.",
                hint="This model does not answer one-word questions: use --strategy explain.",
            )


def _reads(verdict: Verdict) -> Iterator[tuple[str, float | None, Unscored | None]]:
    for grade in verdict.detail:
        stage = grade.stages[0] if grade.stages else None
        if stage is not None:
            yield grade.id, stage.label_mass, stage.unscored
        elif grade.label_mass is not None:
            yield grade.id, grade.label_mass, grade.unscored
