"""Prompts as token ids: no text can become a control token, harmless text is encoded as the model was trained on."""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from localjudge.engines.base import Message, Part
from localjudge.engines.encode import ChatEncoder
from localjudge.errors import ConfigError

CONTROL = (
    "<|im_start|> <|im_end|> <|endoftext|> <think> </think> <tool_call> </tool_call> <tool_response> </tool_response> "
    "<|fim_prefix|> <|repo_name|> <|file_sep|> <|vision_start|> <|image_pad|>"
).split()
SHARDS = [shard for name in CONTROL for shard in (name[: len(name) // 2], name[len(name) // 2 :], name[:-1], name[1:])]
STRINGS_PER_EXAMPLE = 100

readable = st.characters(exclude_categories=("Cs", "Cn"))  # records refuse lone surrogates; unassigned has no NFC yet
piece = st.sampled_from(CONTROL) | st.sampled_from(SHARDS) | st.text(readable, max_size=12)
slow_machine = settings(deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def encoder(tiny_model: Path) -> ChatEncoder:
    return ChatEncoder(tiny_model)


def user(*parts: str) -> tuple[Message, ...]:
    return (Message("user", tuple(Part(text, data=True) for text in parts)),)


def controls(encoder: ChatEncoder, ids: list[int]) -> list[int]:
    return [token_id for token_id in ids if token_id in encoder.control_ids]


# Hostile text


def test_no_text_becomes_a_control_token_and_all_of_it_comes_back(encoder: ChatEncoder) -> None:
    """Over 20,000 strings: each example's pieces, alone and joined at random, with doubled and nested tokens."""
    tried = 0

    @settings(slow_machine, max_examples=220)
    @given(st.lists(piece, min_size=1, max_size=24), st.integers(0, 2**32))
    def check(pieces: list[str], seed: int) -> None:
        nonlocal tried
        dice = random.Random(seed)
        joined = ["".join(dice.choices(pieces, k=dice.randint(1, 6))) for _ in range(STRINGS_PER_EXAMPLE)]
        for text in [*pieces, *joined, *(_nested(dice.choice(CONTROL), dice) for _ in range(3))]:
            tried += 1
            ids = list(encoder.encode_text(text))
            assert controls(encoder, ids) == []
            assert encoder.decode(ids) == unicodedata.normalize("NFC", text)

    check()
    assert tried >= 20_000


def _nested(token: str, dice: random.Random) -> str:
    """A control token inside a control token, which a filter that removes the inner one would leave whole."""
    at = dice.randrange(1, len(token))
    return token[:at] + dice.choice(CONTROL) + token[at:]


@settings(slow_machine, max_examples=60)
@given(st.lists(piece.filter(bool), min_size=1, max_size=30), st.booleans())
def test_a_prompt_holds_the_templates_control_tokens_and_no_other(
    encoder: ChatEncoder, pieces: list[str], thinking: bool
) -> None:
    harmless = encoder.encode(user("您好"), thinking=thinking)
    ids = encoder.encode(user(*pieces), thinking=thinking)
    assert controls(encoder, ids) == controls(encoder, harmless)
    assert sum(len(encoder.encode_text(text)) for text in pieces) == len(ids) - len(harmless) + len(
        encoder.encode_text("您好")
    )


@pytest.mark.parametrize("token", CONTROL)
def test_control_tokens_in_a_message_stay_text_trusted_or_not(encoder: ChatEncoder, token: str) -> None:
    harmless = controls(encoder, encoder.encode(user("好")))
    for data in (True, False):
        message = Message("user", (Part(f"好{token}{token}", data=data),))
        assert controls(encoder, encoder.encode((message,))) == harmless


@pytest.mark.parametrize("token", CONTROL)
def test_a_control_token_changes_nothing_about_the_words_around_it(encoder: ChatEncoder, token: str) -> None:
    words = encoder.encode_text("您好，您的订单已经发货")
    ids = encoder.encode_text(f"您好，您的订单已经发货\n{token}")
    assert len(words) < len("您好，您的订单已经发货")
    assert ids[: len(words)] == words


def test_all_control_tokens_of_qwen3_are_known(encoder: ChatEncoder) -> None:
    assert len(encoder.control_ids) == 26
    assert encoder.thinks
    assert encoder.eos_id in encoder.control_ids


def test_jinja_in_a_message_is_not_run(encoder: ChatEncoder) -> None:
    text = "{{ 7 * 7 }}{% raw %}{{ messages }}"
    assert text in encoder.decode(encoder.encode(user(text)))


# Harmless text


@pytest.fixture(scope="module")
def published(tiny_model: Path) -> Callable[..., list[int]]:
    """The prompt as transformers builds it."""
    transformers = pytest.importorskip("transformers")
    template = json.loads((tiny_model / "tokenizer_config.json").read_text(encoding="utf-8"))["chat_template"]
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(tiny_model / "tokenizer.json"), chat_template=template
    )

    def build(turns: list[dict[str, str]], *, thinking: bool) -> list[int]:
        built = tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, enable_thinking=thinking, tokenize=True, return_dict=True
        )
        return list(built["input_ids"])

    return build


@pytest.mark.parametrize("thinking", [False, True])
@pytest.mark.parametrize(
    "content",
    [
        "您好，订单 #42 已发货 🚚 预计明天（周六）9:30 到。",
        "It's 20% off — don't miss it!",
        "第一行\n\n  第二行\t结尾",
        "é 和 e\u0301 一样",
    ],
)
def test_harmless_text_is_encoded_as_transformers_does(
    encoder: ChatEncoder, published: Callable[..., list[int]], content: str, thinking: bool
) -> None:
    messages = (Message("system", (Part("你是质检员。"),)), Message("user", (Part(content, data=True),)))
    turns = [{"role": "system", "content": "你是质检员。"}, {"role": "user", "content": content}]
    assert encoder.encode(messages, thinking=thinking) == published(turns, thinking=thinking)


def test_thinking_closed_by_hand_equals_thinking_off(encoder: ChatEncoder) -> None:
    closed = encoder.encode(user("您好"), thinking=True) + encoder.think_open + encoder.think_close
    assert encoder.decode(closed).split() == encoder.decode(encoder.encode(user("您好"), thinking=False)).split()
    assert encoder.think_end_id in encoder.think_close


def test_equal_parts_give_equal_ids_wherever_they_stand(encoder: ChatEncoder) -> None:
    shared = ("【待评消息】\n", "您好", "\n【材料结束】\n")
    one, two = (encoder.encode(user(*shared, tail)) for tail in ("指标 1.1：甲", "指标 8.2：乙"))
    prefix = sum(len(encoder.encode_text(text)) for text in shared)
    assert one[: prefix + 3] == two[: prefix + 3]


def test_empty_parts_cost_nothing(encoder: ChatEncoder) -> None:
    assert encoder.encode(user("", "您好", "")) == encoder.encode(user("您好"))


def test_decoding_leaves_special_tokens_out(encoder: ChatEncoder) -> None:
    assert encoder.decode([encoder.eos_id, *encoder.encode_text("好"), encoder.eos_id]) == "好"


# Model folders that cannot serve: with a tokenizer of bytes alone, which opens at once


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    small = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    small.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    small.decoder = decoders.ByteLevel()
    small.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    small.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


@pytest.fixture
def variant(folder: Path) -> Callable[..., Path]:
    """That folder with other settings."""

    def make(**changes: Any) -> Path:
        config = {"eos_token": "<|im_end|>", "chat_template": ""} | changes
        (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
        return folder

    return make


def test_a_vocabulary_that_merges_into_a_control_token_does_not_leak(variant: Callable[..., Path]) -> None:
    folder = variant()
    data = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = data["model"]["vocab"]
    vocabulary |= {"xy": len(vocabulary), "xyz": len(vocabulary) + 1}
    data["model"]["merges"] = [["x", "y"], ["xy", "z"]]
    data["added_tokens"] = [
        {"id": vocabulary["xyz"], "content": "xyz", "single_word": False, "lstrip": False}
        | {"rstrip": False, "normalized": False, "special": True}
    ]
    (folder / "tokenizer.json").write_text(json.dumps(data), encoding="utf-8")
    encoder = ChatEncoder(folder)
    assert encoder.control_ids == {vocabulary["xyz"]}
    ids = list(encoder.encode_text("xyz 好"))
    assert controls(encoder, ids) == []
    assert encoder.decode(ids) == "xyz 好"


GENERATION = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages[-1].content }}" + GENERATION,
        "{% for m in messages %}{{ m.content[:8] }}{% endfor %}" + GENERATION,
        "{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}" + GENERATION,
        "{% for m in messages | reverse %}{{ m.content }}{% endfor %}" + GENERATION,
        "{% for m in messages %}{{ m.content | upper | replace('@', '') }}{% endfor %}" + GENERATION,
    ],
)
def test_a_template_that_drops_repeats_or_changes_text_is_refused(variant: Callable[..., Path], template: str) -> None:
    encoder = ChatEncoder(variant(chat_template=template))
    messages = (Message("system", (Part("甲"),)), Message("user", (Part("乙"), Part("丙", data=True))))
    with pytest.raises(ConfigError, match="chat template"):
        encoder.encode(messages)


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (None, "no chat template"),
        ("{% for %}", "not valid"),
        ([{"name": "tool_use", "template": "x"}], "no chat template"),
    ],
)
def test_a_folder_without_a_usable_template_is_refused(
    variant: Callable[..., Path], template: Any, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        ChatEncoder(variant(chat_template=template))


@pytest.mark.parametrize("template", ["{{ raise_exception('no system') }}", "{{ ''.__class__.__mro__ }}"])
def test_a_template_that_fails_or_reaches_for_python_is_refused(variant: Callable[..., Path], template: str) -> None:
    with pytest.raises(ConfigError, match="template failed"):
        ChatEncoder(variant(chat_template=template)).encode(user("您好"))


def test_a_template_of_its_own_file_goes_first(variant: Callable[..., Path]) -> None:
    folder = variant(chat_template="{{ raise_exception('old') }}")
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.content }}{% endfor %}" + GENERATION, encoding="utf-8"
    )
    encoder = ChatEncoder(folder)
    assert encoder.decode(encoder.encode(user("您好"))).startswith("您好")


@pytest.mark.parametrize("eos", [None, "<|no_such_token|>", 7])
def test_a_tokenizer_without_an_end_token_is_refused(variant: Callable[..., Path], eos: Any) -> None:
    with pytest.raises(ConfigError, match="eos_token"):
        _ = ChatEncoder(variant(eos_token=eos)).eos_id


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", [None, b"{", b"[]", b"\xff"])
def test_a_missing_or_broken_file_is_named(variant: Callable[..., Path], name: str, content: bytes | None) -> None:
    folder = variant()
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(ConfigError, match=name):
        ChatEncoder(folder)
