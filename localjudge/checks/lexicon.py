"""Word lists as data: for which personas a list counts, where in a clause, and in which longer words its words are
none. Knows nothing of messages or opinions.
"""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from importlib import resources
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from localjudge.checks.persona import Gender, Persona, in_years
from localjudge.checks.text import Text
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

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Finds every candidate in folded text, longest first; a Latin word only whole, and not in a model number."""
        words = {word for entry in self.lists for word in (*entry.words, *entry.particles)}
        parts = [_whole(folded(word)) for word in sorted(words, key=len, reverse=True)]
        if any(entry.marks for entry in self.lists):
            parts.append("~~*")
        return re.compile("|".join(parts))

    @cached_property
    def harmless(self) -> re.Pattern[str] | None:
        """Finds the longer words, the ambiguous ones too."""
        words = {folded(word) for group in (*self.legitimate.values(), self.either) for word in group}
        longest = sorted(words, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest))) if longest else None

    @cached_property
    def owners(self) -> dict[str, tuple[WordList, ...]]:
        """Folded word, particle or mark -> the lists that name it."""
        owners: dict[str, tuple[WordList, ...]] = {}
        for entry in self.lists:
            for word in (*entry.words, *entry.particles, *entry.marks):
                owners[folded(word)] = (*owners.get(folded(word), ()), entry)
        return owners

    @cached_property
    def particles(self) -> frozenset[str]:
        """All particles of all lists."""
        return frozenset(particle for entry in self.lists for particle in entry.particles)


@lru_cache(maxsize=8)
def packaged_lexicon(name: str) -> Lexicon:
    """A list file of the package."""
    text = (_LISTS / f"{name}.yaml").read_text(encoding="utf-8")
    return Lexicon.model_validate(load_yaml(text, f"checks/lists/{name}.yaml"))


def folded(word: str) -> str:
    """A word as `Text.folded` spells it."""
    return Text(word).folded


def _whole(word: str) -> str:
    escaped = re.escape(word)
    # The look behind stands behind: a pattern whose branches all begin with a letter is searched by first letters.
    behind = rf"(?<![a-z0-9]{escaped})" if _is_latin(word[0]) else ""
    ahead = r"(?![a-z0-9])" if _is_latin(word[-1]) else ""
    return escaped + behind + ahead + (r"(?!-\d)" if word.isascii() else "")


def _is_latin(character: str) -> bool:
    return character.isascii() and character.isalnum()
