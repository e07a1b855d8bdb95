"""What a one-token read says: its labels, and what their log-probabilities as the next token come to. Numbers in,
numbers out; knows no engine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from localjudge.verdicts import Unscored

READ_LABELS = ("是", "否", "无")
"""The words a read chooses between: met, not met, does not apply. Their first tokens must differ."""
POLARITY_LABELS = ("符合", "违反", "无关")
"""The same for the question what a reason says."""
MIN_LABEL_MASS = 0.5
"""Below this share of the next-token probability on the three labels, the model was not answering the question."""


_LOGPROB_FLOOR = -1e6
"""Stands in for minus infinity: no chance at all, and still a number to subtract."""


class Read(NamedTuple):
    """What a one-token read says. Uncalibrated, `p_pass` orders messages and is no frequency."""

    p_pass: float
    """(met + does not apply) / (met + not met + does not apply)."""
    label_mass: float
    """Probability that the next token begins any of the labels."""
    margin: float
    """Natural log-odds of p_pass."""
    applicable: bool

    @property
    def score(self) -> Literal[0, 1]:
        """1 where passing is at least as likely as not."""
        return 1 if self.p_pass >= 0.5 else 0


def mean_logprobs(reads: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    """The mean of several reads' log-probabilities, label by label."""
    if len(reads) == 1:
        return reads[0]
    return tuple(sum(max(value, _LOGPROB_FLOOR) for value in label) / len(reads) for label in zip(*reads, strict=True))


def label_mass(logprobs: tuple[float, ...]) -> float:
    """How much of the next-token probability a read's labels hold; what stands behind the labels is not counted."""
    return sum(math.exp(value) for value in logprobs[: len(READ_LABELS)])


def margin_of(logprobs: tuple[float, ...]) -> float:
    """Natural log-odds of passing that the labels of a read hold, whatever mass they have together."""
    return _margin(*_floored(logprobs))


def _floored(logprobs: tuple[float, ...]) -> tuple[float, ...]:
    # Engines report a token they gave no chance as minus infinity; a floor keeps every figure finite.
    labels = logprobs[: len(READ_LABELS)]
    return labels if min(labels) >= _LOGPROB_FLOOR else tuple(max(value, _LOGPROB_FLOOR) for value in labels)


def _margin(met: float, not_met: float, not_applicable: float) -> float:
    # From the logs and not from the ratio: a margin of 40 is a ratio of exactly 1.
    passing = max(met, not_applicable) + math.log1p(math.exp(-abs(met - not_applicable)))
    return passing - not_met


def parse_read(logprobs: tuple[float, ...]) -> Read | Unscored:
    """Reads the log-probabilities of READ_LABELS as the next token, which come first; OFF_LABEL when their mass is too
    small."""
    floored = _floored(logprobs)
    met, not_met, not_applicable = map(math.exp, floored)
    mass = met + not_met + not_applicable
    if not mass >= MIN_LABEL_MASS:
        return Unscored.OFF_LABEL
    return Read(
        p_pass=(met + not_applicable) / mass,
        label_mass=min(mass, 1.0),
        margin=_margin(*floored),
        applicable=not_applicable <= max(met, not_met),
    )
