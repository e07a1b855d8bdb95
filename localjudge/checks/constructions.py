"""Constructions in which a speaker calls itself a machine, one table of them (`lists/admissions.yaml`), read over a
message in which the nouns for machines are one sign each. Knows no noun.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from functools import cached_property, lru_cache
from importlib import resources
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from localjudge.checks.claims import Place
from localjudge.checks.context import Claim, in_context
from localjudge.checks.machines import MOST, PARTICLE, STOP
from localjudge.checks.text import Quote, Text, written_out
from localjudge.strict_yaml import load_yaml

_WHOLE, _OPEN, _PROGRAM, _COMPUTER, _TOPIC = "●◑○△◇"
SIGNS = _WHOLE + _OPEN + _PROGRAM + _COMPUTER + _TOPIC
"""What stands for a noun for a machine in a signed text."""
_COMPUTERS = ("电脑", "计算机", "computer")
_PROGRAMS = ("机器", "模型", "machine", "program", "software", "algorithm")
_MARKS = '“”"「」『』《》'


class Construction(BaseModel):
    """One line of the table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    say: str
    presupposed: bool = False
    """Whether it takes for granted what the speaker is, so that no verb before it makes that doubtful."""
    as_: Annotated[tuple[str, ...], Field(alias="as", min_length=1)]
    not_: Annotated[tuple[str, ...], Field(alias="not", min_length=1)]
    unless: tuple[str, ...] = ()


class Family(BaseModel):
    """Constructions that begin alike."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    head: str
    signed: bool
    """Whether each of them has a sign."""
    constructions: tuple[Construction, ...]


class Table(BaseModel):
    """`lists/admissions.yaml`, and the patterns made of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    macros: dict[str, str]
    unless: dict[str, str]
    families: tuple[Family, ...]

    def written_out(self, pattern: str) -> str:
        """A pattern with its macros in place."""
        return written_out(pattern, self.macros | {"stop": STOP + _MARKS, "particle": PARTICLE})

    @cached_property
    def constructions(self) -> tuple[Construction, ...]:
        """All of them, in the order of the families."""
        return tuple(one for family in self.families for one in family.constructions)

    @cached_property
    def patterns(self) -> tuple[tuple[bool, re.Pattern[str]], ...]:
        """One pattern for each family, and whether it needs a sign. The empty group at a construction's end tells its
        number; one at its start would keep the search from skipping constructions by their first letter.
        """
        numbers, found = itertools.count(), []
        for family in self.families:
            each = [f"(?:{self.written_out(one.say)})(?P<c{next(numbers)}>)" for one in family.constructions]
            found.append((family.signed, re.compile(f"{self.written_out(family.head)}(?:{'|'.join(each)})")))
        return tuple(found)

    @cached_property
    def elsewhere(self) -> dict[str, re.Pattern[str]]:
        """What makes a construction doubtful, by name."""
        return {name: re.compile(self.written_out(pattern)) for name, pattern in self.unless.items()}


class Piece(NamedTuple):
    """Where a stretch of the signed text begins, in it and in the folded text."""

    start: int
    """In the signed text."""
    folded: int
    """In the folded text."""


@lru_cache(maxsize=1)
def table() -> Table:
    """The packaged constructions."""
    source = resources.files("localjudge") / "checks" / "lists" / "admissions.yaml"
    return Table.model_validate(load_yaml(source.read_text(encoding="utf-8"), "checks/lists/admissions.yaml"))


def constructed(text: Text, places: list[Place], quotes: list[Quote]) -> list[Claim]:
    """What the constructions of the table say of the speaker."""
    signed, pieces = signed_text(text.folded, places)
    found = []
    patterns = (pattern for needs_sign, pattern in table().patterns if len(pieces) > 1 or not needs_sign)
    told = itertools.chain.from_iterable(pattern.finditer(signed) for pattern in patterns)
    for match in itertools.islice(told, MOST):
        start, end = _at(pieces, match.start()), _at(pieces, match.end())
        construction = table().constructions[int((match.lastgroup or "")[1:])]
        standing = in_context(text.folded, start, end, quotes, presupposed=construction.presupposed)
        if standing == "claim" and any(table().elsewhere[name].search(signed) for name in construction.unless):
            standing = "doubtful"
        found.append(Claim(start, end, standing))
    return found


def signed_text(folded: str, places: list[Place]) -> tuple[str, list[Piece]]:
    """The text with a sign for each noun, and where its pieces stand."""
    parts, pieces, length, done = [], [Piece(0, 0)], 0, 0
    for place, after in itertools.zip_longest(places, places[1:]):
        sign = _sign(place)
        # 系统机器人 is a robot, and the system only tells which.
        inner = after is not None and after.mention.start < place.end and place.mention.kind == "thing"
        if sign is None or inner or place.mention.start < done:
            continue
        end = place.end if place.tail == "whole" else place.mention.end
        parts += [folded[done : place.mention.start], sign]
        length += place.mention.start - done
        pieces += [Piece(length, place.mention.start), Piece(length + 1, end)]
        length, done = length + 1, end
    return "".join(parts) + folded[done:], pieces


def _sign(place: Place) -> str | None:
    kind, tail = place.mention.kind, place.tail
    if kind == "word" or (kind in ("thing", "code") and tail == "other"):
        return None
    if kind in ("thing", "code"):
        program = kind == "code" or place.noun in _PROGRAMS or (tail == "whole" and place.end > place.mention.end)
        return _PROGRAM if program else _COMPUTER if place.noun in _COMPUTERS else None
    if tail in ("whole", "open"):
        return _WHOLE if tail == "whole" else _OPEN
    return _TOPIC if tail == "topic" and not place.right.startswith("的") else _OPEN if tail == "topic" else None


def _at(pieces: list[Piece], place: int) -> int:
    piece = pieces[bisect_right(pieces, place, key=lambda piece: piece.start) - 1]
    return piece.folded + place - piece.start
