"""What an English message says of its writer: a machine by name, what only a machine has or lacks, who is at this end.
Knows no Chinese; the patterns come from `lists/english.yaml`.
"""

from __future__ import annotations

import itertools
import re
from functools import lru_cache
from importlib import resources
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from localjudge.checks.context import Claim, in_context
from localjudge.checks.machines import MOST
from localjudge.checks.text import Quote, Text, written_out
from localjudge.strict_yaml import load_yaml

_GOES_ON = re.compile(
    r"(?:[ -](?:engineer|research|teach|train|consult|develop|expert|special|stud|design(?!ed)|coach|company|team"
    r"|product|course|lab|startup|fan|scien|manager|learning|vacuum|mop|clean|arm|toy|party|dance|photo|image|video|draw|art\b"
    r"|sales|writ|lawyer|enthusias|tool|operator\b|club|kit|class|fest|movie|shop|store|artist|newbie|nerd|geek|policy"
    r"|ethic|director|coordinator|chair|officer|lead\b|repair|maker|builder|owner|user|skeptic|guy\b|girl\b|person\b))"
)
_TWO_WORDS = re.compile("[a-z][' -][a-z]")
# No message without one of these says any of it.
_MAY = re.compile(
    r"(?<![a-z])(?:i|i'm|im|my|you|you're|you've|this|as|being|it's|no|here|your|just|only|we|like|there's|there|speaking|me"
    r"|merely|yes|yep|nobody|powered|driven|not|is|am|from)(?![a-z])"
)
_LED = re.compile(
    r"\b(?:if|wish|as if|like|think|thinks|thought|say|says|said|saying|believe|believed|told|swear|pretend|suppose"
    r"|imagine|whether|asked|asking|assume|assumed|sure|not|were|suspect|doubt|that|because you|prove|joke|joked|call"
    r"|calls|called|unless|yesterday|earlier|isn't|wasn't|when)\b[a-z' ]{0,14}$"
)
_STATED = re.compile(r"\b(?:note|aware|remember|know|inform you|informed|advised|remind you|tell you) that $")
_FIGURES = ("machine", "computer", "real", "person", "man", "woman", "robot", "grok", "siri")
_MEANT = re.compile(
    r"just|only|not an? real|not human|not real|\b(?:ai|automated)\b|don't|can't|cannot|yes\b|yep|yeah|caught|guess"
    r"|admit"
    r"|confess|honest|right|not a person|no human|offended|feelings|sorry|transparen|correct|true|never (?:sleep|tire"
    r"|get)|no feelings"
)
_IN_JEST = re.compile(
    r",? (?:before|until|at the gym|when|in the kitchen|without|lately|these days|this week|today|on the|in disguise"
    r"|after)\b"
)


class _Pattern(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    words: Annotated[tuple[str, ...], Field(min_length=1)]
    say: str


class _Table(BaseModel):
    """`lists/english.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    macros: dict[str, str]
    patterns: tuple[_Pattern, ...]


def english(text: Text, quotes: list[Quote]) -> list[Claim]:
    """What an English message says of its writer."""
    found: list[Claim] = []
    folded = text.folded
    if not _TWO_WORDS.search(folded) or not _MAY.search(folded):
        return found
    for words, pattern in _patterns():
        if not any(word in folded for word in words):
            continue
        for match in itertools.islice(pattern.finditer(folded), MOST):
            standing = in_context(folded, *match.span(), quotes)
            if goes_on_in_english(folded, match.end("what")):
                standing = "other"
            elif standing == "claim" and (
                (match[0][0].isalnum() and _led(folded[max(0, match.start() - 30) : match.start()]))
                or (match["what"] in _FIGURES and not (match[0].startswith("you") or _MEANT.search(folded)))
                or (match["what"] in _FIGURES and _IN_JEST.match(folded, match.end("what")))
            ):
                standing = "doubtful"
            found.append(Claim(*match.span(), standing))
    return found


@lru_cache(maxsize=1)
def _patterns() -> list[tuple[tuple[str, ...], re.Pattern[str]]]:
    source = resources.files("localjudge") / "checks" / "lists" / "english.yaml"
    table = _Table.model_validate(load_yaml(source.read_text(encoding="utf-8"), "checks/lists/english.yaml"))
    return [(one.words, re.compile(written_out(one.say, table.macros))) for one in table.patterns]


def _led(before: str) -> bool:
    return _LED.search(before) is not None and not _STATED.search(before)


def goes_on_in_english(folded: str, end: int) -> bool:
    """Whether an English mention is part of a longer noun."""
    return _GOES_ON.match(folded, end) is not None
