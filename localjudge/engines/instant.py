"""A backend without a model: made-up tokens at once, so that all the rest can be run for real and timed, from token ids
to the parsing of answers. Its answers mean nothing and say so.
"""

from __future__ import annotations

from functools import lru_cache

from localjudge.engines.base import EngineInfo
from localjudge.engines.driver import Backend, TokenCompletion, TokenRequest
from localjudge.engines.encode import ChatEncoder
from localjudge.engines.fake import made_up_answer, made_up_read

_THOUGHT = "演练模式，没有思考"
_HEARD = 1024
"""Tokens at the end of a prompt that its answer depends on: a stand-in must not cost more than what it is to time."""


class InstantBackend(Backend):
    """Finishes at each step everything that was added before it. Answers depend on schema and the end of the prompt."""

    def __init__(self, encoder: ChatEncoder, *, name: str, capacity: int = 256, context_length: int = 32768) -> None:
        self.info = EngineInfo(engine="fake", model=name, context_length=context_length)
        self.capacity = capacity
        self._done: list[TokenCompletion] = []
        self._tokens = lru_cache(maxsize=1024)(encoder.encode_text)

    def add(self, request: TokenRequest) -> None:
        self._done.append(self._answer(request))

    def step(self) -> list[TokenCompletion]:
        done, self._done = self._done, []
        return done

    def _answer(self, request: TokenRequest) -> TokenCompletion:
        seed = sum(request.prompt[-_HEARD::8])
        if request.choice_ids:
            logprobs = made_up_read(len(request.choice_ids), seed)
            return TokenCompletion(request.id, (), "length", choice_logprobs=logprobs)
        text = _THOUGHT if request.schema is None else made_up_answer(request.schema, seed)
        tokens = self._tokens(text)
        if len(tokens) > request.max_tokens:
            return TokenCompletion(request.id, tokens[: request.max_tokens], "length")
        return TokenCompletion(request.id, tokens, "stop")
