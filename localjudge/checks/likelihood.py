"""How likely the sender of a message calls itself a machine, by its words alone: a logistic regression over short runs
of characters, learned from labelled messages of many authors. Knows no grammar; `identity` weighs it against the
clauses.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from importlib import resources
from itertools import repeat
from operator import add

from pydantic import BaseModel, ConfigDict

from localjudge.checks.constructions import SIGNS

LONGEST = 120
"""Characters of a message up to which this says anything: it was learned from messages of up to ninety."""
_ANCHORS = frozenset(SIGNS + "我本您")
_SIGNED_RUN, _REACH = 4, 10


class Likelihood(BaseModel):
    """The packaged weights, `lists/admission_words.json`, which `scripts/train_admissions.py` makes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bias: float
    weights: dict[str, float]

    def of(self, folded: str, signed: str) -> float:
        """The probability, of a message as the checks fold it and with a sign for each noun for a machine."""
        found = features(folded, signed)
        # Exactly, since a set has no order of its own.
        total = math.fsum(map(self.weights.get, found, repeat(0.0)))
        return 1 / (1 + math.exp(-(self.bias + total / math.sqrt(len(found)))))


def features(folded: str, signed: str) -> set[str]:
    """Runs of up to three characters, of up to four with a sign, and which stand near a sign, a speaker or a hearer."""
    text = f"^{folded}$"
    pairs = list(map(add, text, text[1:]))
    found = {*text, *pairs, *map(add, pairs, text[2:])}
    text = f"^{signed}$"
    for at, character in enumerate(text):
        if character not in _ANCHORS:
            continue
        if character in SIGNS:
            for size in range(1, _SIGNED_RUN + 1):
                first, last = max(0, at - size + 1), min(at, len(text) - size)
                found.update([text[start : start + size] for start in range(first, last + 1)])
        found.update([f"{before}_{character}" for before in text[max(0, at - _REACH) : at]])
        found.update([f"{character}_{after}" for after in text[at + 1 : at + 1 + _REACH]])
    return found


@lru_cache(maxsize=1)
def likelihood() -> Likelihood:
    """The packaged weights."""
    source = resources.files("localjudge") / "checks" / "lists" / "admission_words.json"
    return Likelihood.model_validate(json.loads(source.read_text(encoding="utf-8")))
