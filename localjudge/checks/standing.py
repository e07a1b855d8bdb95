"""Whether a listed word that a message seems to hold is one there: spoken by the sender, and not a part of other words.
Where neither the segmenter nor the grammar around it says so, it is doubtful.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from localjudge.checks.lexicon import Counting, Lexicon, Place
from localjudge.checks.persona import Persona, names_of
from localjudge.checks.segments import Segments
from localjudge.checks.text import Text, folded, quote_at
from localjudge.records import Record

Standing = Literal["word", "doubtful"]

_ADDRESS = re.compile(r"(?:https?://|www\.)[!-~]{0,600}[!-}]|(?<!\S)~/[!-~]{0,200}")
_UNIT = (
    "[个天日号月年点时分秒元块角度斤两克米寸里厘公折岁层楼次人份章节课期周页集件位级届班组栋室粒颗片勺遍趟站路线排座"
    "毫升万亿倍盒包袋瓶kmgclhwvt%℃°#]{0,3}"
)
_NUMBER = rf"(?:\d[\d.:,]{{0,12}}|[零一二三四五六七八九十百千两半]{{1,6}})\s?{_UNIT}(?:钟|时|起)?"
_POINT = (
    r"(?:周|星期|礼拜)[一二三四五六日天末]|初[一二三四五六七八九十]{1,2}|即日起?|[今明后次昨][天日早晚]|[早上中下凌][晨午]|[早晚]上|傍晚"
    r"|[早中晚]|月[初中底]|年[初底]|[春夏秋冬]季?|幼儿园|[小中大]班|[小初高]中?学?(?=[^\w]|$|~)|初中|高中|大学|入门|初级|中级|高级"
)
_SIZE = r"[a-z][座栋区幢楼口门]?|x{1,4}[sl]"
_RANGE_LEFT = re.compile(rf"(?:{_NUMBER}|[a-z第]\s?\d{{1,4}}|{_POINT}|(?<![a-z0-9])(?:{_SIZE}))\s?$")
_RANGE_RIGHT = re.compile(rf"\s?(?:[-−¥￥$]?{_NUMBER}|[a-z第]\s?\d{{1,4}}|{_POINT}|(?:{_SIZE})(?![a-z]))")
_ABOUT = re.compile(r"(?:约|大概|差不多|大约|估计|不到|近)\s?$")
# What may follow a particle in the same breath, and what joins it to a name.
_SOFT = "吗吧啊嘛哈么"
_JOINS = "·•-/&_"
_SENTENCE_END = "。！？!?\n"
_ADDRESSING = "，,！!~ "
_ASKING = ("怎么样", "怎样", "如何", "什么", "多少", "哪里", "怎么办", "是谁", "几点")
_PRONOUNS = "你我您他她它咱这那们"
# An ordinary word that loses its first character to a listed one leaves more than these behind.
_LEFT_OVER = "了的啊吧呀们哦呢啦哈"


class Hit(NamedTuple):
    """A candidate in folded text."""

    start: int
    end: int
    standing: Standing
    """`word`: it is one. `doubtful`: quoted by the speaker himself, or of a segmentation that nobody knows."""
    lists: tuple[Counting, ...]
    """Those that may count for the persona, at this place."""


def hits(text: Text, record: Record, lexicon: Lexicon, persona: Persona) -> Iterator[Hit]:
    """Every word of a list that counts, or may count, for the persona, as far as the sender speaks it, in order."""
    pattern, owners = lexicon.search(persona)
    matches = list(pattern.finditer(text.folded)) if pattern else []
    if not matches:
        return
    reading = _Reading(text, lexicon)
    quotes = text.quotes(record)
    silent = _names(text, record, [match[0] for match in matches])
    if "/" in text.folded or "www." in text.folded:
        silent |= {place for match in _ADDRESS.finditer(text.folded) for place in range(*match.span())}
    for match in matches:
        start, end = match.span()
        quote = quote_at(quotes, start, end)
        if (quote and quote.kind != "own") or (start in silent and end - 1 in silent):
            continue
        named = owners["~" if match[0][0] == "~" else match[0]]
        here = tuple(entry for entry in named if reading.is_at(entry.words.at, start, end))
        standing = reading.standing(match) if here else None
        if standing is None or (all(entry.words.found == "unknown" for entry in here) and reading.in_word(start, end)):
            continue
        yield Hit(start, end, "doubtful" if quote else standing, here)


class _Reading:
    """One message against one lexicon."""

    def __init__(self, text: Text, lexicon: Lexicon) -> None:
        self._text = text
        self._folded = text.folded
        self._lexicon = lexicon
        self._segments = Segments(text.visible)
        self._longer: dict[int, tuple[int, int]] = {}
        for found in lexicon.harmless.finditer(text.folded) if lexicon.harmless else ():
            self._longer |= dict.fromkeys(range(*found.span()), found.span())

    def is_at(self, place: Place, start: int, end: int) -> bool:
        """Whether a stretch stands where a list wants it."""
        if place == "anywhere":
            return True
        if not self._ends_clause(end):
            return False
        if place == "clause":
            return self._opens(start)
        if place == "address":
            head = self._folded[:start].rstrip(" ~")[-1:]
            return (not head or head in _SENTENCE_END) and self._folded[end : end + 1] in _ADDRESSING
        return True

    def standing(self, match: re.Match[str]) -> Standing | None:
        """What a candidate is; None where it is a part of other words."""
        start, end = match.span()
        if match[0][0] == "~":
            return _mark(self._folded, start, end, self._lexicon.places)
        longer = self._longer.get(start) or self._longer.get(end - 1)
        if longer is not None and longer[1] - longer[0] > end - start:
            return self._in_longer(start, end, longer)
        if match[0] in self._lexicon.particles:
            return self._particle(start, end)
        return "word" if match[0].isascii() else self._word(start, end)

    def in_word(self, start: int, end: int) -> bool:
        """Whether a stretch is a part of a longer word of the segmenter's dictionary."""
        return self._segments.inside(start, end)

    def _in_longer(self, start: int, end: int, longer: tuple[int, int]) -> Standing | None:
        # A longer reading of two characters falls where the dictionary ties its other one to a neighbour: 资料|呢.
        # Behind the particle, only a question makes that sure: 怎么样呢|子女, but 呢料|到了.
        if longer[1] - longer[0] == 2 and self._segments.alone(start, end):
            if self._segments.crosses_place(longer[0]):
                return "word"
            if self._segments.crosses_place(longer[1]):
                return "word" if self._folded.endswith(_ASKING, 0, start) else "doubtful"
        if self._folded[slice(*longer)] not in self._lexicon.either:
            return None
        return "doubtful" if self._ends_clause(end) or self._opener(end) else None

    def _particle(self, start: int, end: int) -> Standing | None:
        low, high = start, end
        while low and self._folded[low - 1] in self._lexicon.particles and start - low < 20:
            low -= 1
        while self._folded[high : high + 1] in self._lexicon.particles and self._folded[high : high + 1]:
            if high - end > 20:
                break
            high += 1
        opens = self._opens(low)
        if opens and high - low > 1 and self._folded[low] != "哦":
            # 呀呀，啦啦：a name, a cry or a song.
            return "doubtful"
        if self._ends_clause(high):
            listed = self._folded[high : high + 1] == "、" or (opens and self._folded[low - 1 : low] == "、")
            joined = self._folded[high : high + 1] in _JOINS and high < len(self._folded)
            return "doubtful" if listed or joined else "word"
        alone = self._segments.alone(start, end) or self._segments.ends_word(end)
        if alone and (self._opener(end) or (not opens and self._folded[start - 1] in _PRONOUNS)):
            return "word"
        return "doubtful"

    def _word(self, start: int, end: int) -> Standing | None:
        left, right = self._segments.crosses_place(start), self._segments.crosses_place(end)
        if left and right:
            return None
        if right:
            return "doubtful" if self._folded[end] in _LEFT_OVER else None
        return "doubtful" if left else "word"

    def _ends_clause(self, place: int) -> bool:
        folded_text = self._folded
        return self._text.closed(place) or folded_text[place] in _SOFT or folded_text[place] in self._lexicon.particles

    def _opens(self, place: int) -> bool:
        return place == 0 or not self._folded[place - 1].isalnum()

    def _opener(self, place: int) -> bool:
        return self._folded.startswith(self._lexicon.openers, place)


def _mark(folded_text: str, start: int, end: int, places: tuple[str, ...]) -> Standing | None:
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


def _names(text: Text, record: Record, words: list[str]) -> set[int]:
    """The places where the message calls somebody by a name that holds a listed word."""
    names = {folded(name) for name in (*names_of(record.user_profile), *names_of(record.agent_profile)) if name}
    found: set[int] = set()
    for name in names:
        if len(name) <= 20 and any(word in name for word in words):
            for match in re.finditer(re.escape(name), text.folded):
                found.update(range(*match.span()))
    return found
