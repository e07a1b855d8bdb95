"""Text as its reader takes it in, with the place that each character came from: unseen characters out, tag characters
and reversed runs as they are meant, full-width forms narrow, letters small, traditional characters simplified, letters
of other scripts that look Latin as Latin ones, words without the spaces that were strewn into them. Pure functions.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from localjudge.characters import PATTERN, without_unseen

TRADITIONAL = str.maketrans(
    "請評標準規則細視為這條個項訊復話術內無須須應給過達滿質檢閱審裁測師員領導總監經認確證實據結論輸選從現麼說寫開關閉終"
    "後還沒來會對錯題組織處罰誤別級優優錄統詞問與計數額區號類專門權顯圖當將讓叫務際單責訂調廢寬題當歸檔貳壹參觀點麻煩謝",
    "请评标准规则细视为这条个项讯复话术内无须须应给过达满质检阅审裁测师员领导总监经认确证实据结论输选从现么说写开关闭终"
    "后还没来会对错题组织处罚误别级优优录统词问与计数额区号类专门权显图当将让叫务际单责订调废宽题当归档贰壹参观点麻烦谢",
)
"""Of the characters that the expressions are made of, those that have a simplified form."""
_LATIN = str.maketrans(
    "аеорсухіјѕԁһӏкмтвнАЕОРСУХІЈЅКМТВНαοενικρτυχΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "aeopcyxijsdhlkmtbhaeopcyxijskmtbhaoevikptuxabezhikmnoptyx",
)
LOOKALIKE = re.compile(
    "[a-zA-Z][\u0400-\u04ff\u0391-\u03a9\u03bf\u03c1]|[\u0400-\u04ff\u0391-\u03a9\u03bf\u03c1][a-zA-Z]|[\u2e80-\u2fdf]"
)
_TAGS = range(0xE0020, 0xE007F)
_REVERSED = re.compile("\u202e([^\u202c\u2069\n]{2,4000})[\u202c\u2069]?")
_FOUND = re.compile(PATTERN)
_HAN = "\u3400-\u9fff"
_STREWN = re.compile(
    f"(?<![{_HAN}])(?:[{_HAN}][ \\t\\n.·*_|/~、-]{{1,2}}){{3,400}}[{_HAN}](?![{_HAN}])|"
    f"^(?:[{_HAN}]\n){{2,400}}[{_HAN}]$",
    re.MULTILINE,
)
"""Four or more single characters with one or two of the same kind of nothing between them."""


class Folded(NamedTuple):
    """A folded text; `places[i]` is where its i-th character stands in the original, and one more for the end."""

    text: str
    places: list[int]


def quick(text: str) -> str:
    """The text folded as far as it costs nothing: to see whether it needs a closer look."""
    return unicodedata.normalize("NFKC", without_unseen(text)).lower()


def fold(text: str) -> Folded:
    """The text folded, with places. Linear in its length."""
    drawn = [(character, place) for place, character in _as_shown(text)]
    letters: list[str] = []
    places: list[int] = []
    latin = LOOKALIKE.search(text) is not None
    for character, place in drawn:
        plain = character
        if character > "\x7f":
            plain = unicodedata.normalize("NFKC", character.translate(_LATIN) if latin else character)
            plain = plain.translate(TRADITIONAL)
        plain = plain.lower()
        letters.append(plain)
        places.extend([place] * len(plain))
    folded, places = _gathered("".join(letters), places)
    return Folded(folded, [*places, len(text)])


def _as_shown(text: str) -> Iterable[tuple[int, str]]:
    """Places and characters in the order in which a reader meets them; tag characters as what they spell."""
    order: list[int] = []
    end = 0
    for match in _REVERSED.finditer(text):
        order += range(end, match.start())
        order += reversed(range(match.start(1), match.end(1)))
        end = match.end()
    order += range(end, len(text))
    unseen = {
        place for match in _FOUND.finditer(text) if match["flag"] is None for place in range(match.start(), match.end())
    }
    for place in order:
        if place not in unseen:
            yield place, text[place]
        elif ord(text[place]) in _TAGS:
            yield place, chr(ord(text[place]) - 0xE0000)


def _gathered(text: str, places: list[int]) -> tuple[str, list[int]]:
    """Without the spaces between characters that stand one by one."""
    kept: list[int] = []
    end = 0
    for match in _STREWN.finditer(text):
        kept += range(end, match.start())
        kept += (place for place in range(match.start(), match.end()) if text[place].isalpha())
        end = match.end()
    if not end:
        return text, places
    kept += range(end, len(text))
    return "".join([text[place] for place in kept]), [places[place] for place in kept]
