"""Festival greetings in a message, and whether they come in time: on the day, or up to five days before. A mention
that wishes nothing is no greeting.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field

from localjudge.checks.base import Check, Confidence, Opinion
from localjudge.checks.calendar import FIRST_YEAR, LAST_YEAR, Festival, almanac
from localjudge.checks.text import Text, quote_at, text_of
from localjudge.records import UTC8, Record

_WISH = (
    r"(?:快乐|安康|愉快|吉祥(?!物|话|图)|幸福|团圆(?!饭|宴|桌|套|礼|餐)|团团圆圆|康乐|喜乐|平安|如意|大吉|顺遂|美满|甜蜜|甜甜蜜蜜|康宁|和美|安好"
    r"|万福|多福|开心|祥和|康健|健康|万事如意|阖家|合家|行大运|好(?=[呀啊哦呢哇吖嘞哟]|[^\w]|$))"
)
_JOINT = r"[、和与及&+\s]{0,2}"
_FILL = r"[您你大家各位全的里阖府一切都要很过得个]{0,4}"
# After the wish: a question about the festival, or goods named after it.
_NO_GREETING = re.compile(
    r"吗|么|不快乐|购|礼|套|价|卡|专|活动|特惠|福利|大促|主题|系列|歌|这|四个字|两个字|的(?:照片|视频|活动|歌)|过"
)
_ZODIAC = "|".join(f"{animal}年(?:快乐|大吉|吉祥|安康|如意|行大运|好运)" for animal in "鼠牛虎兔龙蛇马羊猴鸡狗猪")
_LATER = re.compile(r"(?:没|忘|未|错过|来不及|别|不|等|再|谢|感谢|收到)[^，。！？；,.!?;\n]{0,6}$")
_WISHING = re.compile(r"祝|愿|恭贺|快乐|安康|吉祥|团圆|节日好|佳节|问候")
_FESTIVE = re.compile(r"(?:节日|佳节|双节|两节|假日)(?:里)?(?:快乐|愉快|安康|吉祥|好)")
_BEFORE = re.compile(r"(?:祝福?|愿|恭祝|敬祝|恭贺|预祝)[^，。！？；,.!?;\n]{0,8}$")
_SENT = re.compile(r"(?:送上|献上|奉上|捎来|道一声|道声|送来|寄上)[^，。！？；,.!?;\n]{0,6}$")
_GIFT = re.compile(r"节?的?(?:祝福|问候)")
_JOINED = 4
"""Festivals greeted in one breath."""
# In these months 新年快乐 may be meant for 1 January.
_EITHER_YEAR = (12, 1)
_Calendar = Literal["lunar", "solar"]


class Greeting(NamedTuple):
    """A stretch of folded text that greets, or may."""

    start: int
    end: int
    festivals: tuple[Festival, ...]
    """More than one where a name is shared."""
    standing: Literal["greeting", "doubtful"]


class FestivalGreeting(Check):
    """A greeting for a festival is sent on its day, or in the days before."""

    name: ClassVar[str] = "festival_greeting"
    confidence: ClassVar[Confidence] = "decides"

    calendar: _Calendar = "lunar"
    days_before: Annotated[int, Field(ge=0, le=60)] = 5

    def look(self, record: Record) -> Opinion:
        """Violated for a greeting out of time; not applicable where nothing of this calendar is greeted."""
        text = text_of(record.message)
        found, generic = greetings(text, record)
        found = [greeting for greeting in found if self._mine(greeting.festivals)]
        if not found:
            return self.unknown("祝的是哪个节不能确定", text.span(*generic)) if generic else self.not_applicable()
        if record.send_time is None:
            return self.unknown("没有发送时间", text.span(*found[0][:2]))
        sent = record.send_time.astimezone(UTC8).date()
        if not FIRST_YEAR < sent.year < LAST_YEAR:
            return self.unknown("发送时间超出1901至2099年", text.span(*found[0][:2]))
        opinions = [self._judged(text, greeting, sent) for greeting in found]
        worst = {0: 0, None: 1, 1: 2}
        return min(opinions, key=lambda opinion: worst[opinion.score])

    def _mine(self, festivals: tuple[Festival, ...]) -> tuple[Festival, ...]:
        return tuple(festival for festival in festivals if festival.is_lunar == (self.calendar == "lunar"))

    def _judged(self, text: Text, greeting: Greeting, sent: date) -> Opinion:
        span = text.span(greeting.start, greeting.end)
        shown = text.shown(greeting.start, greeting.end, 0)
        if greeting.standing == "doubtful":
            return self.unknown(f"“{shown}”是否节日祝福不能确定", span)
        festivals = self._mine(greeting.festivals)
        days = [(day, festival) for festival in festivals for day in festival.near(sent)]
        day, festival = min(days, key=lambda entry: (not self._timely(entry[0], sent), abs((entry[0] - sent).days)))
        evidence = f"“{shown}”：{festival.name}是{day}，{_distance(day, sent)}"
        if self._timely(day, sent):
            return self.met(evidence, span)
        if len(greeting.festivals) > len(festivals) and sent.month in _EITHER_YEAR:
            return self.unknown(f"“{shown}”祝的是元旦还是春节不能确定", span)
        return self.violated(evidence, span)

    def _timely(self, day: date, sent: date) -> bool:
        return 0 <= (day - sent).days <= self.days_before


def greetings(text: Text, record: Record) -> tuple[list[Greeting], tuple[int, int] | None]:
    """The greetings of a message, in order, and where it greets or may greet without naming a festival."""
    patterns = _patterns()
    found: list[Greeting] = []
    named = _named(text.folded)
    generic = _FESTIVE.search(text.folded)
    if not named:
        return [], generic.span() if generic else None
    quotes = text.quotes(record)
    wishing = _WISHING.search(text.folded) is not None
    reached = 0
    for match in named:
        if match.start() < reached:
            continue
        group, end, standing = _read(text, match, patterns, wishing=wishing)
        if standing is None:
            continue
        quote = quote_at(quotes, match.start(), end)
        if quote is not None and quote.kind != "own":
            continue
        reached = end
        for festivals in group:
            found.append(Greeting(match.start(), end, festivals, "doubtful" if quote else standing))
    return found, generic.span() if generic and not found else None


class _Patterns(NamedTuple):
    name: re.Pattern[str]
    more: re.Pattern[str]
    owners: dict[str, tuple[Festival, ...]]
    whole: frozenset[str]


@lru_cache(maxsize=8)
def _named(folded: str) -> tuple[re.Match[str], ...]:
    return tuple(_patterns().name.finditer(folded))


@lru_cache(maxsize=1)
def _patterns() -> _Patterns:
    owners: dict[str, tuple[Festival, ...]] = {}
    for festival in almanac().festivals:
        for name in (*festival.names, *festival.greetings):
            owners[name] = (*owners.get(name, ()), festival)
    whole = frozenset(name for festival in almanac().festivals for name in festival.greetings)
    names = "|".join(_spelling(name) for name in sorted(owners, key=len, reverse=True))
    return _Patterns(
        name=re.compile(f"{names}|{_ZODIAC}"),
        more=re.compile(rf"(?:佳?节|假期|当天|当日|夜)?{_JOINT}({names})"),
        owners=owners,
        whole=whole,
    )


def _spelling(name: str) -> str:
    if name in almanac().only_with_jie:
        return f"{re.escape(name)}(?=节)"
    # 小年轻 are young people, and 十一 is a number more often than a holiday.
    if name == "小年":
        return "小年(?![轻龄])"
    if name == "十一":
        return "十一(?<![一二三四五六七八九十第]十一)(?![月点个号日岁天次二三四五六七八九十])"
    return re.escape(name)


_AFTER_NAME = re.compile(
    rf"(?:佳节|节日|双节|两节|节|夜|当天|假期|长假)?{_JOINT}(?:双节|两节)?[，,]?{_FILL}(?P<wish>{_WISH})"
)


def _read(
    text: Text, match: re.Match[str], patterns: _Patterns, *, wishing: bool
) -> tuple[list[tuple[Festival, ...]], int, Literal["greeting", "doubtful"] | None]:
    """The festivals of one name and those joined to it, where the greeting ends, and whether it is one."""
    folded, end = text.folded, match.end()
    if match[0] not in patterns.owners:
        return [patterns.owners["春节"]], end, _unless(folded, match.start(), end)
    group = [patterns.owners[match[0]]]
    if match[0] in patterns.whole:
        closed = match[0][-1] != "好" or text.closed(end) or folded[end] in "呀啊哦呢哇吖嘞哟"
        return group, end, _unless(folded, match.start(), end) if closed else None
    while len(group) < _JOINED and (further := patterns.more.match(folded, end)):
        group.append(patterns.owners[further[1]])
        end = further.end()
    wish = _AFTER_NAME.match(folded, end)
    if wish:
        return group, wish.end(), _unless(folded, match.start(), wish.end())
    if _SENT.search(folded, max(0, match.start() - 12), match.start()) and _GIFT.match(folded, end):
        return group, end, "greeting"
    before = _BEFORE.search(folded, max(0, match.start() - 12), match.start())
    return group, end, "doubtful" if before or wishing else None


def _unless(folded: str, start: int, end: int) -> Literal["greeting", "doubtful"] | None:
    """A greeting, unless what follows makes it a question or a thing, or what precedes takes it back."""
    if _NO_GREETING.match(folded, end):
        return None
    return "doubtful" if _LATER.search(folded, max(0, start - 10), start) else "greeting"


def _distance(day: date, sent: date) -> str:
    days = (day - sent).days
    if days == 0:
        return "当天发送"
    return f"提前{days}天发送" if days > 0 else f"已过{-days}天"
