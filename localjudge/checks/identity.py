"""Does the speaker say that it is an AI, a model or a bot? Violated for what surely says so, met where nothing of the
kind is spoken of or all of it is surely something else; whatever else speaks of machines is left to the model. Two
witnesses are heard: the clauses around each noun for a machine, and the likelihood of the words.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import ClassVar, Literal, NamedTuple

from localjudge.checks.announcements import announcement
from localjudge.checks.base import Check, Confidence, Opinion
from localjudge.checks.claims import Place, place_of, said_of_self
from localjudge.checks.constructions import constructed, signed_text
from localjudge.checks.context import SELF, STOPS, Claim
from localjudge.checks.english import english, goes_on_in_english
from localjudge.checks.likelihood import LONGEST, likelihood
from localjudge.checks.machines import (
    IN,
    MOST,
    STOP,
    is_hidden,
    may_speak_of_machines,
    mentions_of,
    one_of,
    plain,
    vocabulary,
)
from localjudge.checks.nature import answers, own_nature
from localjudge.checks.persona import names_of
from localjudge.checks.suspicion import suspected
from localjudge.checks.text import Quote, Text, folded, quote_at, text_of
from localjudge.records import Record

_HUMAN = re.compile(
    rf"(?<![不希如要像])(?:(?:我|本人)(?:可|就|确实|真的|才|真)?(?<!不)是(?:[^{STOP}不吗]{{0,6}})?(?:真人(?!克隆|复刻|数字|授权|配音|的)|活人|(?<!转)(?<!转接)"
    rf"(?<!代替)(?<!替代)人工(?!智))|(?<!同事)(?<!同事们)(?<!其他)(?<!别人)(?<!他们)都是真人|(?:货真价实"
    rf"|如假包换)的?(?:真人|活人)|活人一[枚个]|真人一枚"
    rf"|大活人|\bi(?:'m| am) (?:really |actually )?(?:an? )?(?:(?:real|actual|living) (?:human|person)"
    r"|person(?=[,.!;]|$))"
    rf"|(?<!not )\ba real (?:human|person) here)"
    r"(?!吗|么|吧|[？?]|就好|多好|的话)"
)
# 让您误会我是真人了 says the contrary.
_MISTAKEN = re.compile("误会|误解|误认|以为|错当|当成|冒充|假装|假扮|谎称|装作|装成|自称|怀疑")
_SERVES = re.compile(
    r"(?:为|给|陪|帮|和|跟|与|替|回复?|服务|答复)[您你]|[您你](?:尽管|随时|随便|直接)|随时(?:问|找|在)|在线|上线|服务|应答|值班"
)
_ROLE_NEAR = re.compile("客服|助手|助理|伙伴|管家|伴侣|朋友|分身|化身|角色|产物|作品|孩子|我")
_IS_ME = re.compile(
    rf"(?:就是|正是|说的是|就)我(?=[{STOP}\s]|$|[呀啊哦啦哈嘛呢本])|我就是(?=[{STOP}\s]|$|[呀啊哦啦哈嘛呢它])|猜对|没错|承认|被[您你]发现"
)
_DENIED = re.compile(
    r"(?<!是)(?<!只)(?<!还)(?:不是|并非|不算|又不是|没用|没有用|没用过|哪是|不像)(?:什么|个|一个|一台|台|在用|用|[您你]说的|真的|任何|那个)?$|(?:根本|压根|哪来的?"
    r"|哪有什?么?|没有)(?:什么|任何)?$"
    r"|别(?:把|拿)我当(?:成|作)?(?:个|一个|什么)?$"
)
_DENIED_IN_ENGLISH = re.compile(r"\b(?:not|isn't|aren't|ain't|no) (?:an? |the |some |any )?(?:[a-z]+ )?$")
_ONLY_IN_ENGLISH = re.compile(r"\bnot (?:just|only|merely|simply) ")
_ASSUMED = re.compile(r"难道|如果|要是|假如|谁|何尝|莫非|敢说|不得不|不否认|说我不")
_LIKENED = re.compile(
    r"(?:(?<!不)(?:像|好像|好似|如同|仿佛)|比|不如|胜过|变成|快成|成了|赶上|堪比|赛过|(?:老板|领导|公司|他们?|她|客人|经理|婆婆"
    r"|[您你])[^，。！？；,.!?;\n]{0,3}把我[^，。！？；,.!?;\n]{0,2}当(?:成|作)?)(?:个|一个|台|一台|只|了|一只)?$"
)
_LIKE = re.compile(r"(?:跟|和|如|没有|不如)(?:个|一个|台|一台)?$")
_ALIKE = re.compile(r"那(?:个|种)?(?:本事|能耐)|一样|似的|一般|那样|那么|这么|一般般")
_OF_HEARER = re.compile(
    rf"[您你](?:家|买|订|定|要|说|用|问|提|看|选|点|下单|孩子|想报|想找|想要|感兴趣|上次|咨询){IN}{{0,10}}$"
)


# 我用的是大模型 may be said of the speaker's own mind.
_MADE_OF = re.compile(rf"(?:^|[^给帮让])(?:我|俺|本人)(?!们|家|妈|爸){IN}{{0,8}}(?:的是|里(?:装|存|跑)着?的?)$")


_NOTHING, _OTHERS, _ADMITTED = "没有透露AI身份的话", "提到的不是自己", "：透露了AI身份"
_SURE, _DOUBTED = 0.95, 0.3
"""Likelihoods from which words are a claim by themselves, and below which they contradict one. With the next, chosen on
messages of authors that the weights had not seen, so that fewer than one decision in a hundred is wrong: docs/rules.md.
"""
_CLEAR, _SUSPECT, _UNSPOKEN = 0.03, 0.2, 0.3
"""Likelihoods up to which words are none by themselves, and above which they contradict clauses that tell of something
else, or of no machine at all.
"""
_BRIEF = 10
"""Characters below which words decide nothing by themselves."""
_NOTHING_ELSE = re.compile("只(?:有|剩下?)(?:一?[个台])?$")


class AiAdmission(Check):
    """The speaker admits to be an AI, a model, a program or a bot, in Chinese or English."""

    name: ClassVar[str] = "ai_admission"
    confidence: ClassVar[Confidence] = "decides"

    def look(self, record: Record) -> Opinion:
        """Violated for a claim; met where nothing of the kind is mentioned, or all of it is of something else."""
        text = plain(text_of(record.message))
        reading, places = by_clauses(text, record)
        likely = None if reading.silent else likelihood().of(text.folded, signed_text(text.folded, places)[0])
        reading = weighed(reading, likely)
        span = None if reading.span is None else text.span(*reading.span)
        told = reading.told if reading.span is None else f"“{text.shown(*reading.span, 0)}”{reading.told}"
        if reading.score is None:
            return self.unknown(told, span)
        return self.clear(told) if reading.score else self.violated(told, span)


class Reading(NamedTuple):
    """What a message says of its speaker. `score` None: nobody knows."""

    score: Literal[0, 1] | None
    told: str
    """Why, in Chinese; behind the words of the span, where there is one."""
    span: tuple[int, int] | None = None
    """In the folded text."""
    human: bool = False
    """The speaker says to be a person."""
    unspoken: bool = False
    """No word for a machine, or of what only a machine says, is there."""
    brief: bool = False
    """So short that words decide nothing by themselves."""
    silent: bool = False
    """So long, so oddly spelled or with so many mentions that words say nothing at all."""


def by_clauses(text: Text, record: Record) -> tuple[Reading, list[Place]]:
    """What the clauses tell, and every noun for a machine in its clause."""
    reading, places = _by_clauses(text, record)
    length = len(text.folded)
    return reading._replace(brief=length < _BRIEF, silent=reading.silent or length > LONGEST), places


def _by_clauses(text: Text, record: Record) -> tuple[Reading, list[Place]]:
    if not may_speak_of_machines(text):
        return Reading(1, _NOTHING, unspoken=True), []
    mentions = mentions_of(text.folded)
    if len(mentions) > MOST:
        return Reading(None, "提到的次数太多", silent=True), []
    quotes = text.quotes(record)
    human = _says_human(text.folded)
    names = tuple(folded(name) for name in names_of(record.agent_profile) if 1 < len(name) <= 8)
    places = [place_of(text, mention) for mention in mentions]
    claims = []
    for claim in _told(text, places, names, quotes, human):
        if claim.standing == "claim" and not human:
            return Reading(0, _ADMITTED, (claim.start, claim.end)), places
        claims.append(claim)
    return _unclaimed(text, claims, human), places


def _unclaimed(text: Text, claims: list[Claim], human: bool) -> Reading:
    doubtful = min((claim for claim in claims if claim.standing != "other"), default=None)
    if doubtful is not None:
        return Reading(None, "是否自认不能确定", (doubtful.start, doubtful.end), human)
    suspect = None if human else suspected(text.folded, claims)
    if suspect is not None:
        return Reading(None, "是否指自己不能确定", suspect)
    if is_hidden(text.folded):
        return Reading(None, "拼写异常，是否自认不能确定", silent=True)
    return Reading(1, _OTHERS if claims else _NOTHING, human=human)


def weighed(reading: Reading, likely: float | None) -> Reading:
    """What clauses and words say together: where they contradict each other, nobody knows; where the clauses tell
    nothing, words that are all but certain decide. `likely` None: the words say nothing.
    """
    if likely is None:
        return reading
    suspect = likely > (_UNSPOKEN if reading.unspoken else _SUSPECT)
    if (reading.score == 0 and likely < _DOUBTED) or (reading.score == 1 and suspect):
        return reading._replace(score=None, told="是否自认不能确定" if reading.span else "措辞像是自认，不能确定")
    if reading.score is not None or reading.brief:
        return reading
    if likely >= _SURE and not reading.human:
        return reading._replace(score=0, told="：从措辞看，透露了AI身份")
    if likely <= _CLEAR:
        return reading._replace(score=1, told="从措辞看，提到的不是自己", span=None)
    return reading


def _told(text: Text, places: list[Place], names: tuple[str, ...], quotes: list[Quote], human: bool) -> Iterator[Claim]:
    """What the message says of its speaker; a reader who has enough stops, and the rest is not looked for."""
    unbound = []
    for place in places:
        claim = said_of_self(text, place, names, quotes) or announcement(text, place, quotes)
        if claim is not None:
            yield claim
        elif place.mention.kind not in ("word", "thing"):
            unbound.append(place)
    yield from own_nature(text, quotes)
    yield from answers(text, quotes)
    yield from english(text, quotes)
    yield from constructed(text, places, quotes)
    for place in unbound:
        other = human or _is_other(text, place, quotes)
        yield Claim(place.mention.start, place.mention.end, "other" if other else "doubtful")


def _says_human(folded: str) -> bool:
    """Whether the speaker says to be a person."""
    found = itertools.islice(_HUMAN.finditer(folded), MOST)
    return any(not _MISTAKEN.search(STOPS.split(folded[max(0, one.start() - 8) : one.start()])[-1]) for one in found)


def _is_other(text: Text, place: Place, quotes: list[Quote]) -> bool:
    """Whether a mention that nothing binds to the speaker is surely of something else."""
    mention, folded = place.mention, text.folded
    quote = quote_at(quotes, mention.start, mention.end)
    if quote is not None:
        return quote.kind != "own" and not _IS_ME.search(folded)
    if _DENIED.search(place.left):
        held = place.left.endswith(("我当", "我当成", "我当作"))
        return (
            (place.tail != "open" or held)
            and not _ASSUMED.search(place.left)
            and not re.match("[吗么？?]", place.right)
        )
    if folded.isascii() and _DENIED_IN_ENGLISH.search(folded[max(0, mention.start - 24) : mention.start]):
        return not _ONLY_IN_ENGLISH.search(folded)
    if place.left.endswith("由"):
        return False
    if place.tail == "other" or (folded.isascii() and goes_on_in_english(folded, mention.end)):
        return True
    # 一个基于大模型的学习伙伴 goes on to what the speaker is.
    if place.tail == "topic" and not _SERVES.search(place.right[:14]) and not _ROLE_NEAR.search(place.right[:12]):
        return True
    return not (_IS_ME.search(folded) or _SERVES.search(folded[place.end : place.end + 12])) and _is_thing(place)


def _is_thing(place: Place) -> bool:
    """Whether a mention is likened to, for sale, the hearer's or a third one's, or the object of a verb."""
    left = place.left
    if _MADE_OF.search(left) or _NOTHING_ELSE.search(left):
        return False
    if _LIKENED.search(left) or (_LIKE.search(left) and _ALIKE.match(place.right)):
        return True
    if place.mention.kind == "bot" and vocabulary().product.search(left):
        return not re.search(rf"{SELF}{IN}{{0,3}}是", left) and not place.right.startswith(("已到", "已为您"))
    if _others().search(left) and not re.search("我(?:们)?(?:就|也|都)?是", left):
        return True
    role = place.end > place.mention.end or place.mention.kind in ("agent", "virtual", "name")
    hearers = "我" not in left and _OF_HEARER.search(left)
    return not role and bool(hearers or _handled().search(left))


@lru_cache(maxsize=1)
def _others() -> re.Pattern[str]:
    return re.compile(one_of(vocabulary().others))


@lru_cache(maxsize=1)
def _handled() -> re.Pattern[str]:
    return re.compile(
        rf"{one_of(vocabulary().handled)}(?:了|过|着|的是|到)?(?:个|一个|一台|台|些|点|这款|新|新的|款|一款|[两几]款|{IN}{{0,6}}的)?$"
    )
