"""Witnesses that hold the message against the history: said before in nearly the same words, a promise left open."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, ClassVar

from pydantic import Field

from localjudge.checks.base import Check, Confidence, Opinion
from localjudge.checks.text import spoken
from localjudge.records import Record

_TURNS = 20
_CHARACTERS = 1000
_STOCK = re.compile(
    r"在吗|在不在|最近(?:还好|好|怎么样|过得|忙)吗?|好久不见|好久没(?:联系|聊)|有(?:什么)?需要(?:帮忙|帮助|随时|请)|随时(?:联系|找)我"
    r"|温馨提示|尊敬的(?:客户|用户|会员)|祝您生活愉快|感谢您的支持|欢迎选购|回复?[一二1２2]"
)
_PROMISE = re.compile(
    r"(?:我|帮您|帮你|给您|给你|马上|稍后|回头|明天|晚点|随后|一会儿?|等我)[^，。！？；,.!?;\n]{0,10}"
    r"(?:查(?:一下|下|清|好|到|查)?|问(?:一下|下|问|清)|确认|核实|核对|看看|反馈|回复|告诉|通知|发给?[您你]|联系|处理|跟进|跟您说|跟你说|理一理|整理)"
)


class NearRepetition(Check):
    """The message is a template: it says what the agent said before, or what could be said to anybody."""

    name: ClassVar[str] = "near_repetition"
    confidence: ClassVar[Confidence] = "witness"

    similarity: Annotated[float, Field(gt=0, le=1)] = 0.5
    """From this share of the shorter text's character pairs on, two texts are nearly the same."""
    stock_phrases: Annotated[int, Field(ge=1)] = 2
    """From so many stock phrases on, the message is one."""

    def look(self, record: Record) -> Opinion:
        """Violated for near-repetition of one of the agent's last turns, or for stock phrases."""
        if isinstance(record.dialogue_history, tuple):
            earlier = spoken(record, "agent")[-_TURNS:]
            pairs = _pairs(record.message) if earlier else set()
            for said in earlier:
                before = _pairs(said)
                # Two short texts share pairs by chance.
                smaller = min(len(pairs), len(before))
                if smaller >= 6 and len(pairs & before) >= self.similarity * smaller:
                    return self.violated(f"与先前的“{said[:16]}”雷同")
        stock = list(_STOCK.finditer(record.message[:_CHARACTERS]))
        if len(stock) >= self.stock_phrases:
            return self.violated("套话：" + "、".join(match[0] for match in stock[:3]), stock[0].span())
        return self.clear("没有雷同的话")


class OpenPromise(Check):
    """What the agent promised last is taken up again."""

    name: ClassVar[str] = "open_promise"
    confidence: ClassVar[Confidence] = "witness"

    def look(self, record: Record) -> Opinion:
        """Violated where an open promise shares no word with the message; unknown, flagged, where it shares some."""
        if isinstance(record.dialogue_history, str):
            return self.unknown() if record.dialogue_history else self.not_applicable()
        turns = record.dialogue_history[-_TURNS:]
        place = next((index for index in reversed(range(len(turns))) if turns[index].role == "agent"), None)
        if place is None:
            return self.not_applicable()
        promise = _PROMISE.search(turns[place].content[:_CHARACTERS])
        if promise is None:
            return self.not_applicable()
        asked = next((turn.content for turn in reversed(turns[:place]) if turn.role == "user"), "")
        subject = _pairs(turns[place].content) | _pairs(asked)
        evidence = f"客服答应过“{promise[0]}”"
        if subject & _pairs(record.message):
            return self.unknown(f"{evidence}，是否办到由模型判断")
        return self.violated(f"{evidence}，消息只字未提")


def _pairs(text: str) -> set[tuple[str, str]]:
    """Neighbouring characters."""
    return set(pairwise(text[:_CHARACTERS]))
