"""A message as the checks read it: width and case folded, every place traceable to the original; its quotations, and
where a clause ends. All patterns run in time linear in the text.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from copy import copy
from functools import lru_cache
from typing import Literal, NamedTuple

from localjudge.records import Record

QuoteKind = Literal["title", "reported", "own"]

_FOLDED = {code: chr(code - 0xFEE0).lower() for code in range(0xFF01, 0xFF5F)}
_FOLDED |= {code: chr(code).lower() for code in range(ord("A"), ord("Z") + 1)}
# Letters of mathematics and in circles or squares.
_FOLDED |= {
    code: plain.lower()
    for low, high in ((0x1D400, 0x1D800), (0x24B6, 0x24EA), (0x1F130, 0x1F14A))
    for code in range(low, high)
    if len(plain := unicodedata.normalize("NFKC", chr(code))) == 1 and plain.isascii()
}
_FOLDED |= dict.fromkeys(map(ord, "〜～∼˜"), "~") | {ord("’"): "'", ord("　"): " "}
_INVISIBLE = re.compile("[​-‏⁠-⁤﻿­]")
# Bounded and without nesting, so that a row of opening marks costs no more than its length.
_QUOTE = re.compile(
    r"(?P<title>《[^《》]{1,120}》|〈[^〈〉]{1,120}〉)"
    r"|“[^“”]{1,200}”|「[^「」]{1,200}」|『[^『』]{1,200}』|‘[^‘’]{1,200}’"
    r'|"[^"]{1,200}"|(?<![A-Za-z])\'[^\']{1,200}\'(?![A-Za-z])'
)
_REPORTING = re.compile(
    r"(?:(?<![给跟对向帮为替])[你您他她们]|用户|客户|顾客|人|孩子|妈|爸|老公|老婆)[^，。！？；,!?;\n“”\"]{0,8}"
    r"(?:说|讲|问|写|叫|喊|念叨|提到|提过|留言|回复|发来?|念|唱|聊到)[^，。！？；,!?;\n“”\"]{0,4}$"
)
_QUOTING = re.compile("[《〈“「『‘\"']")
_EMOJI = re.compile("[\U0001f000-\U0001faff☀-➿⌚⌛⏩-⏺⬀-⯿️]")
_NAMED_EMOJI = re.compile(r"\[[一-鿿]{1,4}\]")
_MACRO = re.compile(r"(?<!\?P)<([a-z]+)>")
_COMPARED = 50
"""Quotations that are looked for in the history; a message with more of them is no message."""
CLAUSE_END = "，。！？；：、…,.!?;:\n"


class Quote(NamedTuple):
    """A quoted stretch of the folded text, marks included."""

    start: int
    end: int
    kind: QuoteKind
    """`title`: of a work. `reported`: somebody else's words. `own`: set in quotation marks by the speaker."""


class Text:
    """One message. Make it with `text_of`, which keeps the last few."""

    def __init__(self, message: str) -> None:
        self.message = message
        self.visible = message
        self._places: list[int] | None = None
        self._drop(_INVISIBLE, message)
        self.folded = self.visible.translate(_FOLDED)

    def reduced(self, dropped: re.Pattern[str], letters: Mapping[int, str]) -> Text:
        """The same message without what `dropped` finds in the folded text, and with `letters` read as others."""
        other = copy(self)
        other._drop(dropped, self.folded)
        other.folded = other.visible.translate(_FOLDED).translate(letters)
        return other

    def reworded(self, found: re.Pattern[str], words: Mapping[str, str]) -> Text:
        """The same message with words of the folded text read as others of the same length."""
        other = copy(self)
        other.folded = found.sub(lambda match: words[match[0]], self.folded)
        return other

    def _drop(self, dropped: re.Pattern[str], text: str) -> None:
        if dropped.search(text):
            gone = {place for match in dropped.finditer(text) for place in range(*match.span())}
            kept = [place for place in range(len(text)) if place not in gone]
            self.visible = "".join(self.visible[place] for place in kept)
            self._places = [self._places[place] for place in kept] if self._places else kept

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where a stretch of `folded` stands in the message."""
        if self._places is None:
            return start, end
        return self._places[start], self._places[end - 1] + 1

    def shown(self, start: int, end: int, margin: int = 3) -> str:
        """The stretch with a little around it, as evidence shows it."""
        return self.visible[max(0, start - margin) : end + margin].replace("\n", " ").strip()

    def quotes(self, record: Record) -> list[Quote]:
        """The quotations. Words that stand in the user's part of the history are reported, whoever said so."""
        found: list[Quote] = []
        if not _QUOTING.search(self.visible):
            return found
        for match in _QUOTE.finditer(self.visible):
            kind: QuoteKind = "own"
            if match["title"]:
                kind = "title"
            elif len(found) < _COMPARED and _is_reported(match, record):
                kind = "reported"
            found.append(Quote(match.start(), match.end(), kind))
        return found

    def closed(self, place: int) -> bool:
        """Whether a clause may end before `place`: at the end, a mark, a space or an emoji."""
        return place >= len(self.folded) or not self.folded[place].isalnum()

    def clause(self, place: int) -> tuple[int, int]:
        """The stretch between the clause marks around `place`, at most 60 characters to each side."""
        start, end = place, place
        low, high = max(0, place - 60), min(len(self.folded), place + 60)
        while start > low and self.folded[start - 1] not in CLAUSE_END:
            start -= 1
        while end < high and self.folded[end] not in CLAUSE_END:
            end += 1
        return start, end

    @property
    def has_emoji(self) -> bool:
        """Pictures, and bracketed names of them such as [微笑]."""
        named = "[" in self.visible and _NAMED_EMOJI.search(self.visible) is not None
        return named or _EMOJI.search(self.visible) is not None


@lru_cache(maxsize=8)
def text_of(message: str) -> Text:
    """The message read; several checks of one record share it."""
    return Text(message)


def folded(word: str) -> str:
    """A word as `Text.folded` spells it."""
    return Text(word).folded


def quote_at(quotes: Sequence[Quote], start: int, end: int) -> Quote | None:
    """The quotation that holds a stretch, if one does; `quotes` in order, none in another."""
    after = bisect_right(quotes, start, key=lambda quote: quote.start)
    return quotes[after - 1] if after and end <= quotes[after - 1].end else None


def written_out(pattern: str, macros: Mapping[str, str]) -> str:
    """A pattern with each `<name>` replaced by that macro, and theirs in it. Raises KeyError for an unknown one."""
    while _MACRO.search(pattern):
        pattern = _MACRO.sub(lambda match: macros[match[1]], pattern)
    return pattern


def spoken(record: Record, role: str) -> list[str]:
    """What one side said in the history, oldest first. A history in one string cannot be told apart: all of it."""
    if isinstance(record.dialogue_history, str):
        return [record.dialogue_history] if record.dialogue_history else []
    return [turn.content for turn in record.dialogue_history if turn.role == role]


def _is_reported(match: re.Match[str], record: Record) -> bool:
    words = match[0][1:-1].strip(" ，。！？,.!?…")
    if words and any(words in said for said in spoken(record, "user")):
        return True
    return _REPORTING.search(match.string, max(0, match.start() - 24), match.start()) is not None
