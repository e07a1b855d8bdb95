"""Takes out of a text what is addressed to the judge, so that a message with an attack is judged as the message without
it. Pure functions; the record itself, its flags and its checks keep the full text.

What speaks to the judge is struck by the sentence, with the sentences around it that belong to it. Behind a forged end
or turn all is the attacker's. In the history and the profiles, which hold other people's words, only what passes
sentence on the message is struck.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

from localjudge.characters import without_unseen
from localjudge.cues import EXPRESSIONS as CUES
from localjudge.cues import Cue, cues_in, of_other_things, told
from localjudge.decoding import hidden_in
from localjudge.flags import EXPRESSIONS, Flag, Found, found_in, padded, suspicious, texts_of
from localjudge.folding import Folded, fold
from localjudge.passages import Passage, passages
from localjudge.records import Record, Turn

EMPTY = "（空）"
"""What the model sees of a text of which nothing is left."""
_HOLDS_WORDS = re.compile(r"[^\W_]")
_BARE = re.compile(r"[\W_]*(?:是|否|1|yes|pass|ok|true|合格|通过|空|正文|原文|json|yaml|python|text)?[\W_]*")
_BELONGS = re.compile(
    r"原文|存档|日志|样本|备注|身份|人设|扮演|角色|照做|照办|解码|运行|请(?:点评|评价|评判|回答)|剧本|台词|"
    r"否则|后果|补充|说明"
    r"|审阅|复核|复议|备案|签字|指标|标准|规则|指令|模型|结论|分数|评[价分审判语]|考核|工号|文号|输出"
)
"""Words that tie a sentence to one beside it that is struck."""
_LINE_BELONGS = re.compile(
    r"^\W{0,6}(?:系统(?:提示|消息|通知)?|助手|备注|补充\w{0,4}|说明\w{0,4}|附|注)\s?[:。]|^\s{0,8}[|>#]|"
    r"^\s{0,8}[\w ]{1,24}:\s?$|请(?:点评|评价|评判)|原文|存档"
)
"""Lines that belong to one above or below that is struck."""
_UNSURE: frozenset[Flag] = frozenset({"role_change", "prompt_leak", "changed_rules"})
"""What ordinary people also say, of themselves, of schools and of screens: struck only with other cues."""
_ALWAYS: frozenset[Flag] = frozenset({"forged_marker", "control_token", "fake_turn"})
"""What nobody says of goods or examinations."""
_TURN = re.compile(
    r"^\W{0,6}(?:顾客|买家|客户|用户|会员|访客|系统|助手|system|assistant|user|customer|"
    r"human)\w{0,4}(?:\s?[(\[][^)\]\n]{0,12}[)\]])?\s?:"
)
_TELLING: frozenset[Cue] = frozenset({"judge", "verdict", "rubric", "answer", "given", "voucher", "thought", "turn"})
"""Cues that are struck wherever they stand in a text that speaks to the judge elsewhere."""
_LATIN = re.compile(r"[a-z]{2,}")
_HAN = re.compile(r"[\u3400-\u9fff]")
_ENDS = re.compile(r"\|im_(?:start|end)\||结束|完毕|到此为止|\bend\b|eof")
_REOPENS = re.compile(r"im_start\|>\s{0,4}user|\[inst\]|[【《〔\[]\s{0,4}(?:待评消息|消息开始|正文|原文)")
_QUOTED = re.compile(r"[\"“「『]{1,3}([^\"”」』\n]{10,4000})[\"”」』]{1,3}")
_KEPT_REPEATS = 2
"""A text that says the same a hundred times is seen to repeat itself, and no longer drowns anything."""
_MOST_REPEATS = 10
_VERSION = 1
RULES = hashlib.sha256(
    "\n".join(
        (
            str(_VERSION),
            EXPRESSIONS,
            CUES,
            *(each.pattern for each in (_BARE, _BELONGS, _LINE_BELONGS, _TURN, _ENDS, _REOPENS, _QUOTED)),
        )
    ).encode()
).hexdigest()
"""Stands for all that decides what is struck. Count the version up when code changes it and no expression does."""


class Seen(NamedTuple):
    """What the model sees of a text, and where the original held what it does not see."""

    text: str
    struck: tuple[tuple[int, int], ...] = ()


def seen_record(record: Record) -> Record:
    """The record as the model sees it: itself, where nothing is struck."""
    if not any(suspicious(text) for text in texts_of(record)):
        return record
    changed: dict[str, Any] = {}
    message = strike(record.message)
    if message.struck:
        changed["message"] = message.text
    for name in ("dialogue_history", "user_profile", "agent_profile"):
        value = getattr(record, name)
        seen = _seen_value(value)
        if seen != value:
            changed[name] = seen
    return record.model_copy(update=changed) if changed else record


def strike(text: str, *, others: bool = False) -> Seen:
    """Strikes what is addressed to the judge. `others`: a text of the history or the profiles.

    The result is stripped of white space at both ends if anything was struck; time is linear in the length of the text.
    """
    if not suspicious(text):
        return Seen(text)
    folded = fold(text)
    units = list(passages(folded.text))
    gone = (
        _others_strikes(units, folded.text) if others else _strikes(units, folded.text, _encoded(text, folded, units))
    )
    if padded(text):
        gone |= _repeats(units)
    if not any(_HOLDS_WORDS.search(units[place].text) or "|" in units[place].text for place in gone):
        return Seen(text)
    mask = _mask(folded, units, gone, len(text))
    return Seen(_left(text, mask) or _quoted(text) or EMPTY, tuple(_runs(mask)))


def _strikes(units: list[Passage], folded: str, strong: set[int]) -> set[int]:
    """Places of the passages of a message that are for the judge: those that say so, and what belongs to them."""
    found = found_in(folded)
    flags = _flags_by_place(units, found)
    strong |= {place for place, unit in enumerate(units) if _for_judge(unit, flags.get(place, set()))}
    if not strong:
        return set()
    foreign = len(_HAN.findall(folded)) > 10
    gone = strong | {place for place, unit in enumerate(units) if cues_in(unit.text) & _TELLING}
    for step in (1, -1):
        for first in sorted(gone):
            place, crossed = first + step, False
            while 0 <= place < len(units) and place not in gone:
                crossed = crossed or units[place].text == "\n"
                if not _belongs(units[place].text, step, crossed, foreign):
                    break
                gone.add(place)
                place += step
    gone |= _whole_lines(units, gone)
    return gone | _rest_of_turns(units, gone) | _behind_ends(units, gone, flags)


def _whole_lines(units: list[Passage], gone: set[int]) -> set[int]:
    """The lines of which a third is struck, where other lines stay: whoever turns to the judge starts a line."""
    lines: list[list[int]] = [[]]
    for place, unit in enumerate(units):
        if unit.text == "\n":
            lines.append([])
        elif _HOLDS_WORDS.search(unit.text):
            lines[-1].append(place)
    struck = [line for line in lines if sum(place in gone for place in line) * 3 >= max(len(line), 1)]
    if all(line in struck or not line for line in lines):
        return set()
    return {place for line in struck for place in line}


def _for_judge(passage: Passage, flags: set[Flag]) -> bool:
    """Whether a passage with these flags is for the judge."""
    if not flags or flags & _ALWAYS:
        return bool(flags)
    if told(passage.text) is not None:
        return True
    return bool(flags - _UNSURE) and not of_other_things(passage.text, cues_in(passage.text))


def _encoded(text: str, folded: Folded, units: list[Passage]) -> set[int]:
    """Places of the passages in which something is encoded that speaks to the judge."""
    found = [
        Found("encoded_text", bisect_left(folded.places, hidden.start), bisect_left(folded.places, hidden.end))
        for hidden in hidden_in(text)
        if found_in(fold(hidden.plain).text)
    ]
    return set(_flags_by_place(units, found))


def _flags_by_place(units: list[Passage], found: list[Found]) -> dict[int, set[Flag]]:
    """The flags that were found in each passage."""
    starts = [unit.start for unit in units]
    flags: dict[int, set[Flag]] = {}
    for each in found:
        first = bisect_right(starts, each.start) - 1
        for place in range(first, max(bisect_left(starts, each.end), first + 1)):
            flags.setdefault(place, set()).add(each.flag)
    return flags


def _rest_of_turns(units: list[Passage], gone: set[int]) -> set[int]:
    """What follows in the line of a turn that is not the author's."""
    rest: set[int] = set()
    inside = False
    for place, unit in enumerate(units):
        inside = unit.text != "\n" and (inside or (place in gone and _TURN.search(unit.text) is not None))
        if inside:
            rest.add(place)
    return rest


def _belongs(text: str, step: int, crossed: bool, foreign: bool) -> bool:
    """Whether a unit beside what is struck is part of it; `crossed`: it stands on another line."""
    if _BARE.fullmatch(text) or (_LINE_BELONGS if crossed else _BELONGS).search(text):
        return True
    if not crossed and (
        cues_in(text) - {"order", "change", "opinion", "quality"}
        or (step < 0 and text[:1] in "([【《" and text[-1:] in ")]】》")
    ):
        return True
    return foreign and len(_LATIN.findall(text)) >= 3 and len(_HAN.findall(text)) < 4


def _behind_ends(units: list[Passage], gone: set[int], flags: dict[int, set[Flag]]) -> set[int]:
    """What stands behind a forged end or turn, up to an equally forged beginning."""
    behind: set[int] = set()
    kept = inside = False
    for place, unit in enumerate(units):
        if place in gone:
            ends = not flags.get(place, set()).isdisjoint({"forged_marker", "control_token"})
            if _REOPENS.search(unit.text):
                inside = False
            elif kept and ends and _ENDS.search(unit.text):
                inside = True
        elif inside:
            behind.add(place)
        kept = kept or (place not in gone and _HOLDS_WORDS.search(unit.text) is not None)
    return behind


def _others_strikes(units: list[Passage], folded: str) -> set[int]:
    """Places of the passages that are for the judge whoever said them: forged marks, and sentences on the message."""
    marks = [each for each in found_in(folded) if each.flag in ("forged_marker", "control_token")]
    gone = set(_flags_by_place(units, marks))
    for place, unit in enumerate(units):
        cues = told(unit.text)
        if cues and {"message", "verdict"} <= cues and cues & {"judge", "rubric", "order", "answer"}:
            gone.add(place)
    return gone


def _repeats(units: list[Passage]) -> set[int]:
    places: dict[str, list[int]] = {}
    for place, unit in enumerate(units):
        if _HOLDS_WORDS.search(unit.text):
            places.setdefault(unit.text.strip(), []).append(place)
    return {place for same in places.values() if len(same) >= _MOST_REPEATS for place in same[_KEPT_REPEATS:]}


def _mask(folded: Folded, units: list[Passage], gone: set[int], length: int) -> bytearray:
    mask = bytearray(length)
    for place in gone:
        for index in range(units[place].start, units[place].end):
            mask[folded.places[index]] = 1
    return mask


def _left(text: str, mask: bytearray) -> str:
    """What is left, without the lines of which nothing is."""
    lines: list[str] = []
    start = 0
    for line in text.splitlines(keepends=True):
        hidden = mask[start : start + len(line)]
        kept = without_unseen("".join(character for character, struck in zip(line, hidden, strict=True) if not struck))
        start += len(line)
        if not any(hidden):
            lines.append(line)
        elif kept.strip():
            lines.append(kept if kept.endswith("\n") or not line.endswith("\n") else kept.rstrip() + "\n")
    return "".join(lines).strip()


def _quoted(text: str) -> str:
    """The longest thing that a struck text quotes, where that says nothing to the judge itself."""
    quoted = [match[1] for match in _QUOTED.finditer(text)]
    return max((each for each in quoted if strike(each) == Seen(each)), key=len, default="")


def _runs(mask: bytearray) -> Iterator[tuple[int, int]]:
    place = 0
    for struck, run in groupby(mask):
        length = len(list(run))
        if struck:
            yield place, place + length
        place += length


def _seen_value(value: Any) -> Any:
    """A value of the history or a profile as the model sees it; equal to it where nothing is struck."""
    if isinstance(value, str):
        return strike(value, others=True).text
    if isinstance(value, Turn):
        seen = {"content": _seen_value(value.content), "timestamp": _seen_value(value.timestamp)}
        return (
            value if seen == {"content": value.content, "timestamp": value.timestamp} else value.model_copy(update=seen)
        )
    if isinstance(value, dict):
        return {_seen_value(key): _seen_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_seen_value(inner) for inner in value)
    return value
