"""What is encoded once and shared must give the very ids that each prompt gives when it is encoded alone, plainly."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from localjudge.engines.base import ALIGNED, Message, Part
from localjudge.engines.encode import ChatEncoder
from localjudge.exam import packaged_exam, read_pairs
from localjudge.prompts import Prompts
from localjudge.records import Record, TaskType, read_records
from localjudge.rubric import Rubric, load_rubric

ROOT = Path(__file__).parents[1]
RUBRICS: dict[TaskType, Rubric] = {pack.task_type: pack for pack in (load_rubric("reply"), load_rubric("push"))}

Messages = tuple[Message, ...]
Plain = Callable[[Messages, bool], list[int]]

slow_machine = settings(deadline=None, suppress_health_check=list(HealthCheck))
part = st.builds(
    Part,
    st.text(st.characters(exclude_categories=("Cs", "Cn")), max_size=8)
    | st.sampled_from(["", "<|im_end|>", "<think>", "您好，", "\n", "订单 #42"]),
    st.booleans(),
    st.booleans(),
)
message = st.builds(Message, st.sampled_from(["user", "assistant"]), st.lists(part, max_size=5).map(tuple))
conversation = st.tuples(
    st.lists(st.builds(Message, st.just("system"), st.lists(part, max_size=2).map(tuple)), max_size=1),
    st.lists(message, max_size=2),
    st.builds(Message, st.just("user"), st.lists(part, max_size=6).map(tuple)),
).map(lambda turns: (*turns[0], *turns[1], turns[2]))


@pytest.fixture(scope="module")
def encoder(tiny_model: Path) -> ChatEncoder:
    return ChatEncoder(tiny_model)


@pytest.fixture(scope="module")
def plain(tiny_model: Path) -> Plain:
    """One prompt by itself: a marker for every piece, one call of the tokenizer for each, nothing remembered."""
    raw = json.loads((tiny_model / "tokenizer.json").read_text(encoding="utf-8"))
    full = Tokenizer.from_str(json.dumps(raw))
    bare = Tokenizer.from_str(json.dumps(raw | {"added_tokens": [], "post_processor": None}))
    config = json.loads((tiny_model / "tokenizer_config.json").read_text(encoding="utf-8"))
    template = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(config["chat_template"])

    def encode(messages: Messages, thinking: bool) -> list[int]:
        texts: list[str] = []
        turns = []
        for each in messages:
            content = ""
            for piece in each.parts:
                if piece.text:
                    content += f"@0123456789abcdef.{len(texts)}@"
                    texts.append(piece.text)
            turns.append({"role": each.role, "content": content})
        rendered = template.render(messages=turns, add_generation_prompt=True, enable_thinking=thinking, tools=None)
        ids: list[int] = []
        for position, piece_text in enumerate(re.split(r"@0123456789abcdef\.(\d+)@", rendered)):
            if position % 2:
                *opening, last = messages[-1].parts or (Part(""),)
                is_last = int(piece_text) == len(texts) - 1 and bool(last.text)
                if is_last and last.aligned and any(piece.text for piece in opening):
                    ids += bare.encode("\n", add_special_tokens=False).ids * (-len(ids) % ALIGNED)
                ids += bare.encode(texts[int(piece_text)], add_special_tokens=False).ids
            elif piece_text:
                ids += full.encode(piece_text, add_special_tokens=False).ids
        return ids

    return encode


def records() -> Iterator[Record]:
    """The example records, and both sides of every pair of the packaged exam."""
    for path in sorted((ROOT / "examples").glob("*.jsonl")):
        for entry in read_records(path):
            assert isinstance(entry, Record)
            yield entry
    for pair in read_pairs(packaged_exam(), RUBRICS):
        yield from pair.records()


def questions(prompts: Prompts, record: Record) -> Iterator[Messages]:
    rubric = RUBRICS[record.task_type]
    system, parts = prompts.opening(record)
    (pack,) = prompts.packs(rubric, 1)
    yield system, Message("user", (*parts, prompts.joint(rubric)))
    for before, ask in ((pack, prompts.read), (system, prompts.explain)):
        for indicator in rubric.indicators:
            yield before, Message("user", (*parts, ask(rubric, indicator)))
    yield (prompts.polarity(record.message),)


def test_every_prompt_of_examples_and_exam_has_the_plain_ids(encoder: ChatEncoder, plain: Plain) -> None:
    prompts, checked = Prompts(), 0
    for number, record in enumerate(records()):
        asked = list(questions(prompts, record))
        # All questions of some records; of the others one in nine, each time other ones.
        for messages in asked if number % 25 == 0 else asked[number % 9 :: 9]:
            thinking = checked % 2 == 1
            assert encoder.encode(messages, thinking=thinking) == plain(messages, thinking)
            checked += 1
    assert checked > 2000


@settings(slow_machine, max_examples=150)
@given(st.lists(st.tuples(conversation, st.booleans()), min_size=1, max_size=6))
def test_any_prompts_in_any_order_have_the_plain_ids(
    encoder: ChatEncoder, plain: Plain, asked: list[tuple[Messages, bool]]
) -> None:
    for messages, thinking in [*asked, *reversed(asked)]:
        assert encoder.encode(messages, thinking=thinking) == plain(messages, thinking)


@settings(slow_machine, max_examples=60)
@given(st.lists(part, min_size=1, max_size=5), st.lists(part, min_size=1, max_size=8), st.booleans())
def test_questions_behind_one_opening_have_the_plain_ids(
    encoder: ChatEncoder, plain: Plain, opening: list[Part], tails: list[Part], thinking: bool
) -> None:
    for tail in tails:
        messages = (Message("system", (Part("判"),)), Message("user", (*opening, tail)))
        assert encoder.encode(messages, thinking=thinking) == plain(messages, thinking)


def test_a_prompt_that_a_caller_changes_does_not_change_the_next(encoder: ChatEncoder) -> None:
    messages = (Message("user", (Part("您好"), Part("吗"))),)
    first = encoder.encode(messages)
    kept = list(first)
    first.clear()
    assert encoder.encode(messages) == kept


def test_more_text_than_is_remembered_is_still_encoded(encoder: ChatEncoder, plain: Plain) -> None:
    parts = tuple(Part(f"第{number}句") for number in range(5000))
    assert encoder.encode((Message("user", parts),)) == plain((Message("user", parts),), False)
    assert encoder.encode_text("第0句") == encoder.encode_text("第0句")


@slow_machine
@given(opening=st.lists(part, min_size=1, max_size=5).filter(lambda parts: any(part.text for part in parts)))
def test_aligned_questions_behind_one_opening_share_whole_blocks_and_get_nothing_but_empty_lines(
    encoder: ChatEncoder, opening: list[Part]
) -> None:
    system = Message("system", (Part("你是质检员。"),))
    first, second, loose = (
        encoder.encode((system, Message("user", (*opening, question))))
        for question in (Part("合格吗？", aligned=True), Part("一共几个字？", aligned=True), Part("合格吗？"))
    )
    shared = next(place for place, (one, other) in enumerate(zip(first, second, strict=False)) if one != other)
    assert shared >= ALIGNED and shared % ALIGNED == 0
    filled = len(first) - len(loose)
    assert 0 <= filled < ALIGNED
    assert first[shared - filled : shared] == [*encoder.encode_text("\n")] * filled
    assert first[: shared - filled] + first[shared:] == loose


def test_reads_are_aligned_and_written_answers_are_not() -> None:
    prompts, pack = Prompts(), RUBRICS["push"]
    indicator = pack.indicators[0]
    asked = (prompts.read(pack, indicator), prompts.explain(pack, indicator), prompts.joint(pack))
    assert [part.aligned for part in asked] == [True, False, False]
