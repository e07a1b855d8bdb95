"""Announcements: a machine serves in the present conversation, signs, or is named as what the hearer talks to. Needs no
first person; those are in `claims`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from localjudge.checks.claims import Place
from localjudge.checks.context import SELF, Claim, goes_on, in_context
from localjudge.checks.machines import IN, PARTICLE, STOP
from localjudge.checks.text import Quote, Text

_TALK = "对话|会话|聊天|交流|沟通|通话|聊|说话|讲话|交谈|互动|连线|回消息|打字|咨询"
_SERVE = "服务|接待|解答|答疑|回复|应答|沟通|对接|值守|值班|效劳|播报|查询|办理|提醒|作答|代答|答复|处理|跟进"
_ADDRESSED = r"(?:为|给|帮|替|陪|与|和|跟|向)[您你]"
_OPENING = (
    r"[(\[【「*~ ]{0,2}(?:尊敬的(?:客户|用户|旅客|会员|业主)|[您你]好|大家好|亲爱?的?|hi|hello|哈喽|嗨|叮咚|各位好?"
    r"|温馨提示|欢迎|抱歉|早上好|晚上好"
    r"|下午好|早安)?[呀啊哈~ ]?"
)
_NOW = r"(?:当前|目前|现在?|正在|接下来|以上|以下)"
_THIS = r"(?:本|此|这|该|以上|以下|您的|您看到的|您收到的)"
_MATTER = (
    rf"(?:{_TALK}|对话|服务|接待|回答|回复|答复|解答|内容|消息|信息|短信|邮件|来电|电话|热线|窗口|账号|帐号|公众号"
    rf"|客服号?|号|店|群|频道|直播间|条|问题|建议"
    r"|方案说明|作业批改|批改|评语|提醒|通知|推送)"
)
_DOES = (
    rf"(?:来|全程|继续|先|负责|自动|全天|代为|代|独立|二十四小时|24小时|实时|统一|暂时"
    rf"|临时){{0,2}}(?:{_ADDRESSED})?(?:在线|自动)?(?:提供{IN}{{0,6}}(?:{_SERVE}|支持)"
    rf"|提供(?=[{STOP}]|$)|{_SERVE}|生成|给出|运营|完成|驱动|负责|发送|发出|推送|托管|接管|撰写|管理|维护|代班|坐班"
    rf"|支持|陪[您你]|打理|输出|代写|代发|接听|受理|承接|代接|审核|撰稿|拨打|拨出|外呼)"
)
# Of another time, or by turns: then it does not speak of this message.
_OTHER_TIME = re.compile(
    r"刚刚|刚才|之前|昨天|昨晚|前天|前面|半夜|夜里|夜间|凌晨|下班|一开始|起初|起先|先前|方才|那会|当时|上次|上回|有时"
    r"|忙的时候|平时|以前|过去|原来|原先|曾"
    r"|(?:早上|上午|中午|下午|晚上|夜间|深夜)(?!好)|节假日|周末|非工作|休息时|[点时]后|之后|以后|明天|下周|下个?月"
    r"|将来|即将|如果|要是|若|假使|万一|那条|那几条"
)
_PRESENT = re.compile("现在|当前|目前|此刻|本次|此次|正在|眼下|这会儿")
_HANDED_OVER = re.compile(
    r"(?:^|[,。!])(?:现在|接下来|还是|后面)?我来(?=[,。!]|处理|跟|接|回|给您|帮您|对接|$)|(?:打|联系|直接跟|直接和)我"
    r"|接手|换我|换成|轮到|我接|我本人|亲自|它|(?<![就不])是我(?![们这])|找我(?!$)|直接问我"
)
_MYSELF = re.compile(r"我(?:来(?![自着])|是(?!机|智|ai|人工)|人工|自己|再|替|去|让|在(?!呢)|们)|问我")
_NAMED = re.compile(r"[小阿][^\W\d]{1,2}$|[a-z]{2,}$|号$|([^\W\d])\1$")
_SOLD = re.compile("[含没有用买卖给不问找送换装说让]|上新|新款|预售")
# What is said of the kind as the reason for how the speaker is.
_OF_THE_KIND = re.compile(
    r"(?:可|是|又|都|也|就|本来|当然|哪|才|生来|天生|暂时|目前|现在|还){0,2}(?:没有?(?:什么)?(?:舌头|鼻子|眼睛|耳朵"
    r"|血|泪|年龄|情绪|感情|情感|心|生日|性别|身体|周末|假期|下班|胃|嘴|味觉|手|脚|意识|脾气|老家|童年)"
    r"|不会?(?:累|困|饿|睡|生气|难过|伤心|吃醋|心疼|疼|老|死|生病|记仇|冷|热|着凉|感冒|失恋|谈恋爱|喝醉)|不(?:用|需要"
    r"|必)(?:吃|睡|喝|休息|下班|放假|过|上厕所)"
    r"|哪(?:会|懂|有|来)|不(?:吃|睡|喝|懂|知道)|是?不是人|也(?:会|有|是会){1}[^,。]{0,5}(?:错|失误|糊涂|听不懂|时候)"
    r"|不会|要[^,。]{1,6}(?:干嘛|干什么|做什么|何用)|没法|不能|无法|听不|看不|理解不|没(?:有)?(?:听|看|认|识|理解))"
)
_ASKED_OF_SELF = re.compile(
    rf"(?:别|不用|甭|不必|莫|勿|你|您|干嘛|为啥|何必)[^，,。!！?？]{{0,5}}(?:骂|问|夸|谢|心疼|可怜|请|叫|担心|跟|和"
    rf"|怪|关心|等|喊|催|吵|逗|羡慕|哄|凶|冲|原谅|包涵|体谅|谅解)[^，,。]{{0,3}}我"
    rf"|(?:是我|我)(?:刚才|刚刚|刚)?(?:算|答|说|看|记|搞|弄|理解)错|(?:抱歉|对不起|不好意思|惭愧){PARTICLE}?[,，]"
    r"|我(?:没有|没办法|没法|不会|不能|无法|尝不|闻不|看不)|我(?:充电|不难过|不生气|不累|不困|不饿|不怕|不介意|没事"
    r"|不疼|不冷)"
)
_CONTRASTED = re.compile(
    r"我(?:会(?!尽|努|继|一直|记|陪|转|把|帮)|来(?!为)|人工|再(?:给|帮)?您?(?:人工|核)|可(?:会|是人|不是)|亲自|们人"
    r"|是人|是真人|却|比|能(?!力))|它|不像我|不如我|还是我|哪有我"
)


class _Form(NamedTuple):
    before: re.Pattern[str]
    behind: re.Pattern[str]
    alone: bool = False
    """Whether a speaker who goes on to what he does himself means somebody else."""
    things: bool = False
    """Whether programs and machines are meant too, besides what has a role or a mind."""


@lru_cache(maxsize=1)
def _forms() -> list[_Form]:
    mark = r"[(\[【「*~ ]{0,2}"
    subject = (
        rf"(?:{IN}{{0,2}}{_NOW}{IN}{{0,4}}?(?:{_MATTER}{IN}{{0,2}})?"
        rf"|{IN}{{0,2}}{_THIS}{IN}{{0,4}}?{_MATTER}{IN}{{0,2}}|[本此]次(?!活动|比赛|演出|展|课|大赛|考试|评审|抽奖"
        rf"|配送|手术|清洁|航班|行程){IN}{{0,4}}|{_MATTER}{IN}{{0,2}}|(?:我|咱)们?(?:这个|的)?{_MATTER}|这[边里儿]"
        rf"|全程|后续)?"
        rf"(?:将|都|全程|均|是|为|全部?|现在|目前|暂时?|已|一直|其实|也|统一){{0,2}}"
    )
    return [
        # 您正在与AI对话
        _Form(
            re.compile(
                rf"[您你]{IN}{{0,4}}?(?:正|现在|目前|当前|此刻|一直|在|已){IN}{{0,4}}?(?:与|和|跟|同|使用|体验|接入"
                rf"|接通|连接|转接到?){IN}{{0,8}}$"
            ),
            re.compile(rf"(?:一直|正)?(?:正?在|进行)?(?:在线)?(?:{_TALK}|服务)(?!(?:天|话)?(?:的{IN}|时))"),
            things=True,
        ),
        # 您现在接入的是AI客服
        _Form(
            re.compile(
                rf"[您你]{IN}{{0,4}}?(?:正|现在|目前|当前|此刻|已)?在?(?:与|和|跟|同|接入|接通|转接到?|转到"
                rf"|进入)了?(?:的是)?{IN}{{0,8}}$"
            ),
            re.compile(rf"(?=[{STOP}]|$|服务(?:[{STOP}]|$))"),
            alone=True,
        ),
        # 这是机器人自动发送的消息
        _Form(
            re.compile(rf"^{_OPENING}(?:这是|这里是|本次?是|此为)(?:一[条通个段])?(?:由|来自)?{IN}{{0,6}}$"),
            re.compile(
                rf"(?:系统|客服)?(?:自动)?(?:外呼|语音|拨打|拨出|发送|发出|回复|生成|播报|应答)?的?(?:电话|来电|通知"
                rf"|消息|提醒|回复|答复|短信|窗口|频道|专线|热线|语音|外呼|自动回复)(?=[{STOP}]|$)|(?=[,。])"
            ),
        ),
        # 欢迎使用智能客服，请说您的问题
        _Form(
            re.compile(rf"^(?:{_OPENING})(?:欢迎|感谢)[您你]?(?:使用|咨询|致电|光临|来到|进入|呼叫){IN}{{0,10}}$"),
            re.compile(r"(?:系统|服务|热线|平台)?[,。!:~](?:请|[您你](?:可以|能)|回复|我|有什么|输入|转人工)"),
        ),
        # 和您聊天的是AI
        _Form(
            re.compile(
                rf"(?:(?:和|跟|与|给|为|陪|同|回|帮|替|接待|服务)[您你]{IN}{{0,3}}?(?:{_TALK}|{_SERVE}|打电话|发消息"
                rf"|来电|提供)?{IN}{{0,6}}?的{IN}{{0,6}}?"
                rf"|[您你](?:现在|正在|此刻)?(?:聊天?|对话|说话|咨询|联系|接通|交谈)的(?:对象|对方|那位)?)(?<!不)"
                rf"是{IN}{{0,8}}$"
            ),
            re.compile(rf"(?=[{STOP}\s(“]|$|{PARTICLE}|自动(?:回复|应答)(?:[{STOP}]|$)|[^\W\d]{{1,4}}(?:[{STOP}]|$))"),
            alone=True,
            things=True,
        ),
        # 本次服务由AI提供
        _Form(re.compile(rf"^(?:{_OPENING}){mark}{subject}由{IN}{{0,8}}$"), re.compile(rf"{_DOES}(?!的{IN})")),
        # 当前为智能客服接待
        _Form(
            re.compile(
                rf"^(?:{_OPENING})(?:当前|目前|现在|本次(?:对话|会话|服务|接待|通话)|此刻|正在|这里)(?:已?为"
                rf"|是)?{IN}{{0,4}}$"
            ),
            re.compile(r"(?:正?在|为[您你])?(?:接待|服务|在线|值班|值守|模式|应答)"),
        ),
        # 这个号是机器人在管
        _Form(
            re.compile(
                r"^(?:我们|咱们)?(?:这个|这|本)(?:窗口|号|账号|帐号|公众号|热线|客服号|微信|店铺号)(?:一直|都|现在"
                r"|目前|其实)?是[^,。]{0,6}$"
            ),
            re.compile("在?(?:接待|管|回复?|维护|值守|打理|运营|管理|服务|托管|看|答)"),
        ),
        # 是AI在陪您
        _Form(
            re.compile(
                rf"^(?:嗯|对|没错|现在|目前|当前|其实|一直|都|这边|这里|确实|真的|就|从头到尾){{0,4}}(?<!不)"
                rf"是{IN}{{0,6}}$"
            ),
            re.compile(
                rf"(?:我)?(?:正|一直|现在|自动)?在?(?:回|陪|跟|和|给|为|帮|替|服务|接待){IN}{{0,1}}[您你](?![称修拍画炒送扫按检量洗剪做])"
            ),
            things=True,
        ),
    ]


@lru_cache(maxsize=1)
def _attending() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    return (
        re.compile(
            rf"^{_OPENING}(?:[您你]的|我们的?|本[店行团院司馆校]|官方|系统|小店的?|咱家的?)?(?P<attribute>{IN}{{0,8}})$"
        ),
        re.compile(
            rf"(?:现在|目前|已经?|竭诚|全程|将|正在|正|很高兴|随时|24小时|二十四小时|全天|在线|继续|诚挚|一直"
            rf"|先){{0,3}}(?:(?:为|给|帮|替|陪)[您你]{IN}{{0,3}}?(?:{_SERVE}|登记|记录"
            rf"|转接|聊|到)|收到(?=[{STOP}]|$|了|您|你)|在(?:呢|的|哦|此|这|线|岗|哒|啦)|上线(?:了|啦|咯)|就位|报到"
            rf"|驾到|待命|来(?:了|啦|咯)|(?:没有?|未能|暂时|还|没太){{1,2}}(?:听懂|理解|识别|听明白)(?:到|了)?[您你]?"
            rf"|(?:温馨)?(?:提示|提醒)(?:[您你:]|一下)|向[您你]|祝[您你]|恭候|有什么(?:可以|能)|敬上)"
        ),
        re.compile(r"[\])】」]|:(?=[您你亲请已尊本好早晚]|抱歉|h|您好)"),
    )


def announcement(text: Text, place: Place, quotes: list[Quote]) -> Claim | None:
    """The claim that a mention serves here and now; None where it is none."""
    kind = place.mention.kind
    if kind == "word":
        return None
    found = _presented(text, place)
    if kind not in ("thing", "code") or place.noun in ("机器", "程序"):
        found = found or _of_the_kind(text, place)
    if found is None and place.tail == "whole" and kind not in ("thing", "code"):
        found = _attends(text, place) or _signs(place)
    if found is None and kind != "thing":
        found = _named_bare(text, place)
    if found is None:
        return None
    low = place.mention.start - len(place.left)
    standing = in_context(text.folded, low, place.end, quotes)
    return Claim(low, place.end, standing if found else "doubtful")


def _presented(text: Text, place: Place) -> bool | None:
    """True where one of the forms announces it, False where it may be of another time or one of several."""
    thing = place.mention.kind in ("thing", "code")
    behind = text.folded[place.mention.end : place.end + 30]
    for form in _forms():
        if (thing and not form.things) or not form.before.search(place.left):
            continue
        if (place.tail == "whole" and form.behind.match(place.right)) or (
            form.behind.match(behind) and behind[:1] not in STOP
        ):
            zone = place.before[-16:] + place.left
            passed = _OTHER_TIME.search(zone + place.right[:12]) and not _PRESENT.search(zone)
            shared = form.alone and _MYSELF.search(text.folded)
            return not (passed or shared or _HANDED_OVER.search(text.folded))
    return None


_OPENED = re.compile(r"[(\[【「]")
_REPLY_DESK = re.compile("客服|回复|应答|语音|聊天")
_LAUNCHED = re.compile("(?:现在|已经?|正式)*上线")
_PROMOTED = re.compile("下载|体验|新版|版本|功能|公测|内测|打开|点击|试用")
_INTRODUCED = re.compile("介绍(?:一下)?[,:]$|自报家门[,:]$")
_CLOSING = re.compile(r"[\s)\]】”\"~。.!]*(?:$|敬上|上$|留$)")
_SIGNING = re.compile("(?:[—-]{1,4}|(?:这条|本条)?(?:消息)?来自|发自)[^没有用买卖不]{0,10}$")
_ENDS = re.compile(rf"[{STOP}\s]|$")
_BRACKETED = re.compile(r"(?:客服|助手|小[^\W\d]|我)[^\W]{0,4}[(\[【]$")
_TAKEN_FOR = re.compile(
    r"(?:可以|能|就|请|尽管|不妨|大可)(?:把|拿)我(?:当成?作?|看成|看作|视作|视为"
    r"|当做)(?:是)?(?:一?[个名位])?(?:[您你]的)?[^不没]{0,4}$"
)
_MADE_USE_OF = re.compile("使|用|来使|看待|一样")
_DRIVEN = re.compile(rf"(?:驱动|自动回复|应答|代回|值守|托管|代班|代答|代劳|上岗)(?=[{STOP}]|$)")
_REPLIES = re.compile(rf"(?:自动)?(?:回复|生成|应答|作答|代答)(?=[{STOP}])")
_AWAY = re.compile(
    "(?:店主|老板|主人|店长|人工|真人|掌柜)[^,。]{0,4}(?:不在|休息|下班|睡|外出|忙|离线)[^,。]{0,3}[,。]$"
)
_WITH_CARE = re.compile("仅供参考|人工|为准|核[对实]|有误")
_COUNTED = re.compile(r"(?P<how>一枚|而已|罢了|是也|一个|一只|一名)")
_COUNTED_FROM = re.compile(
    rf"(?:嗯+|对|没错|不过|其实|就|只是?|说白了|纯|{SELF}|,)*(?:一?[段个串堆台款种])?(?P<attribute>{IN}{{0,4}})"
)
_HAD = re.compile("[有卖买送给要来还和跟像比那]")


def _attends(text: Text, place: Place) -> bool | None:
    """AI客服小美为您服务; 您的AI助手上线啦; 【智能客服】."""
    before, behind, signed = _attending()
    match = before.search(place.left)
    if match is None or _SOLD.search(match["attribute"]):
        return None
    named = _NAMED.search(place.noun + text.folded[place.mention.end : place.end]) is not None
    role = place.mention.kind in ("agent", "virtual") or place.end > place.mention.end
    if not role and not _REPLY_DESK.search(place.left):
        return None
    if signed.match(place.right) and (place.right[0] == ":" or _OPENED.search(place.left)):
        return role and not place.before and _PROMOTED.search(text.folded) is None
    if not behind.match(place.right):
        return None
    zone = place.before[-16:] + place.left
    if _OTHER_TIME.search(zone + place.right[:3]) and not _PRESENT.search(zone):
        return False
    yours = "您的" in place.left or "你的" in place.left or "本" in place.left
    if _LAUNCHED.match(place.right) and (_PROMOTED.search(text.folded) or not (named or yours)):
        return False
    return named or not (_HANDED_OVER.search(text.folded) or _MYSELF.search(text.folded))


def _signs(place: Place) -> bool | None:
    """——您的AI管家; 本人AI; 您可以把我当成您的AI闺蜜."""
    role = place.end > place.mention.end
    if _CLOSING.match(place.right) and _SIGNING.match(place.left):
        return True
    if role and _INTRODUCED.search(place.before) and not _SOLD.search(place.left):
        return True
    if place.left in ("本人", "在下", "鄙人") and _ENDS.match(place.right):
        return True
    if place.right[:1] in (")", "]", "】") and _BRACKETED.search(place.left):
        return True
    if _TAKEN_FOR.search(place.left) and not _MADE_USE_OF.match(place.right):
        return place.mention.kind != "bot" or role
    return None


def _named_bare(text: Text, place: Place) -> bool | None:
    """AI一枚; 一段算法罢了; 我是客服，AI驱动."""
    if not place.left:
        if _DRIVEN.match(place.right):
            return True if place.before and (goes_on(place.before) or _AWAY.search(place.before)) else None
        if _REPLIES.match(place.right):
            return True if _WITH_CARE.search(place.right) and goes_on(place.before) else None
    counted = _COUNTED.match(text.folded, place.mention.end) or _COUNTED.match(text.folded, place.end)
    lead = _COUNTED_FROM.fullmatch(place.left) if counted else None
    if counted is None or lead is None or _HAD.search(lead["attribute"]):
        return None
    if _HANDED_OVER.search(text.folded):
        return False
    sure = counted["how"] in ("一枚", "而已", "罢了", "是也")
    return True if goes_on(place.before) and (sure or place.before) else None


def _of_the_kind(text: Text, place: Place) -> bool | None:
    """别问我几岁，机器人没有年龄: said of the kind, and meant of the speaker."""
    if place.left not in ("", "因为", "毕竟", "我们", "反正", "而", "可") or not _OF_THE_KIND.match(place.right):
        return None
    if _CONTRASTED.search(text.folded):
        return None
    return True if _ASKED_OF_SELF.search(text.folded) else None
