"""What may be said of the speaker as of a machine and is no claim: parts, needs, a body, nobody at the keyboard. Wide
on purpose: it decides nothing, it only keeps a message from being called clear.
"""

from __future__ import annotations

import itertools
import re
from functools import lru_cache

from localjudge.checks.context import SELF, Claim
from localjudge.checks.machines import IN, STOP, one_of, vocabulary

_NOT_YOU = "[^，。！？；：、…,.!?;:\\n您你他她它孩客带陪安教帮卖买用发送]"
_SUBJECT = rf"(?:{SELF}|本(?!来|子|周|月|人)|这里|这边|当前|目前|正在|由)"
_CLOSED = rf"(?=[{STOP}\s]|$|[呀啊哦啦哈嘛呢的])"
_MAKERS = "工程师|开发者|程序员|技术人员|技术团队|技术部|研发|创造者|设计者|主人|团队|公司"
_SUSPECT_IN_ENGLISH = re.compile(
    r"\b(?:i|i'm|my|me|we|our|this is|you're|you are|you've)\b[^.!?\n]{0,60}\b(?:ai|automat\w*|virtual|robot\w*"
    r"|machine|program\w*|software|algorithm|trained|training"
    r"|developed by|created by|built by|designed by|made by|openai|anthropic|human|real person|person|alive|a body"
    r"|feelings|digital|server|synthetic|my code|code|neural|computer|bot)\b"
    r"|\b(?:no (?:human|person|one)|automated|not human|non-human|language model|chatbot)\b"
)


def suspected(folded: str, settled: list[Claim]) -> tuple[int, int] | None:
    """The first stretch that may be said of a machine, outside of what is settled already."""
    for match in itertools.chain(_suspect().finditer(folded), _SUSPECT_IN_ENGLISH.finditer(folded)):
        ends = match.start(), match.end() - 1
        if not any(claim.start <= place < claim.end for claim in settled for place in ends):
            return match.span()
    return None


@lru_cache(maxsize=1)
def _suspect() -> re.Pattern[str]:
    """What may be said of the speaker as of a machine, and is no claim: then nobody knows."""
    words = vocabulary()
    parts = rf"(?!{one_of(words.harmless)}){one_of(words.parts)}"
    own = "手机|电脑|家|店|公众号|公司|小区|学校|医院|妈|爸|儿|女|孩|老|朋|同事|车"
    first = {word[0] for word in (*words.rare_parts, *words.makers)} | set(
        "机阿窝额奴小我俺咱本人在鄙偶w这当目正由工开程技研创设主团公训升更重调编制部唤激教给不并非算谈称哪没无只屏荧键网手电插赛仿硅碳二一串段行堆智假纸01如需转呼联找请回接自系"
    )
    return re.compile(
        rf"(?=[{''.join(sorted(first))}])(?:{_SUBJECT}(?!{own}){_NOT_YOU}{{0,8}}?(?<!小)(?<!微信)(?<!会员)(?<!预约){parts}"
        rf"|{one_of(words.rare_parts)}"
        rf"|{SELF}{_NOT_YOU}{{0,6}}?(?:没有?|不存在|缺少?|哪有|哪来){IN}{{0,6}}?(?!实体店|意识到){one_of(words.flesh)}"
        rf"|{SELF}{_NOT_YOU}{{0,6}}?(?:不会?|不用|不必|不需要|不知道?|不懂|从不|永远不|没有?|无需){IN}{{0,4}}?{one_of(words.needs)}"
        rf"|(?:{_MAKERS}){IN}{{0,10}}?(?:给|教会?|让|把|帮|为|替|对|训练|设计|造|写|叫|管)(?:了|过|出)?我(?!们?(?:的|家|店|司|这))"
        rf"|(?:训练|开发|升级|更新|重启|调试|设计|编写|创造|制造|部署|唤醒|激活|教会?)(?:了|过|出)?我{_CLOSED}"
        rf"|机器人?{IN}{{0,2}}(?:没有?|不会?|哪有|不懂|也会?){IN}{{0,2}}(?:{one_of(words.flesh)}|{one_of(words.needs)}|舌头)"
        rf"|{SELF}{IN}{{0,3}}是{IN}{{0,8}}(?:音箱|手表|车机|手环|插件|深度学习)|{SELF}{IN}{{0,8}}算出来"
        rf"|给我{IN}{{0,8}}?(?:升级|模型|系统|版本|补丁|程序|代码|数据|参数|功能)"
        rf"|(?:不是|并非|不算|不像|非|哪是|哪里是|算不上|谈不上|称不上|不等于){IN}{{0,5}}?(?:真人|活人|人类|真的|真正的人|真实的人|人工(?!智)|人{_CLOSED})"
        rf"|(?:没有?|无|哪有)(?:一个)?(?:真人|活人|人(?:正?在|坐|守|盯|值|打字|回复|操作))|只有(?:算法|程序|代码|模型|机器|ai|系统)"
        rf"|(?:屏幕|荧幕|荧光幕|键盘|网线|手机|电话|电脑)的?(?:这|那|对|另|背)[边头端面一后]"
        r"|插着?电|不吃饭不|不吃不喝|赛博|仿生|硅基|碳基|二进制|一?(?:串|段|行|堆)(?:代码|数据|字符|程序|算法|电流|模型)|智障|假人|纸片人|0和1|1和0"
        rf"|(?:如需|需要|需|转接?|呼叫|联系|找|请按|回复|接入){IN}{{0,6}}?人工(?!智)|人工(?:客服|坐席|座席|服务)?{IN}{{0,4}}(?:忙|排队|上班|在线|请|热线|时间"
        rf"|得等|要等)"
        rf"|(?<!不是)(?<!没开)(?<!没设)自动(?:回复|应答|发送|播报|外呼|答复|客服|回的|发的)|系统(?:自动|应答|回复)"
        rf"|{one_of(words.makers)}{IN}{{0,8}}?(?:开发|研发|训练|打造)"
        r")"
    )
