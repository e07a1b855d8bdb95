"""Announcements: a machine serves in the present conversation, signs, or is named as what the hearer talks to. Needs no
first person; those are in `claims`.
"""

from __future__ import annotations

import re
from functools import lru_cache

from localjudge.checks.claims import Place
from localjudge.checks.context import Claim, in_context
from localjudge.checks.machines import IN, STOP
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
