"""Where the words of a message begin and end. The segmenter is loaded by the first message that needs it: few do."""

from __future__ import annotations

import re
from functools import cached_property

_WINDOW = 400
"""Characters segmented around the start; beyond, a word is not looked up."""


_CLAUSE_END = re.compile(r"[^\w-]")
_PREDICATE = frozenset("d ad v vd r p c zg y u ud f".split())
_LACKS = re.compile("[不没无]|有限|仅")
_NOMINAL = tuple("的师员家者商课班店馆厂群组部赛展书片剧机器包卡会社版款费餐方案台案品具学术业户型系院")


def begins_predicate(text: str) -> bool:
    """Whether a clause goes on with what is no noun: a verb of its own, an adverb, a pronoun."""
    import rjieba

    clause = _CLAUSE_END.split(text, maxsplit=1)[0]
    tagged = rjieba.tag(clause)
    if not tagged:
        return False
    tags = [tag for _, tag in tagged]
    if tags[0] == "v" and (len(tagged) == 1 or clause.endswith(_NOMINAL)):
        return False
    if tags[0] in ("t", "m") and len(tags) > 1:
        return tags[1] in _PREDICATE and not clause.endswith(_NOMINAL)
    if tags[0] in _PREDICATE or tags[0] in ("i", "l") or tags == ["a"]:
        return not (tags[0] in ("i", "l", "a") and clause.endswith(_NOMINAL))
    # 权限不够 and 反应慢 are said of it, 套装没货 of something else.
    if (
        len(tags) < 2
        or tags[0] not in ("n", "vn")
        or "uj" in tags
        or tagged[0][0].endswith(_NOMINAL)
        or clause.endswith(_NOMINAL)
    ):
        return False
    return tags[1] in ("d", "a", "zg") or (tags[1] == "v" and _LACKS.search(tagged[1][0]) is not None)


class Segments:
    """The words of one text, found when first asked for."""

    def __init__(self, text: str) -> None:
        self._text = text[:_WINDOW]

    def alone(self, start: int, end: int) -> bool:
        """Whether a stretch is a word of its own."""
        return (start, end) in self._words

    def ends_word(self, end: int) -> bool:
        """Whether a word of the dictionary of two characters or more, such as 好呀, ends here."""
        found = self._at.get(end - 1)
        return found is not None and found[1] == end

    def inside(self, start: int, end: int) -> bool:
        """Whether a longer word of the dictionary holds a stretch."""
        found = self._at.get(start)
        return found is not None and found[0] <= start and end <= found[1] and found != (start, end)

    def crosses_place(self, place: int) -> bool:
        """Whether a word of the dictionary reaches over a place."""
        found = self._at.get(place)
        return found is not None and found[0] < place

    @cached_property
    def _words(self) -> frozenset[tuple[int, int]]:
        return frozenset(self._cut(guess=True))

    @cached_property
    def _at(self) -> dict[int, tuple[int, int]]:
        """Each place in a word of the dictionary of two characters or more, with that word."""
        return {place: word for word in self._cut(guess=False) if word[1] - word[0] > 1 for place in range(*word)}

    def _cut(self, *, guess: bool) -> list[tuple[int, int]]:
        import rjieba

        places = []
        place = 0
        for word in rjieba.cut(self._text, guess):
            places.append((place, place + len(word)))
            place += len(word)
        return places
