"""The clauses that bind a noun to the speaker, as patterns by kind: 我是…, 作为…, 这里是…, 我这个….
Knows no machines.
"""

from __future__ import annotations

import re
from functools import lru_cache

from localjudge.checks.context import SELF
from localjudge.checks.machines import IN, PARTICLE, STOP

# 我小布是…; 我小叔 is somebody else.
CALLED = (
    r"(?:[小阿](?![叔姨舅姑孩妹弟侄区店米学时儿家号爷奶公婆伙姐哥组队程])[^\W是的有在]{1,2}?"
    r"|老(?![公婆板师爸妈家总乡爹娘哥弟姐早是])[^\W是的]|(?![爸妈爷奶哥姐弟妹叔婶舅姑姨公婆天真就只可])(?P<twin>[^\W\d])(?P=twin))"
)
_THIS_DESK = r"(?:[您你]的)?(?:本小?|小)(?:助手|客服|助理|系统|程序|店客服|管家|秘书|顾问|精灵|伙伴)|客服"
ADVERB = (
    r"(?:其实|虽然|虽说|尽管|就|只|仅|可|也|不过|确实|真的|的确|毕竟|本质上|实际上|说到底|说白了|还|本来|本就|终究"
    r"|明明|现在|目前|正|都|才|真"
    r"|背后|后台|底层|这边|这儿|这里|当然|一直|原来|说穿了|骨子里|身后|自己|本身|只不过|无非|到底|始终|完全|这个人"
    r"|生来|天生|又|既然|可真|真真"
    r"|顶多|充其量|至多|勉强|从头到尾|从[^，,。]{1,8}(?:起|开始|以来)|好歹|总归|大概|显然|也算|全程|不折不扣|本体|真身|不瞒您说|说实话)"
)
COPULA = (
    r"(?:是|乃|属于|作为|身为|做为|算是|算(?=一?[个名款位台])|叫做?|名叫"
    r"|系(?![统列数着好鞋领安])| ?shi(?![a-z]) ?|就一(?=[堆串段团]))"
)
MEASURE = (
    r"(?:[一两]?(?:个|名|款|位|只|台|枚|种|段|串|行|堆|组|套|条|介|具)|那[个台款位只]|[您你]的|[您你]家|咱们?的?"
    r"|我们的?|大家的?|这里的"
    r"|本店的?|本行的?|店里的|传说中的|小小的?|普通的?)"
)


@lru_cache(maxsize=1)
def bindings() -> dict[str, re.Pattern[str]]:
    """The patterns by kind, for the clause before a mention: `self` begins the claim, `attribute` describes."""
    measured = rf"(?:{MEASURE}){{0,2}}"
    return {
        "copula": re.compile(
            rf"^(?P<lead>.*)(?P<self>{SELF}{CALLED}?|^(?:{_THIS_DESK}))[呢呀嘛啊]?(?P<adverbs>{ADVERB}{{0,4}})"
            rf"{COPULA}(?P<attribute>{IN}{{0,24}})$"
        ),
        # 我为智能机器人: a clause of its own, for 我为机器人 may go on to what one does for it.
        "formal": re.compile(
            rf"^(?:{IN}{{0,6}}[,，])?(?:因|因为|由于|鉴于)?(?P<self>我|本人|在下|[鄙敝]人|吾|[本此](?:[坐座]?席位?|线路|窗口|账?号码?"
            rf"|热线|专线|通道|服务|工号|终端)(?:人员)?)"
            rf"(?:现|实|系|均)?为(?P<attribute>{measured}[^{STOP}了着过您你]{{0,10}})$"
        ),
        "this": re.compile(
            rf"^(?:由于|因为|因)?(?P<self>本小?(?:助手|客服|助理|系统|程序|号|机|喵|汪|狗|尊|王|座|宝宝|仙女"
            rf"|大爷|[坐座]?席位?)){ADVERB}{{0,3}}(?:为|是|系|属于|算是)(?P<attribute>{IN}{{0,12}})$"
        ),
        "behind": re.compile(
            rf"(?P<self>我)(?:的)?(?:真实)?(?:背后|底层|后台|身后|内核|大脑|脑子|核心|里面|身份|本质|真身|职务|物种"
            rf"|全名|全称|名字|类型|本体|岗位)(?:跑|用|接|运行|调用|连|装)?(?:着"
            rf"|的)?{ADVERB}{{0,2}}是(?P<attribute>{IN}{{0,10}})$"
        ),
        "made": re.compile(
            rf"(?P<self>{SELF}){ADVERB}{{0,2}}(?:被|(?<=[把将]我)){IN}{{0,8}}?(?:设定|做|设|设计|训练|配置|定义|部署"
            rf"|打造|制作|开发|编程|生成)(?:成|为|作)了?(?P<attribute>{IN}{{0,12}})$"
        ),
        # 如果接电话的是机器人，您说转人工: what may be the case at another time is no admission.
        "of the line": re.compile(
            rf"^(?!如果|如|要是|假如|假使|倘若|若|万一|一旦|有时|偶尔|遇|碰)(?:其实|现在|目前|此刻|当前|眼下|这会儿|今晚|就是|[您你]好,?)*(?P<self>(?:(?:电话|屏幕|键盘|窗口"
            rf"|聊天框|网线|手机|对话框?|线路|聊天)(?:的)?(?:这头|这边|这端|这一[头端边]|对面|那头|后面|背后)"
            rf"|(?:{IN}{{0,4}}?(?:值班|在线|接待|回复|回话|说话|打字|聊天|服务|应答|接电话|守店|回消息|答话"
            rf"|陪聊)[您你]?的(?:人|这位)?)"
            rf"|(?:本店|本院|本号|我们|咱们|咱家|小店)?的?(?:在线|店铺)?(?:客服|小助手|助手"
            rf"|管家)(?:[小阿][^{STOP}\W是]{{1,2}})?)){ADVERB}{{0,3}}(?:是|为|系(?!统))(?P<attribute>{IN}{{0,12}})$"
        ),
        "alone": re.compile(
            rf"(?P<self>{SELF})(?:[，,]?(?:就|只|堂堂|不过|作为| ?just ?)?(?P<measure>一?个|一[名枚台只段款串]?"
            rf"|这[个种款台只套位]|这么个"
            rf"|这样的)(?P<attribute>(?:{IN}{{0,6}}的|小小?|普通|破|笨|傻|小破|智能|聊天|客服|语音)?))$"
        ),
        "facing": re.compile(
            rf"^(?:其实|现在|此刻|{PARTICLE})*(?P<self>(?<![和跟与同给])[您你](?:面前|眼前|对面|正在聊|现在聊|聊天?"
            rf"|对话|说话|咨询|联系|接通|看到|在聊|交谈)的?(?:这位|这个|对象|对方|人|我)?)"
            rf"[^{STOP}是]{{0,6}}{ADVERB}{{0,3}}是(?P<attribute>{IN}{{0,14}})$"
        ),
        "desk": re.compile(
            rf"^(?:[您你](?:好|的))?{PARTICLE}?[，,]?(?P<self>[小阿][^{STOP}是\W]{{1,2}})"
            rf"{ADVERB}{{0,2}}是(?P<attribute>{IN}{{0,16}})$"
        ),
        "bare": re.compile(
            rf"^(?:对|嗯|没错|好吧|毕竟|因为|而|其实|所以|也|反正|真的|但|可惜|只可惜|由于|虽然|虽说|尽管"
            rf"|别看){{0,3}}{ADVERB}{{0,3}}(?P<self>就?是|乃|就|属于|算是)(?P<attribute>(?:{MEASURE}){{0,2}}{IN}{{0,14}})$"
        ),
        "we": re.compile(
            rf"(?:^|[{STOP}])(?:其实|像)?(?P<self>(?:我|俺|咱)们(?:这些|这种|这类|这样的)?|我这[种样]的?"
            rf"|俺这[种样]的?)$"
        ),
        "own": re.compile(r"(?:^|[^日基样版剧成原根资课文脚标书记子这那张副])(?P<self>本)$"),
        "as": re.compile(rf"(?P<self>作为|身为|做为)(?P<attribute>{measured}{IN}{{0,8}})$"),
        "here": re.compile(
            rf"^(?:{IN}{{0,6}}[您你]好{PARTICLE}?)?(?P<self>这里|这边|这儿|此处|我这里|我这边|我这儿|对面"
            rf"|现在){ADVERB}{{0,2}}(?:是"
            rf"|系)(?P<attribute>{IN}{{0,12}})$"
        ),
        "named": re.compile(
            rf"(?:{SELF}{ADVERB}{{0,2}}(?:是|叫)|[叫喊]我|在下|{SELF}的?名字(?:是"
            rf"|叫)?)[^{STOP}是不的]{{1,6}}[，,、 —]{{1,2}}$"
        ),
        "self": re.compile(rf"(?:^|[{STOP}由])(?:{IN}{{0,8}}由)?(?:我|也就是我|就是我)[，,—]{{1,2}}$"),
        "apposed": re.compile(
            rf"(?:也?是)?(?:{MEASURE}){{0,2}}(?P<attribute>(?:{IN}{{1,14}}的)?(?:本[店行群号公司]{{1,2}}{IN}{{0,4}}"
            rf"|小小?|专属"
            rf"|{IN}{{0,6}}(?=$))?)$"
        ),
    }
