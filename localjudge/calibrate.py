"""Fits a calibration: from margins and people's labels to a map for each indicator, shrunk towards the whole. The sole
importer of scikit-learn.

For indicator i the log-odds of passing are (b + b_i) * margin + a + a_i: a logistic regression in which the shared
slope and intercept are next to free and each indicator's own deviations are penalised (ridge), so that an indicator
with few labels keeps close to what holds for all. How strongly is chosen by cross-validation. This is Platt scaling
(Platt 1999) with partial pooling.
"""

from __future__ import annotations

import math
import warnings
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from localjudge.calibration import Calibration, FoldFigures, MarginMap, map_key, sigmoid
from localjudge.engines.base import Engine
from localjudge.errors import ConfigError, InputError
from localjudge.exam import auroc
from localjudge.judge import Judge
from localjudge.labelled import Labelled
from localjudge.records import TaskType
from localjudge.rubric import Rubric
from localjudge.strategies import Settings

FOLDS = 5
PENALTIES = (0.01, 0.1, 1.0)
"""Inverse strengths of the shrinkage that are tried: small is strong."""
_FREE = 30.0
"""How much less than a deviation the shared slope is penalised: its column is this much larger."""
LEAST_LABELS = 20


class Point(NamedTuple):
    """One labelled read."""

    key: str
    """`map_key` of the indicator."""
    margin: float
    label: int
    group: str


def read_margins(
    engine: Engine, rubrics: Mapping[TaskType, Rubric], labelled: Sequence[Labelled], settings: Settings
) -> tuple[list[Point], int]:
    """Reads every labelled indicator under settings for `read`; returns the points, and how many came to nothing.

    Raises EngineError when the engine is gone, InputError for two records with one id.
    """
    by_id = {entry.record.id: entry for entry in labelled}
    if len(by_id) < len(labelled):
        raise InputError("two labelled records have one id.")
    only = {name: tuple(entry.labels) for name, entry in by_id.items()}
    points, lost = [], 0
    judge = Judge(engine, rubrics, settings)
    for verdict in judge.judge((entry.record for entry in labelled), only=only):
        entry = by_id[verdict.id]
        for grade in verdict.detail:
            if grade.margin is None:
                lost += 1
            else:
                key = map_key(verdict.task_type, grade.id)
                points.append(Point(key, grade.margin, entry.labels[grade.id], entry.group))
    # Verdicts come in the order of the engine; a fit must not depend on it.
    return sorted(points), lost


def fit(
    points: Sequence[Point],
    rubrics: Mapping[TaskType, Rubric],
    *,
    model: str,
    model_digest: str,
    prompt_digest: str,
    orders: int,
    labels_digest: str,
    base_rate: float | None = None,
) -> Calibration:
    """Fits the maps, and measures them out of fold.

    `base_rate` is the share of messages that pass where the judge will be used, if it is not that of the labels (an
    exam of pairs has one half): the log-odds are moved by the difference of the two log-odds (Elkan 2001).
    Raises InputError for too few labels or labels of one kind only, ConfigError without scikit-learn.
    """
    labels = [point.label for point in points]
    if len(points) < LEAST_LABELS or len({point.group for point in points if point.label}) < FOLDS or 0 not in labels:
        raise InputError(
            f"{len(points)} labels, {sum(labels)} of them 1, are too few to calibrate on.",
            hint=f"Give at least {LEAST_LABELS} labels of both kinds, on {FOLDS} records or more.",
        )
    predicted = _out_of_fold(points)
    penalty = _best_penalty(points)
    share = sum(labels) / len(labels)
    shift = _logit(base_rate) - _logit(share) if base_rate is not None else 0.0
    return Calibration(
        model=model,
        model_digest=model_digest,
        prompt_digest=prompt_digest,
        orders=orders,
        labels_digest=labels_digest,
        labels=len(points),
        base_rate=share if base_rate is None else base_rate,
        maps={
            key: MarginMap(slope=slope, intercept=intercept + shift, labels=count, indicator_digest=digest)
            for key, slope, intercept, count, digest in _maps(points, penalty, rubrics)
        },
        before=figures([sigmoid(point.margin) for point in points], labels),
        after=figures(predicted, labels),
    )


def figures(probabilities: Sequence[float], labels: Sequence[int]) -> FoldFigures:
    """Brier score, log loss, accuracy at one half, AUROC, and the expected calibration error over ten equal bins."""
    count = len(labels)
    pairs = sorted(zip(probabilities, labels, strict=True))
    clipped = [(min(max(p, 1e-12), 1 - 1e-12), label) for p, label in pairs]
    bins = [pairs[count * number // 10 : count * (number + 1) // 10] for number in range(10)]
    gaps = [abs(sum(p for p, _ in part) - sum(label for _, label in part)) for part in bins if part]
    return FoldFigures(
        brier=sum((p - label) ** 2 for p, label in pairs) / count,
        log_loss=-sum(math.log(p if label else 1 - p) for p, label in clipped) / count,
        accuracy=sum((p >= 0.5) == bool(label) for p, label in pairs) / count,
        auroc=auroc([p for p, label in pairs if label], [p for p, label in pairs if not label]) or 0.5,
        calibration_error=sum(gaps) / count,
    )


def _maps(
    points: Sequence[Point], penalty: float, rubrics: Mapping[TaskType, Rubric]
) -> Iterable[tuple[str, float, float, int, str]]:
    """A map for every indicator of the rubrics: one without labels gets what holds for all."""
    fitted = _Fit(points, penalty)
    for task_type, rubric in sorted(rubrics.items()):
        for indicator in rubric.indicators:
            key = map_key(task_type, indicator.id)
            slope, intercept = fitted.map_of(key)
            yield key, slope, intercept, sum(point.key == key for point in points), indicator.digest


class _Fit:
    """One penalised logistic regression over points."""

    def __init__(self, points: Sequence[Point], penalty: float) -> None:
        self._keys = sorted({point.key for point in points})
        margins = [point.margin for point in points]
        self._centre = sum(margins) / len(margins)
        spread = math.sqrt(sum((margin - self._centre) ** 2 for margin in margins) / len(margins))
        self._scale = spread or 1.0
        self._model = _logistic(penalty)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._model.fit([self._row(point.key, point.margin) for point in points], [point.label for point in points])

    def _row(self, key: str, margin: float) -> list[float]:
        z = (margin - self._centre) / self._scale
        own = [float(key == other) for other in self._keys]
        return [z * _FREE, *own, *(z * flag for flag in own)]

    def map_of(self, key: str) -> tuple[float, float]:
        """Slope and intercept over the raw margin."""
        weights = [float(value) for value in self._model.coef_[0]]
        slope, intercept = weights[0] * _FREE, float(self._model.intercept_[0])
        if key in self._keys:
            place = self._keys.index(key)
            intercept += weights[1 + place]
            slope += weights[1 + len(self._keys) + place]
        slope = max(slope, 0.0) / self._scale
        return slope, intercept - slope * self._centre

    def probability(self, point: Point) -> float:
        slope, intercept = self.map_of(point.key)
        return sigmoid(slope * point.margin + intercept)


def _out_of_fold(points: Sequence[Point]) -> list[float]:
    """Each point's probability by a fit that saw no point of its group; the penalty is chosen inside each fold."""
    predicted = [0.0] * len(points)
    for fold in range(FOLDS):
        training = [point for point in points if _fold_of(point) != fold]
        fitted = _Fit(training, _best_penalty(training))
        for place, point in enumerate(points):
            if _fold_of(point) == fold:
                predicted[place] = fitted.probability(point)
    return predicted


def _best_penalty(points: Sequence[Point]) -> float:
    def loss(penalty: float) -> float:
        total = 0.0
        for fold in range(FOLDS):
            training = [point for point in points if _fold_of(point) != fold]
            held = [point for point in points if _fold_of(point) == fold]
            if held and len({point.label for point in training}) == 2:
                fitted = _Fit(training, penalty)
                total += figures([fitted.probability(point) for point in held], [p.label for p in held]).log_loss * len(
                    held
                )
        return total

    return min(PENALTIES, key=loss)


def _fold_of(point: Point) -> int:
    # Not `hash`: it differs between processes.
    return zlib.crc32(point.group.encode("utf-8")) % FOLDS


def _logistic(penalty: float) -> Any:
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise ConfigError("calibrating needs scikit-learn.", hint="Run pip install 'localjudge[calibrate]'.") from error
    return LogisticRegression(C=penalty, max_iter=2000)


def _logit(share: float) -> float:
    return math.log(share / (1 - share))
