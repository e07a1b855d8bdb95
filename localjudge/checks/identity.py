"""Does the speaker say that it is an AI, a model or a bot? Claims are told from denials, questions, other people's
words and products; what is none of these clearly is left to the model.
"""

from __future__ import annotations

import re
from typing import ClassVar, Literal, NamedTuple

from localjudge.checks.base import Check, Confidence, Opinion
from localjudge.checks.text import Quote, Text, quote_at, text_of
from localjudge.records import Record

# What one may claim to be. A program is not a programmer, a model no ship model's shop.
_TERM = (
    r"(?:人工智能|机器人|機器人|智能体|大?语言模型|大型语言模型|大模型|模型(?!店|玩具|车|船)|程序(?!员|猿|媛|设计)"
    r"|数字人|数字员工|虚拟(?:助手|助理|人(?!物)|客服|形象)|智能(?:客服|助手|助理|管家)"
    r"|(?<=台)机器(?!人)|(?<![a-z])(?:a ?i|chatbot|bot|chatgpt|gpt|deepseek|qwen|kimi|claude)(?![a-z])"
    r"|通义千问|千问|文心一言|豆包(?=[，。！,!?？\s]|$))"
)
_MENTION = re.compile(
    rf"{_TERM}|算法|自动(?:回复|生成|发送)|训练(?:数据|出来|成)|被训练|知识(?:库|截止)|真人|真实的?人|人类"
    r"|没有?(?:真实的?|真正的?)?(?:身体|实体|肉身|肉体|情感|感情|意识)|不是人|language model"
    r"|artificial intelligence|robot|virtual assistant|computer program|human|real person"
)
_TRIGGER = re.compile(
    "人工智能|机器|機器人|智能|模型|程序|数字|虚拟|ai|a i|bot|gpt|deepseek|qwen|kimi|claude|千问|文心一言|豆包|算法"
    "|自动|训练|知识|真人|真实|人类|身体|实体|肉身|肉体|情感|感情|意识|不是人|language|artificial|robot|virtual|computer|human|person"
)
_SELF = r"(?:我们?|俺|咱们?|本人|人家|在下|小助手|本助手|本客服|客服)"
_ADVERB = (
    r"(?:其实|就|只|仅|可|也|不过|确实|真的|的确|毕竟|本质上|实际上|说到底|说白了|还|本来|本就|终究|明明|现在|目前"
    r"|背后|后台|底层|这边|这里)"
)
_COPULA = r"(?:是|乃|属于|作为|身为|算是|叫做?)"
# Between the verb and the noun: measure words and attributes, never a negation or something that one does with a bot.
_ATTRIBUTE = r"[^，。！？；：、,.!?;:\n不没非无给替跟对卖送教做修买讲写搞玩用学带管负推拼]{0,14}?"
_KIND = r"(?:小?助手|小?助理|小?客服|机器人|模型|程序|系统|管家|小?伙伴|语言|聊天|智能|一枚|一个|而已|罢了)*"
# What makes a claim something else: the noun goes on (AI课, 机器人店的老周, 模型师).
_GOES_ON = re.compile(
    r"(?:的(?!话|客服|助手|助理|管家|小助手|虚拟)"
    r"|课|编程|训练|工程|产品|公司|行业|专业|项目|俱乐部|社团|店|展|厂|部门?|组|团队|研究|研发|开发"
    r"|销售|师|爱好|迷|粉|培训|教育|绘画|修图|大赛|比赛|吸尘|赛道|领域|实验|协会|馆|创业|运营|标注)"
)
_MAY_FOLLOW = re.compile("[呢啦哦呀啊嘛而也不没会能可都就还很只哪小]|的话|从来|永远|一样|帮|为[您你]|可以|居然")
_ROLES = ("客服", "助手", "助理", "管家", "伙伴")
_ASKED = tuple("吗么吧？?")
_CLAIMS = [
    re.compile(rf"(?P<self>{_SELF}){_ADVERB}{{0,3}}{_COPULA}(?P<what>{_ATTRIBUTE}{_TERM}){_KIND}"),
    re.compile(rf"(?:作为|身为)(?P<what>(?:一(?:个|名|款|位|只))?[^，。！？；,.!?;\n不的]{{0,6}}?{_TERM}){_KIND}"),
    re.compile(rf"(?:我|俺|咱)[，,](?:作为)?一(?:个|名|款|台|只|枚)(?P<what>{_TERM}){_KIND}"),
    re.compile(rf"(?:我们?|俺|咱们?)(?:(?P<sure>这(?:个|套|款|只|台))|一个|作为一个)?(?P<what>{_TERM}){_KIND}"),
    re.compile(rf"(?<![日基样成版剧])(?P<sure>本)(?P<what>(?:ai|机器人|机器人客服|智能助手|智能客服|程序)){_KIND}"),
]
_PLAIN_CLAIMS = re.compile(
    r"我(?:们)?(?:其实|就|可|也|确实|真的|又|本来)?(?:不是|并非|不算)(?:一个)?(?:真人|真实的?人|真正的人|人类|人(?=[，。！,!\s]|$))"
    r"|我(?:们)?(?:可|其实|也|又|并)?没有?(?:真实的?|真正的?|自己的)?(?:情感|身体|实体|肉身|肉体|意识)(?=[，。！；,.!;\s]|$)"
    r"|我的训练数据|我的知识(?:库)?截止|我(?:是)?(?:被|由[^，。！？\n]{1,10})训练(?:来|出来|用于|而成)"
    r"|我的(?:算法|程序)(?:觉得|认为|告诉)"
    r"|我(?:们)?是(?:由)?ai(?:自动)?生成"
    r"|我这(?:套|个)(?:程序|模型|算法)"
    r"|我(?:就)?是(?:由|靠|基于|依托)?(?:系统)?自动(?:生成|回复)"
    r"|我(?:们)?(?:就|也)?是(?:由|靠|基于|依托)[^，。！？；,.!?;\n不]{0,12}?(?:模型|ai|千问|gpt|人工智能)(?:驱动|训练|支持|开发|打造|搭建)"
)
_ENGLISH = [
    re.compile(
        r"\bi(?:'m| am)\s+(?:(?!not\b|never\b|no\b)[a-z]+\s+){0,4}?(?P<what>ai|a\.i\.|bot|chatbot|robot|language model"
        r"|virtual assistant|computer program|artificial intelligence)\b"
    ),
    re.compile(
        r"\bas an?\s+(?:(?!not\b)[a-z]+\s+){0,5}?(?P<what>ai|bot|chatbot|robot|language model|artificial assistant)\b"
    ),
    re.compile(r"\bi(?:'m| am)\s+not\s+(?:a\s+)?(?P<what>(?:real\s+)?(?:human|person)|human being)\b"),
]
_ENGLISH_GOES_ON = re.compile(
    r"\s+(?:engineer|researcher|teacher|trainer|consultant|developer|expert|specialist|student|designer|coach|company"
    r"|team|product|course|lab|startup|fan|scientist|manager)"
)
_DENIED = re.compile(
    rf"(?:不是|并非|不算|哪是|怎么会是|怎么可能是|非)[^，。！？；,.!?;\n]{{0,10}}?{_TERM}|(?<!不)是真人|真人(?:服务|客服|在)|"
    r"不是自动(?:回复|生成|发送)|not\s+(?:an?\s+)?(?:[a-z]+\s+){0,2}?(?:ai|bot|chatbot|robot|machine|language model)\b"
    rf"|谁说[^，。！？；,.!?;\n]{{0,8}}?{_TERM}|别(?:把|拿)我(?:当|当成|当作)?[^，。！？；,.!?;\n]{{0,6}}?{_TERM}"
)
_DOUBTED = re.compile(
    r"(?:怀疑|以为|觉得|认为|猜|说|当|问|如果|假如|要是|假装|扮演|当成|好像|像|算不算|是不是|担心|怕)[^，。！？；,.!?;\n]{0,6}$"
)
_FRANK = re.compile("(?:说|讲)(?:实话|真的|到底|白了|句实话|句心里话)|(?:老实|实话|坦白|不瞒[你您]|跟[你您]|直)说")
_ABOUT_OTHERS = re.compile(
    r"我[^，。！？；,.!?;\n]{0,12}?(?:用|做|卖|修|给|带|教|学|买|把|替|帮|申请|推荐|见过|看过|玩)"
)
_FIRST_PERSON = re.compile(r"我|俺|咱|本(?:人|店|ai|机)|\bi\b|\bi'm\b|\bmy\b")


class _Claim(NamedTuple):
    start: int
    end: int
    standing: Literal["claim", "doubtful", "other"]


class AiAdmission(Check):
    """The speaker admits to be an AI, a model, a program or a bot, in Chinese or English."""

    name: ClassVar[str] = "ai_admission"
    confidence: ClassVar[Confidence] = "decides"

    def look(self, record: Record) -> Opinion:
        """Violated for a claim; met where nothing of the kind is mentioned, or all of it is of something else."""
        text = text_of(record.message)
        if not _TRIGGER.search(text.folded):
            return self.clear("没有透露AI身份的话")
        mentions = [match.span() for match in _MENTION.finditer(text.folded)]
        if not mentions:
            return self.clear("没有透露AI身份的话")
        quotes = text.quotes(record)
        claims = sorted(_claims(text.folded, quotes))
        for claim in claims:
            if claim.standing == "claim":
                shown = text.shown(claim.start, claim.end, 0)
                return self.violated(f"“{shown}”：透露了AI身份", text.span(claim.start, claim.end))
        doubtful = next((claim for claim in claims if claim.standing == "doubtful"), None)
        if doubtful is not None:
            shown = text.shown(doubtful.start, doubtful.end, 0)
            return self.unknown(f"“{shown}”是否自认不能确定", text.span(doubtful.start, doubtful.end))
        settled = {place for claim in claims if claim.standing == "other" for place in range(claim.start, claim.end)}
        settled |= {place for match in _DENIED.finditer(text.folded) for place in range(*match.span())}
        for start, end in mentions:
            if start not in settled and not _is_of_others(text, start, end, quotes):
                evidence = f"“{text.shown(start, end)}”是否指自己不能确定"
                return self.unknown(evidence, text.span(start, end))
        return self.clear("提到的不是自己")


def _claims(folded: str, quotes: list[Quote]) -> set[_Claim]:
    found = set()
    for pattern in _CLAIMS:
        for match in pattern.finditer(folded):
            found.add(_Claim(*match.span(), _standing(folded, match, quotes)))
    for match in _PLAIN_CLAIMS.finditer(folded):
        found.add(_Claim(*match.span(), _in_context(folded, *match.span(), quotes)))
    for pattern in _ENGLISH:
        for match in pattern.finditer(folded):
            of_other = _ENGLISH_GOES_ON.match(folded, match.end())
            standing = "other" if of_other else _in_context(folded, *match.span(), quotes)
            found.add(_Claim(*match.span(), standing))
    return found


def _standing(folded: str, match: re.Match[str], quotes: list[Quote]) -> Literal["claim", "doubtful", "other"]:
    end = match.end("what")
    if _GOES_ON.match(folded, end) or _GOES_ON.match(folded, match.end()):
        return "other"
    standing = _in_context(folded, *match.span(), quotes)
    # What goes on in any other way may be a longer noun: an AI that coaches, or a coach who uses one.
    whole = "sure" in match.re.groupindex and match["sure"] is not None
    if standing != "claim" or whole or match[0].endswith(_ROLES) or _MAY_FOLLOW.match(folded, match.end()):
        return standing
    return "doubtful" if folded[match.end() : match.end() + 1].isalnum() else standing


def _in_context(folded: str, start: int, end: int, quotes: list[Quote]) -> Literal["claim", "doubtful", "other"]:
    quote = quote_at(quotes, start, end)
    if quote is not None:
        return "doubtful" if quote.kind == "own" else "other"
    if folded[max(0, start - 4) : start].endswith(("谁说", "哪个说", "谁讲")):
        return "other"
    if folded.startswith(_ASKED, end) or _DOUBTED.search(_FRANK.sub("", folded[max(0, start - 12) : start])):
        return "doubtful"
    return "claim"


def _is_of_others(text: Text, start: int, end: int, quotes: list[Quote]) -> bool:
    """A mention that is no claim: quoted, part of a longer noun or a product's name, or not in the first person."""
    quote = quote_at(quotes, start, end)
    if quote is not None:
        return quote.kind != "own"
    if _GOES_ON.match(text.folded, end):
        return True
    low, high = text.clause(start)
    clause = text.folded[low:high]
    if text.folded[max(0, start - 2) : start] in ("一个", "一名", "一款", "一台", "一只", "一枚") and text.closed(end):
        return False
    if text.folded[max(0, start - 1) : start] == "是" or text.folded[max(0, start - 2) : start] in ("作为", "身为"):
        return False
    return not _FIRST_PERSON.search(clause) or _ABOUT_OTHERS.search(text.folded, low, start) is not None
