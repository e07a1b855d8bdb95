"""Ways to ask: what requests a record becomes, and how its completions become a verdict. No engine is called here;
a `Case` hands out requests and takes completions until its verdict is whole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from localjudge.decisions import DEFAULT_BAND, Band, Reasons
from localjudge.engines.base import Completion, Message, Part, Request
from localjudge.prompts import Prompts
from localjudge.records import Record
from localjudge.rubric import Indicator, Rubric
from localjudge.rules import Rules
from localjudge.verdicts import (
    NOT_APPLICABLE,
    READ_LABELS,
    Answer,
    Grade,
    Read,
    Unscored,
    Usage,
    Verdict,
    answer_schema,
    joint_schema,
    label_mass,
    parse_answer,
    parse_cut_joint,
    parse_joint,
    parse_read,
    schema_text,
)

Strategy = Literal["cascade", "read", "explain", "joint"]

EXPLAIN_TOKENS = 96
"""First token limit of a one-indicator answer; the second try has twice that, which the longest reason fits."""
JOINT_TOKENS = 56
"""Tokens per indicator in a joint answer."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How records are asked about."""

    strategy: Strategy = "explain"
    thinking_budget: int | None = None
    """None: thinking off. n >= 0: at most n thinking tokens for each answer."""
    keep_thinking: bool = False
    seed: int = 0
    reasons: Reasons = "all"
    """Cascade: a reason for every indicator, or only where the read fails or is uncertain."""
    band: Band = DEFAULT_BAND
    """Cascade: where a read alone is too uncertain to decide."""
    doubt_budget: int | None = None
    """Cascade: thinking tokens for an indicator whose stages leave a doubt; None leaves the doubt alone."""
    rules: Rules = "on"
    """Whether the rubric's checks decide, stand beside the grades, or do not run."""


class Case(ABC):
    """One record on its way to a verdict."""

    def __init__(self, key: str, record: Record, rubric: Rubric, prompts: Prompts, settings: Settings) -> None:
        self.record = record
        self.rubric = rubric
        self._key = key
        self._prompts = prompts
        self._settings = settings
        self._system, self._parts = prompts.opening(record)
        self._usage = Usage()

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
        tail = self._prompts.explain(self.rubric, indicator)
        request = self._ask(name, tail, EXPLAIN_TOKENS)
        return replace(request, schema=schema_text(answer_schema()), thinking_budget=thinking_budget)

    def read_request(self, indicator: Indicator, name: str) -> Request:
        """Asks for one word, and reads how likely each of the labels is."""
        request = self._ask(name, self._prompts.read(self.rubric, indicator), 1)
        return replace(request, choices=READ_LABELS)

    def polarity_request(self, reason: str, name: str) -> Request:
        """Asks what a reason says, seen alone: without the record, the indicator or the score."""
        request = self._ask(name, Part(""), 1)
        return replace(request, messages=(self._prompts.polarity(reason),), choices=READ_LABELS)

    def _ask(self, name: str, tail: Part, max_tokens: int) -> Request:
        return Request(
            id=f"{self._key}/{name}",
            messages=(self._system, Message("user", (*self._parts, tail))),
            max_tokens=max_tokens,
            seed=self._settings.seed,
        )

    def _count(self, completion: Completion) -> None:
        self._usage += Usage(
            requests=1,
            prompt_tokens=completion.prompt_tokens,
            cached_tokens=completion.cached_tokens,
            output_tokens=completion.output_tokens,
            thinking_tokens=completion.thinking_tokens,
        )

    def _grade(self, indicator: Indicator, outcome: Answer | Unscored, completion: Completion) -> Grade:
        thinking = completion.thinking if self._settings.keep_thinking and completion.thinking else None
        if isinstance(outcome, Unscored):
            reason = completion.error if outcome in (Unscored.TOO_LONG, Unscored.ENGINE_ERROR) else ""
            return Grade(
                id=indicator.id,
                indicator=indicator.title,
                score=None,
                applicable=None,
                reason=reason,
                unscored=outcome,
                thinking=thinking,
            )
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
            usage=self._usage,
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
        self._indicators = {indicator.id: indicator for indicator in self.rubric.indicators}
        return [self.read_request(indicator, indicator.id) for indicator in self.rubric.indicators]

    def absorb(self, completion: Completion) -> list[Request]:
        self._count(completion)
        indicator = self._indicators[completion.request_id.removeprefix(f"{self._key}/")]
        if completion.choice_logprobs:
            outcome = parse_read(completion.choice_logprobs)
            mass = label_mass(completion.choice_logprobs)
        else:
            outcome, mass = failure_of(completion) or Unscored.ENGINE_ERROR, None
        self._grades[indicator.id] = self._grade_read(indicator, outcome, mass, completion)
        return []

    def verdict(self) -> Verdict | None:
        return self._whole(self._grades)

    def _grade_read(
        self, indicator: Indicator, outcome: Read | Unscored, mass: float | None, completion: Completion
    ) -> Grade:
        if isinstance(outcome, Unscored):
            unscored = self._grade(indicator, outcome, completion)
            return unscored.model_copy(update={"label_mass": mass})
        return Grade(
            id=indicator.id,
            indicator=indicator.title,
            score=outcome.score,
            applicable=outcome.applicable if outcome.score else True,
            reason="",
            p_pass=outcome.p_pass,
            label_mass=outcome.label_mass,
            margin=outcome.margin,
        )


class JointCase(Case):
    """One answer for all indicators of a record."""

    def open(self) -> list[Request]:
        self._grades: dict[str, Grade] = {}
        tokens = JOINT_TOKENS * len(self.rubric.indicators)
        asked = self._ask("joint", self._prompts.joint(self.rubric), tokens)
        budget = self._settings.thinking_budget
        self._request = replace(asked, schema=schema_text(joint_schema(self.rubric)), thinking_budget=budget)
        return [self._request]

    def absorb(self, completion: Completion) -> list[Request]:
        self._count(completion)
        if completion.finish_reason == "length" and (again := second_try(self._request)):
            self._request = again
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
        return []

    def verdict(self) -> Verdict | None:
        return self._whole(self._grades)


def second_try(request: Request) -> Request | None:
    """The same request with twice the room, once; None for one that already had it."""
    if request.id.endswith("+"):
        return None
    return replace(request, id=f"{request.id}+", max_tokens=request.max_tokens * 2)


def failure_of(completion: Completion) -> Unscored | None:
    """What a completion that did not finish means for its indicators; None for one that did."""
    failures = {"length": Unscored.TRUNCATED, "too_long": Unscored.TOO_LONG, "error": Unscored.ENGINE_ERROR}
    return failures.get(completion.finish_reason)
