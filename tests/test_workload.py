"""Tokens by strategy, counted on real prompts and held against prompts that are put together here by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from localjudge.engines import open_engine
from localjudge.engines.base import Engine, Message
from localjudge.judge import Judge
from localjudge.records import Record, TaskType, parse_record, read_records
from localjudge.rubric import Rubric, load_rubric
from localjudge.rules import Rules
from localjudge.strategies import Settings, Strategy
from localjudge.workload import KEY_TOKENS, Assumptions, Counter, Workload, measure

RUBRICS: dict[TaskType, Rubric] = {pack.task_type: pack for pack in (load_rubric("reply"), load_rubric("push"))}
EXAMPLES = Path(__file__).parents[1] / "examples"


def text(messages: tuple[Message, ...]) -> str:
    return "".join(part.text for message in messages for part in message.parts)


CHARACTERS = Counter(text)


def records() -> list[Record]:
    return [entry for entry in read_records(EXAMPLES / "push.jsonl") if isinstance(entry, Record)]


def load(strategy: Strategy, given: list[Record], **assumed: object) -> Workload:
    (found,) = measure(given, RUBRICS, [strategy], CHARACTERS, Assumptions(**assumed))  # type: ignore[arg-type]
    return found


@pytest.fixture(scope="module")
def tokenized(tiny_model: Path) -> tuple[Engine, Counter]:
    from localjudge.engines.encode import ChatEncoder

    return open_engine("fake", tiny_model, name="tiny"), Counter(ChatEncoder(tiny_model).encode)


@pytest.mark.parametrize("rules", ["on", "off"])
@pytest.mark.parametrize("strategy", ["read", "explain", "joint", "cascade"])
def test_requests_and_prompt_tokens_are_those_that_a_run_sends(
    tokenized: tuple[Engine, Counter], strategy: Strategy, rules: Rules
) -> None:
    given, (engine, counter) = records()[:3], tokenized
    usages = [
        verdict.usage for verdict in Judge(engine, RUBRICS, Settings(strategy=strategy, rules=rules)).judge(given)
    ]
    (counted,) = measure(given, RUBRICS, [strategy], counter, Assumptions(rules=rules))
    assert counted.records == 3
    assert counted.requests == sum(usage.requests for usage in usages)
    # The reason that a cascade's polarity question quotes is another one in a run.
    slack = 0.03 if strategy == "cascade" else 0.0
    assert counted.prompt_tokens == pytest.approx(sum(usage.prompt_tokens for usage in usages), rel=slack)


def test_the_shared_record_is_computed_once_and_the_tails_in_whole_blocks() -> None:
    one = parse_record({"id": "a", "task_type": "push", "message": "在吗" * 100})
    whole = load("read", [one], block_size=1, rules="off")
    assert whole.requests == 22
    # With blocks of one, what is computed is the first prompt and then each question's own characters.
    tails = whole.prompt_tokens - 22 * (whole.longest_prompt - _longest_tail())
    assert whole.computed_tokens <= whole.longest_prompt + tails
    coarse = load("read", [one], block_size=64, rules="off")
    assert whole.computed_tokens < coarse.computed_tokens < coarse.prompt_tokens
    assert coarse.prompt_tokens == whole.prompt_tokens


def _longest_tail() -> int:
    from localjudge.prompts import Prompts

    prompts, rubric = Prompts(), RUBRICS["push"]
    return max(len(prompts.read(rubric, indicator).text) for indicator in rubric.indicators)


def test_the_next_record_shares_the_system_message() -> None:
    first, second = records()[:2]
    alone = load("explain", [first]).computed_tokens + load("explain", [second]).computed_tokens
    together = load("explain", [first, second]).computed_tokens
    assert 0 < alone - together <= 400


def test_written_tokens_are_what_was_assumed() -> None:
    given = records()[:2]
    assert load("read", given, rules="off").output_tokens == 0
    assert load("explain", given, answer_tokens=30, rules="off").output_tokens == 2 * 22 * 30
    assert load("joint", given, answer_tokens=30, rules="off").output_tokens == 2 * 22 * (30 + KEY_TOKENS)
    assert load("cascade", given, answer_tokens=30, rules="off").output_tokens == 2 * 22 * 30
    few = load("cascade", given, answer_tokens=30, rules="off", reasons="failed", failed_share=0.25)
    assert few.output_tokens == 2 * 22 * 30 * 0.25
    assert few.requests == 2 * (22 + 0.25 * 44)


def test_a_share_of_none_makes_a_cascade_of_reads_alone() -> None:
    given = records()[:2]
    cascade, read = load("cascade", given, reasons="failed", failed_share=0.0), load("read", given)
    assert (cascade.requests, cascade.computed_tokens) == (read.requests, read.computed_tokens)


def test_a_guess_from_characters_scales_and_adds_the_template() -> None:
    given = records()[:2]
    (guessed,) = measure(given, RUBRICS, ["joint"], Counter(text, scale=0.5, extra=20), Assumptions())
    (exact,) = measure(given, RUBRICS, ["joint"], CHARACTERS, Assumptions())
    assert guessed.prompt_tokens == exact.prompt_tokens / 2 + 2 * 20
