"""Figures with their uncertainty: bootstrap intervals, the area under the ROC curve, the exact sign test. Numbers in,
numbers out.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

_Entry = TypeVar("_Entry")
RESAMPLES = 1000


class Interval(NamedTuple):
    """A figure with its 95 % bootstrap interval. NaN-free: absent figures are None elsewhere."""

    value: float
    low: float
    high: float


def bootstrap(entries: Sequence[_Entry], figure: Callable[[Sequence[_Entry]], float], seed: int) -> Interval | None:
    """A figure over entries with its 95 % interval, from resampling whole entries; None where there are none."""
    if not entries:
        return None
    rng = random.Random(seed)
    draws = sorted(figure(rng.choices(entries, k=len(entries))) for _ in range(RESAMPLES))
    return Interval(figure(entries), draws[int(0.025 * RESAMPLES)], draws[int(0.975 * RESAMPLES) - 1])


def sign_test(wins: int, losses: int) -> float:
    """Two-sided exact binomial test that wins and losses are equally likely (McNemar's exact test)."""
    total = wins + losses
    if total == 0:
        return 1.0
    ways = tail = 1
    for k in range(min(wins, losses)):
        ways = ways * (total - k) // (k + 1)  # the binomial coefficient of k + 1, exactly
        tail += ways
    # Whole numbers to the last: no float holds 2 to the power of a thousand pairs.
    return min(1.0, 2 * tail / (1 << total))


def auroc(positives: Sequence[float], negatives: Sequence[float]) -> float | None:
    """Chance that a random positive ranks above a random negative, ties half (Mann-Whitney); None without both."""
    if not positives or not negatives:
        return None
    ranked = sorted([(value, 1) for value in positives] + [(value, 0) for value in negatives])
    wins, below, position = 0.0, 0, 0
    while position < len(ranked):
        end = position
        while end < len(ranked) and ranked[end][0] == ranked[position][0]:
            end += 1
        tied = ranked[position:end]
        up = sum(label for _, label in tied)
        down = len(tied) - up
        wins += up * (below + down / 2)
        below += down
        position = end
    return wins / (len(positives) * len(negatives))
