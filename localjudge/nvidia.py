"""The NVIDIA cards and driver of this machine, as nvidia-smi tells of them. Loads no library; never raises."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gpu:
    """One graphics card. Memory in GiB."""

    name: str
    memory: float


def find_gpus() -> tuple[Gpu, ...]:
    """The cards; none when nvidia-smi is not there or does not answer."""
    cards = []
    for line in _asked("name,memory.total"):
        name, _, megabytes = line.rpartition(",")
        if megabytes.strip().isdigit():
            cards.append(Gpu(name.strip(), round(int(megabytes) / 1024, 1)))
    return tuple(cards)


def driver_version() -> str:
    """Version of the driver; empty when it cannot be told."""
    return next(iter(_asked("driver_version")), "").strip()


def _asked(fields: str) -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        return subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return []
