"""What is remembered of the hashes of cache blocks must be what vLLM's own function gives for each prompt alone."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localjudge.engines.base import Engine, Message, Part, Request
from localjudge.engines.block_hashes import BlockHashes
from localjudge.engines.driver import TokenEngine

SIZE = 4


class Prompt:
    """As much of a request as a hasher reads."""

    def __init__(self, ids: list[int], answer: list[int] | None = None) -> None:
        self.prompt_token_ids = ids
        self.ids = ids + (answer or [])
        self.block_hashes: list[bytes] = []

    @property
    def num_tokens(self) -> int:
        return len(self.ids)


class Hasher:
    """Chained hashes of full blocks, those of the request's `block_hashes` left out; counts what it hashes."""

    def __init__(self, size: int = SIZE) -> None:
        self.size = size
        self.hashed = 0

    def __call__(self, request: Any) -> list[bytes]:
        names, before = [], request.block_hashes[-1] if request.block_hashes else b""
        for start in range(len(request.block_hashes) * self.size, len(request.ids) - self.size + 1, self.size):
            before = hashlib.sha256(before + repr(request.ids[start : start + self.size]).encode()).digest()
            names.append(before)
            self.hashed += 1
        return names


def named(hasher: Any, request: Prompt) -> list[bytes]:
    request.block_hashes.extend(hasher(request))
    return request.block_hashes


few = st.lists(st.integers(0, 1), max_size=5 * SIZE)


@given(st.lists(st.tuples(st.sampled_from([[], [0] * 9, [0] * 16, [1] * 13]), few), max_size=12))
def test_every_prompt_gets_the_names_that_it_gets_alone(prompts: list[tuple[list[int], list[int]]]) -> None:
    remembering = BlockHashes(Hasher(), SIZE)
    for before, own in prompts:
        assert named(remembering, Prompt(before + own)) == named(Hasher(), Prompt(before + own))


def test_only_what_stands_behind_the_common_blocks_is_hashed_also_with_another_kind_between() -> None:
    hasher = Hasher()
    remembering = BlockHashes(hasher, SIZE)
    pack, other = list(range(100)), list(range(50, 90))
    named(remembering, Prompt(pack))
    hasher.hashed = 0
    for number in range(10):
        named(remembering, Prompt([*pack, number, 7, 7, 7, 7]))
        named(remembering, Prompt([*other, number, 7, 7, 7]))
    # One block of each of the twenty, and once the ten of the other kind.
    assert hasher.hashed == 20 + 10


def test_an_answer_that_fills_blocks_is_hashed_as_it_grows() -> None:
    remembering = BlockHashes(Hasher(), SIZE)
    growing = Prompt([1, 2, 3])
    named(remembering, growing)
    growing.ids = [1, 2, 3, 4, 5]
    assert named(remembering, growing) == named(Hasher(), Prompt([1, 2, 3, 4, 5]))
    assert named(remembering, Prompt([1, 2, 3, 9])) == named(Hasher(), Prompt([1, 2, 3, 9]))


@pytest.mark.parametrize("size", [2, 8])
def test_nothing_is_remembered_where_blocks_are_of_another_size(size: int) -> None:
    remembering = BlockHashes(Hasher(size), SIZE)
    for tail in ([1], [2], [1, 2, 3, 4, 5, 6, 7, 8]):
        prompt = [*range(20), *tail]
        assert named(remembering, Prompt(prompt)) == named(Hasher(size), Prompt(prompt))


@pytest.mark.engine
def test_vllm_takes_remembered_names_and_shares_the_same_blocks(
    vllm_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(vllm_engine, TokenEngine) and vllm_engine.backend is not None
    core = vllm_engine.backend._engine.engine_core.engine_core  # type: ignore[attr-defined]
    remembering = core.request_block_hasher
    assert isinstance(remembering, BlockHashes) and remembering._fits
    requests = [
        Request(
            f"{n}", (Message("user", (Part("同一段开头。" * 60), Part(f"第{n}问"))),), None, 1, choices=("是", "否")
        )
        for n in range(6)
    ]
    answers = []
    for hasher in (remembering, remembering._hasher):
        monkeypatch.setattr(core, "request_block_hasher", hasher)
        assert vllm_engine.forget()
        vllm_engine.generate(requests[:1])
        answers.append([each._replace(request_id="") for each in vllm_engine.generate(requests)])
    assert answers[0] == answers[1]
    assert all(each.cached_tokens > 100 for each in answers[0])


@pytest.mark.engine
def test_vllm_settles_once_what_it_would_ask_its_tokenizer_for_every_prompt(vllm_engine: Engine) -> None:
    assert isinstance(vllm_engine, TokenEngine) and vllm_engine.backend is not None
    renderer = vllm_engine.backend._engine.renderer  # type: ignore[attr-defined]
    settled = vars(renderer)
    assert settled["get_eos_token_id"]() == type(renderer).get_eos_token_id(renderer) is not None
    highest = renderer.tokenizer.max_token_id
    for ids in ([0], [highest], [highest, 0, 17]):
        assert settled["validate_token_ids"](ids) is type(renderer).validate_token_ids(renderer, ids) is None
