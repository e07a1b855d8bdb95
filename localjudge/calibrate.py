"""Fits a calibration: from reads and people's labels to a verbalizer, and to a map from margin to probability for each
indicator, shrunk towards the whole. The sole importer of scikit-learn.

A verbalizer's weights are those of a penalised logistic regression of the labels on the words' log-probabilities, with
an intercept of each indicator's own: what is learned is what passing has in common, whatever the indicator.

For indicator i the log-odds of passing are (b + b_i) * margin + a + a_i: a logistic regression in which the shared
slope and intercept are next to free and each indicator's own deviations are penalised (ridge), so that an indicator
with few labels keeps close to what holds for all. This is Platt scaling (Platt 1999) with partial pooling. The margins
that it is fitted on come from a verbalizer that did not see their group. How strongly either is penalised is chosen by
cross-validation.
"""

from __future__ import annotations

import math
import warnings
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from localjudge.calibration import Calibration, FoldFigures, MarginMap, map_key, sigmoid
from localjudge.engines.base import Engine, Request
from localjudge.errors import ConfigError, InputError
from localjudge.estimates import auroc
from localjudge.labelled import Labelled
from localjudge.prompts import Prompts
from localjudge.reads import READ_LABELS, Read, mean_logprobs, parse_read
from localjudge.records import TaskType
from localjudge.rubric import Indicator, Rubric
from localjudge.strategies import ReadCase, Settings
from localjudge.verbalizer import Verbalizer, centred

FOLDS = 5
PENALTIES = (0.01, 0.1, 1.0)
"""Inverse strengths of the shrinkage that are tried: small is strong."""
_FREE = 30.0
"""How much less than a deviation the shared slope is penalised: its column is this much larger."""
_OWN = 3.0
"""Likewise the intercept of each indicator, beside the words' weights."""
LEAST_LABELS = 20
LEAST_FOR_WORDS = 200
"""Labels below which no verbalizer is tried."""


class Point(NamedTuple):
    """One labelled read."""

    key: str
    """`map_key` of the indicator."""
    margin: float
    label: int
    group: str
    logprobs: tuple[float, ...] = ()
    """Of the labels, and of the words that were asked for with them."""


def read_points(
    engine: Engine,
    rubrics: Mapping[TaskType, Rubric],
    labelled: Sequence[Labelled],
    settings: Settings,
    words: tuple[str, ...] = (),
) -> tuple[list[Point], int]:
    """Reads every labelled indicator under settings for `read`, with `words` beside the labels; returns the points, and
    how many came to nothing.

    Raises EngineError when the engine is gone, InputError for two records with one id.
    """
    if len({entry.record.id for entry in labelled}) < len(labelled):
        raise InputError("two labelled records have one id.")
    asked: list[tuple[Labelled, Indicator, list[Request]]] = []
    prompts = Prompts(settings.defences, settings.seed)
    for number, entry in enumerate(labelled):
        rubric = rubrics[entry.record.task_type].select(tuple(entry.labels))
        case = ReadCase(str(number), entry.record, rubric, prompts, settings)
        for indicator in rubric.indicators:
            own = case.read_requests(indicator, indicator.id)
            asked.append((entry, indicator, [request._replace(choices=(*READ_LABELS, *words)) for request in own]))
    completions = iter(engine.generate(request for _, _, own in asked for request in own))
    points = []
    for entry, indicator, own in asked:
        each = [next(completions).choice_logprobs for _ in own]
        logprobs = mean_logprobs(each) if all(each) else ()
        read = parse_read(logprobs) if logprobs else None
        if isinstance(read, Read):
            key = map_key(entry.record.task_type, indicator.id)
            points.append(Point(key, read.margin, entry.labels[indicator.id], entry.group, logprobs))
    # A fit must not depend on the order of the file.
    return sorted(points), len(asked) - len(points)


def apart(engine: Engine, words: Iterable[str]) -> tuple[str, ...]:
    """The words that begin with a token of their own, which no label and no word before them begins with; none for an
    engine without tokens."""
    taken, kept = set(engine.first_tokens(READ_LABELS)), []
    for word in words if taken else ():
        (token,) = engine.first_tokens((word,))
        if token not in taken:
            taken.add(token)
            kept.append(word)
    return tuple(kept)


def fit(
    points: Sequence[Point],
    rubrics: Mapping[TaskType, Rubric],
    *,
    model: str,
    model_digest: str,
    prompt_digest: str,
    orders: int,
    labels_digest: str,
    words: tuple[str, ...] = (),
    base_rate: float | None = None,
) -> Calibration:
    """Fits the verbalizer and the maps, and measures them out of fold. `words` are those that the points hold
    log-probabilities of, behind the labels; they are weighed where that makes better probabilities out of fold than the
    labels alone.

    `base_rate` is the share of messages that pass where the judge will be used, if it is not that of the labels (an
    exam of pairs has one half): the log-odds are moved by the difference of the two log-odds (Elkan 2001).
    Raises InputError for too few labels or labels of one kind only, ConfigError without scikit-learn.
    """
    labels = [point.label for point in points]
    if len(points) < LEAST_LABELS or not _can_be_split(points):
        raise InputError(
            f"{len(points)} labels, {sum(labels)} of them 1, are too few to calibrate on.",
            hint=f"Give at least {LEAST_LABELS} labels of both kinds, on {FOLDS} records or more.",
        )
    words = words if len(points) >= LEAST_FOR_WORDS else ()
    ways = [(_out_of_fold(points, kept), kept) for kept in dict.fromkeys(((), words))]
    predicted, words = min(ways, key=lambda way: _loss(points, way[0]))
    fitted = _Fit(points, words)
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
        verbalizer=fitted.verbalizer,
        packs={task_type: rubric.pack.digest for task_type, rubric in sorted(rubrics.items())},
        maps={
            key: MarginMap(slope=slope, intercept=intercept + shift, labels=count)
            for key, slope, intercept, count in _maps(points, fitted, rubrics)
        },
        before=figures([sigmoid(point.margin) for point in points], labels),
        after=figures(predicted, labels),
    )


def figures(probabilities: Sequence[float], labels: Sequence[int]) -> FoldFigures:
    """Brier score, log loss, accuracy at one half, AUROC, and the expected calibration error over ten equal bins.

    Probabilities that are equal are not told apart by their labels: each counts with the mean label of all of them, so
    that a bin's border between them separates no label from another.
    """
    count = len(labels)
    pairs = sorted(zip(probabilities, labels, strict=True))
    tied: list[tuple[float, float]] = []
    for p, group in groupby(pairs, key=itemgetter(0)):
        alike = [label for _, label in group]
        tied += [(p, sum(alike) / len(alike))] * len(alike)
    area = auroc([p for p, label in pairs if label], [p for p, label in pairs if not label])
    clipped = [(min(max(p, 1e-12), 1 - 1e-12), label) for p, label in pairs]
    bins = [tied[count * number // 10 : count * (number + 1) // 10] for number in range(10)]
    gaps = [abs(sum(p for p, _ in part) - sum(label for _, label in part)) for part in bins if part]
    return FoldFigures(
        brier=sum((p - label) ** 2 for p, label in pairs) / count,
        log_loss=-sum(math.log(p if label else 1 - p) for p, label in clipped) / count,
        accuracy=sum((p >= 0.5) == bool(label) for p, label in pairs) / count,
        auroc=0.5 if area is None else area,
        calibration_error=sum(gaps) / count,
    )


def _maps(
    points: Sequence[Point], fitted: _Fit, rubrics: Mapping[TaskType, Rubric]
) -> Iterable[tuple[str, float, float, int]]:
    """A map for every indicator of the rubrics: one without labels gets what holds for all."""
    for task_type, rubric in sorted(rubrics.items()):
        for indicator in rubric.indicators:
            key = map_key(task_type, indicator.id)
            slope, intercept = fitted.maps.map_of(key)
            yield key, slope, intercept, sum(point.key == key for point in points)


class _Fit:
    """All that is fitted on some points: with a verbalizer where there are words, else on the margins of the labels."""

    def __init__(self, points: Sequence[Point], words: tuple[str, ...]) -> None:
        self.verbalizer: Verbalizer | None = None
        if words:
            margins, penalty = _best_margins(points, words)
            self.verbalizer = _verbalizer(points, words, penalty)
            points = [point._replace(margin=margin) for point, margin in zip(points, margins, strict=True)]
        self.maps = _Maps(points, _best_penalty(points))

    def probability(self, point: Point) -> float:
        margin = self.verbalizer.margin(point.logprobs) if self.verbalizer else point.margin
        return self.maps.probability(point._replace(margin=margin))


def _verbalizer(points: Sequence[Point], words: tuple[str, ...], penalty: float) -> Verbalizer:
    """A logistic regression of labels on how far words' log-probabilities lie above their mean."""
    keys = {key: place for place, key in enumerate(sorted({point.key for point in points}))}
    rows = [centred(point.logprobs) for point in points]
    middle = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    moved = [[value - mean for value, mean in zip(row, middle, strict=True)] for row in rows]
    scale = math.sqrt(sum(value * value for row in moved for value in row) / (len(rows) * len(middle))) or 1.0
    design = []
    for point, row in zip(points, moved, strict=True):
        own = [0.0] * len(keys)
        own[keys[point.key]] = _OWN
        design.append([value / scale for value in row] + own)
    raw = [float(value) / scale for value in _fitted(penalty, design, points).coef_[0][: len(middle)]]
    weights = [value - sum(raw) / len(raw) for value in raw]
    return Verbalizer(
        weights=dict(zip((*READ_LABELS, *words), weights, strict=True)),
        offset=-sum(weight * value for weight, value in zip(weights, middle, strict=True)),
    )


class _Maps:
    """One penalised logistic regression over margins."""

    def __init__(self, points: Sequence[Point], penalty: float) -> None:
        self._keys = sorted({point.key for point in points})
        margins = [point.margin for point in points]
        self._centre = sum(margins) / len(margins)
        spread = math.sqrt(sum((margin - self._centre) ** 2 for margin in margins) / len(margins))
        self._scale = spread or 1.0
        self._model = _fitted(penalty, [self._row(point.key, point.margin) for point in points], points)

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


def _out_of_fold(points: Sequence[Point], words: tuple[str, ...]) -> list[float]:
    """Each point's probability by a fit that saw no point of its group; the penalties are chosen inside each fold."""
    return _crossed(points, lambda training: _Fit(training, words).probability)


def _best_margins(points: Sequence[Point], words: tuple[str, ...]) -> tuple[list[float], float]:
    """Margins by verbalizers that saw no point of their group, and the penalty that makes the best ones."""

    def tried(penalty: float) -> list[float]:
        def learned(training: Sequence[Point]) -> Callable[[Point], float]:
            verbalizer = _verbalizer(training, words, penalty)
            return lambda point: verbalizer.margin(point.logprobs)

        return _crossed(points, learned)

    return min(
        ((tried(penalty), penalty) for penalty in PENALTIES),
        key=lambda one: _loss(points, [sigmoid(margin) for margin in one[0]]),
    )


def _best_penalty(points: Sequence[Point]) -> float:
    def loss(penalty: float) -> float:
        return _loss(points, _crossed(points, lambda training: _Maps(training, penalty).probability))

    return min(PENALTIES, key=loss)


def _crossed(points: Sequence[Point], learn: Callable[[Sequence[Point]], Callable[[Point], float]]) -> list[float]:
    """What each point gets from what was learned on the points of the other folds."""
    values = [0.0] * len(points)
    for fold in range(FOLDS):
        held = [place for place, point in enumerate(points) if _fold_of(point) == fold]
        if held:
            learned = learn([point for point in points if _fold_of(point) != fold])
            for place in held:
                values[place] = learned(points[place])
    return values


def _loss(points: Sequence[Point], probabilities: Sequence[float]) -> float:
    return figures(probabilities, [point.label for point in points]).log_loss


def _can_be_split(points: Sequence[Point]) -> bool:
    """Whether both labels are left wherever a fold, and one more inside the rest, is held back."""
    folds = {label: {_fold_of(point) for point in points if point.label == label} for label in (0, 1)}
    return all(len(found) > 2 for found in folds.values())


def _fold_of(point: Point) -> int:
    # Not `hash`: it differs between processes.
    return zlib.crc32(point.group.encode("utf-8")) % FOLDS


def _fitted(penalty: float, rows: Sequence[Sequence[float]], points: Sequence[Point]) -> Any:
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise ConfigError("calibrating needs scikit-learn.", hint="Run pip install 'localjudge[calibrate]'.") from error
    model = LogisticRegression(C=penalty, max_iter=2000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(rows, [point.label for point in points])


def _logit(share: float) -> float:
    return math.log(share / (1 - share))
