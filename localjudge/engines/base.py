"""The seam: requests in, completions out, whatever runs the model. Knows nothing of what is asked or why.

An engine is fed with `submit` while `in_flight < capacity` and drained with `poll`. That keeps an engine busy to the
last request without ever holding more than `capacity` of them, and lets a caller ask a follow-up the moment an
answer is in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, NamedTuple, Self

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "too_long", "error"]


ALIGNED = 32
"""Tokens to a multiple of which empty lines fill up what stands before an aligned part. Engines share whole cache
blocks, of 16 or 32 tokens: one with the end of a record and the start of a question is computed anew for each question.
"""


class Part(NamedTuple):
    """A piece of a message, encoded apart from its neighbours so that equal pieces give equal token ids."""

    text: str
    data: bool = False
    """True for text that comes from outside and is hostile until proven otherwise."""
    aligned: bool = False
    """Of a message's last part: whether it begins a cache block. See `ALIGNED`."""


class Message(NamedTuple):
    """One turn of the chat that the model reads."""

    role: Role
    parts: tuple[Part, ...]


class Request(NamedTuple):
    """One question to the model, decoded greedily."""

    id: str
    """Unique among the requests in flight."""
    messages: tuple[Message, ...]
    schema: str | None = None
    """JSON schema (canonical text) that the answer must satisfy; None leaves the answer free."""
    max_tokens: int = 128
    """Bound on answer tokens; thinking tokens are bounded apart."""
    thinking_budget: int | None = None
    """None: no thinking. n >= 0: at most n tokens of thinking before the answer."""
    seed: int = 0
    prefill: str = ""
    """Text that the answer already begins with; it is part of the prompt and not of the completion."""
    choices: tuple[str, ...] = ()
    """If given, nothing is generated: the log-probabilities of these texts' first tokens as the next token are read,
    unconstrained, over the whole vocabulary. First tokens must differ."""


class Completion(NamedTuple):
    """What came back for one request. Never raises for one bad request: `finish_reason` says what happened."""

    request_id: str
    text: str
    """The answer; empty for a read."""
    finish_reason: FinishReason
    """`length`: cut off by max_tokens. `too_long`: prompt and answer do not fit the context; nothing was run."""
    thinking: str = ""
    error: str = ""
    prompt_tokens: int = 0
    """Prompt tokens over all phases of the request."""
    cached_tokens: int = 0
    """Those of `prompt_tokens` that the engine took from its prefix cache; 0 where it does not say."""
    output_tokens: int = 0
    thinking_tokens: int = 0
    """Those of `output_tokens` that were thinking."""
    choice_logprobs: tuple[float, ...] = ()
    """For a read: natural log-probability of each choice, in the order asked."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What was opened, for the run's manifest: names, versions and resolved options; no paths, no secrets."""

    engine: str
    model: str
    context_length: int
    versions: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)


class Engine(ABC):
    """An open model. Close it, or use it as a context manager."""

    info: EngineInfo

    @property
    @abstractmethod
    def capacity(self) -> int:
        """How many requests it is worth having in flight."""

    @property
    @abstractmethod
    def in_flight(self) -> int:
        """Requests submitted and not yet returned by `poll`."""

    @abstractmethod
    def submit(self, request: Request) -> None:
        """Takes a request. Raises EngineError only when the engine itself is gone."""

    @abstractmethod
    def poll(self) -> list[Completion]:
        """Waits until at least one request is finished (or there is none) and returns all that are."""

    @abstractmethod
    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        """Prompt tokens these messages cost."""

    def first_tokens(self, choices: tuple[str, ...]) -> tuple[int, ...]:
        """The token that each choice of a read begins with; empty for an engine without tokens."""
        return ()

    def forget(self) -> bool:
        """Empties the prefix cache, with nothing in flight; False where the engine has none or cannot."""
        return False

    def close(self) -> None:
        """Frees the model. Safe to call twice."""

    def generate(self, requests: Iterable[Request]) -> list[Completion]:
        """Runs all requests and returns their completions in the order of the requests."""
        order: list[str] = []
        done: dict[str, Completion] = {}
        source = iter(requests)
        upcoming = next(source, None)
        while upcoming is not None or self.in_flight:
            while upcoming is not None and self.in_flight < self.capacity:
                order.append(upcoming.id)
                self.submit(upcoming)
                upcoming = next(source, None)
            for completion in self.poll():
                done[completion.request_id] = completion
        return [done[request_id] for request_id in order]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
