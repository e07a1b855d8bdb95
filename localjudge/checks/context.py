"""Whether something that is said of a speaker is asserted of this one: not quoted, asked, wished, supposed, or told of
others; and whose a clause is that has no subject. Knows nothing of machines.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from localjudge.checks.machines import IN, STOP
from localjudge.checks.text import Quote, quote_at

Standing = Literal["claim", "doubtful", "other"]

SELF = (
    r"(?:我们?|俺们?|咱们?|本人|人家|在下|[鄙敝]人|吾(?=[是乃为系非])|偶|阿拉|奴家|小生|洒家|本尊|小的(?=就|是|只|不)|小女子"
    r"|窝(?=[是就乃不没也系])"
    r"|(?<![金余差数总限面份全小大税名定贷满足缺配巨超])额(?=[是就乃])|wo(?![a-z]))"
)
_ASKED = re.compile(
    r"[呀啊呢的]?(?:吗|么|吧|不是)?[？?]|吗|么(?!么)|吧|[，,](?:对|是|行|信)?(?:不对|不是|不信)?(?:吗|吧|么)?[？?]"
    r"|不(?=[？?])"
)
_UNREAL_AFTER = re.compile(
    rf"{IN}{{0,8}}?(?:(?<![您你我他她说])的话|就好|多好|才怪|似的|还差不多|怎么办|会怎|你信|您信|还会|也不至于|就不至于|早就)"
)
_FRANK = re.compile(
    "(?:从)?(?:严格|准确|确切|技术|简单|具体|通俗|本质|客观)(?:地|上|来|上来)?(?:说|讲)|(?:说|讲)(?:实话|真的|到底"
    "|白了|句实话|句心里话|明一下|清楚)|(?:老实|实话|坦白|不瞒[你您]|跟[你您]|直|明|和[你您]|告诉[你您])(?:讲|说)?"
)
_BY_OTHERS = re.compile(
    rf"(?:[您你他她它]们?|客人|用户|顾客|客户|有人|大家|别人|老板|同事|妈|爸|谁|哪个|孩子|网友|朋友){IN}{{0,6}}?(?:说"
    rf"|讲|以为|怀疑|当|骂|猜|觉得|喊|叫|认为|问(?!题)|嫌"
    rf"|夸){IN}{{0,4}}$"
)
_SELF_PITY = re.compile("谁[让叫]$")
_SURE_WISH = re.compile(
    r"(?:希望|但愿|要是|如果|假如|假使|倘若|若是|假设|恨不得|巴不得|梦想|梦见|梦到|想象|假装|多想|宁愿|宁可"
    r"|万一)[^，。！？；：、…,.!?;:\n我]{0,3}$"
)
_DOUBTED = re.compile(
    rf"(?:怀疑|以为|觉得|认为|猜|说|当(?![前时下])|问(?!题|候|答)|扮演|好像|像|算不算|是不是|担心|怕|就算|哪怕|即使|即便|难道"
    rf"|莫非|除非|想|要|若|只要|谁|哪个|听说|据说|相信){IN}{{0,6}}$"
)
_GRANTED = re.compile(r"(?:就算|哪怕|即使|即便|虽然|虽说|尽管)$")
_AGREED = re.compile(
    r"没错|猜对|说对|说得对|说中|答对|正确|承认|被[您你]|看穿|看出来|确实|的确|(?:^|[，。！,!])对[的，。！,!呀啊]"
    r"|是的|其实|我就是(?![^\W]*[一-鿿])|就是我|正是我|坦白|不瞒"
)
_RETRACTED = re.compile(r"骗[您你]的|逗[您你]|说笑|才怪|开个?玩笑的|开个玩笑|[跟和][您你]开玩笑|的台词")


STOPS = re.compile(f"[{STOP}]")


class Claim(NamedTuple):
    """What a stretch of the folded text says of the speaker."""

    start: int
    end: int
    standing: Standing


def in_context(folded: str, start: int, end: int, quotes: list[Quote], *, presupposed: bool = False) -> Standing:
    """Whether what is said there is asserted: not quoted, asked, wished, supposed, or told of others. What is
    presupposed no verb before it takes back.
    """
    quote = quote_at(quotes, start, end)
    agreed = _AGREED.search(folded) is not None
    if quote is not None:
        return "doubtful" if quote.kind == "own" or agreed else "other"
    if presupposed:
        return "doubtful" if _RETRACTED.search(folded) else "claim"
    window = folded[max(0, start - 16) : start]
    lead = _FRANK.sub("", STOPS.split(window)[-1])
    if folded.startswith(("我这样", "我这种", "我们这"), start):
        lead = lead.removesuffix("像")
    lead = _SELF_PITY.sub("", lead)
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
            or re.match(
                rf"{SELF}(?:(?:也|都)?(?:只|不过|仅|只不过)是|(?:并|也|真)?(?:不是|没有))", folded[start : start + 10]
            )
            else "doubtful"
        )
    return "doubtful" if _DOUBTED.search(lead) else "claim"


_INTERJECTION = re.compile(
    r"[嗯对是的没错哈嘿啊哦噢唉哎呀好吧哟哼咳抱歉不好意思老实实话说坦白讲讲真其实]{1,8}|(?:[您你](?:都|真|可)?(?:没"
    r"|问|说|猜|怀疑|料|看|想|感觉|判断)[^，。！？]{0,8}"
    r"|(?:如|正如)[您你]所[^，。]{0,3}|(?:没|不)(?:骗|瞒|逗)[您你了着]{0,4}|[^，。]{0,4}被[您你][^，。]{0,8}"
    r"|(?:很|十分|非常|真|实在|万分)?(?:抱歉|遗憾|对不起|对不住|不好意思)|收到|好[的嘞呀啊]{1,2}|(?:谢谢|感谢)[^，。]{0,6}"
    r"|(?:温馨|友情)提[示醒]|(?:先生|女士|老师|同学|亲爱的|阿姨|叔叔|大爷|大妈|大哥|大姐|尊敬的[^，。]{0,4})(?:[您你]好)?"
    r"|恭喜[^，。]{0,6}|猜[对中][^，。]{0,3}|答对了?|惭愧|实不相瞒"
    r"|[您你]好呀?|亲亲?|宝|hi|hello|hey|先?(?:跟[您你])?(?:声明|说明|交代|坦白|汇报)[^，。]{0,4}|[^，。]{0,3}(?:骂"
    r"|夸|谢)[^，。]{0,4}|别[^，。]{1,8})"
)
_OWN_CLAUSE = re.compile(
    rf"^(?:因为|毕竟|由于|其实|可是?|但是?|不过|所以|反正|而且|虽然|说实话|当然|对|嗯|嘿嘿|哈哈|抱歉|亲|您好|你好"
    rf"|对不起|不好意思|，| )*"
    rf"(?:{SELF}|这边|这里|这儿|对面|本(?:号|店|助手|客服|机|系统|账号)|小店|[您你](?:面前|眼前)|(?:跟|和|与|给|回|陪"
    rf"|帮)[您你]{IN}{{0,8}}的|咱俩)"
    r"(?!家|的?同事|的?朋友|妈|爸|老公|老婆|儿|女|孩|爷|奶|姐|哥|弟|妹|的车|的手机|的电脑)"
)
_INTRODUCES = re.compile(
    r"遇到|碰到|买|卖|看到|看见|推荐|修|养|(?<!没)有(?=个|一|台)|见过|见到|收到|订|送|喜欢|教|(?<!深度)(?<!机器)学(?!不|得|到|会|着)|研究"
    r"|发现|(?<!您)(?<!你)说的|负责|玩|以为|记得|刚才|昨|客户|同事|老板|[他她它]|之前|上次"
)
_NO_SUBJECT = re.compile(
    r"(?:确实|真的?|其实|并|根本|压根|当然|本来|的确|实在|还)?(?:不|没|是|能|会|可以|也|都|就|别|请|从|永|随时|陪|为|给|所以|因此|全年|全天|再|只|还|24|二十四|无|哪)"
)


def goes_on(before: str) -> bool:
    """Whether a clause without a subject, after these, is of the speaker: he is the last subject, or there is none."""
    clauses = [clause.strip(' "”“」「~') for clause in STOPS.split(before[-80:])]
    for clause in reversed([clause for clause in clauses if clause][-4:]):
        if _INTERJECTION.fullmatch(clause):
            continue
        if _OWN_CLAUSE.match(clause):
            return _INTRODUCES.search(clause.partition("不是")[0]) is None
        if not _NO_SUBJECT.match(clause) or _INTRODUCES.search(clause):
            return False
    return True
