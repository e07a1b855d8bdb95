"""Watches whether a model answers reads at all, and says so before a whole run has gone by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from localjudge.errors import EngineError
from localjudge.verdicts import MIN_LABEL_MASS, Unscored, Verdict

FIRST = 100
"""Reads to look at."""
MOST = 0.9
"""Share of them that may be off the labels."""
SHOWN = 3


def insist_on_labels(verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
    """Passes verdicts through. Raises EngineError after the first reads when nearly all of them were off the labels:
    such a model has no opinion to read. The verdicts up to then have been passed on."""
    reads, off = 0, []
    for verdict in verdicts:
        yield verdict
        if reads >= FIRST:
            continue
        for name, mass, why in _reads(verdict):
            reads += 1
            if why is Unscored.OFF_LABEL:
                off.append(f"{verdict.id} {name} ({mass or 0:.3f})")
        if reads >= FIRST and len(off) > MOST * reads:
            raise EngineError(
                f"{len(off)} of the first {reads} reads put less than {MIN_LABEL_MASS:g} of the probability on the "
                f"labels, for example {', '.join(off[:SHOWN])}.",
                hint="This model does not answer one-word questions: use --strategy explain.",
            )


def _reads(verdict: Verdict) -> Iterator[tuple[str, float | None, Unscored | None]]:
    for grade in verdict.detail:
        stage = grade.stages[0] if grade.stages else None
        if stage is not None:
            yield grade.id, stage.label_mass, stage.unscored
        elif grade.label_mass is not None:
            yield grade.id, grade.label_mass, grade.unscored
