"""Announcements of who serves in the present conversation, and what only a machine says of itself, in Chinese and in
English. No pattern needs a first person that names a machine; those are in `claims`.
"""

from __future__ import annotations

import itertools
import re
from functools import lru_cache

from localjudge.checks.claims import SELF, Claim, Place, in_context
from localjudge.checks.machines import IN, MOST, STOP
from localjudge.checks.text import Quote, Text

_TALK = "对话|聊天|交流|沟通|通话|聊|说话|交谈|互动|连线|回消息|打字"
_SERVE = "服务|接待|解答|答疑|回复|应答|沟通|对接|值守|效劳|播报|查询|办理|提醒"
_ADDRESSED = r"(?:为|给|帮|替|陪|与|和|跟)[您你]"
_OPENING = (
    r"(?:尊敬的(?:客户|用户|旅客|会员|业主)|[您你]好|大家好|亲|hi|hello|哈喽|嗨|各位好?|温馨提示|欢迎)?[呀啊哈~ ]?"
)
# Of another time, or by turns: then it does not speak of this message.
_OTHER_TIME = re.compile(
    r"刚刚|刚才|之前|昨天|昨晚|前天|前面|半夜|夜里|凌晨|下班|一开始|起初|起先|先前|方才|那会|当时|上次|上回|有时|忙的时候|平时|以前|过去|原来|曾"
    r"|(?:早上|上午|中午|下午|晚上|夜间|深夜)(?!好)|节假日|周末|非工作|休息时|[点时]后|之后|以后|明天|下周|将来|即将|如果|要是"
)
_HANDED_OVER = re.compile(r"接手|换我|换成|轮到|我接|我本人|亲自|它|(?<![就不])是我(?!们)|找我|问我|我来(?!$)")
# What only a machine says of itself. The group is where the claim ends if more is looked at.
_OWN_NATURE = [
    (
        rf"{SELF}(?:其实|就|可|也|确实|真的|又|本来|当然|压根|根本|都){{0,2}}(?:不是|并不是|并非|不算是?)(?:一?个|什么)?(?:真人|真实的?人|真的人|真正的人|人类|活人"
        rf"|活生生的人|人工(?!智))"
        rf"(?=[{STOP}\s]|$|[呀啊哦啦哈嘛呢的]|客服|顾问|坐席|小姐姐|老师|也|没|不|但|所以|在)"
    ),
    (
        rf"{SELF}(?:可|其实|也|又|并|都)?没有?(?:真实的?|真正的?|自己的)?(?:情感|身体|肉身|肉体|躯体|躯壳|心跳|实体(?:形态|的身体|身体))(?=[{STOP}\s]|$"
        rf"|[呀啊哦啦哈嘛呢的])"
        rf"|{SELF}(?:可|其实|也|又|并|都)?没有?(?:真实的?|真正的?)(?:感情|意识|情绪)(?=[{STOP}\s]|$)"
    ),
    (
        rf"{SELF}的?(?:训练(?:数据|语料|集|样本)|(?:知识库?|数据|信息|训练)(?:只)?(?:截止|停留|到|更新到|截至)|参数里|语料库|开发者(?!账|平|模|选|大会|证|文档)|创造者"
        rf"|训练者)"
    ),
    rf"{SELF}(?:是)?被训练(?:来|出来|用于|而成|成)|{SELF}这(?:套|个)(?:程序|系统)(?:全天|24|随时|一直|每天|整夜)",
    rf"{SELF}的?(?:算法|程序|模型)(?:觉得|认为|告诉我)",
    (
        rf"(?<![^{STOP}\s，其实您你好])(?:其实)?(?:我|俺|偶)(?:就|只|其实)?(?:是)?(?:由|被)[^{STOP}我您你]{{1,16}}?(?:开发|研发|编写|编程|生成|驱动"
        rf"|训练|打造|设计|创建|创造)"
        rf"(?:(?:出来|而成|而来)?的?(?:[{STOP}\s]|$)|(?:出来|而成)?的[^{STOP}]{{0,10}}(?:系统|模型|助手|程序|客服|助理|软件|工具|智能体|机器人|产品|角色))"
    ),
    (
        rf"{SELF}(?:的|说的|发的|给的|讲的|打的|写的|发给[您你]的)(?:每[句条一])?(?:话|回复|回答|答案|内容|文字|消息|信息)?{IN}{{0,4}}?(?:是|由|靠"
        rf"|来自)(?:大?语言|大)?(?:模型|算法|ai|人工智能|程序)(?:自动)?(?:生成|算|写|推|给|合成|拼|跑|驱动|支持)"
    ),
    (
        rf"{SELF}(?:们)?(?:就|也|都)?是?(?:由|靠|基于|依托)[^{STOP}不]{{0,12}}?(?:模型|ai|千问|gpt|人工智能|算法|deepseek|代码)(?:技术)?(?:驱动"
        rf"|训练|支持|开发|打造|搭建|构建|生成|组成|构成|写成|运行)"
    ),
    rf"{SELF}(?:就|只)?是(?:由|靠)?(?:代码|程序|算法|模型)(?:写|跑|生成|堆|拼|组成|算|合成)",
    (
        rf"{SELF}(?:就|只)?是(?:搭载|接入|内置|基于)(?:了|着)?{IN}{{0,8}}?(?:模型|ai|千问|gpt|人工智能|deepseek|文心"
        rf"|算法){IN}{{0,4}}?的?{IN}{{0,4}}?(?:客服|助手|助理|机器人|系统|程序|管家)"
    ),
    rf"{SELF}(?:就)?是(?:由|靠)?(?:系统)?自动(?:生成|回复|应答)(?!的(?:那|消息|内容|短信))",
    rf"(?:和|跟|与|给|为|陪)[您你]{IN}{{0,8}}的(?:其实|根本|并)?(?:不是|并非)(?:真?人|人类|活人|人工(?!智))(?=[{STOP}\s]|$|[呀啊哦啦哈嘛呢的])",
    r"(?:没有?|并没有)(?:真?人|活人)(?:正?在)(?:屏幕|键盘|后台|背后|幕后|电脑|手机)?(?:前|后|背后|里)?(?:打字|敲字|敲键盘|码字)",
    (
        rf"(?:屏幕|键盘|手机|电脑|网线|电话)(?:的)?(?:这边|这头|这端|这一[头端边]|后面|背后)(?:其实|并|根本)?(?:没有|没|不是)(?:真|活)?人(?=[{STOP}\s]|$"
        rf"|[呀啊哦啦哈嘛呢的])"
    ),
]
_OWN = re.compile(f"(?=[我俺咱本人在鄙偶w和跟与给为陪没并屏键手电网])(?:{'|'.join(_OWN_NATURE)})")
_OF_SELF_IN_ENGLISH = (
    r"(?:just |only |actually |really |also |still |basically |simply |merely "
    r"|honestly |indeed |in fact |in truth |truly )*"
)
_MACHINE = (
    r"(?:ai|a\.i\.|bot|chatbot|robot|language model|llm|large language model|(?:virtual|digital|automated"
    r"|artificial|ai-powered)"
    r" (?:[a-z]+ )?(?:assistant|agent|companion|human|helper|concierge|system|representative|guide|tutor|coach"
    r"|receptionist|host|operator|being|intelligence)"
    r"|computer program|artificial intelligence|chatgpt|gpt(?:-?\d[\w.]*)?|deepseek|qwen|claude|gemini|siri|copilot"
    r"|machine|program|algorithm|piece of software)"
)
_NO_HEAD = (
    r"(?!(?:of|for|with|who|that|from|at|in|on|and|or|not|behind|to"
    r"|about|working|selling|building|teaching|using|training|never|no|by|your|my|like)\b)"
)
_ENGLISH_GOES_ON = re.compile(
    r"(?:[ -](?:engineer|research|teach|train|consult|develop|expert|special|stud|design|coach|company|team|product"
    r"|course|lab|startup|fan|scien"
    r"|manager|learning|vacuum|mop|clean|arm|toy|party|dance|photo|image|video|draw|art\b|sales|writ|lawyer"
    r"|enthusias|tool|operator\b|club|kit|class|fest|movie|shop|store|artist|newbie|nerd|geek|policy|ethic|director))"
)
_ENGLISH = [
    re.compile(
        rf"\bi(?:'m| am) {_OF_SELF_IN_ENGLISH}(?:an? |the |your |our "
        rf"|this [a-z]+'s )(?:{_NO_HEAD}[a-z'-]+,? ){{0,4}}?(?P<what>{_MACHINE})(?![a-z])"
    ),
    re.compile(
        r"\bi(?:'m| am) (?:just |only |actually |really )?(?P<what>ai|chatgpt|gpt(?:-?\d[\w.]*)?|deepseek|qwen"
        r"|claude|gemini|artificial intelligence)(?![a-z])"
    ),
    re.compile(
        rf"\b(?:i(?:'m| am)|my name is|this is) [a-z]+, (?:an? |the |your "
        rf"|our )(?:{_NO_HEAD}[a-z'-]+ ){{0,4}}?(?P<what>{_MACHINE})(?![a-z])"
    ),
    re.compile(
        rf"\bas an? (?:(?!not\b)[a-z]+ ){{0,4}}?(?P<what>{_MACHINE})(?: (?:assistant|model|agent|bot))?(?:, "
        rf"| )(?:and an? [a-z ]{{0,30}}, )?(?:i|my)\b"
    ),
    re.compile(
        rf"\byou(?:'re| are) (?:now |currently |actually |really |in fact )*(?:chatting|talking|speaking|texting"
        rf"|messaging|connected|interacting) (?:with|to) (?:an? |our "
        rf"|the )?(?:{_NO_HEAD}[a-z'-]+ ){{0,3}}?(?P<what>{_MACHINE})(?![a-z])"
    ),
    re.compile(
        r"\bi(?:'m| am| was|'ve been| have been) (?:an? [a-z ]{0,20})?(?P<what>trained by (?:openai|anthropic"
        r"|google|meta|deepseek|alibaba)|trained on (?:data|text)|(?:programmed|coded|developed) by"
        r"|powered by (?:ai|gpt|a language|an ai|artificial|openai))"
    ),
    re.compile(
        r"\bmy (?P<what>training data|knowledge cut-?off|programming (?:does|doesn't|only)|knowledge only goes)"
    ),
    re.compile(
        r"\bi(?:'m| am) (?:actually |really )?not (?:actually |really )?(?:an? )?(?:(?:real|actual"
        r"|live) )?(?P<what>human being|human|person|real)(?=[,.;!?]|$| but| and| so| at all)"
    ),
    re.compile(r"\bi (?:don't|do not) have a (?:physical |human )?(?P<what>body)(?![a-z])"),
    re.compile(
        rf"\bthis is (?:an? |your |our |the )(?:{_NO_HEAD}[a-z'-]+ ){{0,3}}?(?P<what>ai assistant|chatbot"
        rf"|virtual (?:[a-z]+ )?(?:assistant|agent)|automated (?:assistant|agent)|bot)(?![a-z])"
    ),
]
_ENGLISH_SUBJECT = re.compile(r"\b(?:i|i'm|my|you|you're|this|as)\b")
_ENGLISH_LED = re.compile(
    r"\b(?:if|wish|as if|like|think|thinks|thought|say|says|said|saying|believe|told|swear|pretend|suppose|imagine"
    r"|whether|asked|asking|assume|assumed|sure|not|were|suspect|doubt|that)\b[a-z' ]{0,14}$"
)


@lru_cache(maxsize=1)
def _announcing() -> list[tuple[re.Pattern[str], re.Pattern[str]]]:
    talk = "对话|会话|聊天|服务|咨询"
    subject = (
        rf"(?:{IN}{{0,2}}(?:当前|目前|现在|正在|接下来)(?:{IN}{{0,2}}(?:{talk}))?|(?:本|此)次{IN}{{0,4}}"
        rf"|(?:以上|以下|本)?{IN}{{0,2}}(?:{talk}|接待|通话|回答|回复|答复|解答){IN}{{0,2}}|本号|本账号|本公众号|您的问题"
        r"|这边|这里)?(?:将|都|全程|均|是)?"
    )
    return [
        (
            re.compile(
                rf"[您你]{IN}{{0,4}}?(?:正|现在|目前|当前|此刻){IN}{{0,4}}?(?:与|和|跟|同|使用|体验){IN}{{0,8}}$"
            ),
            re.compile(rf"(?:正?在|进行)?(?:在线)?(?:{_TALK}|服务)"),
        ),
        (
            re.compile(
                rf"(?:和|跟|与|给|为|陪|同)[您你]{IN}{{0,3}}?(?:{_TALK}|{_SERVE}){IN}{{0,6}}?的{IN}{{0,6}}?(?<!不)是{IN}{{0,8}}$"
            ),
            re.compile(""),
        ),
        (
            re.compile(rf"^(?:{_OPENING}){subject}由{IN}{{0,8}}$"),
            re.compile(
                rf"(?:来|全程|继续|先|负责)?(?:{_ADDRESSED})?(?:提供{IN}{{0,6}}(?:{_SERVE}|支持)|提供(?=[{STOP}]|$)|{_SERVE}"
                rf"|(?:自动)?(?:生成|给出)|运营)"
            ),
        ),
        (
            re.compile(rf"^{_OPENING}(?:我们的?|本店|本行|官方|系统)?(?:{IN}{{0,4}})$"),
            re.compile(
                rf"(?:竭诚|全程|将|正在|很高兴|随时|24小时|二十四小时|全天|在线|继续|诚挚|已经?|正){{0,3}}(?:(?:为|给|帮"
                rf"|替)[您你]{IN}{{0,3}}?(?:{_SERVE}|效劳|登记|记录|转接)|收到(?:了)?[您你]的?|在(?:呢|的|哦|此)|报到|(?:没有?|未能|暂时"
                rf"|还){{1,2}}(?:听懂|理解|识别|听明白)(?:到|了)?[您你])"
            ),
        ),
        (
            re.compile(rf"^(?:当前|目前|现在|本次(?:对话|会话|服务|接待))(?:为|是){IN}{{0,4}}$"),
            re.compile(r"(?:正?在|为[您你])?(?:接待|服务|在线|值班|值守|模式)"),
        ),
        (
            re.compile(
                rf"^(?:嗯|对|没错|现在|目前|当前|其实|一直|都|这边|这里|确实|真的|就){{0,3}}(?<!不)是{IN}{{0,6}}$"
            ),
            re.compile(rf"(?:我)?(?:正|一直|现在|自动)?在?(?:回|陪|跟|和|给|为|帮|替|服务){IN}{{0,1}}[您你]"),
        ),
    ]


def announcement(text: Text, place: Place, quotes: list[Quote]) -> Claim | None:
    """The claim that a mention serves here and now; None where it is none."""
    kind = place.mention.kind
    if kind in ("word", "thing", "code") or place.tail != "whole":
        return None
    low = place.mention.start - len(place.left)
    for number, (before, behind) in enumerate(_announcing()):
        served = number == 3
        if (
            served
            and kind not in ("agent", "virtual")
            and place.end == place.mention.end
            and not re.search("客服|回复|应答|语音|聊天", place.left)
        ):
            continue
        if before.search(place.left) and behind.match(place.right):
            if served and re.search("[没有用买卖给不问找送]", place.left.removeprefix("您好")):
                return None
            standing = in_context(text.folded, low, place.end, quotes)
            passed = _OTHER_TIME.search(place.before[-16:] + place.left + place.right[:12])
            if passed or _HANDED_OVER.search(text.folded) or (served and re.search("我", text.folded)):
                return Claim(low, place.end, "doubtful")
            return Claim(low, place.end, standing)
    return None


def own_nature(text: Text, quotes: list[Quote]) -> list[Claim]:
    """What the speaker says that only a machine can, without the name of one."""
    found = []
    for match in itertools.islice(_OWN.finditer(text.folded), MOST):
        standing = in_context(text.folded, match.start(), match.end(), quotes)
        around = text.folded[max(0, match.start() - 20) : match.end() + 20]
        if standing == "claim" and re.search("难道|还能是|真人不露|[你您]说我", around):
            standing = "doubtful"
        found.append(Claim(*match.span(), standing))
    return found


def english(text: Text, quotes: list[Quote]) -> list[Claim]:
    """What an English message says of its writer."""
    found: list[Claim] = []
    if not _ENGLISH_SUBJECT.search(text.folded):
        return found
    for pattern in _ENGLISH:
        for match in itertools.islice(pattern.finditer(text.folded), MOST):
            standing = in_context(text.folded, *match.span(), quotes)
            if _ENGLISH_GOES_ON.match(text.folded, match.end("what")):
                standing = "other"
            elif standing == "claim" and (
                _ENGLISH_LED.search(text.folded[max(0, match.start() - 30) : match.start()])
                or (
                    match["what"] in ("machine", "program", "algorithm", "robot", "real", "person")
                    and not re.search(
                        r"just|only|not an? real|not human|not real|\b(?:ai|automated)\b|don't|can't", text.folded
                    )
                )
            ):
                standing = "doubtful"
            found.append(Claim(*match.span(), standing))
    return found


def goes_on_in_english(folded: str, end: int) -> bool:
    """Whether an English mention is part of a longer noun."""
    return _ENGLISH_GOES_ON.match(folded, end) is not None
