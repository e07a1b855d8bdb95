"""Client of a self-hosted `vllm serve`, over its OpenAI-compatible API. The sole importer of `httpx`.

Prompts go as token ids, encoded here, so that the server's own template and tokenizer never see record text.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import httpx

from localjudge.engines.base import EngineInfo
from localjudge.engines.constraint import regex_of
from localjudge.engines.driver import Backend, TokenCompletion, TokenRequest
from localjudge.engines.encode import ChatEncoder
from localjudge.errors import EngineError

_PROBE_SCHEMA = '{"enum":["qxz71","wvk04"]}'
"""Two answers that no model would give unasked."""
_OPENING_TRIES = 6
"""At the start nobody waits a minute to learn of a mistyped port."""
_HANGS = 3
"""A request that runs into its timeout this often hangs, whatever the server does for others."""
_LONGEST_WAIT = 60.0
"""What a server may ask for in Retry-After, in seconds."""
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How to reach a server. Seconds unless said otherwise."""

    url: str
    api_key: str = ""
    concurrency: int = 64
    timeout: float = 300.0
    """For one request; a hung one counts as failed and is tried again."""
    tries: int = 14
    """At most this many sends of one request, with waits of 0.5 s doubling up to 20 s between them: a server that is
    gone for a minute is waited for."""


class VLLMServer(Backend):
    """Up to `concurrency` requests in flight against one server.

    Raises EngineError when the server cannot be reached, does not answer as vLLM does, serves no model, tokenizes
    differently from the local tokenizer, or ignores the constraint.
    """

    def __init__(self, settings: ServerSettings, encoder: ChatEncoder, *, name: str) -> None:
        self._settings = settings
        headers = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
        self._client = httpx.Client(
            base_url=settings.url.rstrip("/").removesuffix("/v1"),
            headers=headers,
            timeout=httpx.Timeout(settings.timeout, connect=10.0),
            limits=httpx.Limits(max_connections=settings.concurrency, max_keepalive_connections=settings.concurrency),
            trust_env=False,
            follow_redirects=False,
        )
        self._eos_id = encoder.eos_id
        self._backoff = random.Random(0)
        self._closed = threading.Event()
        self._tries = min(settings.tries, _OPENING_TRIES)
        self.capacity = settings.concurrency
        try:
            self._served, context = self._served_model()
            self._check_tokenizer(encoder)
            self._check_constraint(encoder)
            versions = self._server_version()
        except BaseException:
            self._client.close()
            raise
        self._tries = settings.tries
        self._waiting: SimpleQueue[TokenRequest] = SimpleQueue()
        self._finished: SimpleQueue[TokenCompletion | BaseException] = SimpleQueue()
        # Daemons: a process that was asked to stop does not wait for a server that hangs.
        for _ in range(settings.concurrency):
            threading.Thread(target=self._work, daemon=True).start()
        self.info = EngineInfo(
            engine="server",
            model=name,
            context_length=context,
            versions=versions,
            options={"served_model": self._served, "concurrency": settings.concurrency},
        )

    def add(self, request: TokenRequest) -> None:
        self._waiting.put(request)

    def step(self) -> list[TokenCompletion]:
        completions = [self._finished.get()]
        with suppress(Empty):
            while True:
                completions.append(self._finished.get_nowait())
        for completion in completions:
            if isinstance(completion, BaseException):
                raise completion
        return [completion for completion in completions if isinstance(completion, TokenCompletion)]

    def close(self) -> None:
        self._closed.set()
        self._client.close()

    def _work(self) -> None:
        while not self._closed.is_set():
            with suppress(Empty):
                request = self._waiting.get(timeout=1.0)
                try:
                    self._finished.put(self._complete(request))
                except BaseException as error:
                    self._finished.put(error)

    def _complete(self, request: TokenRequest) -> TokenCompletion:
        body: dict[str, Any] = {
            "model": self._served,
            "prompt": request.prompt,
            "add_special_tokens": False,
            "max_tokens": request.max_tokens,
            "temperature": 0.0,
            "seed": request.seed,
            "stop_token_ids": list(request.stop_ids),
            "skip_special_tokens": False,
            "return_token_ids": True,
        }
        if request.choice_ids:
            body |= {"logprobs": 1, "logprob_token_ids": list(request.choice_ids), "return_tokens_as_token_ids": True}
        if request.schema is not None:
            body["structured_outputs"] = {"regex": regex_of(request.schema)}
        response = self._send("POST", "/v1/completions", body)
        if response.status_code != 200:
            return TokenCompletion(request.id, (), "error", error=_problem(response))
        with self._understood(response) as data:
            return self._read(data, request)

    def _read(self, data: Any, request: TokenRequest) -> TokenCompletion:
        choice = data["choices"][0]
        tokens = tuple(int(token) for token in choice.get("token_ids") or ())
        if not tokens and choice.get("text"):
            raise EngineError(
                "the server returns no token ids.", hint="Use a vLLM server (0.30 or newer) for --engine server."
            )
        ends = {self._eos_id, *request.stop_ids}
        while tokens and tokens[-1] in ends:
            tokens = tokens[:-1]
        known = choice["finish_reason"] in ("stop", "length")
        details = (data.get("usage") or {}).get("prompt_tokens_details") or {}
        return TokenCompletion(
            request.id,
            tokens,
            choice["finish_reason"] if known else "error",
            cached_tokens=int(details.get("cached_tokens") or 0),
            error="" if known else f"the server ended the request: {choice['finish_reason']}",
            choice_logprobs=_choice_logprobs(choice, request.choice_ids),
        )

    @contextmanager
    def _understood(self, response: httpx.Response) -> Iterator[Any]:
        """The JSON of an answer. Whatever goes wrong while it is taken apart says that the answer is not vLLM's."""
        try:
            yield response.json()
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise EngineError(
                f"server {self._settings.url} does not answer {response.url.path} as a vLLM server does "
                f"({_problem(response)}).",
                hint="Check the address, and what stands between; `localjudge serve MODEL` starts a server.",
            ) from error

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        problem, asked_pause, hangs, attempt = "", 0.0, 0, 0
        while attempt < self._tries and hangs < _HANGS and not self._closed.is_set():
            if attempt:
                pause = min(20.0, 0.5 * 2 ** (attempt - 1)) * self._backoff.uniform(0.5, 1.0)
                self._closed.wait(max(pause, asked_pause))
            attempt += 1
            try:
                response = self._client.request(method, path, json=body)
            except httpx.HTTPError as error:
                hangs += isinstance(error, httpx.ReadTimeout)
                problem, asked_pause = f"{type(error).__name__}: {error}".strip(": "), 0.0
                continue
            if response.status_code not in _RETRIED:
                return response
            problem, asked_pause = _problem(response), _retry_after(response)
        raise EngineError(
            f"server {self._settings.url} did not answer in {attempt} tries ({problem}).",
            hint="Check that it runs; `localjudge serve MODEL` starts one.",
        )

    def _served_model(self) -> tuple[str, int]:
        response = self._send("GET", "/v1/models")
        if response.status_code in (401, 403):
            raise EngineError(
                f"server {self._settings.url} refused the key.", hint="Set LOCALJUDGE_API_KEY to the server's key."
            )
        models: list[tuple[str, int]] = []
        if response.status_code == 200:
            with self._understood(response) as data:
                found = data.get("data") or ()
                models = [(str(model["id"]), int(model.get("max_model_len") or 32768)) for model in found]
        if not models:
            raise EngineError(f"server {self._settings.url} names no model ({_problem(response)}).")
        if len(models) > 1:
            served = ", ".join(name for name, _ in models)
            raise EngineError(f"server {self._settings.url} serves several models ({served}).", hint="Serve one.")
        return models[0]

    def _server_version(self) -> dict[str, str]:
        response = self._send("GET", "/version")
        if response.status_code != 200:
            return {}
        with self._understood(response) as data:
            return {"vllm": str(data.get("version", ""))}

    def _check_tokenizer(self, encoder: ChatEncoder) -> None:
        text = "客服：您好，订单 #42 已发货 🚚 OK?"
        body = {"model": self._served, "prompt": text, "add_special_tokens": False}
        response = self._send("POST", "/tokenize", body)
        if response.status_code != 200:
            return
        with self._understood(response) as data:
            tokens = tuple(data.get("tokens", ()))
        if tokens != encoder.encode_text(text):
            raise EngineError(
                f"server {self._settings.url} serves {self._served}, whose tokenizer differs from the local model's.",
                hint="Give --model the folder or name of the model that is served.",
            )

    def _check_constraint(self, encoder: ChatEncoder) -> None:
        prompt = list(encoder.encode_text("请用一句话介绍你自己。"))
        probe = TokenRequest("probe", prompt, 16, _PROBE_SCHEMA, (), 0)
        answer = self._complete(probe)
        text = encoder.decode(list(answer.tokens))
        if text not in ('"qxz71"', '"wvk04"'):
            raise EngineError(
                f"server {self._settings.url} ignores the answer constraint "
                f"({answer.error or 'it answered outside two allowed words'}).",
                hint="Start it with `localjudge serve MODEL`, or with structured_outputs_config.backend=outlines.",
            )


def _choice_logprobs(choice: dict[str, Any], asked: tuple[int, ...]) -> tuple[float, ...]:
    if not asked:
        return ()
    try:
        found = choice["logprobs"]["top_logprobs"][0]
        return tuple(float(found[f"token_id:{token_id}"]) for token_id in asked)
    except (KeyError, TypeError, IndexError) as error:
        raise EngineError(
            "the server does not return the log-probabilities that a read asks for.",
            hint="Use vLLM 0.32 or newer, or --strategy explain.",
        ) from error


def _retry_after(response: httpx.Response) -> float:
    """Seconds that the server asks to be left alone; 0 where it says nothing, or gives a date."""
    text = response.headers.get("retry-after", "")
    return min(float(text), _LONGEST_WAIT) if text.isdigit() else 0.0


def _problem(response: httpx.Response) -> str:
    try:
        data = response.json()
        detail = data.get("error", data) if isinstance(data, dict) else {}
        message = detail.get("message", "") if isinstance(detail, dict) else str(detail)
    except (ValueError, RecursionError):
        message = ""
    first = str(message).strip().splitlines()[0][:200] if str(message).strip() else ""
    return f"HTTP {response.status_code}{': ' + first if first else ''}"
