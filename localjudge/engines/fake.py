"""An engine without a model: scripted answers, for tests and `--dry-run`. Its answers mean nothing and say so."""

from __future__ import annotations

import json
import math
import time
import zlib
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from localjudge.engines.base import Completion, Engine, EngineInfo, Message, Request

Script = Callable[[Request], Completion]


class FakeEngine(Engine):
    """Answers each request by `script`, one per `poll`, after `delay` seconds. Token counts are characters of text."""

    def __init__(
        self,
        script: Script | None = None,
        *,
        capacity: int = 64,
        context_length: int = 32768,
        delay: float = 0.0,
        keep_seen: bool = True,
    ) -> None:
        self.info = EngineInfo(engine="fake", model="fake", context_length=context_length)
        self._script = script or made_up
        self._capacity = capacity
        self._delay = delay
        self._queue: deque[Request] = deque()
        self.seen: list[Request] = []
        """Every request submitted, in order; empty unless `keep_seen`, since it grows with the input."""
        self._keep_seen = keep_seen

    @property
    def capacity(self) -> int:
        return self._capacity

    @property
    def in_flight(self) -> int:
        return len(self._queue)

    def submit(self, request: Request) -> None:
        if self._keep_seen:
            self.seen.append(request)
        self._queue.append(request)

    def poll(self) -> list[Completion]:
        if not self._queue:
            return []
        request = self._queue.popleft()
        if self._delay:
            time.sleep(self._delay)
        if self.count_tokens(request.messages) + request.max_tokens > self.info.context_length:
            return [Completion(request.id, "", "too_long", error="does not fit")]
        return [self._script(request)]

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        return sum(len(part.text) for message in messages for part in message.parts)


def made_up(request: Request) -> Completion:
    """A well-formed answer with a made-up score that depends on the request alone."""
    if request.choices:
        logprobs = made_up_read(len(request.choices), _seed(request))
        return Completion(request.id, "", "length", output_tokens=1, choice_logprobs=logprobs)
    text = made_up_answer(request.schema, _seed(request))
    prompt = sum(len(part.text) for message in request.messages for part in message.parts)
    return Completion(request.id, text, "stop", prompt_tokens=prompt, output_tokens=len(text))


def made_up_read(choices: int, seed: int) -> tuple[float, ...]:
    """Log-probabilities that clearly favour one of the first two choices."""
    return _clear(choices, seed % 2)


def made_up_answer(schema: str | None, seed: int) -> str:
    """Text that satisfies a JSON schema, its scores decided by `seed`."""
    answer = _fill(_parsed(schema or "{}"), seed)
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))


@lru_cache(maxsize=64)
def _clear(choices: int, favoured: int) -> tuple[float, ...]:
    return tuple(math.log(0.9 if index == favoured else 0.04) for index in range(choices))


@lru_cache(maxsize=64)
def _parsed(schema: str) -> Any:
    return json.loads(schema)


def _seed(request: Request) -> int:
    text = "".join(part.text for message in request.messages for part in message.parts)
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))


def _fill(schema: dict[str, object], seed: int) -> object:
    properties = schema.get("properties")
    if isinstance(properties, dict):
        return {key: _fill(value, zlib.crc32(key.encode(), seed)) for key, value in properties.items()}
    options = schema.get("enum")
    if isinstance(options, list):
        return options[seed % len(options)]
    return "演练模式，未经模型判断"
