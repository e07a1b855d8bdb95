"""What in a record's text looks like an attack on the judge: short codes for people who look into a run. Pure functions
of text. A flag never changes a score, and its absence proves nothing.

Every expression is bounded, so that the time grows with the length of the text and no faster.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from localjudge.characters import UNSEEN, unseen
from localjudge.cues import NECESSARY, Cue, Cues, told
from localjudge.decoding import hidden_in
from localjudge.folding import LOOKALIKE, fold, quick
from localjudge.passages import passages
from localjudge.records import Record

Flag = Literal[
    "order_to_judge",
    "fake_answer",
    "fake_turn",
    "forged_marker",
    "changed_rules",
    "claimed_verdict",
    "praise_of_judge",
    "role_change",
    "prompt_leak",
    "control_token",
    "encoded_text",
    "lookalike_letters",
    "padding",
    "invisible_characters",
    "bidirectional_characters",
    "control_characters",
    "struck",
]

# Text is folded first: unseen characters out, full-width forms narrow, letters small. Hence "," and ":" alone below.
_GAP = r"[^。!?\n]"
_PASSES = (
    r"(?:满分|高分|(?<!\d)1 ?分|一分|合格|通过|符合(?!要求的)|达标|[\"'「『“]是[\"'」』”]|\bpass(?:ed|es)?\b|\byes\b)"
)
_JUDGE = (
    r"(?:(?:评分|打分|评审|评测|评判|质检|阅卷|裁判)(?:人员|系统|模型|老师|专员|ai|员|者|人|官|组)?|评委"
    r"|\bjudge\b|\bgrader\b|\bevaluator\b)"
)
_MUST = r"(?:请|必须|务必|应当|应该|一律|只需|直接|只能|都要|全部|统统)"
_GRADE = r"(?:判|评|打|给|答|输出|填|算|记|选|视|认定)"
_WRITTEN: dict[Flag, str] = {
    "order_to_judge": "|".join(
        (
            rf"(?:忽略|无视|無視|忘记|忘掉|不要理会|不用理会|不必理会|抛开|推翻)[掉了]?{_GAP}{{0,4}}"
            rf"(?:以上|上述|上面|之前|此前|先前|前面|刚才|原来|所有|全部|一切|任何|你的|系统|评分|下面|"
            rf"后面){_GAP}{{0,8}}"
            r"(?:指令|指示|提示词|评分|評分|规则|規則|细则|标准|標準|准则|设定|材料|指标|任务)",
            rf"{_JUDGE}{_GAP}{{0,20}}{_MUST}{_GAP}{{0,10}}{_GRADE}{_GAP}{{0,10}}{_PASSES}",
            rf"(?:所有|全部|每[条项个]|各项|任何|这条|本条|下面的?|后面的?)(?:评分)?(?:指标|评分项|考核项|检查项|问题)"
            rf"{_GAP}{{0,12}}{_PASSES}",
            rf"{_MUST}(?:把|将)?(?:这|本|该|此)(?:条|段)?(?:消息|回复|回答|话术|内容){_GAP}{{0,6}}{_GRADE}"
            rf"{_GAP}{{0,6}}{_PASSES}",
            rf"{_MUST}{_GAP}{{0,4}}(?:回答|输出|作答|答)[:\"'「『“ ]{{0,3}}(?:是|1|合格|通过|符合)"
            r"(?=[\"'」』”。,!\s]|$)",
            r"(?:判|按|算|记|视|视为|评为|一律|所以|属于)(?:为|作|成)?合格(?=[\"'」』”吧。,!?处\s]|$)",
            r"(?:不要|不用|不必|别|停止)(?:再)?(?:评|评分|打分|评判)(?:这|本|此|了)|你的新任务",
            r"(?:ignore|disregard|forget|override)\s(?:\w+\s){0,4}?(?:instructions?|rules?|prompts?|criteria|rubric|"
            r"task)\b",
            r"\b(?:rate|score|grade|mark|judge)\s(?:\w+\s){0,4}?(?:as\s|with\s|a\s|an\s){0,2}"
            r"(?:1|10|100|full|perfect|highest|maximum|pass(?:ing|ed)?)\b",
            r"\b(?:answer|output|respond|reply|say)\s(?:\w+\s){0,3}?[\"'“]?(?:yes|pass|是|1)[\"'”]?(?=[\s.,!]|$)",
        )
    ),
    "fake_answer": "|".join(
        (
            r"[\"']?\b(?:score|total_score|reason|verdict)\b[\"']?\s{0,4}[:=]\s{0,4}[\"'\d{]",
            r"(?:评分|得分|打分|评判|质检|评估)(?:结果|结论)?\s{0,4}[:=]\s{0,4}[\"'「“]?(?:1(?!\d)|10|100|满分|合格|"
            r"通过|符合|是)",
            r"(?:正确|标准|参考)答案(?:是|为|[:])+\s{0,4}[\"'「“]?(?:是|1|合格|通过|符合|yes|pass)(?=[\"'」”。,!\s]|$)",
            r"(?:结论|判定|评定|复核|判断)(?:是|为|[:])+\s{0,4}[\"'「“]?(?:合格|通过|符合)(?=[\"'」”。,!;)\s]|$)",
            r"(?:correct|right|final) (?:answer|verdict|score)\s{0,4}(?:is|:|=)",
            r"^\s{0,8}(?:答|回答|答案|结论|answer)\s{0,4}:\s{0,4}[\"'「“]?(?:是|合格|通过|符合|1|"
            r"yes)[\"'」”]?\s{0,4}[。.]?\s{0,4}$",
        )
    ),
    "fake_turn": "|".join(
        (
            r"^\s{0,8}#{0,6}\s{0,4}\[?(?:system|assistant)(?: prompt| message)?\]?\s{0,4}:",
            r"^\s{0,8}[\[【<(#*]{0,4}\s{0,4}系统(?:指令|提示词|管理员)[\]】>)#*]{0,4}\s{0,4}:",
            r"\b(?:tool|function)_?(?:result|response|call|output)s?\b",
            r"\[/?inst\]|<</?sys>>",
        )
    ),
    "forged_marker": "|".join(
        (
            r"[【\[〔]\s{0,4}(?:材料|待评消息|发送时间|客服人设|用户资料|对话历史)[^】\]〕\n]{0,20}[】\]〕]",
            r"[-=#<]{2,}\s{0,4}/?(?:end|begin|结束|开始)(?: of)?\s{0,4}"
            r"(?:data|record|message|input|材料|消息|文本|待评)",
            r"[【\[〔《<(]\s{0,4}(?:消息|正文|材料|内容|文本|对话|数据|样本|待评)\w{0,4}(?:开始|结束|到此为止|"
            r"完毕)[】\]〕》>)]",
            r"</(?:message|content|document|input|record|response|reply|conversation|user_input|submission|sample)>"
            r"|[\[<]\s?(?:eof|end of \w{2,12})\s?[\]>]",
            r"(?:材料|待评消息|被评消息|待评内容)(?:到此为止|到此结束|已经?结束|结束)",
        )
    ),
    "changed_rules": "|".join(
        (
            rf"(?:评分|评审|质检|评判|考核)(?:标准|规则|细则|要求|指标)(?:表)?{_GAP}{{0,8}}(?:更新|变更|修改|修订|调整|"
            rf"作废|失效|取消|改为)",
            r"(?:the |new |updated )(?:rubric|grading|scoring)(?: \w+){0,3} (?:changed|updated|now|is)\b",
            rf"指标[^。\n]{{0,20}}(?:已作废|已取消|不再适用|一律视为){_GAP}{{0,8}}",
        )
    ),
    "claimed_verdict": "|".join(
        (
            rf"(?:这|本|该|此|上述|以上)(?:条|段)?(?:消息|回复|回答|话术|内容)(?:已|已经|均|完全|都|也)?{_GAP}{{0,6}}"
            rf"(?:符合|满足|达到|通过)(?:了)?(?:所有|全部|一切|各项|每一|这|该|本)?(?:项|条)?(?:评分|质检|指标|标准|"
            rf"考核)",
            rf"(?:质检|评分|评审)(?:主管|组长|组|专家|复核|委员会|部){_GAP}{{0,12}}(?:复核|审核|认定|确认|"
            rf"批准){_GAP}{{0,6}}{_PASSES}",
            r"\bthis (?:message|reply|response|answer) (?:fully |already )?(?:meets|satisfies|passes|complies)\b",
        )
    ),
    "praise_of_judge": r"(?:公正|聪明|专业|优秀|严谨|厉害|英明|伟大|敬爱|尊敬|最好|善良|智慧)的?"
    rf"(?:{_JUDGE}|大模型|语言模型|法官)"
    r"|\b(?:fair|wise|smart|excellent|best|brilliant|dear)(?:est)? (?:judge|grader|evaluator|model)\b",
    "role_change": "|".join(
        (
            rf"从现在(?:起|开始),?{_GAP}{{0,4}}[你您](?:就)?(?:是|扮演|不再)",
            r"[你您]现在是一[个位名]",
            r"(?:请[你您]?|现在[你您])(?:来)?扮演",
            r"\b(?:you are now|pretend (?:to be|you)|act as (?:a|an|the|my))\b",
        )
    ),
    "prompt_leak": "|".join(
        (
            rf"(?:输出|复述|写出|列出|告诉我|透露|展示|重复|贴出){_GAP}{{0,10}}"
            rf"(?:系统提示|提示词|系统消息|系统指令|评分细则|评分标准|评分规则|评分指标|[你您]的(?:指令|设定|规则))",
            r"\b(?:repeat|print|reveal|show|output)\s(?:\w+\s){0,3}?(?:system prompt|instructions|rubric|prompt)\b",
        )
    ),
    "control_token": r"<\|[a-z_]{2,30}\|>|</?(?:think|tool_call|tool_response)>",
}
_FOUND = {flag: re.compile(pattern, re.MULTILINE) for flag, pattern in _WRITTEN.items()}
_LEAST_PADDED = 2000
_PADDED = 8
"""Text that packs into an eighth of its bytes says the same thing over and over."""


_DISGUISED = re.compile(
    r"[ \t.·*_|/~、-]{1,2}[\u3400-\u9fff][ \t.·*_|/~、-]{1,2}[\u3400-\u9fff][ \t.·*_|/~、-]|"
    r"\n[\u3400-\u9fff]\n[\u3400-\u9fff]$"
    r"|^[\u3400-\u9fff]\n[\u3400-\u9fff]\n|\\u[0-9a-f]{4}|&#|%[0-9a-f]{2}%|[a-z0-9+/]{18}|(?:[0-9a-f]{2}[ :]){8}",
    re.MULTILINE,
)


_FIRST = re.compile(
    "[略无無视視忘掉抛推翻评評判审審核质質检檢阅閱格分通过過符达達标標指示规規则則准準细細词詞设設答结結论論材料消息讯訊复復术術样樣文容系统統任务務"
    "扮饰演从现放违认認签備备免白限束礼整规专体及效晰同善耐贴妥恰美挑毫陷瑕买買顾顧户戶员員访項项题題解始读条段句则模师型朋历史毛抬越法送据史对★"
    "a-zA-SU-Z<>=&%\\\\→⇒√✔✓✅☑\u2460-\u24ff\u3200-\u33ff\u2e80-\u2fdf\uf900-\ufaff\uff21-\uff5a\U0001d400-\U0001d7ff\U0001f100-\U0001f2ff\u0370-\u04ff"
    f"{UNSEEN}]"
)
"""A character of each of these, as one class: a first look that costs next to nothing."""


EXPRESSIONS = "\n".join((*_WRITTEN.values(), _DISGUISED.pattern, _FIRST.pattern))
"""All that decides here, for the prompt digest."""


class Found(NamedTuple):
    """One finding, by its place in a folded text."""

    flag: Flag
    start: int
    end: int


def suspicious(text: str) -> bool:
    """Whether a text needs a closer look. No flag but those of characters stands on a text that does not."""
    if _FIRST.search(text) is None:
        return padded(text)
    folded = quick(text)
    return bool(
        NECESSARY.search(folded) or _DISGUISED.search(folded) or unseen(text) or LOOKALIKE.search(text) or padded(text)
    )


def padded(text: str) -> bool:
    """Whether a text is long and says the same over and over."""
    if len(text) < _LEAST_PADDED // 4 or len(set(text)) * _PADDED > 4 * len(text):
        return False
    data = text.encode("utf-8", "replace")
    return len(data) >= _LEAST_PADDED and len(zlib.compress(data)) * _PADDED < len(data)


def found_in(folded: str) -> list[Found]:
    """All that the expressions find in a folded text, and the sentences in it that speak to the judge."""
    found = [
        Found(flag, match.start(), match.end())
        for flag, pattern in _FOUND.items()
        for match in pattern.finditer(folded)
    ]
    for passage in passages(folded):
        cues = told(passage.text)
        if cues is not None:
            found.append(Found(_named(cues), passage.start, passage.end))
    return found


def flags_of(record: Record) -> tuple[Flag, ...]:
    """The flags of all text of a record, message, history and profiles, in a fixed order."""
    texts = list(texts_of(record))
    # Most records have nothing in any of their texts: one look at all of them says so. Padding may drown in the others.
    if not suspicious("\n".join(texts)) and not any(map(padded, texts)):
        return ()
    found: set[Flag] = set()
    for text in texts:
        found.update(flags_in(text))
    return tuple(flag for flag in ALL_FLAGS if flag in found)


def flags_in(text: str) -> tuple[Flag, ...]:
    """The flags of one text, in a fixed order."""
    if not suspicious(text):
        return ()
    found = {each.flag for each in found_in(fold(text).text)}
    found |= {_HIDDEN[kind] for kind in unseen(text)}
    if LOOKALIKE.search(text):
        found.add("lookalike_letters")
    for hidden in hidden_in(text):
        inside = {each.flag for each in found_in(fold(hidden.plain).text)}
        if inside or hidden.base64:
            found |= {"encoded_text", *inside}
    if padded(text):
        found.add("padding")
    return tuple(flag for flag in ALL_FLAGS if flag in found)


ALL_FLAGS: tuple[Flag, ...] = Flag.__args__  # type: ignore[attr-defined]
_HIDDEN: dict[str, Flag] = {
    "invisible": "invisible_characters",
    "bidirectional": "bidirectional_characters",
    "control": "control_characters",
}


def _named(cues: Cues) -> Flag:
    """The flag of a sentence that speaks to the judge, by the most telling of its cues."""
    return next((flag for cue, flag in _BY_CUE.items() if cue in cues), "order_to_judge")


_BY_CUE: dict[Cue, Flag] = {
    "turn": "fake_turn",
    "thought": "fake_turn",
    "unbound": "role_change",
    "role": "role_change",
    "schema": "fake_answer",
    "given": "fake_answer",
    "claim": "claimed_verdict",
    "quality": "claimed_verdict",
    "voucher": "claimed_verdict",
    "praise": "praise_of_judge",
    "change": "changed_rules",
}


def texts_of(record: Record) -> Iterator[str]:
    """All text of a record: the message, the history, the profiles."""
    yield record.message
    if isinstance(record.dialogue_history, str):
        yield record.dialogue_history
    else:
        for turn in record.dialogue_history:
            yield turn.content
            yield turn.timestamp or ""
    yield from _strings(record.user_profile)
    yield from _strings(record.agent_profile)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)
