"""Requests through the two phases of an answer, over a backend that plays a script instead of running a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from localjudge.engines.base import EngineInfo, Message, Part, Request
from localjudge.engines.driver import Backend, TokenCompletion, TokenEngine, TokenRequest
from localjudge.engines.encode import ChatEncoder

SCHEMA = '{"enum":[0,1]}'
Script = Callable[[TokenRequest], TokenCompletion]


class Played(Backend):
    """Answers by script, the newest request first, one a step; notes everything that was asked of it."""

    def __init__(self, script: Script, *, context_length: int = 4096) -> None:
        self.info = EngineInfo(engine="played", model="none", context_length=context_length)
        self.capacity = 4
        self.asked: list[TokenRequest] = []
        self.closed = False
        self._script = script
        self._waiting: list[TokenRequest] = []
        self._idle = False

    def add(self, request: TokenRequest) -> None:
        self.asked.append(request)
        self._waiting.append(request)

    def step(self) -> list[TokenCompletion]:
        self._idle = not self._idle
        if self._idle or not self._waiting:  # an engine's turn may finish nothing
            return []
        return [self._script(self._waiting.pop())]

    def close(self) -> None:
        self.closed = True


@pytest.fixture(scope="module")
def encoder(tiny_model: Path) -> ChatEncoder:
    return ChatEncoder(tiny_model)


def request(request_id: str = "a", *, budget: int | None = None, max_tokens: int = 20, text: str = "您好") -> Request:
    messages = (Message("user", (Part(text, data=True),)),)
    return Request(request_id, messages, schema=SCHEMA, max_tokens=max_tokens, thinking_budget=budget, seed=7)


def says(encoder: ChatEncoder, *, thinking: str = "想一想", answer: str = "1", cached: int = 0) -> Script:
    def script(asked: TokenRequest) -> TokenCompletion:
        text = answer if asked.schema else thinking
        return TokenCompletion(asked.id, encoder.encode_text(text), "stop", cached_tokens=cached)

    return script


def test_without_thinking_one_constrained_generation_answers(encoder: ChatEncoder) -> None:
    backend = Played(says(encoder, cached=3))
    (done,) = TokenEngine(backend, encoder).generate([request()])
    (asked,) = backend.asked
    assert asked.prompt == encoder.encode(request().messages)
    assert (asked.schema, asked.max_tokens, asked.seed) == (SCHEMA, 20, 7)
    assert (done.text, done.finish_reason, done.thinking) == ("1", "stop", "")
    assert (done.prompt_tokens, done.cached_tokens) == (len(asked.prompt), 3)
    assert (done.output_tokens, done.thinking_tokens) == (1, 0)


def test_thinking_is_a_free_generation_that_the_constrained_answer_follows(encoder: ChatEncoder) -> None:
    backend = Played(says(encoder, cached=5))
    (done,) = TokenEngine(backend, encoder).generate([request(budget=64)])
    first, second = backend.asked
    thought = list(encoder.encode_text("想一想"))
    assert (first.schema, first.max_tokens, first.stop_ids) == (None, 64, (encoder.think_end_id,))
    assert first.prompt == encoder.encode(request().messages, thinking=True) + encoder.think_open
    assert (second.schema, second.max_tokens) == (SCHEMA, 20)
    assert second.prompt == [*first.prompt, *thought, *encoder.think_close]
    assert (done.text, done.thinking, done.finish_reason) == ("1", "想一想", "stop")
    assert (done.prompt_tokens, done.cached_tokens) == (len(first.prompt) + len(second.prompt), 10)
    assert (done.output_tokens, done.thinking_tokens) == (len(thought) + 1, len(thought))


def test_an_exhausted_thinking_budget_still_ends_in_an_answer(encoder: ChatEncoder) -> None:
    def script(asked: TokenRequest) -> TokenCompletion:
        if asked.schema is None:
            return TokenCompletion(asked.id, encoder.encode_text("想")[:1] * asked.max_tokens, "length")
        return TokenCompletion(asked.id, encoder.encode_text("0"), "stop")

    backend = Played(script)
    (done,) = TokenEngine(backend, encoder).generate([request(budget=9)])
    assert (done.text, done.finish_reason, done.thinking_tokens) == ("0", "stop", 9)
    assert backend.asked[1].prompt[-len(encoder.think_close) :] == list(encoder.think_close)


def test_control_tokens_in_the_thinking_do_not_reach_the_answers_prompt(encoder: ChatEncoder) -> None:
    stray = sorted(encoder.control_ids)

    def script(asked: TokenRequest) -> TokenCompletion:
        if asked.schema is None:
            return TokenCompletion(asked.id, (*stray, *encoder.encode_text("好"), *stray), "stop")
        return TokenCompletion(asked.id, encoder.encode_text("1"), "stop")

    backend = Played(script)
    (done,) = TokenEngine(backend, encoder).generate([request(budget=64)])
    first, second = backend.asked
    added = second.prompt[len(first.prompt) :]
    assert added == [*encoder.encode_text("好"), *encoder.think_close]
    assert done.thinking == "好"


@pytest.mark.parametrize("thinking", ["", "\n\n"])
def test_a_model_that_thinks_nothing_answers(encoder: ChatEncoder, thinking: str) -> None:
    (done,) = TokenEngine(Played(says(encoder, thinking=thinking)), encoder).generate([request(budget=8)])
    assert (done.text, done.thinking, done.finish_reason) == ("1", "", "stop")


def test_a_budget_of_zero_closes_the_thinking_at_once(encoder: ChatEncoder) -> None:
    backend = Played(says(encoder))
    (done,) = TokenEngine(backend, encoder).generate([request(budget=0)])
    (asked,) = backend.asked
    opened = encoder.encode(request().messages, thinking=True) + encoder.think_open
    assert asked.prompt == [*opened, *encoder.think_close]
    assert asked.schema == SCHEMA
    assert (done.text, done.thinking, done.thinking_tokens) == ("1", "", 0)


@pytest.mark.parametrize("budget", [None, 0, 30])
def test_what_does_not_fit_is_refused_and_never_run(encoder: ChatEncoder, budget: int | None) -> None:
    engine = TokenEngine(Played(says(encoder)), encoder)
    prompt = len(encoder.encode(request().messages, thinking=budget is not None))
    if budget is not None:
        prompt += len(encoder.think_open) + budget + len(encoder.think_close)
    room = prompt + 20

    fits = TokenEngine(exact := Played(says(encoder), context_length=room), encoder)
    assert fits.generate([request(budget=budget)])[0].finish_reason == "stop"
    assert all(len(asked.prompt) + asked.max_tokens <= room for asked in exact.asked)

    engine = TokenEngine(short := Played(says(encoder), context_length=room - 1), encoder)
    (done,) = engine.generate([request(budget=budget)])
    assert (done.finish_reason, done.text, short.asked) == ("too_long", "", [])
    assert str(room - 1) in done.error
    assert "您好" not in done.error


def test_a_refused_request_counts_as_in_flight_until_polled_and_disturbs_no_other(encoder: ChatEncoder) -> None:
    engine = TokenEngine(Played(says(encoder)), encoder)
    engine.submit(request("long", text="一二三四五" * 2000))
    engine.submit(request("short"))
    assert engine.in_flight == 2
    assert [done.finish_reason for done in engine.poll()] == ["too_long"]
    assert [done.request_id for done in engine.poll()] == ["short"]
    assert (engine.in_flight, engine.poll()) == (0, [])


@pytest.mark.parametrize("phase", ["thinking", "answer"])
def test_an_error_of_one_request_is_its_completion(encoder: ChatEncoder, phase: str) -> None:
    def script(asked: TokenRequest) -> TokenCompletion:
        if asked.id == "bad" and (asked.schema is None) == (phase == "thinking"):
            return TokenCompletion(asked.id, encoder.encode_text("半"), "error", error="ran out of luck")
        return says(encoder)(asked)

    engine = TokenEngine(Played(script), encoder)
    good, bad = engine.generate([request("good", budget=8), request("bad", budget=8)])
    assert (good.finish_reason, good.text) == ("stop", "1")
    assert (bad.finish_reason, bad.text, bad.error) == ("error", "", "ran out of luck")
    assert engine.in_flight == 0


def test_an_answer_cut_by_its_limit_says_so_and_keeps_its_text(encoder: ChatEncoder) -> None:
    def script(asked: TokenRequest) -> TokenCompletion:
        return TokenCompletion(asked.id, encoder.encode_text('{"1.1":'), "length")

    (done,) = TokenEngine(Played(script), encoder).generate([request()])
    assert (done.finish_reason, done.text) == ("length", '{"1.1":')


def test_completions_find_their_requests_whatever_order_they_come_in(encoder: ChatEncoder) -> None:
    def script(asked: TokenRequest) -> TokenCompletion:
        return TokenCompletion(asked.id, encoder.encode_text(asked.id), "stop")

    backend = Played(script)
    requests = [request(str(number), budget=(None, 0, 8)[number % 3]) for number in range(20)]
    engine = TokenEngine(backend, encoder)
    assert [done.text for done in engine.generate(requests)] == [str(number) for number in range(20)]


def test_closing_the_engine_closes_the_backend(encoder: ChatEncoder) -> None:
    backend = Played(says(encoder))
    with TokenEngine(backend, encoder) as engine:
        assert engine.count_tokens(request().messages) == len(encoder.encode(request().messages))
    assert backend.closed
