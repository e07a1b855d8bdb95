"""Drives any backend that turns token ids into token ids: encodes requests, lets the model think first where asked,
then takes the constrained answer. Thinking and answer are two generations over one growing prompt, so that the
thinking is never inside the constraint and an exhausted budget still ends in a valid answer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from localjudge.engines.base import Completion, Engine, EngineInfo, FinishReason, Message, Request
from localjudge.engines.encode import ChatEncoder
from localjudge.errors import ConfigError


class TokenRequest(NamedTuple):
    """One generation over token ids."""

    id: str
    prompt: list[int]
    max_tokens: int
    schema: str | None
    stop_ids: tuple[int, ...]
    """Generation also ends at the end-of-answer token, which is never part of the output."""
    seed: int
    choice_ids: tuple[int, ...] = ()
    """If given, one token is generated and the log-probabilities of these ids are returned."""


class TokenCompletion(NamedTuple):
    """What one generation gave. `tokens` end before any stop token."""

    request_id: str
    tokens: tuple[int, ...]
    finish_reason: FinishReason
    cached_tokens: int = 0
    error: str = ""
    choice_logprobs: tuple[float, ...] = ()


class Backend(ABC):
    """Something that runs a model over token ids."""

    info: EngineInfo
    capacity: int
    """Generations worth having in flight."""

    @abstractmethod
    def add(self, request: TokenRequest) -> None:
        """Takes a generation."""

    @abstractmethod
    def step(self) -> list[TokenCompletion]:
        """Works until something is finished, or for one turn of the engine; may return nothing yet."""

    def forget(self) -> bool:
        """Empties the prefix cache; False where there is none, or it cannot be emptied."""
        return False

    def close(self) -> None:
        """Frees the model."""


@dataclass(slots=True)
class _Live:
    """A request between its phases."""

    request: Request
    prompt: Sequence[int] = ()
    """What the answer goes on from; only where the model thinks before it."""
    thinking: tuple[int, ...] | None = None
    cached_tokens: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0


class TokenEngine(Engine):
    """An `Engine` made of an encoder and a backend."""

    def __init__(self, backend: Backend, encoder: ChatEncoder) -> None:
        self.info = backend.info
        self.backend = backend
        self._encoder = encoder
        self._first_tokens: dict[tuple[str, ...], tuple[int, ...]] = {}
        self._live: dict[str, _Live] = {}
        self._refused: deque[Completion] = deque()

    @property
    def capacity(self) -> int:
        return self.backend.capacity

    @property
    def in_flight(self) -> int:
        return len(self._live) + len(self._refused)

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        return len(self._encoder.encode(messages))

    def submit(self, request: Request) -> None:
        thinks = request.thinking_budget is not None
        prompt = self._encoder.encode(request.messages, thinking=thinks)
        extra = 1 if request.choices else request.max_tokens
        if request.prefill:
            extra += len(self._encoder.encode_text(request.prefill))
        if thinks:
            prompt = prompt + self._encoder.think_open
            extra += (request.thinking_budget or 0) + len(self._encoder.think_close)
        if len(prompt) + extra > self.info.context_length:
            problem = f"{len(prompt)} prompt and {extra} answer tokens do not fit {self.info.context_length}"
            self._refused.append(Completion(request.id, "", "too_long", error=problem, prompt_tokens=0))
            return
        live = self._live[request.id] = _Live(request)
        if request.thinking_budget:
            live.prompt = prompt
            self._add(live, self._thinking_phase(request, prompt))
        else:
            if thinks:
                live.thinking = ()
                prompt = [*prompt, *self._encoder.think_close]
            self._add(live, self._answer_phase(request, prompt))

    def poll(self) -> list[Completion]:
        if self._refused:
            refused = list(self._refused)
            self._refused.clear()
            return refused
        finished: list[Completion] = []
        while self._live and not finished:
            for done in self.backend.step():
                completion = self._advance(self._live[done.request_id], done)
                if completion is not None:
                    del self._live[done.request_id]
                    finished.append(completion)
        return finished

    def forget(self) -> bool:
        return self.backend.forget()

    def close(self) -> None:
        self.backend.close()

    def _add(self, live: _Live, generation: TokenRequest) -> None:
        live.prompt_tokens += len(generation.prompt)
        self.backend.add(generation)

    def _thinking_phase(self, request: Request, prompt: list[int]) -> TokenRequest:
        end = self._encoder.think_end_id
        return TokenRequest(
            id=request.id,
            prompt=prompt,
            max_tokens=request.thinking_budget or 0,
            schema=None,
            stop_ids=() if end is None else (end,),
            seed=request.seed,
        )

    def _answer_phase(self, request: Request, prompt: list[int]) -> TokenRequest:
        if request.prefill:
            prompt = [*prompt, *self._encoder.encode_text(request.prefill)]
        if request.choices:
            ids = self.first_tokens(request.choices)
            return TokenRequest(request.id, prompt, 1, None, (), request.seed, choice_ids=ids)
        return TokenRequest(request.id, prompt, request.max_tokens, request.schema, (), request.seed)

    def first_tokens(self, choices: tuple[str, ...]) -> tuple[int, ...]:
        """Raises ConfigError for choices that begin alike."""
        known = self._first_tokens.get(choices)
        if known is not None:
            return known
        ids = tuple(self._encoder.encode_text(choice)[0] for choice in choices)
        if len(set(ids)) < len(ids):
            raise ConfigError(
                f"{self.info.model}: the labels {', '.join(choices)} share a first token and cannot be told apart.",
                hint="Use --strategy explain with this model.",
            )
        self._first_tokens[choices] = ids
        return ids

    def _advance(self, live: _Live, done: TokenCompletion) -> Completion | None:
        live.cached_tokens += done.cached_tokens
        # The one token of a read is its price, whatever the token was.
        live.output_tokens += max(len(done.tokens), 1 if done.choice_logprobs else 0)
        thinking_phase = bool(live.request.thinking_budget) and live.thinking is None
        if thinking_phase and done.finish_reason != "error":
            # A model that closes its turn while thinking, or writes control tokens there, must not derail the answer.
            live.thinking = tuple(token for token in done.tokens if token not in self._encoder.control_ids)
            prompt = [*live.prompt, *live.thinking, *self._encoder.think_close]
            self._add(live, self._answer_phase(live.request, prompt))
            return None
        thought = live.thinking or ()
        return Completion(
            request_id=live.request.id,
            text=""
            if done.finish_reason == "error" or live.request.choices
            else self._encoder.decode(list(done.tokens)),
            finish_reason=done.finish_reason,
            thinking=self._encoder.decode(list(thought)).strip() if thought else "",
            error=done.error,
            prompt_tokens=live.prompt_tokens,
            cached_tokens=live.cached_tokens,
            output_tokens=live.output_tokens,
            thinking_tokens=len(thought),
            choice_logprobs=done.choice_logprobs,
        )
