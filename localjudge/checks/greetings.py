"""The festivals that a message greets. A mention that wishes nothing is no greeting; a wish may stand in the clause
behind the festival's name. Knows nothing of days.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

from localjudge.checks.calendar import Festival, almanac
from localjudge.checks.text import CLAUSE_END, Quote, Text, quote_at
from localjudge.records import Record

_WISH = (
    r"(?:快乐|安康|愉快|吉祥(?!物|话|图)|幸福|团圆(?!饭|宴|桌|套|礼|餐)|团团圆圆|康乐|喜乐|平安|如意|大吉|顺遂|美满|甜蜜|甜甜蜜蜜|康宁|和美|安好"
    r"|万福|多福|开心|祥和|康健|健康|万事如意|阖家|合家|行大运|好(?=[呀啊哦呢哇吖嘞哟]|[^\w]|$))"
)
_JOINT = r"[、和与及&+\s]{0,2}"
_FILL = r"[您你大家各位全的里阖府一切都要很过得个]{0,4}"
# After the wish: a question about the festival, or goods named after it.
_NO_GREETING = re.compile(
    r"吗|么|不快乐|购|礼|套|价|卡|专|活动|特惠|福利|大促|主题|系列|歌|这|四个字|两个字|字样|海报|横幅|贺|过"
    r"|的(?:照片|视频|活动|歌|祝福|消息|短信|卡|贺卡|海报|图|横幅|字)"
)
_ZODIAC = "|".join(
    f"{animal}年(?:快乐|大吉|吉祥|安康|如意|行大运|好运|纳福|兴旺|吉庆|顺遂)" for animal in "鼠牛虎兔龙蛇马羊猴鸡狗猪"
)
_LATER = re.compile(
    r"(?:没|忘|未|错过|来不及|别|不|等|再|谢|收到|写|印|刻|绣|贴|名为|标题|祝福语|[您你]发的)[^，。！？；,.!?;\n]{0,6}$"
)
_WISHING = re.compile(r"祝|愿|恭贺|快乐|安康|吉祥|团圆|节日好|佳节|问候")
_FESTIVE = re.compile(r"(?:节日|佳节|双节|两节|假日)(?:里)?(?:快乐|愉快|安康|吉祥|好)")
_BEFORE = re.compile(r"(?:祝福?|愿|恭祝|敬祝|恭贺|预祝)[^，。！？；,.!?;\n]{0,8}$")
_SENT = re.compile(r"(?:送上|献上|奉上|捎来|道一声|道声|送来|寄上|补上|补一句|迟[到来]的)[^，。！？；,.!?;\n]{0,6}$")
_GIFT = re.compile(r"节?的?(?:祝福|问候)")
# Wishes beside a festival's name that are none elsewhere.
_BLESSED = re.compile(
    r"(?:佳节|节日|节)?(?:纳福|迎福|添福|接福|福到|吉庆|长寿|福寿|康泰|吉利|无恙|和顺|迎祥|顺意|顺心)"
)
# What makes of a festival's name a thing, a time or a place.
_THING = re.compile(
    r"(?:佳节|节)?(?:粥|蒜|醋|豆腐|面(?!朝)|糕|饼|月饼|粽|汤圆|花灯|灯会|灯谜|庙会|礼|套餐|套装|档|特惠|优惠|促销|大促|活动|专场|专题|限定|款|主题"
    r"|菜单|家?宴|晚会|放假|假|营业|值班|车票|高铁|机票|票|路(?!上)|木|店|村|镇|茶|酒|团(?!圆)|游|课|诗会|习俗|由来|传说|故事|上河图"
    r"|期间|那天|那晚|前后|以来|[前后](?!祝|愿|送|天))"
)
# What stands around a festival's name in a clause that only says that it is here, or near.
_ANNOUNCED = re.compile(
    r"(?:今[天日晚儿]|明[天日晚儿]|后天|大后天|再有|再过|还有|只剩|[一二两三四五几\d]天|之?后|就|便|即|是|到|过|要|该|迎来|又|恰逢|适逢|正值"
    r"|正逢|时逢|喜逢|欣逢|欢度|喜迎|值此|在这|在|此|马上|快|即将|将|转眼|眼看|一年一度|农历|传统|这个?|美好|温馨|的|九九|金秋|月圆|情满|浓情"
    r"|一年){0,6}"
)
_TOLD = re.compile(r"[过后前没不未谢收忘吗么呢预订款店课班团价礼盒套券折放休营期销卖买购寄票饭宴菜去上昨那当您你我\d]")
_GENERAL = re.compile(
    rf"(?:[^\W\d_]{{0,8}}?(?:(?<!庆)祝|(?<![自志甘心意])愿(?!意|望))[^，。！？；,.!?;\n]{{0,4}}"
    r"(?:[您你们]|大家|各位|[全阖合]家|家人|朋友|老师|先生|女士|[哥姐叔姨爷奶总工]))"
    rf"|(?:[全阖合]家|阖府|事事|万事|岁岁|年年|节日|佳节|双节){_WISH}(?:[^\w]|$)"
)
_OCCASION = re.compile(
    r"生日|康复|购物|用餐|用车|旅途|旅行|一路|出行|周末|学习|考试|金榜|开业|新婚|使用|入住|观影|工作|乘|驾|比赛|训练|午安|晚安|喜欢|满意|光临|常来|体验|玩得|演出"
)
_ADDRESSED = re.compile(r"(?:祝福?|愿)(?:[您你们]|大家|各位|[全阖合]家|家人|朋友)[^，。！？；,.!?;\n]{0,6}$")
_PLAIN = re.compile(
    r"(?:佳节|节日|节|之?夜)?(?:(?:快|将|已|又|如约)?(?:要?到来?|来临?|至|临近|临|将近|在即|而至)[了啦呀]?|了|啦|之际|时节|良辰|\w\w|\w{4})?"
)
_CLAUSES_ON = 3
_JOINED = 4
"""Festivals greeted in one breath."""


class Greeting(NamedTuple):
    """A stretch of folded text that greets, or may."""

    start: int
    end: int
    festivals: tuple[Festival, ...]
    """More than one where a name is shared."""
    standing: Literal["greeting", "doubtful"]


def greetings(text: Text, record: Record) -> tuple[tuple[Greeting, ...], tuple[int, int] | None]:
    """The greetings of a message, in order, and where it greets or may greet without naming a festival."""
    found = _greeted(text, tuple(text.quotes(record))) if _names_festival(text) else ()
    generic = None if found else _FESTIVE.search(text.folded)
    return found, generic.span() if generic else None


# Both are remembered for the second calendar, which asks the same.
@lru_cache(maxsize=8)
def _names_festival(text: Text) -> bool:
    return _patterns().name.search(text.folded) is not None


@lru_cache(maxsize=8)
def _greeted(text: Text, quotes: tuple[Quote, ...]) -> tuple[Greeting, ...]:
    patterns = _patterns()
    found: list[Greeting] = []
    wishing = _WISHING.search(text.folded) is not None
    reached = 0
    for match in patterns.name.finditer(text.folded):
        if match.start() < reached:
            continue
        group, end, standing = _read(text, match, patterns, wishing=wishing)
        if standing is None:
            continue
        quote = quote_at(quotes, match.start(), end) or quote_at(quotes, *match.span())
        if quote is not None and quote.kind != "own":
            continue
        reached = end
        for festivals in group:
            found.append(Greeting(match.start(), end, festivals, "doubtful" if quote else standing))
    return tuple(found)


class _Patterns(NamedTuple):
    name: re.Pattern[str]
    more: re.Pattern[str]
    owners: dict[str, tuple[Festival, ...]]
    whole: frozenset[str]


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
        return "小年(?![轻龄纪级])"
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
    return group, end, _mentioned(text, match.start(), end, wishing=wishing)


def _mentioned(text: Text, start: int, end: int, *, wishing: bool) -> Literal["greeting", "doubtful"] | None:
    """What a name without a wish of its own is: one may stand around it, or in the clauses that follow."""
    folded = text.folded
    if _THING.match(folded, end):
        return None
    first, last = text.clause(start)
    tail = folded[end:last]
    if len(tail) <= 8 and not _TOLD.search(tail) and folded[last : last + 1] != "、":
        if tail and not _OCCASION.search(tail) and _ADDRESSED.search(folded, max(0, start - 14), start):
            return "greeting"
        announced = _PLAIN.fullmatch(tail) and _ANNOUNCED.fullmatch(folded, first, start)
        if announced and (_BLESSED.match(folded, end) or _wished_next(text, last)):
            return "greeting"
    before = _BEFORE.search(folded, max(0, start - 12), start)
    return "doubtful" if before or wishing else None


def _wished_next(text: Text, place: int) -> bool:
    """Whether one of the next clauses wishes somebody well, with none between them that is of something else."""
    folded = text.folded
    for _ in range(_CLAUSES_ON):
        while place < len(folded) and (folded[place] in CLAUSE_END or folded[place] in " ~"):
            place += 1
        first, last = text.clause(place)
        if place >= len(folded) or first < place:
            return False
        if _GENERAL.match(folded, first):
            return not _OCCASION.search(folded, first, last)
        if last - first > 8 or _TOLD.search(folded, first, last):
            return False
        place = last
    return False


def _unless(folded: str, start: int, end: int) -> Literal["greeting", "doubtful"] | None:
    """A greeting, unless what follows makes it a question or a thing, or what precedes takes it back."""
    if _NO_GREETING.match(folded, end):
        return None
    return "doubtful" if _LATER.search(folded, max(0, start - 10), start) else "greeting"
