"""Judges a few records in a process that is watched, and tells what tried to leave the machine. Refuses to know how a
record is judged: it runs the command line as a user would.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localjudge import egress
from localjudge.egress_trace import STRACE, Sightings, read_trace
from localjudge.errors import EngineError
from localjudge.isolation import isolate

_PACKAGE_PARENT = Path(__file__).parents[1]
_RECORDS, _INDICATORS = "2", "1.1,2.2"
"""Enough to load an engine, and to let it read, write under the constraint, and end."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One judging process, from its start to its end."""

    proof: str
    """`trace`: every call to the kernel was read. `namespace`: it had no network but loopback. `guard`: neither."""
    engine: str
    refused: dict[str, int]
    """What the guard refused, by target."""
    seen: Sightings | None
    """Under `trace` alone."""

    @property
    def attempts(self) -> dict[str, int]:
        """Target -> attempts to leave, refused or not."""
        outside = self.seen.outside if self.seen else {}
        return {name: self.refused.get(name, 0) + outside.get(name, 0) for name in sorted({*self.refused, *outside})}

    @property
    def clean(self) -> bool:
        """Whether nothing tried to leave, and nothing could hide from the trace."""
        return not self.attempts and not (self.seen and self.seen.blind)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        seen = self.seen.as_dict() if self.seen else None
        return {"proof": self.proof, "engine": self.engine, "refused": self.refused, "seen": seen, "clean": self.clean}


def prove(records: Path, asked: Sequence[str], *, plant: bool = False) -> tuple[list[Watched], dict[str, str]]:
    """Judges once under each proof that this machine has, and says why it has not the others.

    `asked` are options of `run` that choose the engine and the model; `plant` adds two attempts that must be seen.
    Raises EngineError when the judging itself fails.
    """
    ways: dict[str, tuple[Callable[[], str], Callable[[], Watched]]] = {
        "trace": (_no_trace, lambda: watch_trace(records, asked, plant=plant)),
        "namespace": (_no_namespace, lambda: watch_namespace(records, asked, plant=plant)),
    }
    unavailable = {name: why for name, (missing, _) in ways.items() if (why := missing())}
    watched = [watch() for name, (_, watch) in ways.items() if name not in unavailable]
    return watched or [_watch("guard", records, asked, plant=plant)], unavailable


def watch_trace(
    records: Path, asked: Sequence[str], *, plant: bool = False, environment: dict[str, str] | None = None
) -> Watched:
    """Judges under strace. Raises EngineError when the judging fails."""
    with tempfile.TemporaryDirectory(prefix="localjudge-") as folder:
        trace = Path(folder) / "trace"
        command = [*STRACE, "-o", str(trace)]
        watched = _watch("trace", records, asked, plant=plant, under=command, environment=environment or {})
        with trace.open(encoding="utf-8", errors="replace") as lines:
            seen = read_trace(lines)
    return Watched(watched.proof, watched.engine, watched.refused, seen)


def watch_namespace(records: Path, asked: Sequence[str], *, plant: bool = False) -> Watched:
    """Judges where there is no network but loopback. Raises EngineError when the judging fails."""
    return _watch("namespace", records, [*asked, "--isolate"], plant=plant)


def _no_trace() -> str:
    if shutil.which(STRACE[0]) is None:
        return "strace is not installed"
    tried = subprocess.run([*STRACE, "-o", os.devnull, "true"], capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else (tried.stderr.strip().splitlines() or ["strace cannot trace here"])[-1]


def _no_namespace() -> str:
    code = f"from {isolate.__module__} import isolate; isolate()"
    tried = subprocess.run(
        [sys.executable, "-P", "-c", code], env=_environment(), capture_output=True, text=True, check=False
    )
    return "" if tried.returncode == 0 else tried.stderr.strip().splitlines()[-1].partition(": ")[2]


def _watch(
    proof: str,
    records: Path,
    asked: Sequence[str],
    *,
    plant: bool,
    under: Sequence[str] = (),
    environment: dict[str, str] | None = None,
) -> Watched:
    with tempfile.TemporaryDirectory(prefix="localjudge-") as folder:
        out = Path(folder) / "run"
        command = [*under, sys.executable, "-P", "-m", "localjudge.planted" if plant else "localjudge"]
        command += ["run", str(records), "--out", str(out), "--limit", _RECORDS, "--indicators", _INDICATORS]
        command += ["--progress", "none", *asked]
        done = subprocess.run(
            command,
            env=_environment() | (environment or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            said = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
            named = [line for line in said if line.startswith("error: ")] or said[-1:]
            raise EngineError(f"the watched run ({proof}) failed: {named[0].removeprefix('error: ')}")
        manifest = json.loads((out / "manifest.json").read_bytes())
    return Watched(proof, manifest["engine"]["engine"], manifest["egress"]["refused"], None)


def _environment() -> dict[str, str]:
    """This package first, and a guard of the process's own."""
    inherited = {name: value for name, value in os.environ.items() if name not in (egress.SWITCH, egress.LOG)}
    path = os.pathsep.join(filter(None, [str(_PACKAGE_PARENT), os.environ.get("PYTHONPATH", "")]))
    return inherited | {"PYTHONPATH": path, "PYTHONUTF8": "1"}
