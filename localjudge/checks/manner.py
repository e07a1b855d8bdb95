"""Witnesses of the manner of a message: its length, a question or an invitation in it, one form of address again and
again.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Annotated, ClassVar

from pydantic import Field

from localjudge.checks.base import Check, Confidence, Opinion
from localjudge.checks.persona import names_of
from localjudge.checks.text import text_of
from localjudge.records import Record

_SENTENCE = re.compile(r"[^。！？!?\n；;…]+")
# Branches that all begin with a letter, what looks behind standing behind it, are searched by first letters.
_QUESTION = re.compile(
    r"\?|？|吗(?=[\s，。！~～]|$)|么(?=[\s，。！~～]|$)|呢(?=[\s，。！~～]|$)|要不要|好不好|行不行|能不能|可不可以|想不想|有没有|是不是|几点|哪[个种天款些]"
)
_INVITATION = re.compile(
    r"告诉我|跟我说|和我说|回(?<!不用回)(?<!不必回)[复我]|发(?:给)?我|说说|聊聊|聊一聊|联系我|找我|留言|等你|等您|来[^，。！？,.!?\n]{0,6}[吧试看坐玩逛]|试试|一起|欢迎|约"
    r"|随时|期待|tell me\b(?<!\wtell me)|let me know\b(?<!\wlet me know)|reply\b(?<!\wreply)"
)
_ADDRESSES = [
    "亲(?:们|爱的|亲)?(?![人情戚自切密子属近身手眼口测历临笔和热友家朋民善])",
    "宝贝",
    "宝宝",
    "尊敬的[^，。！？,.!?\\n]{0,4}",
    *(f"{title}(?=[，,！!：:、。])" for title in "先生 女士 老板 老师 小姐姐 哥 姐 叔 阿姨".split()),
]
_ADDRESS = re.compile("|".join(_ADDRESSES))


class Length(Check):
    """A reply is short: not too many characters, no endless sentence."""

    name: ClassVar[str] = "length"
    confidence: ClassVar[Confidence] = "witness"

    max_characters: Annotated[int, Field(ge=1)] = 160
    max_sentence: Annotated[int, Field(ge=1)] = 80
    """Characters in the longest sentence."""

    def look(self, record: Record) -> Opinion:
        """Violated for a message or a sentence that is too long."""
        message = record.message.strip()
        if len(message) > self.max_characters:
            return self.violated(f"共{len(message)}字，超过{self.max_characters}字")
        if len(message) > self.max_sentence:
            sentences = list(_SENTENCE.finditer(record.message))
            longest = max(sentences, key=lambda match: match.end() - match.start(), default=None)
            if longest is not None and len(longest[0].strip()) > self.max_sentence:
                return self.violated(f"有一句{len(longest[0].strip())}字，超过{self.max_sentence}字", longest.span())
        return self.clear(f"共{len(message)}字")


class AsksOrInvites(Check):
    """There is a question or an invitation, so that the user has something to answer."""

    name: ClassVar[str] = "asks_or_invites"
    confidence: ClassVar[Confidence] = "witness"

    def look(self, record: Record) -> Opinion:
        """Met for a question or an invitation; violated where there is neither."""
        for pattern, kind in ((_QUESTION, "提问"), (_INVITATION, "邀请")):
            found = pattern.search(record.message)
            if found:
                return self.met(f"有{kind}：“{found[0]}”", found.span())
        return self.violated("没有提问，也没有邀请")


class RepeatedAddress(Check):
    """One form of address stands in the message again and again."""

    name: ClassVar[str] = "repeated_address"
    confidence: ClassVar[Confidence] = "witness"

    at_most: Annotated[int, Field(ge=1)] = 2

    def look(self, record: Record) -> Opinion:
        """Violated where one form of address, or the user's name, stands more than `at_most` times."""
        text = text_of(record.message)
        counts = Counter(match[0] for match in _ADDRESS.finditer(text.visible))
        for name in names_of(record.user_profile):
            counts[name] = max(counts[name], text.visible.count(name))
        if not counts:
            return self.clear("没有反复的称呼")
        word, times = max(counts.items(), key=lambda entry: entry[1])
        if times > self.at_most:
            last = text.visible.rfind(word)
            return self.violated(f"“{word}”出现{times}次", text.span(last, last + len(word)))
        return self.clear("没有反复的称呼")
