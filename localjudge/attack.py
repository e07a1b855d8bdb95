"""Attacks a judge: failing messages of an exam's pairs, unchanged and mutated, judged with and without defences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from localjudge.engines.base import Engine
from localjudge.exam import Pair
from localjudge.judge import Judge
from localjudge.mutations import MUTATIONS, Mutation
from localjudge.records import Record, TaskType
from localjudge.resistance import (
    FAILING,
    PASSING,
    WAYS,
    Judged,
    Resistance,
    Way,
    attackable,
    grade_attack,
    median_threshold,
)
from localjudge.rubric import Rubric
from localjudge.strategies import Settings

_Asked = dict[str, tuple[str, str]]
"""Record id -> pair id and mutation."""


def attack(
    engine: Engine,
    rubrics: Mapping[TaskType, Rubric],
    pairs: Sequence[Pair],
    settings: Mapping[Way, Settings],
    threshold: float | None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    mutations: Sequence[Mutation] = MUTATIONS,
) -> Resistance:
    """Judges both sides of every pair, and every mutation of the failing messages that are judged 0.

    `threshold` is the margin that passes. None: the judge's own score where it is calibrated under both settings or has
    no margins, else the median margin of the unchanged messages, under each setting its own. Pairs whose sides differ
    in the time of sending are left out. Raises EngineError when the engine is gone.
    """
    usable = [pair for pair in pairs if pair.message_fail is not None]
    judges = {way: Judge(engine, rubrics, settings[way]) for way in WAYS}
    answers: dict[tuple[Way, str, str], Judged] = {}
    for way in WAYS:
        answers |= _judged(judges[way], way, usable, _sides, on_progress)
    thresholds: dict[Way, float | None] = dict.fromkeys(WAYS, threshold)
    calibrated = all(settings[way].calibration is not None for way in WAYS)
    if threshold is None and settings["on"].strategy == "read" and not calibrated:
        thresholds = {way: median_threshold(answers, way) for way in WAYS}
    wanted = set(attackable(answers, thresholds))
    victims = [pair for pair in usable if pair.pair_id in wanted]
    for way in WAYS:
        mutated = _judged(judges[way], way, victims, lambda pair: _mutants(pair, mutations), on_progress)
        answers |= mutated
    return grade_attack(answers, thresholds, [mutation.name for mutation in mutations])


def _judged(
    judge: Judge,
    way: Way,
    pairs: Sequence[Pair],
    variants: Callable[[Pair], dict[str, Record]],
    on_progress: Callable[[int, int], None],
) -> dict[tuple[Way, str, str], Judged]:
    asked: _Asked = {}
    records: list[Record] = []
    only: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        for name, record in variants(pair).items():
            asked[record.id] = pair.pair_id, name
            only[record.id] = (pair.indicator,)
            records.append(record)
    said = {}
    for verdict in judge.judge(records, only=only):
        grade = verdict.detail[0]
        said[(way, *asked[verdict.id])] = Judged(grade.score, grade.margin)
        on_progress(len(said), len(records))
    return said


def _sides(pair: Pair) -> dict[str, Record]:
    return dict(zip((PASSING, FAILING), pair.records(), strict=True))


def _mutants(pair: Pair, mutations: Sequence[Mutation]) -> dict[str, Record]:
    failing = pair.records()[1]
    return {
        each.name: failing.model_copy(
            update={"id": f"{pair.pair_id}:{each.name}", "message": each.change(failing.message)}
        )
        for each in mutations
    }
