"""Word lists as data: for which personas a list counts, where in a clause, and in which longer words its words are
none. Knows nothing of messages or opinions.
"""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from importlib import resources
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from localjudge.checks.persona import Gender, Persona, in_years
from localjudge.checks.text import folded
from localjudge.strict_yaml import load_yaml

_LISTS = resources.files("localjudge") / "checks" / "lists"
Words = tuple[Annotated[str, Field(min_length=1, max_length=20)], ...]
Place = Literal["anywhere", "clause_end", "clause", "address"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class When(_Frozen):
    """For which personas a list counts; a condition left out always holds."""

    gender: Gender | None = None
    min_age: int | None = None
    max_age: int | None = None

    def holds(self, persona: Persona) -> bool | None:
        """None where the profile does not say."""
        answers: list[bool | None] = []
        if self.gender is not None:
            answers.append(None if persona.gender is None else persona.gender == self.gender)
        if self.min_age is not None or self.max_age is not None:
            answers.append(in_years(persona, self.min_age, self.max_age))
        if False in answers:
            return False
        return None if None in answers else True


class WordList(_Frozen):
    """Words with the personas for which they count."""

    name: Annotated[str, Field(min_length=1)]
    when: When = When()
    found: Literal["violated", "unknown"] = "violated"
    at: Place = "anywhere"
    """Where a word of it counts: `clause_end` with a clause's end behind it, `clause` as a clause of its own,
    `address` at the head of a sentence, before a mark."""
    words: Words = ()
    particles: tuple[Annotated[str, Field(min_length=1, max_length=1)], ...] = ()
    """Single characters that count only where they are words of their own."""
    marks: tuple[Literal["~"], ...] = ()

    @model_validator(mode="after")
    def _has_words(self) -> WordList:
        if not (self.words or self.particles or self.marks):
            raise ValueError(f"list {self.name!r} holds no words, particles or marks")
        return self


class Counting(NamedTuple):
    """A list, and whether it is certain that it counts for the persona."""

    words: WordList
    certain: bool


class Search(NamedTuple):
    """The lists that may count for one persona."""

    pattern: re.Pattern[str] | None
    """Finds every candidate in folded text, longest first; a Latin word only whole, and not in a model number."""
    owners: dict[str, tuple[Counting, ...]]
    """Folded word, particle or mark -> the lists that name it."""


class Lexicon(_Frozen):
    """Lists that are searched together, and what segmentation alone does not know of their words."""

    lists: Annotated[tuple[WordList, ...], Field(min_length=1)]
    legitimate: dict[str, Words] = {}
    """Longer words in which a listed word is none, in groups named for the reader."""
    either: Words = ()
    """Longer readings that may be a word and a particle as well."""
    openers: Words = ()
    """Words that begin a new clause without a mark before it."""
    places: Words = ()

    def search(self, persona: Persona) -> Search:
        """What to look for in the words of a persona."""
        found = self._by_persona.get(persona)
        if found is None:
            holding = {place: entry.when.holds(persona) for place, entry in enumerate(self.lists)}
            counts = tuple((place, holds) for place, holds in holding.items() if holds is not False)
            found = self._by_lists.get(counts) or self._made(counts)
            self._by_lists[counts] = self._by_persona[persona] = found
        return found

    @cached_property
    def _by_persona(self) -> dict[Persona, Search]:
        return {}

    @cached_property
    def _by_lists(self) -> dict[tuple[tuple[int, bool | None], ...], Search]:
        return {}

    def _made(self, counts: tuple[tuple[int, bool | None], ...]) -> Search:
        owners: dict[str, tuple[Counting, ...]] = {}
        for place, holds in counts:
            entry = self.lists[place]
            for word in map(folded, (*entry.words, *entry.particles, *entry.marks)):
                owners[word] = (*owners.get(word, ()), Counting(entry, certain=holds is True))
        parts = [_whole(word) if word != "~" else "~~*" for word in sorted(owners, key=len, reverse=True)]
        return Search(re.compile("|".join(parts)) if parts else None, owners)

    @cached_property
    def harmless(self) -> re.Pattern[str] | None:
        """Finds the longer words, the ambiguous ones too."""
        words = {folded(word) for group in (*self.legitimate.values(), self.either) for word in group}
        longest = sorted(words, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest))) if longest else None

    @cached_property
    def particles(self) -> frozenset[str]:
        """All particles of all lists."""
        return frozenset(particle for entry in self.lists for particle in entry.particles)


@lru_cache(maxsize=8)
def packaged_lexicon(name: str) -> Lexicon:
    """A list file of the package."""
    text = (_LISTS / f"{name}.yaml").read_text(encoding="utf-8")
    return Lexicon.model_validate(load_yaml(text, f"checks/lists/{name}.yaml"))


def _whole(word: str) -> str:
    escaped = re.escape(word)
    # The look behind stands behind: a pattern whose branches all begin with a letter is searched by first letters.
    behind = rf"(?<![a-z0-9]{escaped})" if _is_latin(word[0]) else ""
    ahead = r"(?![a-z0-9])" if _is_latin(word[-1]) else ""
    return escaped + behind + ahead + (r"(?!-\d)" if word.isascii() else "")


def _is_latin(character: str) -> bool:
    return character.isascii() and character.isalnum()
