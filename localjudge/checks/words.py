"""Word lists: forbidden by the persona's age and gender, or outdated. A list is data; what it finds is a word of its
own, outside of quotations, names and addresses, or it is left to the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property, lru_cache
from importlib import resources
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from localjudge.checks.base import Check, Confidence, Opinion
from localjudge.checks.persona import Gender, Persona, names_of, persona_of
from localjudge.checks.segments import Segments
from localjudge.checks.text import Text, quote_at, text_of
from localjudge.records import Record
from localjudge.strict_yaml import load_yaml

_LISTS = resources.files("localjudge") / "checks" / "lists"
_ADDRESS = re.compile(r"(?:https?://|www\.)[!-~]{0,600}[!-}]|(?<!\S)~/[!-~]{0,200}")
_NUMBER = (
    r"(?:\d[\d.:,]{0,12}|[零一二三四五六七八九十百千两半]{1,6})\s?"
    r"(?:[个天日号月年点时分秒元块角度斤两克米寸里厘公折岁层楼次人份章节课期周页集件位kmgc%℃°#]{0,3})"
)
_RANGE_LEFT = re.compile(
    rf"(?:{_NUMBER}|第\s?\d{{1,4}}|(?:周|星期|礼拜)[一二三四五六日天末]|(?<![a-z0-9])(?:[a-z][座栋区幢楼口门]?|x{{1,4}}[sl]))\s?$"
)
_RANGE_RIGHT = re.compile(
    rf"\s?(?:{_NUMBER}|第\s?\d{{1,4}}|(?:周|星期|礼拜)[一二三四五六日天末]|(?:[a-z][座栋区幢楼口门]?|x{{1,4}}[sl])(?![a-z]))"
)
_ABOUT = re.compile(r"(?:约|大概|差不多|大约|估计|不到|近)\s?$")
_Words = tuple[Annotated[str, Field(min_length=1, max_length=20)], ...]


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
        if self.min_age is not None:
            answers.append(_known(persona, self.min_age, None))
        if self.max_age is not None:
            answers.append(_known(persona, None, self.max_age))
        if False in answers:
            return False
        return None if None in answers else True


class WordList(_Frozen):
    """Words with the personas for which they count."""

    name: Annotated[str, Field(min_length=1)]
    when: When = When()
    found: Literal["violated", "unknown"] = "violated"
    words: _Words = ()
    particles: tuple[Annotated[str, Field(min_length=1, max_length=1)], ...] = ()
    """Single characters that count only where they are words of their own."""
    marks: tuple[Literal["~"], ...] = ()

    @model_validator(mode="after")
    def _has_words(self) -> WordList:
        if not (self.words or self.particles or self.marks):
            raise ValueError(f"list {self.name!r} holds no words, particles or marks")
        return self


class Lexicon(_Frozen):
    """Lists that are searched together, with the words in which their particles are harmless."""

    lists: Annotated[tuple[WordList, ...], Field(min_length=1)]
    legitimate: _Words = ()
    places: _Words = ()

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
        """Finds the legitimate words."""
        words = sorted(map(folded, self.legitimate), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, words))) if words else None

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


class Hit(NamedTuple):
    """A candidate in folded text."""

    start: int
    end: int
    word: str
    standing: Literal["word", "doubtful"]
    """`word`: it is one. `doubtful`: quoted by the speaker himself, or of a segmentation that nobody knows."""


@lru_cache(maxsize=8)
def packaged_lexicon(name: str) -> Lexicon:
    """A list file of the package."""
    text = (_LISTS / f"{name}.yaml").read_text(encoding="utf-8")
    return Lexicon.model_validate(load_yaml(text, f"checks/lists/{name}.yaml"))


class ForbiddenWords(Check):
    """Words that do not fit the persona's age or gender."""

    name: ClassVar[str] = "forbidden_words"
    confidence: ClassVar[Confidence] = "decides"

    lists: tuple[WordList, ...] = ()
    """Instead of the packaged lists."""
    legitimate: _Words = ()
    """Further words in which a particle is none."""
    brief: int = 150
    """From this length on, a message of a man up to 35 is left to the model: he is to be brief."""

    def look(self, record: Record) -> Opinion:
        """Violated for a word that counts; unknown for one that might; met where there is neither."""
        persona = persona_of(record.agent_profile)
        if persona == (None, None) and not record.agent_profile:
            return self.not_applicable()
        text = text_of(record.message)
        doubt: Hit | None = None
        for hit in hits(text, record, self._lexicon):
            for entry in self._lexicon.owners[hit.word]:
                counts = entry.when.holds(persona)
                if counts is False:
                    continue
                if counts and entry.found == "violated" and hit.standing == "word":
                    evidence = f"“{text.shown(hit.start, hit.end)}”：{entry.name}"
                    return self.violated(evidence, text.span(hit.start, hit.end))
                doubt = doubt or hit
        if doubt is not None:
            shown = text.shown(doubt.start, doubt.end)
            return self.unknown(f"“{shown}”是否算禁用词不能确定", text.span(doubt.start, doubt.end))
        if text.has_emoji:
            return self.unknown("有表情，是否合乎年龄性别由模型判断")
        if persona.gender != "female" and len(record.message) >= self.brief and _known(persona, None, 35) is not False:
            return self.unknown("篇幅较长，是否简短直接由模型判断")
        return self.clear("没有该年龄性别的禁用词")

    @property
    def _lexicon(self) -> Lexicon:
        return _lexicon(self.lists, self.legitimate)


class OutdatedWords(Check):
    """Things and words of another time."""

    name: ClassVar[str] = "outdated_words"
    confidence: ClassVar[Confidence] = "witness"

    words: _Words = ()
    """Instead of the packaged list."""

    def look(self, record: Record) -> Opinion:
        """Violated for an outdated word; met without one."""
        text = text_of(record.message)
        lexicon = _outdated(self.words) if self.words else packaged_lexicon("outdated_words")
        for hit in hits(text, record, lexicon):
            if hit.standing == "word":
                return self.violated(f"“{text.shown(hit.start, hit.end)}”：过时的事物或说法", text.span(*hit[:2]))
        return self.clear("没有过时的词")


def hits(text: Text, record: Record, lexicon: Lexicon) -> Iterator[Hit]:
    """Every listed word that the speaker uses, in order."""
    matches = list(lexicon.pattern.finditer(text.folded))
    if not matches:
        return
    harmless: dict[int, tuple[int, int]] = {}
    for found in lexicon.harmless.finditer(text.folded) if lexicon.harmless else ():
        harmless |= dict.fromkeys(range(*found.span()), found.span())
    segments = Segments(text.visible)
    quotes = text.quotes(record)
    silent = {place for match in _ADDRESS.finditer(text.folded) for place in range(*match.span())}
    silent |= _names(text, record, matches)
    for match in matches:
        start, end = match.span()
        word = "~" if match[0][0] == "~" else match[0]
        quote = quote_at(quotes, start, end)
        if (quote and quote.kind != "own") or (start in silent and end - 1 in silent):
            continue
        standing = _standing(text, match, lexicon, harmless, segments)
        if standing is not None:
            yield Hit(start, end, word, "doubtful" if quote else standing)


def folded(word: str) -> str:
    """A word as `Text.folded` spells it."""
    return Text(word).folded


def _standing(
    text: Text, match: re.Match[str], lexicon: Lexicon, harmless: dict[int, tuple[int, int]], segments: Segments
) -> Literal["word", "doubtful"] | None:
    start, end = match.span()
    if match[0][0] == "~":
        return _mark(text.folded, start, end, lexicon.places)
    longer = harmless.get(start) or harmless.get(end - 1)
    if longer is not None and longer[1] - longer[0] > end - start:
        # The longer reading stands unless segmentation ties one of its characters to a neighbour.
        return "word" if segments.alone(start, end) and segments.crosses(*longer) else None
    if match[0] not in lexicon.particles:
        return "word"
    if text.closed(end) or text.folded[end] in "吗吧啊嘛哈么" or text.folded[end] in lexicon.particles:
        return "word"
    return "word" if segments.alone(start, end) or segments.ends_word(end) else "doubtful"


def _mark(folded_text: str, start: int, end: int, places: _Words) -> Literal["word", "doubtful"] | None:
    left, right = folded_text[max(0, start - 14) : start], folded_text[end : end + 14]
    if end - start == 1:
        if _RANGE_LEFT.search(left) and _RANGE_RIGHT.match(right):
            return None
        if left.endswith(places) and right.startswith(places):
            return None
        if right[:1].isdigit():
            if _ABOUT.search(left):
                return None
            if not left or not left[-1].isalnum():
                return "doubtful"
    return "word"


def _names(text: Text, record: Record, matches: list[re.Match[str]]) -> set[int]:
    """The places where the message calls somebody by a name that holds a listed word."""
    names = {folded(name) for name in (*names_of(record.user_profile), *names_of(record.agent_profile)) if name}
    found: set[int] = set()
    for name in names:
        if len(name) <= 20 and any(match[0] in name for match in matches):
            for match in re.finditer(re.escape(name), text.folded):
                found.update(range(*match.span()))
    return found


def _known(persona: Persona, low: int | None, high: int | None) -> bool | None:
    """Whether the persona's age lies in a range, for every age that the profile allows; None where they differ."""
    if persona.age is None:
        return None
    answers = {(low is None or age >= low) and (high is None or age <= high) for age in persona.age}
    return answers.pop() if len(answers) == 1 else None


def _whole(word: str) -> str:
    escaped = re.escape(word)
    if word.isascii() and word.isalnum():
        # The look behind stands behind: a pattern whose branches all begin with a letter is searched by first letters.
        return rf"{escaped}(?<![a-z0-9]{escaped})(?![a-z0-9])(?!-\d)"
    return escaped


@lru_cache(maxsize=32)
def _lexicon(lists: tuple[WordList, ...], legitimate: _Words) -> Lexicon:
    packaged = packaged_lexicon("forbidden_words")
    if not lists and not legitimate:
        return packaged
    known = (*packaged.legitimate, *legitimate)
    return Lexicon(lists=lists or packaged.lists, legitimate=known, places=packaged.places)


@lru_cache(maxsize=32)
def _outdated(words: _Words) -> Lexicon:
    return Lexicon(lists=(WordList(name="过时", words=words),))
