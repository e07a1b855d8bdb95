"""transformers in this process, with an outlines logits processor: for devices that vLLM does not run on, and as a
second opinion on it. Plain batches, in which reads share what all their prompts begin with; slow. The sole importer of
`torch` and `transformers` for judging.
"""

from __future__ import annotations

import importlib.metadata
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from localjudge.engines.base import EngineInfo
from localjudge.engines.constraint import logits_processor, wrap_transformers
from localjudge.engines.driver import Backend, TokenCompletion, TokenRequest
from localjudge.errors import EngineError


class HFBackend(Backend):
    """A transformers causal language model. Options: `dtype`, `device`, `batch_size`, `max_model_len`."""

    def __init__(self, model_folder: Path, *, name: str, eos_id: int, options: Mapping[str, object]) -> None:
        torch, transformers = _import_transformers()
        known = {"dtype", "device", "batch_size", "max_model_len"}
        unknown = sorted(set(options) - known)
        if unknown:
            raise EngineError(f"engine hf has no option {unknown[0]!r}.", hint=f"It has {', '.join(sorted(known))}.")
        device = str(options.get("device") or ("cuda" if torch.cuda.is_available() else "cpu"))
        try:
            self._model = transformers.AutoModelForCausalLM.from_pretrained(
                str(model_folder),
                dtype=getattr(torch, str(options.get("dtype", "bfloat16"))),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
            ).to(device)
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                str(model_folder), local_files_only=True, trust_remote_code=False, padding_side="left"
            )
        except Exception as error:
            raise EngineError(f"transformers could not load {name}: {str(error).splitlines()[0]}") from error
        self._model.eval()
        self._torch = torch
        self._outlines = wrap_transformers(self._model, tokenizer)
        self._processors: dict[str, Any] = {}
        self._pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else eos_id
        self._eos_id = eos_id
        self._batch = int(str(options.get("batch_size", 16)))
        self._waiting: deque[TokenRequest] = deque()
        self.capacity = self._batch * 2
        limit = int(self._model.config.max_position_embeddings)
        self.info = EngineInfo(
            engine="hf",
            model=name,
            context_length=min(limit, int(str(options.get("max_model_len", limit)))),
            versions={
                package: importlib.metadata.version(package) for package in ("torch", "transformers", "outlines")
            },
            options={"device": device, "dtype": str(self._model.dtype), "batch_size": self._batch},
        )

    def add(self, request: TokenRequest) -> None:
        self._waiting.append(request)

    def step(self) -> list[TokenCompletion]:
        if not self._waiting:
            return []
        first = self._waiting[0]
        batch: list[TokenRequest] = []
        kept: deque[TokenRequest] = deque()
        for request in self._waiting:
            alike = _kind(request) == _kind(first)
            (batch if alike and len(batch) < self._batch else kept).append(request)
        self._waiting = kept
        try:
            return self._run(batch)
        except Exception as error:  # torch raises whatever its parts raise
            raise EngineError(
                f"transformers stopped: {str(error).splitlines()[0] if str(error) else error!r}"
            ) from error

    def close(self) -> None:
        self._processors.clear()
        if hasattr(self, "_model"):
            del self._model, self._outlines

    def _run(self, batch: list[TokenRequest]) -> list[TokenCompletion]:
        if batch[0].choice_ids:
            return self._read(batch)
        torch = self._torch
        width = max(len(request.prompt) for request in batch)
        padding = [width - len(request.prompt) for request in batch]
        ids = torch.tensor([[self._pad_id] * pad + request.prompt for pad, request in zip(padding, batch, strict=True)])
        mask = torch.tensor([[0] * pad + [1] * (width - pad) for pad in padding])
        ends = [self._eos_id, *batch[0].stop_ids]
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=ids.to(self._model.device),
                attention_mask=mask.to(self._model.device),
                max_new_tokens=batch[0].max_tokens,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                eos_token_id=ends,
                pad_token_id=self._pad_id,
                logits_processor=self._constraint(batch[0].schema),
            )
        return [
            self._completed(request, row[width:].tolist(), ends) for request, row in zip(batch, output, strict=True)
        ]

    def _read(self, batch: list[TokenRequest]) -> list[TokenCompletion]:
        """What all prompts begin with is computed once, and each prompt's own end behind it."""
        torch, device = self._torch, self._model.device
        shared = shared_length([request.prompt for request in batch])
        ends = [request.prompt[shared:] for request in batch]
        width = max(map(len, ends))
        ids = torch.tensor([[self._pad_id] * (width - len(end)) + end for end in ends], device=device)
        mask = torch.tensor([[1] * shared + [0] * (width - len(end)) + [1] * len(end) for end in ends], device=device)
        # Padding stands before the ends, so positions are counted over the tokens that are none.
        positions = (mask.cumsum(-1) - 1)[:, shared:]
        with torch.inference_mode():
            before = None
            if shared:
                start = torch.tensor([batch[0].prompt[:shared]], device=device)
                before = self._model(input_ids=start, use_cache=True, logits_to_keep=1).past_key_values
                before.batch_repeat_interleave(len(batch))
            output = self._model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions.clamp(min=0),
                past_key_values=before,
                logits_to_keep=1,
            )
            logprobs = output.logits[:, -1].float().log_softmax(-1)
        return [
            TokenCompletion(request.id, (), "length", choice_logprobs=tuple(row[list(request.choice_ids)].tolist()))
            for request, row in zip(batch, logprobs, strict=True)
        ]

    def _constraint(self, schema: str | None) -> list[Any]:
        if schema is None:
            return []
        if schema not in self._processors:
            self._processors[schema] = logits_processor(schema, self._outlines)
        processor = self._processors[schema]
        processor.reset()
        return [processor]

    @staticmethod
    def _completed(request: TokenRequest, row: list[int], ends: list[int]) -> TokenCompletion:
        for position, token in enumerate(row):
            if token in ends:
                return TokenCompletion(request.id, tuple(row[:position]), "stop")
        return TokenCompletion(request.id, tuple(row), "length")


def shared_length(prompts: Sequence[list[int]]) -> int:
    """How many tokens all prompts begin with alike, each of them keeping one behind these."""
    first, last = min(prompts), max(prompts)
    most = min(map(len, prompts)) - 1
    return next((place for place in range(most) if first[place] != last[place]), max(most, 0))


def _kind(request: TokenRequest) -> tuple[object, ...]:
    return request.schema, request.max_tokens, request.stop_ids, bool(request.choice_ids)


def _import_transformers() -> tuple[Any, Any]:
    try:
        import torch
        import transformers
    except ImportError as error:
        raise EngineError(
            f"transformers cannot be imported: {error}.", hint="Run: pip install 'localjudge[hf]'"
        ) from error
    return torch, transformers
