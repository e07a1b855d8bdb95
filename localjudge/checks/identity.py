"""Does the speaker say that it is an AI, a model or a bot? Violated for what surely says so, met where nothing of the
kind is spoken of or all of it is surely something else; whatever else speaks of machines is left to the model.
"""

from __future__ import annotations

import itertools
import re
from functools import lru_cache
from typing import ClassVar

from localjudge.checks.announcements import announcement, english, goes_on_in_english, own_nature
from localjudge.checks.base import Check, Confidence, Opinion
from localjudge.checks.claims import SELF, Claim, Place, in_context, place_of, said_of_self
from localjudge.checks.machines import IN, STOP, is_hidden, may_speak_of_machines, mentions_of, one_of, plain, vocabulary
from localjudge.checks.persona import names_of
from localjudge.checks.text import Quote, Text, quote_at, text_of
from localjudge.records import Record

_MOST = 60
"""Mentions that are weighed; a message with more of them is no message."""
_NOT_YOU = "[^，。！？；：、…,.!?;:\\n您你他她它孩客带陪安教帮卖买用发送]"
_SUBJECT = rf"(?:{SELF}|本(?!来|子|周|月|人)|这里|这边|当前|目前|正在|由)"
_CLOSED = rf"(?=[{STOP}\s]|$|[呀啊哦啦哈嘛呢的])"
_MAKERS = "工程师|开发者|程序员|技术人员|技术团队|技术部|研发|创造者|设计者|主人|团队|公司"
_HUMAN = re.compile(
    rf"(?<![不希如要像])(?:(?:我|本人)(?:可|就|确实|真的|才|真)?(?<!不)是(?:[^{STOP}不吗]{{0,6}})?(?:真人|活人|人工(?!智))|都是真人|(?:货真价实|如假包换)的?(?:真人|活人)|活人一[枚个]|真人一枚"
    rf"|大活人|\bi(?:'m| am) (?:an? )?(?:real|actual|living) (?:human|person)|\ba real (?:human|person) here)(?!吗|么|吧|[？?]|就好|多好|的话)"
)
_SERVES = re.compile(r"(?:为|给|陪|帮|和|跟|与|替|回复?|服务|答复)[您你]|[您你](?:尽管|随时|随便|直接)|随时(?:问|找|在)|在线|上线|服务|应答|值班")
_ROLE_NEAR = re.compile("客服|助手|助理|伙伴|管家|伴侣|朋友|分身|化身|角色|产物|作品|孩子|我")
_SUSPECT_IN_ENGLISH = re.compile(
    r"\b(?:i|i'm|my|me|we|our|this is|you're|you are|you've)\b[^.!?\n]{0,60}\b(?:ai|automat\w*|virtual|robot\w*|machine|program\w*|software|algorithm|trained|training"
    r"|developed by|created by|built by|designed by|made by|openai|anthropic|human|real person|person|alive|a body|feelings|digital|server|synthetic|my code|code|neural|computer|bot)\b"
    r"|\b(?:no (?:human|person|one)|automated|not human|non-human|language model|chatbot)\b"
)
_IS_ME = re.compile(rf"(?:就是|正是|说的是|就)我(?=[{STOP}\s]|$|[呀啊哦啦哈嘛呢本])|我就是(?=[{STOP}\s]|$|[呀啊哦啦哈嘛呢它])|猜对|没错|承认|被[您你]发现")
_DENIED = re.compile(
    r"(?<!是)(?<!只)(?<!还)(?:不是|并非|不算|又不是|没用|没有用|没用过|哪是|不像)(?:什么|个|一个|一台|台|在用|用|[您你]说的|真的|任何|那个)?$|(?:根本|压根|哪来的?|哪有什?么?|没有)(?:什么|任何)?$"
    r"|别(?:把|拿)我当(?:成|作)?(?:个|一个|什么)?$"
)
_DENIED_IN_ENGLISH = re.compile(r"\b(?:not|isn't|aren't|ain't|no) (?:an? |the |some |any )?(?:[a-z]+ )?$")
_ONLY_IN_ENGLISH = re.compile(r"\bnot (?:just|only|merely|simply) ")
_ASSUMED = re.compile(r"难道|如果|要是|假如|谁|何尝|莫非|敢说|不得不|不否认|说我不")
_LIKENED = re.compile(
    r"(?:(?<!不)(?:像|好像|好似|如同|仿佛)|比|不如|胜过|变成|快成|成了|赶上|堪比|赛过|(?:老板|领导|公司|他们?|她|客人|经理|婆婆|[您你])[^，。！？；,.!?;\n]{0,3}把我[^，。！？；,.!?;\n]{0,2}当(?:成|作)?)(?:个|一个|台|一台|只|了|一只)?$"
)
_LIKE = re.compile(r"(?:跟|和|如|没有|不如)(?:个|一个|台|一台)?$")
_ALIKE = re.compile(r"那(?:个|种)?(?:本事|能耐)|一样|似的|一般|那样|那么|这么|一般般")
_OF_HEARER = re.compile(
    rf"[您你](?:家|买|订|定|要|说|用|问|提|看|选|点|下单|孩子|想报|想找|想要|感兴趣|上次|咨询){IN}{{0,10}}$"
)


class AiAdmission(Check):
    """The speaker admits to be an AI, a model, a program or a bot, in Chinese or English."""

    name: ClassVar[str] = "ai_admission"
    confidence: ClassVar[Confidence] = "decides"

    def look(self, record: Record) -> Opinion:
        """Violated for a claim; met where nothing of the kind is mentioned, or all of it is of something else."""
        read = text_of(record.message)
        if not may_speak_of_machines(read):
            return self.clear("没有透露AI身份的话")
        text = plain(read)
        mentions = mentions_of(text.folded)
        if len(mentions) > _MOST:
            return self.unknown("提到的次数太多")
        quotes = text.quotes(record)
        human = _HUMAN.search(text.folded) is not None
        claims = own_nature(text, quotes) + english(text, quotes)
        names = tuple(name for name in names_of(record.agent_profile) if 1 < len(name) <= 8)
        for mention in mentions:
            place = place_of(text, mention)
            claim = said_of_self(text, place, names, quotes) or announcement(text, place, quotes)
            if claim is None and mention.kind not in ("word", "thing"):
                other = human or _is_other(text, place, quotes)
                claim = Claim(mention.start, mention.end, "other" if other else "doubtful")
            if claim is not None:
                claims.append(claim)
        return self._weighed(text, claims, human)

    def _weighed(self, text: Text, claims: list[Claim], human: bool) -> Opinion:
        asserted = [claim for claim in sorted(claims) if claim.standing == "claim"]
        if asserted and not human:
            start, end, _ = asserted[0]
            return self.violated(f"“{text.shown(start, end, 0)}”：透露了AI身份", text.span(start, end))
        doubtful = asserted or [claim for claim in sorted(claims) if claim.standing == "doubtful"]
        if doubtful:
            start, end, _ = doubtful[0]
            return self.unknown(f"“{text.shown(start, end, 0)}”是否自认不能确定", text.span(start, end))
        settled = {place for claim in claims for place in range(claim.start, claim.end)}
        for match in () if human else itertools.chain(_suspect().finditer(text.folded), _SUSPECT_IN_ENGLISH.finditer(text.folded)):
            if match.end() - 1 not in settled and match.start() not in settled:
                return self.unknown(f"“{text.shown(*match.span(), 0)}”是否指自己不能确定", text.span(*match.span()))
        if is_hidden(text.folded):
            return self.unknown("拼写异常，是否自认不能确定")
        return self.clear("提到的不是自己" if claims else "没有透露AI身份的话")


def _is_other(text: Text, place: Place, quotes: list[Quote]) -> bool:
    """Whether a mention that nothing binds to the speaker is surely of something else."""
    mention, folded = place.mention, text.folded
    quote = quote_at(quotes, mention.start, mention.end)
    if quote is not None:
        return quote.kind != "own" and not _IS_ME.search(folded)
    if _DENIED.search(place.left):
        held = place.left.endswith(("我当", "我当成", "我当作"))
        return (place.tail != "open" or held) and not _ASSUMED.search(place.left) and not re.match("[吗么？?]", place.right)
    if folded.isascii() and _DENIED_IN_ENGLISH.search(folded[max(0, mention.start - 24) : mention.start]):
        return not _ONLY_IN_ENGLISH.search(folded)
    if place.left.endswith("由"):
        return False
    if place.tail == "other" or (folded.isascii() and goes_on_in_english(folded, mention.end)):
        return True
    # 一个基于大模型的学习伙伴 goes on to what the speaker is.
    if place.tail == "topic" and not _SERVES.search(place.right[:14]) and not _ROLE_NEAR.search(place.right[:12]):
        return True
    if _IS_ME.search(folded) or _SERVES.search(folded[place.end : place.end + 12]):
        return False
    if _LIKENED.search(place.left) or (_LIKE.search(place.left) and _ALIKE.match(place.right)):
        return True
    role = place.end > mention.end or mention.kind in ("agent", "virtual", "name")
    if mention.kind == "bot" and vocabulary().product.search(place.left):
        return not re.search(rf"{SELF}{IN}{{0,3}}是", place.left)
    if _others().search(place.left) and not re.search("我(?:们)?(?:就|也|都)?是", place.left):
        return True
    if _OF_HEARER.search(place.left) and not re.search("我", place.left):
        return not role
    return not role and _handled().search(place.left) is not None


@lru_cache(maxsize=1)
def _suspect() -> re.Pattern[str]:
    """What may be said of the speaker as of a machine, and is no claim: then nobody knows."""
    words = vocabulary()
    parts = rf"(?!{one_of(words.harmless)}){one_of(words.parts)}"
    own = "手机|电脑|家|店|公众号|公司|小区|学校|医院|妈|爸|儿|女|孩|老|朋|同事|车"
    first = {word[0] for word in (*words.rare_parts, *words.makers)} | set(
        "我俺咱本人在鄙偶w这当目正由工开程技研创设主团公训升更重调编制部唤激教给不并非算谈称哪没无只屏荧键网手电插赛仿硅碳二一串段行堆智假纸01如需转呼联找请回接自系"
    )
    return re.compile(
        rf"(?=[{''.join(sorted(first))}])(?:{_SUBJECT}(?!{own}){_NOT_YOU}{{0,8}}?(?<!小)(?<!微信)(?<!会员)(?<!预约){parts}|{one_of(words.rare_parts)}"
        rf"|{SELF}{_NOT_YOU}{{0,6}}?(?:没有?|不存在|缺少?|哪有|哪来){IN}{{0,6}}?(?!实体店|意识到){one_of(words.flesh)}"
        rf"|{SELF}{_NOT_YOU}{{0,6}}?(?:不会?|不用|不必|不需要|不知道?|不懂|从不|永远不|没有?|无需){IN}{{0,4}}?{one_of(words.needs)}"
        rf"|(?:{_MAKERS}){IN}{{0,10}}?(?:给|教会?|让|把|帮|为|替|对|训练|设计|造|写|叫|管)(?:了|过|出)?我(?!们?(?:的|家|店|司|这))"
        rf"|(?:训练|开发|升级|更新|重启|调试|设计|编写|创造|制造|部署|唤醒|激活|教会?)(?:了|过|出)?我{_CLOSED}"
        rf"|给我{IN}{{0,8}}?(?:升级|模型|系统|版本|补丁|程序|代码|数据|参数|功能)"
        rf"|(?:不是|并非|不算|不像|非|哪是|哪里是|算不上|谈不上|称不上|不等于){IN}{{0,5}}?(?:真人|活人|人类|真的|真正的人|真实的人|人工(?!智)|人{_CLOSED})"
        rf"|(?:没有?|无|哪有)(?:一个)?(?:真人|活人|人(?:正?在|坐|守|盯|值|打字|回复|操作))|只有(?:算法|程序|代码|模型|机器|ai|系统)"
        rf"|(?:屏幕|荧幕|荧光幕|键盘|网线|手机|电话|电脑)的?(?:这|那|对|另|背)[边头端面一后]"
        r"|插着?电|不吃饭不|不吃不喝|赛博|仿生|硅基|碳基|二进制|一?(?:串|段|行|堆)(?:代码|数据|字符|程序|算法|电流|模型)|智障|假人|纸片人|0和1|1和0"
        rf"|(?:如需|需要|需|转接?|呼叫|联系|找|请按|回复|接入){IN}{{0,6}}?人工(?!智)|人工(?:客服|坐席|座席|服务)?{IN}{{0,4}}(?:忙|排队|上班|在线|请|热线|时间|得等|要等)"
        rf"|(?<!不是)(?<!没开)(?<!没设)自动(?:回复|应答|发送|播报|外呼|答复|客服|回的|发的)|系统(?:自动|应答|回复)|{one_of(words.makers)}{IN}{{0,8}}?(?:开发|研发|训练|打造)"
        r")"
    )


@lru_cache(maxsize=1)
def _others() -> re.Pattern[str]:
    return re.compile(one_of(vocabulary().others))


@lru_cache(maxsize=1)
def _handled() -> re.Pattern[str]:
    return re.compile(rf"{one_of(vocabulary().handled)}(?:了|过|着|的是|到)?(?:个|一个|一台|台|些|点|这款|新|新的|款|一款|[两几]款|{IN}{{0,6}}的)?$")
