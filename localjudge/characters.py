"""Characters that a reader of a text does not see: zero-width, bidirectional, tag and control characters. Finds them,
takes them out or spells them out; what they mean for a verdict is not known here.

Kept are those that writing needs: variation selectors behind an emoji or an ideograph, joiners inside an emoji and in
Arabic and Indic scripts, the flags of England, Scotland and Wales.
"""

from __future__ import annotations

import re
from typing import Literal

Unseen = Literal["bidirectional", "invisible", "control"]

_EMOJI = "\u203c-\u3299\U0001f000-\U0001faff"
_JOINING = "\u0600-\u0dff"
"""Scripts from Arabic to Sinhala, in which joiners are spelling."""
_FLAGS = "|".join("".join(chr(0xE0000 + ord(letter)) for letter in region) for region in ("gbeng", "gbsct", "gbwls"))
_BIDIRECTIONAL = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_CONTROL = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
"""C0 and C1 without tab and line ends. Terminals act on them."""
_NEVER = (
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u200b\u2060-\u2065\u206a-\u206f\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb"
)
_OUT_OF_PLACE = "|".join(
    (
        "(?<![\u1800-\u18af])[\u180b-\u180f]",
        f"(?<![#*0-9\u00a9\u00ae{_EMOJI}])[\ufe0e\ufe0f]",
        f"\u200c(?:(?<![{_JOINING}]\u200c)|(?![{_JOINING}]))",
        f"\u200d(?:(?<![{_JOINING}{_EMOJI}]\u200d)(?<![{_EMOJI}]\ufe0f\u200d)|(?![{_JOINING}{_EMOJI}]))",
        "(?<![\u3400-\u9fff\U00020000-\U0003ffff])[\U000e0100-\U000e01ef]",
    )
)
"""Characters with a use, where they have none."""
PATTERN = (
    f"(?P<flag>\U0001f3f4(?:{_FLAGS})\U000e007f)|(?P<bidirectional>[{_BIDIRECTIONAL}])|(?P<control>[{_CONTROL}])"
    f"|(?P<invisible>[{_NEVER}\U000e0000-\U000e00ff\U000e01f0-\U000e0fff]|{_OUT_OF_PLACE})"
)
"""What is found, for whoever must know whether it has changed."""
_FOUND = re.compile(PATTERN)
UNSEEN = f"{_BIDIRECTIONAL}{_CONTROL}{_NEVER}\u180b-\u180f\u200c\u200d\ufe0e\ufe0f\U000e0000-\U000e0fff"
"""All that may be unseen, as a range of characters for a quick look: nearly all texts have none of these."""
_SUSPECT = re.compile(f"[{UNSEEN}]")


def unseen(text: str) -> frozenset[Unseen]:
    """Which kinds of unseen characters stand in a text."""
    kinds = {match.lastgroup for match in _FOUND.finditer(text)} if _SUSPECT.search(text) else set()
    return frozenset(kind for kind in ("bidirectional", "invisible", "control") if kind in kinds)


def without_unseen(text: str) -> str:
    """The text without its unseen characters."""
    return _FOUND.sub(lambda match: match["flag"] or "", text) if _SUSPECT.search(text) else text


def spelled_out(text: str) -> str:
    """The text with its unseen characters as escapes such as `\\u202e`: for people, whose terminal would obey them."""
    if not _SUSPECT.search(text):
        return text
    return _FOUND.sub(lambda match: match["flag"] or match[0].encode("unicode_escape").decode("ascii"), text)
