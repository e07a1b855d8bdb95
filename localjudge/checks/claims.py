"""Whom a mention of a machine means: the speaker who says so, somebody or something else, or nobody knows. One mention
at a time, from the clause around it; `identity` weighs them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple

from localjudge.checks.machines import IN, PARTICLE, STOP, Mention, Tail, tail_of
from localjudge.checks.text import Quote, Text, quote_at

Standing = Literal["claim", "doubtful", "other"]

WINDOW = 40
"""Characters read to either side of a mention."""
SELF = r"(?:我们?|俺们?|咱们?|本人|人家|在下|鄙人|偶|wo(?![a-z]))"
_THIS_DESK = r"(?:本|小)(?:助手|客服|助理|系统|程序|店客服)|客服"
_ADVERB = (
    r"(?:其实|就|只|仅|可|也|不过|确实|真的|的确|毕竟|本质上|实际上|说到底|说白了|还|本来|本就|终究|明明|现在|目前|正|都|才|真"
    r"|背后|后台|底层|这边|这里|当然|一直|原来|说穿了|骨子里|身后|自己|本身|只不过|无非|到底|始终|完全|这个人)"
)
_COPULA = r"(?:是|乃|属于|作为|身为|做为|算是|叫做?|名叫|系(?![统列数着好鞋领安])|shi(?![a-z]))"
_MEASURE = (
    r"(?:[一两]?(?:个|名|款|位|只|台|枚|种|段|串|行|堆|组|套|条|介|具)|[您你]的|[您你]家|咱们?的?|我们的?|大家的?|这里的"
    r"|本店的?|本行的?|店里的|传说中的|小小的?|普通的?)"
)
# Between the verb and the noun, and after the last 的: what one may do with a bot, or a second verb.
_OBJECT_VERB = re.compile(
    r"[没非无未替跟对卖送教做修买讲写搞玩学带管推拼懂爱怕和与或及被让把想说问指看租借查试养选读]|负责|研究|从事|喜欢|接触|使用|在用|用了|是"
)
# Nouns that hold such a verb.
_COMPOUND = re.compile(
    "问答|带货|教学|读书|阅读|学习|教育|推荐|推送|写作|管家|管理|自研|叫号|推理|陪聊|陪伴|陪练|查询|查号|租赁|看护|看家|养生|爱心|和谐|试用|指引|指导|说话"
)
_STARTS_OFF = re.compile(
    r"说|想|问|指|讲|怕|觉得|看|去|从|因|按|先|刚|最近|昨|今天|明天|不|没(?!有)|非|来|否|如何|怎么|什么|谁|哪"
)
_NEGATED = re.compile(r"不是|没有(?!肉身|肉体|身体|实体|感情|情感|生命|心|灵魂|体温|温度)|并非|别")
_ASKED = re.compile(
    r"[呀啊呢的]?(?:吗|么|吧|不是)?[？?]|吗|么(?!么)|吧|[，,](?:对|是|行|信)?(?:不对|不是|不信)?(?:吗|吧|么)?[？?]|不(?=[？?])"
)
_UNREAL_AFTER = re.compile(
    rf"{IN}{{0,8}}?(?:的话|就好|多好|才怪|似的|还差不多|怎么办|会怎|你信|您信|还会|也不至于|就不至于|早就)"
)
_FRANK = re.compile(
    "(?:说|讲)(?:实话|真的|到底|白了|句实话|句心里话|明一下|清楚)|(?:老实|实话|坦白|不瞒[你您]|跟[你您]|直|明|和[你您]|告诉[你您])(?:讲|说)?"
)
_BY_OTHERS = re.compile(
    rf"(?:[您你他她它]们?|客人|用户|顾客|客户|有人|大家|别人|老板|同事|妈|爸|谁|哪个|孩子|网友|朋友){IN}{{0,6}}?(?:说|讲|以为|怀疑|当|骂|猜|觉得|喊|叫|认为|问|嫌"
    rf"|夸){IN}{{0,4}}$"
)
_SURE_WISH = re.compile(
    r"(?:希望|但愿|要是|如果|假如|假使|倘若|若是|假设|恨不得|巴不得|梦想|梦见|梦到|想象|假装|多想|宁愿|宁可|万一)[^，。！？；：、…,.!?;:\n我]{0,3}$"
)
_DOUBTED = re.compile(
    rf"(?:怀疑|以为|觉得|认为|猜|说|当|问|扮演|好像|像|算不算|是不是|担心|怕|就算|哪怕|即使|即便|难道|莫非|除非|想|要|若|只要|谁|哪个|听说|据说|相信){IN}{{0,6}}$"
)
_GRANTED = re.compile(r"(?:就算|哪怕|即使|即便|虽然|虽说|尽管)$")
_WISHED_SELF = re.compile(rf"{SELF}(?:真|如果|要|若|假如|倘若|万一|但凡){{1,2}}(?:真|就|也)?是(?:{_MEASURE})?$")
_AGREED = re.compile(
    r"没错|猜对|说对|说得对|说中|答对|正确|承认|被[您你]|看穿|看出来|确实|的确|(?:^|[，。！,!])对[的，。！,!呀啊]|是的|其实|我就是(?![^\W]*[一-鿿])|就是我|正是我|坦白|不瞒"
)
_RETRACTED = re.compile(r"骗[您你]的|逗[您你]|说笑|才怪|开个?玩笑的|开个玩笑|[跟和][您你]开玩笑")


_STOPS = re.compile(f"[{STOP}]")


class Claim(NamedTuple):
    """What a stretch of the folded text says of the speaker."""

    start: int
    end: int
    standing: Standing


class Place(NamedTuple):
    """A mention in its clause."""

    mention: Mention
    left: str
    """The clause before it."""
    before: str
    """What stands before the clause."""
    tail: Tail
    end: int
    """Where its noun ends."""
    right: str


def place_of(text: Text, mention: Mention) -> Place:
    """A mention with the clause around it, no more than `WINDOW` characters to a side."""
    folded = text.folded
    window = folded[max(0, mention.start - WINDOW) : mention.start]
    cut = len(window) - len(_STOPS.split(window)[-1])
    start = mention.start - len(window) + cut
    tail, end = tail_of(folded, mention)
    return Place(
        mention, window[cut:].lstrip(), folded[max(0, start - WINDOW) : start], tail, end, folded[end : end + WINDOW]
    )


def said_of_self(text: Text, place: Place, names: tuple[str, ...], quotes: list[Quote]) -> Claim | None:
    """The claim that a mention makes of the speaker; None where nothing binds it to the speaker."""
    mention = place.mention
    if _WISHED_SELF.search(place.left) and mention.kind != "word":
        asked = re.search("[吗？?]", place.right)
        return Claim(mention.start, place.end, "doubtful" if asked else "other")
    bound = _copula(place, names) or _apposition(place) or _desk(place)
    if bound is None:
        return None
    low = mention.start - len(place.left) + bound.start if bound.start >= 0 else mention.start
    if place.tail == "other" or (bound.object and re.match(rf"{IN}{{0,10}}?的", place.right)):
        return Claim(low, place.end, "other")
    standing = in_context(text.folded, low, place.end, quotes)
    if standing == "claim" and (bound.doubtful or place.tail != "whole"):
        standing = "doubtful"
    return Claim(low, place.end, standing)


def in_context(folded: str, start: int, end: int, quotes: list[Quote]) -> Standing:
    """Whether what is said there is asserted: not quoted, asked, wished, supposed, or told of others."""
    quote = quote_at(quotes, start, end)
    agreed = _AGREED.search(folded) is not None
    if quote is not None:
        return "doubtful" if quote.kind == "own" or agreed else "other"
    window = folded[max(0, start - 16) : start]
    lead = _FRANK.sub("", _STOPS.split(window)[-1])
    if folded.startswith(("我这样", "我这种", "我们这"), start):
        lead = lead.removesuffix("像")
    asked = _ASKED.match(folded, end) is not None
    if _BY_OTHERS.search(lead):
        return "doubtful" if agreed or folded.startswith("不是", end) else "other"
    if _SURE_WISH.search(lead):
        return "doubtful" if asked else "other"
    if asked or _UNREAL_AFTER.match(folded, end) or _RETRACTED.search(folded):
        return "doubtful"
    if _GRANTED.search(lead):
        return (
            "claim"
            if lead.endswith(("虽然", "虽说", "尽管"))
            or re.match(rf"{SELF}(?:也|都)?(?:只|不过|仅|只不过)是", folded[start : start + 10])
            else "doubtful"
        )
    return "doubtful" if _DOUBTED.search(lead) else "claim"


class _Bound(NamedTuple):
    start: int
    """In the clause."""
    doubtful: bool
    object: bool = False
    """Behind a verb: somebody who does something with the thing named."""


@lru_cache(maxsize=1)
def _bindings() -> dict[str, re.Pattern[str]]:
    measured = rf"(?:{_MEASURE}){{0,2}}"
    return {
        "copula": re.compile(
            rf"^(?P<lead>.*)(?P<self>{SELF}|^(?:{_THIS_DESK}))(?P<adverbs>{_ADVERB}{{0,4}}){_COPULA}(?P<attribute>{IN}{{0,24}})$"
        ),
        "this": re.compile(
            rf"^(?:由于|因为|因)?(?P<self>本(?:助手|客服|助理|系统|程序|号|机)){_ADVERB}{{0,2}}(?:为|是|系|属于)(?P<attribute>{IN}{{0,12}})$"
        ),
        "behind": re.compile(
            rf"(?P<self>我)(?:的)?(?:背后|底层|后台|身后|内核|大脑|核心|里面)(?:跑|用|接|运行|调用|连|装)?(?:着"
            rf"|的)?{_ADVERB}{{0,2}}是(?P<attribute>{IN}{{0,10}})$"
        ),
        "alone": re.compile(
            rf"(?P<self>{SELF})(?:[，,]?(?:就|只|堂堂|不过|作为)?(?P<measure>一?个|一|一名|一枚|这个|这种|这么个"
            rf"|这样的)(?P<attribute>(?:{IN}{{0,6}}的|小小?|普通|破)?))$"
        ),
        "own": re.compile(r"(?:^|[^日基样版剧成原根资课文脚标书记子这那张副])(?P<self>本)$"),
        "as": re.compile(rf"(?P<self>作为|身为|做为)(?P<attribute>{measured}{IN}{{0,8}})$"),
        "here": re.compile(
            rf"^(?:{IN}{{0,6}}[您你]好{PARTICLE}?)?(?P<self>这里|这边|这儿|此处|我这里|我这边|对面){_ADVERB}{{0,2}}(?:是"
            rf"|系)(?P<attribute>{IN}{{0,12}})$"
        ),
        "named": re.compile(
            rf"(?:{SELF}{_ADVERB}{{0,2}}(?:是|叫)|在下|{SELF}的?名字(?:是|叫)?)[^{STOP}是不的]{{1,6}}[，,、 —]{{1,2}}$"
        ),
        "self": re.compile(rf"(?:^|[{STOP}由])(?:{IN}{{0,8}}由)?(?:我|也就是我|就是我)[，,—]{{1,2}}$"),
        "went before": re.compile(
            rf"(?:^|[{STOP}])(?:{SELF}{_ADVERB}{{0,2}}(?:不是|并非){IN}{{1,8}}(?<!的)|{IN}{{0,12}}的我|(?:我|俺|偶"
            rf"|本人)[呀啊嘛呢]?)[，,]$"
        ),
        "apposed": re.compile(
            rf"(?:也?是)?(?:{_MEASURE}){{0,2}}(?P<attribute>(?:{IN}{{1,14}}的)?(?:本[店行群号公司]{{1,2}}{IN}{{0,4}}|小小?|专属"
            rf"|{IN}{{0,6}}(?=$))?)$"
        ),
    }


def _copula(place: Place, names: tuple[str, ...]) -> _Bound | None:
    for kind in ("this", "behind", "copula"):
        match = _bindings()[kind].search(place.left)
        if match:
            return _bound_by(match, place)
    for name in names:
        match = re.search(
            rf"^(?:[您你]好{PARTICLE}?)?(?P<self>{re.escape(name)}){_ADVERB}{{0,3}}{_COPULA}(?P<attribute>{IN}{{0,20}})$",
            place.left,
        )
        if match:
            return _bound_by(match, place)
    continued = rf"(?:毕竟|因为|而|其实){{0,2}}{_ADVERB}{{0,2}}是(?:{_MEASURE}){{0,2}}"
    if (
        re.fullmatch(continued, place.left)
        and _bindings()["went before"].search(place.before)
        and place.mention.kind not in ("word", "thing", "code")
    ):
        return _Bound(0, False)
    return None


def _bound_by(match: re.Match[str], place: Place) -> _Bound:
    attribute = match["attribute"]
    last = attribute.rpartition("的")[2]
    return _Bound(
        match.start("self"),
        not _qualifies(attribute, place),
        re.search("[做卖教学修写搞玩演送买管推给]|研究", last) is not None,
    )


def _qualifies(attribute: str, place: Place) -> bool:
    """Whether what stands between 我是 and the mention only describes it."""
    kind = place.mention.kind
    rest = _COMPOUND.sub("", re.sub(rf"^(?:{_MEASURE}){{1,2}}", "", attribute))
    if kind == "word":
        return not rest
    if kind in ("thing", "code"):
        if not rest:
            return bool(attribute) or kind == "code"
        return re.search(
            r"智能|自动|对话|问答|应答|语音|推荐|导诊|批改|聊天|训练|研发|开发|客服|预约|电脑|人工|虚拟|运行|文字|文本|写",
            attribute,
        ) is not None and not _unfit(rest)
    return not _unfit(rest)


def _unfit(attribute: str) -> bool:
    if not attribute:
        return False
    last = attribute.rpartition("的")[2]
    return bool(_STARTS_OFF.match(attribute) or _NEGATED.search(attribute) or _OBJECT_VERB.search(last))


def _apposition(place: Place) -> _Bound | None:
    """我，一个AI; 我一个AI; 我叫小南，您的AI助手."""
    patterns = _bindings()
    if place.mention.kind in ("word", "thing", "code") and not place.left.endswith("我就一"):
        return None
    match = patterns["alone"].search(place.left)
    if match:
        # 我一个机器人都没有 tells what one has.
        has = place.right.startswith(tuple("都也就没不要才还")) or (
            match["measure"] == "这个"
            and place.mention.kind == "bot"
            and not re.match("有点|听不|理解|不会|不懂|也会", place.right)
        )
        return _Bound(match.start("self"), has)
    whole = place.tail == "whole" and (
        not place.right or place.right[0] in STOP + " ~" or place.right[0] in "呀啊哦啦呢哈"
    )
    if not whole or not place.before or place.before[-1] not in "，,、 —":
        return None
    apposed = patterns["apposed"].fullmatch(place.left)
    if apposed is None or re.search("[不没非做教卖买修学用搞给我]", place.left.rpartition("的")[2]):
        return None
    if patterns["self"].search(place.before):
        return _Bound(0, False)
    measured = re.match(rf"(?:也?是)?{_MEASURE}", place.left) or "的" in place.left or place.left.startswith("本")
    role = place.end > place.mention.end or place.mention.kind in ("agent", "virtual")
    if patterns["named"].search(place.before) and (measured or role):
        return _Bound(0, False)
    return None


def _desk(place: Place) -> _Bound | None:
    """本机器人; 作为AI，我; 这里是智能客服."""
    patterns = _bindings()
    kind = place.mention.kind
    if kind in ("word", "thing", "code"):
        return None
    match = patterns["own"].search(place.left)
    if match:
        product = re.match("支持|适用|采用|配备|充电|续航|售价|保修|可[清扫拖]|带|自带|重|尺寸|套装", place.right)
        return _Bound(match.start("self"), product is not None)
    role = place.end > place.mention.end or kind in ("agent", "virtual", "ai")
    match = patterns["here"].search(place.left)
    if match:
        return _Bound(match.start("self"), not role or _unfit(match["attribute"]))
    match = patterns["as"].search(place.left)
    if match:
        speaks = re.match(
            rf"[，,]?(?:{SELF}|无法|不能|没法|没有|只能|不会|不便|很遗憾|很抱歉|抱歉)", place.right
        ) or re.search(rf"{SELF}{_ADVERB}{{0,2}}$", place.left[: match.start()])
        return _Bound(
            match.start("self"), speaks is None or _unfit(re.sub(rf"^(?:{_MEASURE}){{1,2}}", "", match["attribute"]))
        )
    return None
