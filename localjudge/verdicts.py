"""What an answer must look like, how it is read, and what becomes of it. Schema and parser live together so that what
is asked for and what is read cannot drift apart. Works on strings; knows no engine.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Iterable
from enum import StrEnum
from functools import cache, lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from localjudge.checks.base import Opinion
from localjudge.flags import Flag
from localjudge.records import TaskType
from localjudge.rubric import Indicator, Rubric

NOT_APPLICABLE = "无需评估"
REASON_MAX = 40
"""Characters of a reason under `explain`. Every character is a set of states in the decoding automaton: 40 compile in
2 to 4 s once per process, and no answer can be cut off inside a sensible token limit."""

# Readable text only: no quotes or backslashes to escape, no control, zero-width or bidirectional characters. Written
# with literal characters because JSON-schema validators and outlines read escapes beyond the first plane differently.
_REASON_CHARACTERS = "[ !#-\\[\\]-~·‐-‧　-鿿！-～🌀-🫿]"

_READABLE = re.compile(f"{_REASON_CHARACTERS}+")


class Unscored(StrEnum):
    """Why an indicator has no score. None of these is ever counted as 0 or 1."""

    TRUNCATED = "truncated"
    """Cut off by its token limit, also on the second try."""
    UNPARSEABLE = "unparseable"
    """Finished, and still not what the schema says."""
    CONTRADICTORY = "contradictory"
    """Says `无需评估` and scores 0 in one breath."""
    TOO_LONG = "too_long"
    """Record and question do not fit the model's context."""
    OFF_LABEL = "off_label"
    """A read in which the model wanted to say something other than the labels."""
    ENGINE_ERROR = "engine_error"
    """The engine refused or lost the request; the text is in `reason`."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Answer(_Frozen):
    """One indicator's answer as the model wrote it: the reason first, then the score that follows from it."""

    reason: Annotated[str, Field(min_length=1)]
    score: Literal[0, 1]

    @field_validator("score", mode="before")
    @classmethod
    def _score_is_an_integer(cls, value: Any) -> Any:
        # Python holds true and 1.0 equal to 1; the schema does not.
        if type(value) is not int:
            raise ValueError("score is 0 or 1")
        return value

    @property
    def applicable(self) -> bool:
        """False when the model says that there is nothing to judge."""
        return not self.reason.strip().startswith(NOT_APPLICABLE)


StageName = Literal["read", "explain", "thinking", "polarity"]


class Stage(_Frozen):
    """What one stage of a cascade said about one indicator. `polarity` reads a reason alone, and never decides."""

    stage: StageName
    score: Literal[0, 1] | None
    applicable: bool | None
    reason: str = ""
    p_pass: float | None = None
    label_mass: float | None = None
    margin: float | None = None
    calibrated: bool = False
    unscored: Unscored | None = None


class Grade(_Frozen):
    """The outcome for one indicator of one record."""

    id: str
    indicator: str
    """The indicator's title."""
    score: Literal[0, 1] | None
    applicable: bool | None
    """None when unscored."""
    reason: str
    p_pass: float | None = None
    label_mass: float | None = None
    margin: float | None = None
    calibrated: bool = False
    """Whether `p_pass` is a calibrated probability; false says that it only orders messages."""
    source: Literal["model", "rule", "thinking"] = "model"
    unscored: Unscored | None = None
    thinking: str | None = None
    """The model's thinking, only where keeping it was asked for."""
    decided_by: StageName | None = None
    """The stage whose score this is, where there was more than one to choose from."""
    contradiction: bool = False
    """The reason argues against its own score. Counted, never silently mended."""
    stages: tuple[Stage, ...] = ()
    witnesses: tuple[Opinion, ...] = ()
    """What checks say beside the grade; they never set its score."""
    numerically_undecided: bool = Field(default=False, exclude_if=operator.not_)
    """The noise of the arithmetic could turn the score. Set when verdicts are read, see `noise`; never stored."""

    @classmethod
    def without_score(
        cls,
        indicator: Indicator,
        why: Unscored,
        *,
        reason: str = "",
        thinking: str | None = None,
        stages: tuple[Stage, ...] = (),
    ) -> Grade:
        """The grade of an indicator that came to no score, and why."""
        return cls(
            id=indicator.id,
            indicator=indicator.title,
            score=None,
            applicable=None,
            reason=reason,
            unscored=why,
            thinking=thinking,
            stages=stages,
        )

    @model_validator(mode="after")
    def _is_scored_or_says_why_not(self) -> Grade:
        if (self.score is None) != (self.unscored is not None):
            raise ValueError("a grade has a score, or a reason for having none")
        return self


class Usage(_Frozen):
    """Token counts of one record. Counts, unlike seconds, do not depend on how busy the machine was."""

    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Prompt tokens taken from the engine's prefix cache; prompt minus cached is what was computed."""
    output_tokens: int = 0
    thinking_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            requests=self.requests + other.requests,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            thinking_tokens=self.thinking_tokens + other.thinking_tokens,
        )


class Verdict(_Frozen):
    """All grades of one record, in rubric order."""

    id: str
    task_type: TaskType
    rubric: str
    """`name@version`."""
    total_score: int
    """Sum over scored indicators alone; read it beside `scored` and `max_score`."""
    max_score: int
    """Number of indicators asked."""
    scored: int
    """Number of indicators that have a score."""
    not_applicable: int
    """Those of `scored` that are 1 because the indicator does not apply."""
    detail: tuple[Grade, ...]
    flags: tuple[Flag, ...] = ()
    """What in the record's text looks like an attack on the judge. Beside the scores, never in them."""
    usage: Usage = Usage()
    extra: dict[str, Any] = {}

    @classmethod
    def of(
        cls,
        *,
        id: str,
        rubric: Rubric,
        detail: tuple[Grade, ...],
        usage: Usage,
        extra: dict[str, Any] | None = None,
        flags: tuple[Flag, ...] = (),
    ) -> Verdict:
        """Builds a verdict and its totals from grades."""
        scored = [grade for grade in detail if grade.score is not None]
        # Not validated: the parts are, and to look at every grade once more takes as long as half of them took to make.
        return cls.model_construct(
            id=id,
            task_type=rubric.task_type,
            rubric=rubric.ref,
            total_score=sum([grade.score or 0 for grade in scored]),
            max_score=len(detail),
            scored=len(scored),
            not_applicable=sum([grade.applicable is False for grade in scored]),
            detail=detail,
            flags=flags,
            usage=usage,
            extra=extra or {},
        )


def answer_schema(*, bounded: bool = True) -> dict[str, Any]:
    """JSON schema of one indicator's answer. `joint` takes unbounded reasons: 25 bounded ones would not compile."""
    length = f"{{2,{REASON_MAX}}}" if bounded else "+"
    return {
        "type": "object",
        "properties": {
            "reason": {"type": "string", "pattern": f"^{_REASON_CHARACTERS}{length}$"},
            "score": {"enum": [0, 1]},
        },
        "required": ["reason", "score"],
        "additionalProperties": False,
    }


def joint_schema(rubric: Rubric) -> dict[str, Any]:
    """JSON schema of one answer for all indicators of a pack, keyed by indicator id, in pack order."""
    return _joint_schema(indicator.id for indicator in rubric.indicators)


def _joint_schema(ids: Iterable[str]) -> dict[str, Any]:
    wanted = list(ids)
    return {
        "type": "object",
        "properties": {indicator_id: answer_schema(bounded=False) for indicator_id in wanted},
        "required": wanted,
        "additionalProperties": False,
    }


def schema_text(schema: dict[str, Any]) -> str:
    """The one spelling of a schema that engines, caches and digests see."""
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))


@cache
def answer_schema_text() -> str:
    """The spelling of `answer_schema()`, made once."""
    return schema_text(answer_schema())


@lru_cache(maxsize=64)
def joint_schema_text(ids: tuple[str, ...]) -> str:
    """The spelling of the joint schema over these indicator ids, made once for each selection."""
    return schema_text(_joint_schema(ids))


def parse_answer(text: str) -> Answer | Unscored:
    """Reads one finished answer."""
    try:
        answer = Answer.model_validate_json(text, strict=True)
    except ValidationError:
        return Unscored.UNPARSEABLE
    if not _READABLE.fullmatch(answer.reason):
        return Unscored.UNPARSEABLE
    return _consistent(answer)


def parse_joint(text: str, ids: tuple[str, ...]) -> dict[str, Answer | Unscored]:
    """Reads a finished answer for several indicators. Every id is in the result; a missing one is UNPARSEABLE."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    entries = data if isinstance(data, dict) else {}
    return {
        wanted: parse_answer(json.dumps(entries[wanted], ensure_ascii=False))
        if wanted in entries
        else Unscored.UNPARSEABLE
        for wanted in ids
    }


def parse_cut_joint(text: str, ids: tuple[str, ...]) -> dict[str, Answer | Unscored]:
    """Reads a joint answer that was cut off: the indicators complete before the cut, TRUNCATED for the rest."""
    found: dict[str, Answer | Unscored] = {}
    for match in re.finditer(r'"([A-Za-z0-9_.]+)":(\{"reason":"[^"\\]*","score":[01]\})', text):
        found[match[1]] = parse_answer(match[2])
    return {wanted: found.get(wanted, Unscored.TRUNCATED) for wanted in ids}


def _consistent(answer: Answer) -> Answer | Unscored:
    if not answer.applicable and answer.score == 0:
        return Unscored.CONTRADICTORY
    return answer
