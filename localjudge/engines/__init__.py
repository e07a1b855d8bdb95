"""The door of the engine wing: opens one engine, importing only the one that is asked for."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from localjudge.engines.base import Engine
from localjudge.engines.options import read_numbers
from localjudge.errors import ConfigError, UsageError

ENGINES = ("auto", "vllm", "server", "hf", "fake")


def choose_engine(wanted: str) -> str:
    """Resolves `auto`: vLLM wherever it is installed, else transformers. Raises ConfigError when neither is."""
    if wanted not in ENGINES:
        raise UsageError(f"no engine named {wanted!r}.", hint=f"There are {', '.join(ENGINES)}.")
    if wanted != "auto":
        return wanted
    for module, engine in (("vllm", "vllm"), ("transformers", "hf")):
        if importlib.util.find_spec(module) is not None:
            return engine
    raise ConfigError(
        "no engine is installed.",
        hint="Run pip install 'localjudge[vllm]' on a GPU host, or `make setup` on a machine without one.",
    )


def open_engine(
    engine: str,
    model_folder: Path | None,
    *,
    name: str,
    options: Mapping[str, object] | None = None,
    server_url: str = "",
    api_key: str = "",
) -> Engine:
    """Opens an engine for the model in a folder. `server` needs the folder too, for its tokenizer and template; `fake`
    needs none, and with one makes real token ids of the prompts.

    Raises EngineError when it cannot be opened, ConfigError for a model folder that cannot be used, UsageError for
    options that the engine does not take.
    """
    kind = choose_engine(engine)
    chosen = read_numbers(kind, options or {})
    if model_folder is None and kind == "fake":
        from localjudge.engines.fake import FakeEngine

        return FakeEngine(delay=float(str(chosen.get("delay", 0))), keep_seen=False)
    if model_folder is None:
        raise UsageError(f"engine {kind} needs a model.", hint="Give --model NAME or --model PATH.")

    from localjudge.engines.driver import Backend, TokenEngine
    from localjudge.engines.encode import ChatEncoder

    encoder = ChatEncoder(model_folder)
    backend: Backend
    if kind == "fake":
        from localjudge.engines.instant import InstantBackend

        backend = InstantBackend(encoder, name=name)
    elif kind == "vllm":
        from localjudge.engines.vllm_offline import VLLMOffline

        backend = VLLMOffline(model_folder, name=name, eos_id=encoder.eos_id, options=chosen)
    elif kind == "hf":
        from localjudge.engines.hf import HFBackend

        backend = HFBackend(model_folder, name=name, eos_id=encoder.eos_id, options=chosen)
    else:
        from localjudge.engines.vllm_server import ServerSettings, VLLMServer

        if not server_url:
            raise UsageError("engine server needs an address.", hint="Give --server-url http://127.0.0.1:8000.")
        _check_server_options(chosen)
        settings = ServerSettings(url=server_url, api_key=api_key, **chosen)  # type: ignore[arg-type]
        backend = VLLMServer(settings, encoder, name=name)
    return TokenEngine(backend, encoder)


def _check_server_options(options: Mapping[str, object]) -> None:
    unknown = sorted(set(options) - {"concurrency", "timeout", "tries"})
    if unknown:
        raise UsageError(
            f"engine server has no option {unknown[0]!r}.",
            hint="It has concurrency, timeout, tries; a model's own options go to `localjudge serve`.",
        )
