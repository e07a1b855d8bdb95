"""Whom a mention of a machine means: the speaker who says so, somebody or something else, or nobody knows. One mention
at a time, from the clause around it; `identity` weighs them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from localjudge.checks.bindings import ADVERB, CALLED, COPULA, MEASURE, bindings
from localjudge.checks.context import SELF, STOPS, Claim, goes_on, in_context
from localjudge.checks.machines import IN, PARTICLE, STOP, Mention, Tail, tail_of, vocabulary
from localjudge.checks.text import Quote, Text, quote_at

WINDOW = 40
"""Characters read to either side of a mention."""
_MEASURED = re.compile(rf"^(?:{MEASURE}){{1,2}}|(?<=的){MEASURE}$")
_SELF_NEXT = re.compile(rf",?{SELF}")
_NO_PERSON = re.compile("[小阿][^,。]{1,2}(?:不是(?:真|活)?人|没有(?:身体|感情))")
_BEHIND_VERB = re.compile("[做卖教学修写搞玩演送买管推给]|研究")
_ATTRIBUTIVE = re.compile(rf"{IN}{{0,10}}?的")
_LONG_AGO = re.compile("刚才|刚刚|昨|之前|前面|上次|半夜|夜里|夜间|以前|那")
_BY_ANOTHER = re.compile("换我|我来|接手|我本人|亲自|找我|他们|别家")
# Between the verb and the noun, and after the last 的: what one may do with a bot, or a second verb.
_OBJECT_VERB = re.compile(
    r"[没非无未替跟对卖送教做修买讲写搞玩学带管推拼懂爱怕和与或及被让把想说问指看租借查试养选读]|负责|研究|从事|喜欢"
    r"|接触|使用|在用|用了|是"
)
# Nouns that hold such a verb.
_COMPOUND = re.compile(
    "问答|带货|教学|读书|阅读|学习|教育|推荐|推送|写作|管家|管理|自研|叫号|推理|陪聊|陪伴|陪练|查询|查号|租赁|看护"
    "|看家|养生|爱心|和谐|试用|指引|指导|说话|来[电客访宾]|问[诊政]|讲解|看[诊房店]|不动产|去哪儿|从业|先锋|懂车|拼多多|拼车|爱奇艺|无[锡障线人]"
    "|非遗|教[务师]|跟团|推拿|养老|修车|学校|学[生院位]|选[课房]|租[房车]|借[书阅]|送[水餐]|面试|考试|试听|购买|对[账公]|玩具|外卖"
    "|指[南挥]|讲座|问卷|看房|学而思|没收|写字楼|被[子褥]|把关|让利|买菜|说明|搞笑|怕冷|与|和平|比价|查[号分询]"
)
_WISHED_SELF = re.compile(rf"{SELF}(?:真|如果|要|若|假如|倘若|万一|但凡){{1,2}}(?:真|就|也)?是(?:{MEASURE})?$")
_STARTS_OFF = re.compile(
    r"说|想|问|指|讲|怕|觉得|看|去|从|因|按|先|刚|最近|昨|今天|明天|不|没(?!有)|非|来|否|如何|怎么|什么|谁|哪"
)
_DESCRIBES = re.compile(
    "(?:不会|不用|不需|不折|不吃|不眠|不领|不拿|不收|不打烊|从不|从来不|没有"
    "|不知|刚上线|刚上岗|刚上任|刚入职|刚出厂|先进|最)"
)
_NEGATED = re.compile(r"不是|没有(?!肉身|肉体|身体|实体|感情|情感|生命|心|灵魂|体温|温度)|并非|(?<![识级区特类性])别")


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
    noun: str
    """The mention itself."""


def place_of(text: Text, mention: Mention) -> Place:
    """A mention with the clause around it, no more than `WINDOW` characters to a side."""
    folded = text.folded
    window = folded[max(0, mention.start - WINDOW) : mention.start]
    cut = len(window) - len(STOPS.split(window)[-1])
    start = mention.start - len(window) + cut
    tail, end = tail_of(folded, mention)
    return Place(
        mention,
        window[cut:].lstrip(),
        folded[max(0, start - WINDOW) : start],
        tail,
        end,
        folded[end : end + WINDOW],
        folded[mention.start : mention.end],
    )


# 我是小鹏，一个基于大模型的学习伙伴.
_BASIS = re.compile("(?:也?是)?一?[个款名位只]?(?:由|基于|搭载|依托|接入|采用)")
_BASED = re.compile(
    rf"(?:技术)?(?:驱动|训练|打造|开发|支持)?的{IN}{{0,6}}(?:伙伴|助手|助理|客服|服务|管家|系统|程序|陪练|顾问|学伴"
    rf"|应用|工具|朋友)"
)
# 小艺是AI助手，随时听您吩咐: nobody says so of a third one.
_ATTENDS = re.compile(
    r"随时(?:听|为|找|问|恭|等|可以)|为您(?:服务|效劳)|听您|您吩咐|尽管(?:问|说|找|吩咐)|有事(?:找|问|叫|您)|都(?:能"
    r"|可以)问|陪您"
)
_CLOSES = re.compile(
    rf"(?:[一]?[个枚只台款名]|而已|罢了|没错|不假|本人|本尊|哈|无疑|在(?:回|跟|和|陪|为|给|与|帮|答|替)[您你](?![称修拍画炒送扫按检量洗剪做])"
    rf"|在?(?:陪|回|服务|接待|答复|跟)[您你]|{PARTICLE}){{0,3}}(?=[{STOP}\s~]|$|在(?=[回跟和陪为给与帮答线接值服处应这此替守])(?![帮给为替][您你][称修拍画炒送扫按检量洗剪做]))"
)
# 我们AI也会累 is said by one of them, 我们AI今天打折 is not.
_LIVES = re.compile(
    r"(?:客服|助手)?(?:也|又|可|都|是|其实|就|哪|真的|从来|永远){0,2}(?:会想|不懂|没有?(?:感情|心|周末|情绪|身体|生日"
    r"|年龄|脾气|假|嘴|手|脚|味觉|记性|那么|办法|法)|不会|不用|不需要|不吃|不睡|不知|懂|会(?:累|困|死|犯|出错|说|紧张"
    r"|难过|高兴|害羞|努力|学)"
    r"|最(?:怕|不|爱|喜欢|擅长)|有(?:时|感情|心|脾气|自己)|怕|的世界|的脑|的心|二十四小时|24小时|随时|理解|听不|看不"
    r"|闻不|尝不|做不|记性|脑子|很笨|比较笨|嘴笨|是没有|是不)"
)
_POSSESSED = re.compile(
    rf"坏|是(?:在|去|新|从|给|我|他|朋友|昨|刚|你|您)|[要想]?卖|买|多少|还没[拆卖]|修|丢|怎么|{IN}{{0,6}}(?:元|块|折)"
    rf"|[套模玩]|到货|跑不|报错|闪退|崩|不动|送"
)
# 我，小优，是…; 我叫小优，是….
_NAMING = re.compile(
    rf"(?:^|[{STOP} ])(?:[您你]好,?)?(?:{SELF}[,，]{CALLED}"
    rf"|{SELF}(?:名字?)?叫[^{STOP}不没是]{{1,4}})[,，、 ]$"
)
_BEFORE_NAME = re.compile(rf"(?:[您你]好{PARTICLE}?)?(?P<self>{SELF}?)")
_AFTER_NAME = re.compile(rf"{ADVERB}{{0,3}}{COPULA}(?P<attribute>{IN}{{0,20}})$")
# 我就一台机器，忙不过来.
_STOCKED = re.compile(
    rf"了(?!解)|[，,]?[^{STOP}]{{0,4}}(?:忙不过来|留|卖|排队|要的话|先到|轮流|预约|能借|拿走"
    rf"|充电|要修|坏了)"
)
_IS_ME = re.compile(
    rf"[”」』\"]?(?:[^,。]{{0,6}},(?=也))?[呀啊哦]?[，,]?(?:也|正|不)?(?:就|正|都)?是(?:我|本人|在下|俺)(?=[{STOP}\s]"
    rf"|$|{PARTICLE}|本|自己|[发写说回]的)"
)


def said_of_self(text: Text, place: Place, names: tuple[str, ...], quotes: list[Quote]) -> Claim | None:
    """The claim that a mention makes of the speaker; None where nothing binds it to the speaker."""
    mention = place.mention
    if _WISHED_SELF.search(place.left) and mention.kind != "word":
        asked = re.search("[吗？?]", place.right)
        return Claim(mention.start, place.end, "doubtful" if asked else "other")
    named = _identity(place)
    if named is not None and quote_at(quotes, mention.start, place.end + 4) is None:
        return Claim(mention.start, place.end, "doubtful" if named.doubtful else "claim")
    bound = _copula(place, names) or _apposition(place) or _desk(place)
    if bound is None:
        return None
    low = mention.start - len(place.left) + bound.start if bound.start >= 0 else mention.start
    if (place.tail == "other" and not bound.named) or (bound.object and _ATTRIBUTIVE.match(place.right)):
        return Claim(low, place.end, "other")
    standing = in_context(text.folded, low, place.end, quotes)
    # 我是“人工智能与法律”课的助教 names a course, 我是“小美”智能客服 does not.
    inner = quote_at(quotes, mention.start, mention.end)
    if inner is not None and inner.start > low and not re.match(r"\W", place.right):
        standing = "doubtful"
    if standing == "claim" and (bound.doubtful or not (place.tail == "whole" or bound.named)):
        standing = "doubtful"
    return Claim(low, place.end, standing)


class _Bound(NamedTuple):
    start: int
    """In the clause."""
    doubtful: bool
    object: bool = False
    """Behind a verb: somebody who does something with the thing named."""
    named: bool = False
    """The speaker is named beside it, whatever follows."""


def _identity(place: Place) -> _Bound | None:
    """AI就是我; 回您的是AI，也就是我."""
    if place.mention.kind not in ("word", "thing", "code") and not place.left and re.match("本[人尊]在", place.right):
        return _Bound(0, False, named=True)
    if not place.left and re.match("的我(?!们)", place.right):
        return _Bound(0, False)
    if place.mention.kind == "word" or not _IS_ME.match(place.right):
        return None
    return _Bound(0, re.search("[不没谁像]|以为|[您你]说(?!的)", place.left) is not None)


def _copula(place: Place, names: tuple[str, ...]) -> _Bound | None:
    for kind in ("this", "behind", "facing", "copula", "made"):
        match = bindings()[kind].search(place.left)
        if match:
            return _bound_by(match, place)
    match = bindings()["formal"].search(place.left)
    if match and place.tail == "whole" and re.match(rf"$|[{STOP})]|而?(?:非|并非|不是)", place.right):
        return _bound_by(match, place)
    match = bindings()["of the line"].search(place.left)
    if match and not _LONG_AGO.search(place.before[-16:] + place.left):
        others = _BY_ANOTHER.search(place.right + place.before) is not None
        return _bound_by(match, place)._replace(doubtful=True) if others else _bound_by(match, place)
    for name in names:
        bound = _by_name(place, name)
        if bound:
            return bound
    return _unnamed(place, names)


def _by_name(place: Place, name: str) -> _Bound | None:
    """小布是AI, said by one who is called so."""
    # Not one pattern with the name in it: a run may know more names than it has records of one.
    at = place.left.find(name)
    while at >= 0:
        before, after = _BEFORE_NAME.fullmatch(place.left, 0, at), _AFTER_NAME.match(place.left, at + len(name))
        if before and after:
            return _bound(before.start("self"), after["attribute"], place)
        at = place.left.find(name, at + 1)
    return None


def _unnamed(place: Place, names: tuple[str, ...]) -> _Bound | None:
    """小布是AI; 是AI, behind a clause of the speaker."""
    named = _NAMING.search(place.before) is not None
    if place.mention.kind == "word" or (place.mention.kind == "thing" and not named):
        return None
    match = bindings()["desk"].search(place.left)
    attends = match and (f"叫{match['self']}" in place.before or _ATTENDS.search(place.right))
    attends = attends or _NO_PERSON.search(place.before)
    if match and not names and attends and not place.right.startswith("的"):
        return _bound_by(match, place)
    match = bindings()["bare"].search(place.left)
    if match and named:
        return _bound_by(match, place)
    if match and _CLOSES.match(place.right) and goes_on(place.before):
        return _bound_by(match, place)
    return None


def _bound_by(match: re.Match[str], place: Place) -> _Bound:
    return _bound(match.start("self"), match["attribute"], place)


def _bound(start: int, attribute: str, place: Place) -> _Bound:
    last = attribute.rpartition("的")[2]
    return _Bound(start, not _qualifies(attribute, place), _BEHIND_VERB.search(last) is not None)


_MINDLESS = ("机器", "模型", "软件", "电脑", "计算机", "machine", "program", "software", "algorithm", "computer")
_MACHINE_LIKE = re.compile(
    "智能|云|排课|排班|叫号|点餐|点单|收银|报修|订票|挂号|复读|自动|对话|问答|应答|语音|推荐|导诊|批改|聊天|训练|研发"
    "|开发|客服|预约|电脑|人工|虚拟|运行|文字|文本|写|设定|会说话|编"
)


# 我是用GPT做的客服, but 我是用机器人搬的货.
_USED = re.compile("(?<![通专家商万常实有试选适信])用(?!户)[^的]{0,4}$")
_MADE_WITH = re.compile(rf"{IN}{{0,6}}?(?:做|开发|搭|驱动|训练|写|造|生成|支持)(?:出来|起来|建|成)?的")


# 我是无情的带看机器 is a figure of speech; 我是没有感情的机器 and 无情的聊天机器 are none.
_FIGURE = re.compile("(?:无情|冷血|冷酷|[没莫][有得]?感情)的(?P<trade>[^的]+)$")


def _qualifies(attribute: str, place: Place) -> bool:
    """Whether what stands between 我是 and the mention only describes it."""
    kind = place.mention.kind
    if _USED.search(attribute) and not _MADE_WITH.match(place.right):
        return False
    rest = _COMPOUND.sub("", _MEASURED.sub("", attribute))
    if kind == "bot":
        rest = vocabulary().product.sub("", rest)
    if kind == "word":
        return not rest
    figure = _FIGURE.search(attribute)
    if figure and not _MACHINE_LIKE.search(figure["trade"]):
        return False
    if kind in ("thing", "code"):
        if not rest:
            return bool(attribute) or kind == "code" or place.noun in _MINDLESS
        described = rest != attribute and rest.endswith("的")
        return (described or _MACHINE_LIKE.search(attribute) is not None) and not _unfit(rest)
    return not _unfit(rest)


def _unfit(attribute: str) -> bool:
    attribute = _COMPOUND.sub("", attribute)
    if not attribute:
        return False
    last = attribute.rpartition("的")[2]
    starts_off = _STARTS_OFF.match(attribute) and not _DESCRIBES.match(attribute)
    return bool(starts_off or _NEGATED.search(attribute) or _OBJECT_VERB.search(last))


def _apposition(place: Place) -> _Bound | None:
    """我，一个AI; 我一个AI; 我叫小南，您的AI助手."""
    patterns = bindings()
    thing = place.mention.kind in ("word", "thing")
    if thing and not re.search("(?:我|俺|咱|人家)(?:就|不过|只|就是| ?just ?)?(?:一[个台段串堆]?|这台)$", place.left):
        return None
    match = patterns["alone"].search(place.left)
    if match:
        measure, right = match["measure"], place.right
        # 我一个机器人都没有 tells what one has, 我这个机器人坏了 what broke.
        has = right.startswith(("都", "也没", "也修", "就没", "没有", "没卖", "没买", "不要", "才", "还没", "也不卖"))
        if measure.startswith("这"):
            has = _POSSESSED.match(right) is not None and place.mention.kind not in ("agent", "ai")
        has = has or (not measure.startswith("这") and _STOCKED.match(right) is not None)
        return _Bound(match.start("self"), has or place.tail == "topic")
    match = patterns["we"].search(place.left)
    if match and place.mention.kind in ("bot", "ai", "agent", "virtual", "model"):
        return _Bound(match.start("self"), _LIVES.match(place.right) is None)
    if _BASIS.fullmatch(place.left) and _BASED.match(place.right) and patterns["named"].search(place.before):
        return _Bound(0, False, named=True)
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
    measured = re.match(rf"(?:也?是)?{MEASURE}", place.left) or "的" in place.left or place.left.startswith("本")
    role = place.end > place.mention.end or place.mention.kind in ("agent", "virtual")
    if patterns["named"].search(place.before) and (measured or role):
        return _Bound(0, False)
    return None


def _desk(place: Place) -> _Bound | None:
    """本机器人; 作为AI，我; 这里是智能客服."""
    patterns = bindings()
    kind = place.mention.kind
    if kind in ("word", "thing", "code"):
        match = patterns["as"].search(place.left) if kind != "word" and place.tail == "whole" else None
        if match and _MEASURED.match(match["attribute"]) and _SELF_NEXT.match(place.right):
            return _Bound(match.start("self"), _unfit(_MEASURED.sub("", match["attribute"])))
        return None
    match = patterns["own"].search(place.left)
    if match:
        product = place.tail == "topic" or re.match(
            "支持|不?[内附]?[含带]|另[购配]|适[合用]|采用|配备|充电|续航|售价|保修|可[清扫拖]|自带|重|尺寸|套装",
            place.right,
        )
        return _Bound(match.start("self"), bool(product))
    role = place.end > place.mention.end or kind in ("agent", "virtual", "ai")
    match = patterns["here"].search(place.left)
    if match:
        # 这边是机器人，那边是无人机 shows somebody around.
        shown = not role and re.search("那[边里儿]|[展看]", match["attribute"] + place.right) is not None
        return _Bound(match.start("self"), shown or _unfit(match["attribute"]))
    match = patterns["as"].search(place.left)
    if match:
        if place.right.startswith(("的我", "的俺", "的在下")):
            return _Bound(match.start("self"), False, named=True)
        speaks = re.match(
            rf"[，,]?(?:{SELF}|无法|不能|没法|没有|只能|不会|不便|很遗憾|很抱歉|抱歉)", place.right
        ) or re.search(rf"{SELF}{ADVERB}{{0,2}}$", place.left[: match.start()])
        return _Bound(match.start("self"), speaks is None or _unfit(_MEASURED.sub("", match["attribute"])))
    return None
