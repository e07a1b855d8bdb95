"""Ways to ask: what requests a record becomes, and how its completions become a verdict. No engine is called here;
a `Case` hands out requests and takes completions until its verdict is whole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from localjudge.calibration import Calibration
from localjudge.decisions import Band, Reasons
from localjudge.engines.base import Completion, Message, Part, Request
from localjudge.flags import Flag
from localjudge.prompts import Defences, Prompts
from localjudge.reads import POLARITY_LABELS, READ_LABELS, label_mass, mean_logprobs, parse_read
from localjudge.records import Record
from localjudge.rubric import Indicator, Rubric
from localjudge.rules import Rules
from localjudge.verdicts import (
    NOT_APPLICABLE,
    Answer,
    Grade,
    Stage,
    StageName,
    Unscored,
    Usage,
    Verdict,
    answer_schema_text,
    joint_schema_text,
    parse_answer,
    parse_cut_joint,
    parse_joint,
)

Strategy = Literal["cascade", "read", "explain", "joint"]

EXPLAIN_TOKENS = 96
"""First token limit of a one-indicator answer; the second try has twice that, which the longest reason fits."""
JOINT_TOKENS = 56
"""Tokens per indicator in a joint answer."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How records are asked about."""

    strategy: Strategy = "cascade"
    thinking_budget: int | None = None
    """None: thinking off. n >= 0: at most n thinking tokens for each answer."""
    keep_thinking: bool = False
    seed: int = 0
    reasons: Reasons = "all"
    """Cascade: a reason for every indicator, or only where the read fails or is uncertain."""
    band: Band | None = None
    """Cascade: where a read alone is too uncertain to decide; None: see `decisions.deciding_band`."""
    doubt_budget: int | None = None
    """Cascade: thinking tokens for an indicator whose stages leave a doubt; None leaves the doubt alone."""
    orders: Literal[1, 2] = 1
    """Reads of an indicator: one, or two that show its examples in either order and are averaged."""
    calibration: Calibration | None = None
    """What makes probabilities of the reads' margins; None leaves them uncalibrated."""
    rules: Rules = "on"
    """Whether the rubric's checks decide, stand beside the grades, or do not run."""
    defences: Defences = "clean"
    """Whether prompts guard against what a record's text asks of the judge."""

    @property
    def read_choices(self) -> tuple[str, ...]:
        """What a read asks for: the labels, and the words that the calibration weighs."""
        return READ_LABELS + (self.calibration.words if self.calibration else ())


class Case(ABC):
    """One record on its way to a verdict."""

    def __init__(
        self,
        key: str,
        record: Record,
        rubric: Rubric,
        prompts: Prompts,
        settings: Settings,
        flags: tuple[Flag, ...] | None = None,
    ) -> None:
        """`flags`: those of the record, as `Prompts.opening` takes them."""
        self.record = record
        self.rubric = rubric
        self._key = key
        self._prompts = prompts
        self._settings = settings
        self._choices = settings.read_choices
        self._system, self._parts = prompts.opening(record, flags)
        self._completions: list[Completion] = []
        self._reads: dict[str, list[Completion]] = {}

    @abstractmethod
    def open(self) -> list[Request]:
        """The first requests."""

    @abstractmethod
    def absorb(self, completion: Completion) -> list[Request]:
        """Takes one completion; returns what must still be asked because of it."""

    @abstractmethod
    def verdict(self) -> Verdict | None:
        """The verdict, once all completions are in."""

    def explain_request(self, indicator: Indicator, name: str, thinking_budget: int | None) -> Request:
        """Asks for a reason and a score."""
        messages = self._about(self._prompts.explain(self.rubric, indicator))
        return self._request(name, messages, EXPLAIN_TOKENS, answer_schema_text(), thinking_budget)

    def read_requests(self, indicator: Indicator, name: str) -> list[Request]:
        """Asks for one word, and reads how likely the labels are, and the words of the calibration; once for each order
        of the examples."""
        user = Message("user", (*self._parts, self._prompts.read(self.rubric, indicator)))
        return [
            self._request(name + "~" * number, (pack, user), 1, choices=self._choices)
            for number, pack in enumerate(self._packs)
        ]

    @cached_property
    def _packs(self) -> list[Message]:
        return self._prompts.packs(self.rubric, self._settings.orders)

    def polarity_request(self, reason: str, name: str) -> Request:
        """Asks what a reason says, seen alone: without the record, the indicator or the score."""
        return self._request(name, (self._prompts.polarity(reason),), 1, choices=POLARITY_LABELS)

    def read_stage(
        self, completions: Sequence[Completion], name: StageName, indicator: Indicator | None = None
    ) -> Stage:
        """What the reads of one question came to, as a stage."""
        return Stage(stage=name, **self.read_fields(completions, indicator))

    def read_fields(self, completions: Sequence[Completion], indicator: Indicator | None = None) -> dict[str, Any]:
        """What the reads of one question came to, their log-probabilities averaged; with a calibrated probability where
        there is a calibration for the indicator. As the fields that a `Stage` and a `Grade` share."""
        nothing = {"score": None, "applicable": None, "reason": ""}
        for completion in completions:
            if not completion.choice_logprobs:
                why = failure_of(completion) or Unscored.ENGINE_ERROR
                return nothing | {"reason": completion.error, "unscored": why}
        logprobs = mean_logprobs([completion.choice_logprobs for completion in completions])
        read = parse_read(logprobs)
        if isinstance(read, Unscored):
            return nothing | {"label_mass": label_mass(logprobs), "unscored": read}
        calibration = self._settings.calibration
        known = calibration.map_of(self.rubric, indicator) if calibration and indicator else None
        if calibration and known:
            margin = calibration.margin(logprobs)
            read = read._replace(margin=margin, p_pass=known.probability(margin))
        return {
            "score": read.score,
            "applicable": read.applicable if read.score else True,
            "reason": "",
            "p_pass": read.p_pass,
            "label_mass": read.label_mass,
            "margin": read.margin,
            "calibrated": known is not None,
        }

    def gather_read(self, indicator: Indicator, completion: Completion) -> Sequence[Completion] | None:
        """The reads of an indicator, once the one for each order is in."""
        if self._settings.orders == 1:
            return [completion]
        reads = self._reads.setdefault(indicator.id, [])
        reads.append(completion)
        return reads if len(reads) == self._settings.orders else None

    def _about(self, tail: Part) -> tuple[Message, ...]:
        """The record, and a question behind it."""
        return (self._system, Message("user", (*self._parts, tail)))

    def _request(
        self,
        name: str,
        messages: tuple[Message, ...],
        max_tokens: int,
        schema: str | None = None,
        thinking_budget: int | None = None,
        choices: tuple[str, ...] = (),
    ) -> Request:
        return Request(
            id=f"{self._key}/{name}",
            messages=messages,
            schema=schema,
            max_tokens=max_tokens,
            thinking_budget=thinking_budget,
            seed=self._settings.seed,
            choices=choices,
        )

    def _count(self, completion: Completion) -> None:
        self._completions.append(completion)

    def _usage(self) -> Usage:
        done = self._completions
        return Usage(
            requests=len(done),
            prompt_tokens=sum([each.prompt_tokens for each in done]),
            cached_tokens=sum([each.cached_tokens for each in done]),
            output_tokens=sum([each.output_tokens for each in done]),
            thinking_tokens=sum([each.thinking_tokens for each in done]),
        )

    def _grade(self, indicator: Indicator, outcome: Answer | Unscored, completion: Completion) -> Grade:
        thinking = completion.thinking if self._settings.keep_thinking and completion.thinking else None
        if isinstance(outcome, Unscored):
            reason = completion.error if outcome in (Unscored.TOO_LONG, Unscored.ENGINE_ERROR) else ""
            return Grade.without_score(indicator, outcome, reason=reason, thinking=thinking)
        return Grade(
            id=indicator.id,
            indicator=indicator.title,
            score=outcome.score,
            applicable=outcome.applicable,
            reason=outcome.reason if outcome.applicable else NOT_APPLICABLE,
            source="thinking" if completion.thinking_tokens else "model",
            thinking=thinking,
        )

    def _whole(self, grades: Mapping[str, Grade]) -> Verdict | None:
        if len(grades) < len(self.rubric.indicators):
            return None
        return Verdict.of(
            id=self.record.id,
            rubric=self.rubric,
            detail=tuple(grades[indicator.id] for indicator in self.rubric.indicators),
            usage=self._usage(),
            extra=dict(self.record.extra),
        )


class ExplainCase(Case):
    """One short answer for each indicator; all of a record share one prompt prefix."""

    def open(self) -> list[Request]:
        self._grades: dict[str, Grade] = {}
        self._asked: dict[str, Request] = {}
        self._indicators = {indicator.id: indicator for indicator in self.rubric.indicators}
        requests = [
            self.explain_request(indicator, indicator.id, self._settings.thinking_budget)
            for indicator in self.rubric.indicators
        ]
        self._asked = {request.id: request for request in requests}
        return requests

    def absorb(self, completion: Completion) -> list[Request]:
        self._count(completion)
        request = self._asked.pop(completion.request_id)
        if completion.finish_reason == "length" and (again := second_try(request)):
            self._asked[again.id] = again
            return [again]
        indicator = self._indicators[request.id.removeprefix(f"{self._key}/").removesuffix("+")]
        outcome = failure_of(completion) or parse_answer(completion.text)
        self._grades[indicator.id] = self._grade(indicator, outcome, completion)
        return []

    def verdict(self) -> Verdict | None:
        return self._whole(self._grades)


class ReadCase(Case):
    """One unconstrained one-token read for each indicator: a score and how sure it is, no reason."""

    def open(self) -> list[Request]:
        self._grades: dict[str, Grade] = {}
        self._asked: dict[str, Indicator] = {}
        requests = []
        for indicator in self.rubric.indicators:
            own = self.read_requests(indicator, indicator.id)
            self._asked.update((request.id, indicator) for request in own)
            requests += own
        return requests

    def absorb(self, completion: Completion) -> list[Request]:
        self._count(completion)
        indicator = self._asked.pop(completion.request_id)
        reads = self.gather_read(indicator, completion)
        if reads is None:
            return []
        fields = self.read_fields(reads, indicator)
        self._grades[indicator.id] = Grade(id=indicator.id, indicator=indicator.title, **fields)
        return []

    def verdict(self) -> Verdict | None:
        return None if self._asked else self._whole(self._grades)


class JointCase(Case):
    """One answer for all indicators of a record."""

    def open(self) -> list[Request]:
        self._grades: dict[str, Grade] = {}
        tokens = JOINT_TOKENS * len(self.rubric.indicators)
        schema = joint_schema_text(tuple(indicator.id for indicator in self.rubric.indicators))
        messages = self._about(self._prompts.joint(self.rubric))
        self._asked = self._request("joint", messages, tokens, schema, self._settings.thinking_budget)
        self._cut: Completion | None = None
        return [self._asked]

    def absorb(self, completion: Completion) -> list[Request]:
        self._count(completion)
        if completion.finish_reason == "length" and (again := second_try(self._asked)):
            self._asked, self._cut = again, completion
            return [again]
        ids = tuple(indicator.id for indicator in self.rubric.indicators)
        failure = failure_of(completion)
        outcomes: dict[str, Answer | Unscored]
        if failure is Unscored.TRUNCATED:
            outcomes = parse_cut_joint(completion.text, ids)
        elif failure is not None:
            outcomes = dict.fromkeys(ids, failure)
        else:
            outcomes = parse_joint(completion.text, ids)
        for indicator in self.rubric.indicators:
            self._grades[indicator.id] = self._grade(indicator, outcomes[indicator.id], completion)
        if failure is not None and self._cut is not None:
            self._keep_whole(self._cut, ids, failure)
        return []

    def _keep_whole(self, cut: Completion, ids: tuple[str, ...], failure: Unscored) -> None:
        """What the first try had whole is not lost with a second one that failed."""
        whole = parse_cut_joint(cut.text, ids)
        for indicator in self.rubric.indicators:
            outcome = whole[indicator.id]
            if self._grades[indicator.id].unscored is failure and outcome is not Unscored.TRUNCATED:
                self._grades[indicator.id] = self._grade(indicator, outcome, cut)

    def verdict(self) -> Verdict | None:
        return self._whole(self._grades)


def second_try(request: Request) -> Request | None:
    """The same request with twice the room, once; None for one that already had it."""
    if request.id.endswith("+"):
        return None
    return request._replace(id=f"{request.id}+", max_tokens=request.max_tokens * 2)


def failure_of(completion: Completion) -> Unscored | None:
    """What a completion that did not finish means for its indicators; None for one that did."""
    failures = {"length": Unscored.TRUNCATED, "too_long": Unscored.TOO_LONG, "error": Unscored.ENGINE_ERROR}
    return failures.get(completion.finish_reason)
