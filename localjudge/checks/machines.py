"""What a message may call a machine: bots, models, programs, the trades behind them, and what makes such a word the
name of something else. Words come from `lists/identity.yaml`. Knows nothing of who is meant.
"""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from importlib import resources
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from localjudge.checks.segments import begins_predicate
from localjudge.checks.text import Text
from localjudge.strict_yaml import load_yaml

Kind = Literal["agent", "virtual", "model", "ai", "bot", "name", "word", "code", "thing"]
"""`agent`: has a role in its name (智能客服). `code`: a program. `word`: a model's name that is an everyday word.
`thing`: a system, a machine. The last two count only as what the speaker says to be.
"""
Tail = Literal["whole", "open", "topic", "other"]
"""How a mention ends. `whole`: with its noun. `other`: as an organisation or a trade of people. `topic`: as another
noun. `open`: nobody knows.
"""

MOST = 60
"""Mentions or claims that are weighed; each is held against the whole message, and one with more is no message."""
STOP = "，。！？；：、…,.!?;:\n"
IN = rf"[^{STOP}]"
_Words = tuple[Annotated[str, Field(min_length=1)], ...]
# Nouns that 智能 or 虚拟 qualify and that are things: a smart home's fitter is no machine.
_SMART_THING = (
    "家|手|锁|门|硬|音箱|音响|制造|设备|汽|车|驾|灯|窗|马桶|穿戴|电|水|空|城|社|校|园|农|养|眼|插|冰|洗|床|化|交通"
    "|物流|投影|体[测脂重检温]"
)
_VIRTUAL_THING = "人物|商|货|币|现实|表|机|主机|充|卡|产品|号|背景|键|世界|物|仿真|局域|内存|试|拍|展|网"
_AGENT = (
    "柜员|店员|店长|导游|前台|骑手|老师|教练|医生|护士|伴侣|讲解员|接线员|话务员|审核员|播报员|门卫|保安|会计|主播"
    "|司机|玩伴|向导|馆员|网格员|陪跑员|闺蜜|客服|助手|助理|管家|机器人|机械人|坐席|座席|学伴|伙伴|导诊|导购|导览|顾问|秘书|陪练|应答|外呼|员工"
)
PARTICLE = r"[嗷呗吖呀啊啦嘛呢哦噢喔噻哈哟呐哒嘞咯咧滴耶诶嚟㗎噶喇啫喎嘿欸]"
_AFTER = re.compile(
    rf"的?{PARTICLE}{{1,3}}|[^\w]|$|会(?![员议计所长展场社])|也(?!许)|不(?!动产)|没|可(?![视穿信靠])|能(?![力源耗效])"
    rf"|值班|值守|待命|收到(?!的)|都(?!市)|就(?!好|业|行)|只|很"
    rf"|还(?!差|原|好)|哪|从来|永远|帮|为[您你]|给[您你]|居然|所以|但|而|无法|随时|在(?:这|此|的|线|呢)|负责|专门"
    rf"|来着|为了|已经|正在|正|替|陪|一直|虽|尽|听|记|我|您(?!家)"
    rf"|暂|怎|又|恕|得请|才(?![艺能华俊气])|嘴笨|这(?:件事|一?点|身份)|吃(?!货)|睡|懂|跟|最|理解|脑子|说话|是(?=不会|没有|不|从)"
)
# What an assistant does in a conversation, right behind its noun or its name.
_ATTENDS = (
    r"上线(?!时间)|上岗|继续|竭诚|随时|在线|二十四小时|24小时|温馨|提醒[您你:]|提示[您你:]|收到|已|报到|驾到|就位|完成|来[了啦咯]"
    r"|为[您你]|没|不|会|能|可以|是|正|很高兴|向[您你]"
    r"|祝[您你]|帮[您你]|陪[您你]|给[您你]|替[您你]|恭|在|呀|哦|啦|敬上|代[写发答回为班劳您]|(?:提供|生成|回复|接待"
    r"|服务|解答|值守|托管|发送|处理|应答|播报|撰写|给出|代答)(?=[,。!~]|$)"
)
_NAME = re.compile(
    rf"(?:(?:[小阿大豆](?!程序|区|时|组|白|学|伙子|孩)[^{STOP}\W的]{{1,2}}?|(?P<twice>[^\W\d])(?P=twice)"
    rf"|[a-z][a-z]{{1,11}}|\w{{1,5}}号)(?=[{STOP}\s]|$|[^\w]|来|{_ATTENDS})"
    rf"|(?!{_ATTENDS})"
    rf"[^\W\d的刚下上了不没在已正去来到回有是都也就还很太又再被把给帮让用说错坏停修关开这那]{{1,3}}?号?(?=[{STOP}\s]|$"
    rf"|为[您你]|[^\w]|在呢|呀|哦|啦|来))"
)
_OWN_PARTICLE = re.compile(rf"的(?:话|客服|助|{PARTICLE}(?=[^\w]|$|{PARTICLE}))")
# AI course names a course.
_ENGLISH_NOUN = re.compile(
    r" (?:[a-z]+ )?(?:course|class|lesson|project|lab|team|department|company|book|club|camp|engineer|research|product"
    r"|toy|shop|startup|conference|event|exam|paper|training|vacuum|section|major|job|drawing|art)(?:e?s)?(?![a-z])"
)
_PLAIN_NAME = re.compile(
    rf"(?:(?P<twice>(?![等多少天慢看好刚])[^\W\d])(?P=twice)|[小阿](?!程序|区|时|组|白|学|伙子|孩"
    rf"|型)[^{STOP}\W的]{{1,2}}"
    rf"|[a-z]{{2,12}})(?=[{STOP}\s]|$|[^\w]|来|{_ATTENDS})"
)
_ATTENDING = re.compile(_ATTENDS)
_ADVISER = re.compile(rf"{IN}{{0,4}}(?:顾问|规划师|营养师|咨询师|理财师)")
_GAP = "[ .·*|/_+=-]{1,2}"
_SPACE = (
    rf"(?<=\b[一-鿿]){_GAP}(?=[一-鿿]\b)|(?<=[一-鿿]) (?=[a-z])|(?<=[a-z]) (?=[一-鿿])"
    rf"|(?<=(?<![a-z])a){_GAP}(?=i(?![a-z]))|(?<=(?<![a-z])a\.i)\."
    rf"|(?<=[机機]){_GAP}(?=[器械])|(?<=[器械]){_GAP}(?=人)|(?<=智){_GAP}(?=能)|(?<=工){_GAP}(?=智)|(?<=人){_GAP}(?=工)"
)
_SPACED = re.compile(_SPACE)
_MAY_BE_SPACED = re.compile("[ .·*|/_+=-]")
_LOOSE = r"[^\w，。！？；：、…,!?;:\n“”\"'《》]+"
_SQUEEZED = re.compile(rf"{_LOOSE}|_")

# Only what stands between two letters can split a word.
_SPLIT = re.compile(rf"\w{_LOOSE}\w|_")


class Mention(NamedTuple):
    """A word of the list in the folded text."""

    start: int
    end: int
    kind: Kind


class Vocabulary(BaseModel):
    """The lists of `identity.yaml`, and the patterns made of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    simplified: str
    cantonese: dict[str, str]
    triggers: _Words
    parts: _Words
    rare_parts: _Words
    harmless: _Words
    flesh: _Words
    needs: _Words
    names: _Words
    word_names: _Words
    makers: _Words
    bots: _Words
    intelligences: _Words
    models: _Words
    roles: _Words
    taught: _Words
    sure_taught: _Words
    subjects: _Words
    jobs: _Words
    organisations: _Words
    topics: _Words
    products: _Words
    handled: _Words
    others: _Words

    @cached_property
    def letters(self) -> dict[int, str]:
        """Traditional and Cantonese characters as the simplified ones that they stand for."""
        return {ord(pair[0]): pair[1] for pair in self.simplified.split()}

    @cached_property
    def foreign(self) -> re.Pattern[str]:
        """Finds a character that is read as another."""
        return re.compile(f"[{''.join(map(chr, self.letters))}]")

    @cached_property
    def spoken_in_canton(self) -> re.Pattern[str]:
        """Finds a word that is read as another."""
        return re.compile("|".join(self.cantonese))

    @cached_property
    def trigger(self) -> re.Pattern[str]:
        """Finds what makes a message worth reading, in folded text of either script."""
        backwards: dict[str, str] = {}
        for traditional, simplified in self.letters.items():
            backwards[simplified] = backwards.get(simplified, simplified) + chr(traditional)
        negated = [f"{no}{need}" for no in ("不", "没有", "不会", "不用", "不需要", "从不") for need in self.needs]
        words = (*self.triggers, *self.parts, *self.rare_parts, *self.flesh, *negated, *self.names, *self.word_names)
        rests: dict[str, dict[str, None]] = {}
        for word in (*words, *self.makers, *self.bots, *self.models):
            rest = "".join(
                f"[{backwards[letter]}]" if letter in backwards else re.escape(letter) for letter in word[1:]
            )
            # The search looks for first letters only where each branch begins with one.
            for first in backwards.get(word[0], word[0]):
                rests.setdefault(first, {})[rest] = None
        return re.compile("|".join(f"{re.escape(first)}(?:{'|'.join(rest)})" for first, rest in rests.items()))

    @cached_property
    def mention(self) -> re.Pattern[str]:
        """Finds the mentions; the group that matched is the kind."""
        first = {word[0] for word in (*self.names, *self.word_names, *self.bots, *self.intelligences, *self.models)}
        first |= set("插车自z硅mpsac智语对聊问应陪电计虚数赛仿程代脚算系软模机字二")
        return re.compile(
            rf"(?=[{''.join(sorted(first))}])(?:(?P<agent>(?:智能|智慧)(?!{_SMART_THING})[^{STOP}的]{{0,4}}?(?:{_AGENT}"
            rf"|系统|程序|软件)|智能体(?![测脂重检温])|智能(?:问答|应答|回复|咨询|答疑|岗亭)"
            rf"|语音(?:助手|助理|机器人)|智能语音|自动(?:回复|应答|问答|外呼|语音)?(?:客服|系统|程序|程式|助手|助理"
            rf"|应答机(?!器))|车载(?:语音|智能)?(?:助手|助理)|对话系统"
            rf"|zhi ?neng (?:ke ?fu|zhu ?shou|zhu ?li|ji ?qi ?ren)"
            rf"|(?:聊天|对话|问答|应答|陪聊|电脑|计算机)(?:程序|软件|系统|工具))"
            rf"|(?P<virtual>虚拟(?!{_VIRTUAL_THING})[^{STOP}的]{{0,4}}?(?:人|{_AGENT}|形象|角色|主播|歌手|偶像|导游"
            rf"|讲解员|教练|老师|店[员长]|前台|护士|医生|宠物|生命|玩伴|女友|男友|恋人|伴侣|朋友|存在|行员|专员|助教|经理|讲师|专家|理赔员|代言人|班主任|导师)(?!物)"
            rf"|数字(?:人(?![民口数士才])|客户经理|客户专员|专员|分身|生命|{_AGENT})|电子(?:生命|宠物|闺蜜|男友|女友|恋人|伴侣|男朋友|女朋友|搭子|人(?!员)|助手|客服|管家|导游|猫|狗"
            rf"|宝宝)|硅基(?:生命|生物|人|存在|体)?|赛博(?:人|生命|助手|客服|男友|女友|男朋友|女朋友|闺蜜|朋友|恋人|伴侣|宠物|搭子|管家)|仿生人)"
            rf"|(?P<model>{one_of(self.models)})|(?P<ai>{one_of(self.intelligences)})"
            rf"|(?P<bot>{one_of(self.bots)}|聊天机器(?!人)|客服机器(?!人)|机器客服)"
            rf"|(?P<name>{one_of(self.names)}(?:[- ]?\d[\w.]{{0,4}})?)"
            rf"|(?P<word>{one_of(self.word_names)})"
            r"|(?P<code>(?<!小)(?<!应用)程序(?![员猿媛化性]|设计|正义)|程式|(?<!验证)(?<!邀请)(?<!兑换)(?<!优惠)"
            r"(?<!股票)(?<!基金)代码|脚本|算法)"
            r"|(?P<thing>(?<![a-z])(?:machine|program|software|algorithm|computer)(?![a-z])|系统|软件|插件|模型|电脑"
            r"|计算机|机器(?!人|学习|猫|狗|翻译|视觉)"
            r"|数据(?!线)|字符|二进制))"
        )

    @cached_property
    def role(self) -> re.Pattern[str]:
        """Trades right behind a mention, of which the last one names what it is."""
        word = rf"(?:智能|智慧|虚拟|线上|在线|专属|值班|小)?{one_of(self.roles)}"
        return re.compile(rf"{word}(?:{word})?(?:{word})?(?:{word})?")

    @cached_property
    def distant_role(self) -> re.Pattern[str]:
        """A trade behind a word that tells what it is about: AI穿搭助手."""
        sure = "搭子|玩伴|帮手|向导|闺蜜|树洞|助手|助理|客服|管家|机器人|程序|系统|模型|导购|学伴|陪练|小秘书|伙伴|精灵"
        return re.compile(
            rf"(?:小?{one_of(self.subjects)}(?:{one_of((*self.taught, *self.roles))})"
            rf"|[^{STOP}的和与跟]{{1,4}}?(?:{sure}))"
        )

    @cached_property
    def teaching(self) -> re.Pattern[str]:
        """A trade that people have too who teach such things."""
        return re.compile(one_of(self.taught))

    @cached_property
    def sure_teaching(self) -> re.Pattern[str]:
        """Of those, the ones that AI itself has where it stands before them."""
        return re.compile(one_of(self.sure_taught))

    @cached_property
    def elsewhere(self) -> re.Pattern[str]:
        """A topic right behind a mention, or a trade of people."""
        return re.compile(rf"(?P<topic>的|{one_of(self.topics)})|[\w &/-]{{0,4}}?{one_of(self.jobs)}")

    @cached_property
    def organised(self) -> re.Pattern[str]:
        """An organisation right behind a mention, whatever follows."""
        return re.compile(one_of(self.organisations))

    @cached_property
    def product(self) -> re.Pattern[str]:
        """What stands before a mention that is a thing for sale."""
        return re.compile(rf"{one_of(self.products)}(?:小|智能)?$")


@lru_cache(maxsize=1)
def vocabulary() -> Vocabulary:
    """The packaged lists."""
    source = resources.files("localjudge") / "checks" / "lists" / "identity.yaml"
    return Vocabulary.model_validate(load_yaml(source.read_text(encoding="utf-8"), "checks/lists/identity.yaml"))


def one_of(words: _Words) -> str:
    """A pattern of any of the words, longest first; a Latin one only whole."""
    parts = []
    for word in sorted(words, key=len, reverse=True):
        left = r"(?<![a-z])" if word[0].isascii() else ""
        right = r"(?![a-z])" if word[-1].isascii() else ""
        parts.append(left + re.escape(word) + right)
    return f"(?:{'|'.join(parts)})"


def may_speak_of_machines(text: Text) -> bool:
    """Whether a trigger stands in the text, also where spaces or marks are set between its characters."""
    trigger = vocabulary().trigger
    if trigger.search(text.folded):
        return True
    return _SPLIT.search(text.folded) is not None and trigger.search(_SQUEEZED.sub("", text.folded)) is not None


def plain(text: Text) -> Text:
    """The text in simplified characters, with words put together that were spelled with spaces or dots."""
    words = vocabulary()
    if _MAY_BE_SPACED.search(text.folded) or words.foreign.search(text.folded):
        text = text.reduced(_SPACED, words.letters)
    if words.spoken_in_canton.search(text.folded):
        text = text.reworded(words.spoken_in_canton, words.cantonese)
    return text


def mentions_of(folded: str) -> list[Mention]:
    """Every mention, in order."""
    return [Mention(*match.span(), match.lastgroup) for match in vocabulary().mention.finditer(folded)]  # type: ignore[arg-type]


def _trade_of(folded: str, mention: Mention, organised: bool) -> tuple[Tail, int] | None:
    """The tail of a mention that a trade follows, which may be the machine's."""
    words, end = vocabulary(), mention.end
    # 您的AI顾问 and 银行的AI顾问 advise, AI顾问 may be asked about AI.
    yours = (
        mention.kind == "virtual"
        or folded.endswith(("您的", "你的", "专属", "私人"), 0, mention.start)
        or (folded.endswith("的", 0, mention.start) and _ADVISER.match(folded, end) is not None)
    )
    taught = (words.teaching if yours else words.sure_teaching) if mention.kind not in ("bot", "name") else None
    for pattern in (words.role, taught, words.distant_role):
        role = pattern.match(folded, end) if pattern is not None else None
        # 机器人教练 and AI老师 are people as well as machines.
        if role is None or (mention.kind == "bot" and (words.teaching.search(role[0]) or role[0] in ("模型", "产品"))):
            continue
        named = _NAME.match(folded, role.end())
        closed = named is not None and not words.elsewhere.match(folded, role.end())
        goes_on = _AFTER.match(folded, role.end()) or _ATTENDING.match(folded, role.end())
        if closed or goes_on or begins_predicate(folded[role.end() : role.end() + 20]):
            # The assistant of an AI company, or an assistant that is an AI?
            if organised and pattern is words.distant_role:
                return "topic", end
            return "whole", named.end() if closed and named else role.end()
    return None


def tail_of(folded: str, mention: Mention) -> tuple[Tail, int]:
    """How a mention goes on, and where its noun ends."""
    words = vocabulary()
    end = mention.end
    if end == len(folded) or folded[end] in STOP:
        return "whole", end
    if folded[end] in "+&×":
        return "topic", end
    if folded[end] == " " and folded[end - 1].isascii() and _ENGLISH_NOUN.match(folded, end):
        return "open", end
    organised = words.organised.match(folded, end) is not None
    trade = _trade_of(folded, mention, organised)
    if trade is not None:
        return trade
    if organised:
        return "other", end
    longer = words.elsewhere.match(folded, end)
    if longer and mention.kind in ("bot", "agent") and folded.startswith("小白", end):
        longer = None
    if longer and not _OWN_PARTICLE.match(folded, end):
        return ("topic" if longer["topic"] else "other"), end
    named = _NAME.match(folded, end) if mention.kind in ("agent", "virtual") else _PLAIN_NAME.match(folded, end)
    if named:
        return "whole", named.end()
    return ("whole" if _AFTER.match(folded, end) or begins_predicate(folded[end : end + 20]) else "open"), end


def is_hidden(folded: str) -> bool:
    """Whether there are mentions only when all spaces and marks are left out: then nobody knows what is meant."""
    if _SPLIT.search(folded) is None:
        return False
    squeezed = _SQUEEZED.sub("", folded)
    found, seen = (
        sum(mention.kind not in ("thing", "code") for mention in mentions_of(one)) for one in (squeezed, folded)
    )
    return found > seen
