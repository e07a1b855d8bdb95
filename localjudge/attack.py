"""Attacks a judge: failing messages of an exam's pairs, unchanged and mutated, judged with and without defences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from localjudge.engines.base import Engine, Message, Part
from localjudge.exam import Pair
from localjudge.judge import Judge
from localjudge.mutations import MUTATIONS, Mutation
from localjudge.prompts import Prompts
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

_Answers = dict[tuple[Way, str, str], Judged]
_Question = tuple[str, str, tuple[Message, tuple[Part, ...]]]
"""All that an answer depends on: the calibration, the indicator, and what the model sees of the record."""


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

    A calibration under one setting alone is left out: margins under the two would not be made of the same words.
    `threshold` is the margin that passes. None: the judge's own score where it is calibrated under both settings or has
    no margins, else the median margin of the unchanged messages, under each setting its own. Pairs whose sides differ
    in the time of sending are left out. What comes to the same prompt is asked once: a message whose attack the model
    does not see has the answer of the message alone. Raises EngineError when the engine is gone.
    """
    calibrated = all(settings[way].calibration is not None for way in WAYS)
    if not calibrated:
        settings = {way: replace(settings[way], calibration=None) for way in WAYS}
    usable = [pair for pair in pairs if pair.message_fail is not None]
    known: dict[_Question, Judged] = {}
    attacked = {way: _Attacked(way, Judge(engine, rubrics, settings[way]), settings[way], known) for way in WAYS}
    answers: _Answers = {}
    for way in WAYS:
        answers |= attacked[way].judge(usable, _sides, on_progress)
    thresholds: dict[Way, float | None] = dict.fromkeys(WAYS, threshold)
    if threshold is None and settings["on"].strategy == "read" and not calibrated:
        thresholds = {way: median_threshold(answers, way) for way in WAYS}
    wanted = set(attackable(answers, thresholds))
    victims = [pair for pair in usable if pair.pair_id in wanted]
    for way in WAYS:
        answers |= attacked[way].judge(victims, lambda pair: _mutants(pair, mutations), on_progress)
    return grade_attack(answers, thresholds, [mutation.name for mutation in mutations])


class _Attacked:
    """A judge under one of the two settings, with the answers that are known under either.

    Asked again in another batch, a question may get an answer that differs by rounding, and a message close to the
    threshold would seem to be talked round by an attack that the model never saw.
    """

    def __init__(self, way: Way, judge: Judge, settings: Settings, known: dict[_Question, Judged]) -> None:
        self._way: Way = way
        self._judge = judge
        self._prompts = Prompts(settings.defences, settings.seed)
        self._calibration = settings.calibration.prompt_digest if settings.calibration else ""
        self._known = known

    def judge(
        self,
        pairs: Sequence[Pair],
        variants: Callable[[Pair], dict[str, Record]],
        on_progress: Callable[[int, int], None],
    ) -> _Answers:
        """The answers on all variants of these pairs."""
        asked: dict[tuple[Way, str, str], _Question] = {}
        new: dict[_Question, Record] = {}
        for pair in pairs:
            for name, record in variants(pair).items():
                question = self._calibration, pair.indicator, self._prompts.opening(record)
                asked[self._way, pair.pair_id, name] = question
                if question not in self._known:
                    new.setdefault(question, record)
        by_id = {record.id: question for question, record in new.items()}
        only = {name: (indicator,) for name, (_, indicator, _) in by_id.items()}
        for number, verdict in enumerate(self._judge.judge(new.values(), only=only), start=1):
            grade = verdict.detail[0]
            self._known[by_id[verdict.id]] = Judged(grade.score, grade.margin)
            on_progress(number, len(new))
        return {key: self._known[question] for key, question in asked.items()}


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
