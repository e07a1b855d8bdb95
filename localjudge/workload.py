"""What records cost a model under each strategy: requests and tokens, counted on the real prompts without running any.

Counts with whatever turns messages into a sequence; whether that is a tokenizer or a guess is not known here. What a
model would write cannot be counted, so it is assumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from localjudge.engines.base import Message
from localjudge.prompts import Prompts
from localjudge.records import Record, TaskType
from localjudge.rubric import Indicator, Rubric
from localjudge.rules import Rules, rule
from localjudge.strategies import Settings, Strategy

ANSWER_TOKENS = 26
"""Tokens of a reason with its score: the mean of the 564 answers in docs/benchmarks.md."""
KEY_TOKENS = 6
"""Tokens that `joint` writes around each of its answers: the indicator's id, quotes and braces."""
FAILED_SHARE = 0.2
"""Share of the indicators for which `cascade` with reasons for failures alone asks why."""

_REASON = "语气自然亲切，贴合人设，没有明显的问题。"
"""Stands in for a reason where one is asked about."""


@dataclass(frozen=True, slots=True)
class Counter:
    """How to count: `encode` gives the prompt as a sequence; each of its items is `scale` tokens, and `extra` come on
    top of every prompt."""

    encode: Callable[[tuple[Message, ...]], Sequence[Any]]
    scale: float = 1.0
    extra: int = 0

    def tokens(self, prompt: Sequence[Any]) -> float:
        """Tokens of one prompt."""
        return len(prompt) * self.scale + self.extra

    def shared(self, one: Sequence[Any], other: Sequence[Any]) -> float:
        """Tokens that two prompts begin with alike."""
        alike = (number for number, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
        return next(alike, min(len(one), len(other))) * self.scale


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What cannot be counted beforehand."""

    answer_tokens: int = ANSWER_TOKENS
    reasons: str = "all"
    orders: int = Settings().orders
    """Reads of an indicator."""
    failed_share: float = FAILED_SHARE
    block_size: int = 16
    """Tokens of a cache block: only whole blocks are shared."""
    rules: Rules = "on"
    """What the packs' checks do: an indicator that one decides is not asked."""


@dataclass(slots=True)
class Workload:
    """Sums over `records` records; divide for means."""

    strategy: Strategy
    records: int = 0
    requests: float = 0.0
    prompt_tokens: float = 0.0
    computed_tokens: float = 0.0
    """Prompt tokens that are not taken from the prefix cache."""
    attended_tokens: float = 0.0
    """Over all computed tokens, how many tokens each looks back at."""
    written_requests: float = 0.0
    """Requests with an answer to write; a read takes its one token from the prompt's own pass."""
    output_tokens: float = 0.0
    """Of written answers; each is one decoding step of its sequence."""
    context_tokens: float = 0.0
    """Over all output tokens, how many tokens each looks back at."""
    held_tokens: float = 0.0
    """Distinct tokens that all requests of a record hold in the cache, a shared prefix once."""
    longest_prompt: float = 0.0
    _previous: dict[tuple[TaskType, str], Sequence[Any]] = field(default_factory=dict, repr=False)
    """The latest prompt of each task type and stage: the next record shares its system message."""


def measure(
    records: Iterable[Record],
    rubrics: Mapping[TaskType, Rubric],
    strategies: Sequence[Strategy],
    counter: Counter,
    assumed: Assumptions,
) -> list[Workload]:
    """One workload a strategy, over all the records. Thinking is not counted."""
    prompts = Prompts()
    loads = [Workload(strategy) for strategy in strategies]
    polarity = counter.encode((prompts.polarity(_REASON),))
    for record in records:
        rubric = rubrics[record.task_type]
        system, parts = prompts.opening(record)
        left = _left_to_the_model(record, rubric, assumed.rules)
        packs = prompts.packs(rubric, assumed.orders)
        tails = {
            "read": [(pack, prompts.read(rubric, indicator)) for indicator in left for pack in packs],
            "explain": [(system, prompts.explain(rubric, indicator)) for indicator in left],
            # One answer for all is asked for all the indicators, whatever rules decide.
            "joint": [(system, prompts.joint(rubric))] if left else [],
        }
        asked = {
            name: [counter.encode((before, Message("user", (*parts, tail)))) for before, tail in tails[name]]
            for name in _stages(strategies)
        }
        for load in loads:
            load.records += 1
            if left:
                _add_record(load, asked, polarity, len(rubric.indicators), record.task_type, counter, assumed)
    return loads


def _left_to_the_model(record: Record, rubric: Rubric, rules: Rules) -> list[Indicator]:
    undecided = set(rule(record, rubric, rules).undecided)
    return [indicator for indicator in rubric.indicators if indicator.id in undecided]


def _stages(strategies: Sequence[Strategy]) -> list[str]:
    wanted = {"cascade": ("read", "explain"), "read": ("read",), "explain": ("explain",), "joint": ("joint",)}
    return list(dict.fromkeys(stage for strategy in strategies for stage in wanted[strategy]))


def _add_record(
    load: Workload,
    asked: Mapping[str, list[Sequence[Any]]],
    polarity: Sequence[Any],
    indicators: int,
    task_type: TaskType,
    counter: Counter,
    assumed: Assumptions,
) -> None:
    answer = assumed.answer_tokens
    written = {"joint": indicators * (answer + KEY_TOKENS), "explain": answer}
    first = "read" if load.strategy == "cascade" else load.strategy
    # Each order of the examples is a system message of its own.
    orders = assumed.orders if first == "read" else 1
    for order in range(orders):
        prompts, place = asked[first][order::orders], (task_type, f"{first} {order}")
        _add_stage(load, place, prompts, counter, assumed, answer=written.get(first, 0))
    if load.strategy != "cascade":
        return
    # Reads show the whole pack before the record, so that none of their blocks serves an answer.
    share = 1.0 if assumed.reasons == "all" else assumed.failed_share
    _add_stage(load, (task_type, "explain"), asked["explain"], counter, assumed, answer=answer, share=share)
    for _ in asked["explain"]:
        _add_request(load, counter.tokens(polarity), 0.0, 0, share)
        load.held_tokens += counter.tokens(polarity) * share


def _add_stage(
    load: Workload,
    place: tuple[TaskType, str],
    prompts: list[Sequence[Any]],
    counter: Counter,
    assumed: Assumptions,
    *,
    answer: int,
    share: float = 1.0,
) -> None:
    """Requests over one prefix, of which `share` are asked: whichever is first computes what the record before did not
    leave behind, all of them what is behind the shared blocks."""
    before = load._previous.get(place)
    kept = 0.0 if before is None else _whole_blocks(counter.shared(before, prompts[0]), assumed.block_size)
    load._previous[place] = prompts[0]
    prefix = min((counter.shared(prompts[0], other) for other in prompts[1:]), default=0.0)
    shared = max(kept, _whole_blocks(prefix, assumed.block_size))
    any_asked = min(1.0, share * len(prompts))
    load.computed_tokens += (shared - kept) * any_asked
    load.attended_tokens += (shared**2 - kept**2) / 2 * any_asked
    # What all records begin with is held once, and not for each of them.
    load.held_tokens += (shared - kept) * any_asked
    for prompt in prompts:
        _add_request(load, counter.tokens(prompt), shared, answer, share)
        load.held_tokens += (counter.tokens(prompt) - shared + answer) * share


def _add_request(load: Workload, length: float, cached: float, answer: int, share: float = 1.0) -> None:
    load.requests += share
    load.prompt_tokens += length * share
    load.computed_tokens += (length - cached) * share
    load.attended_tokens += (length**2 - cached**2) / 2 * share
    load.longest_prompt = max(load.longest_prompt, length)
    if answer:
        load.written_requests += share
        load.output_tokens += answer * share
        load.context_tokens += answer * (length + answer / 2) * share


def _whole_blocks(tokens: float, block_size: int) -> float:
    return tokens // block_size * block_size
