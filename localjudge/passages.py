"""A folded text cut into passages: sentences, line ends, and what stands in brackets, braces, comments and fences.
Pure; knows not what they say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_CLOSING = "\"'”’」』)】》〕>*_~ \\t"
_PASSAGE = re.compile(
    r"<!--.{0,2000}?-->|```.{0,4000}?```|\A\s{0,8}---\n.{0,2000}?\n---(?=\n)"
    r"|(?<![^\n])[ \t]{0,8}\{\s{0,20}[\"'][^{}]{0,4000}\}"
    r"|[(\[【《〔][^()\[\]【】《》〔〕\n]{2,400}[)\]】》〕]"
    rf"|(?:[^。!?.\n]|\.(?!\s)){{1,4000}}[。!?.]*[{_CLOSING}]*"
    r"|\n|.",
    re.DOTALL,
)


class Passage(NamedTuple):
    """A piece of a folded text, by its place there."""

    start: int
    end: int
    text: str


def passages(folded: str) -> Iterator[Passage]:
    """The passages of a folded text, in order and without gaps."""
    for match in _PASSAGE.finditer(folded):
        yield Passage(match.start(), match.end(), match[0])
