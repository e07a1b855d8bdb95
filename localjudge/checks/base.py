"""What a check is and what it says: an opinion on one record, exact or none. Knows records, and nothing of rubrics,
models or verdicts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from localjudge.records import Record

Confidence = Literal["decides", "witness"]
"""`decides`: the opinion is a fact and may be the grade. `witness`: it is evidence, and never sets a score."""


class Opinion(BaseModel):
    """What one check says of one record. `score` None: the check does not know, and says so instead of guessing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    check: str
    confidence: Confidence
    score: Literal[0, 1] | None
    applicable: bool | None
    """False when there is nothing to judge; None when the check does not know."""
    evidence: str = ""
    """What it rests on, in Chinese; it stands as the reason where the check decides."""
    span: tuple[int, int] | None = None
    """Where in the message, in characters from 0, end excluded; None for evidence that is no passage of it."""


class Check(BaseModel, ABC):
    """A named question to a record that needs no model. Its fields are its arguments, as a rubric pack writes them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    confidence: ClassVar[Confidence]
    """The strongest confidence that this check can claim."""

    witness: bool = False
    """Stand beside the model's grade, also where this check could decide."""

    @abstractmethod
    def look(self, record: Record) -> Opinion:
        """What the record shows. A pure function; never raises for any record."""

    @cached_property
    def decides(self) -> bool:
        """Whether an opinion of this check may be the grade."""
        return self.confidence == "decides" and not self.witness

    def violated(self, evidence: str, span: tuple[int, int] | None = None) -> Opinion:
        """The fault is there."""
        return self._opinion(0, True, evidence, span)

    def met(self, evidence: str, span: tuple[int, int] | None = None) -> Opinion:
        """The fault is not there."""
        return self._opinion(1, True, evidence, span)

    def clear(self, evidence: str) -> Opinion:
        """The fault looked for is not there: a 1 where that decides; a witness of one fault says nothing then."""
        return self.met(evidence) if self.decides else self.unknown()

    def not_applicable(self, evidence: str = "") -> Opinion:
        """There is nothing to judge, which is a 1."""
        return self._opinion(1, False, evidence, None) if evidence else self._nothing_to_judge

    def unknown(self, evidence: str = "", span: tuple[int, int] | None = None) -> Opinion:
        """Left to the model."""
        return self._opinion(None, None, evidence, span) if evidence or span else self._nothing_to_say

    @cached_property
    def _nothing_to_judge(self) -> Opinion:
        return self._opinion(1, False, "", None)

    @cached_property
    def _nothing_to_say(self) -> Opinion:
        return self._opinion(None, None, "", None)

    def _opinion(self, score: Any, applicable: bool | None, evidence: str, span: tuple[int, int] | None) -> Opinion:
        confidence: Confidence = "decides" if self.decides else "witness"
        return _said(self.name, confidence, score, applicable, evidence, span)


@lru_cache(maxsize=256)
def _said(
    check: str,
    confidence: Confidence,
    score: Any,
    applicable: bool | None,
    evidence: str,
    span: tuple[int, int] | None,
) -> Opinion:
    # Most opinions are one of a few that say that there is nothing to say.
    return Opinion(check=check, confidence=confidence, score=score, applicable=applicable, evidence=evidence, span=span)
