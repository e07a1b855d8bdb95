"""Judges packaged records with every engine under strace, and counts the calls that lead off this machine.

    python scripts/trace_egress.py [--only hf]

Needs Linux and strace. The model is the tiny random one of the tests: what is watched is the whole life of a run, from
the first import to the end, and not its verdicts. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench_setting import ROOT, example_records, tiny_model

from localjudge.cli_run import demo_file
from localjudge.egress_proof import Watched, watch_trace
from localjudge.egress_trace import STRACE, Sightings, read_trace
from localjudge.engines import open_engine
from localjudge.judge import Judge
from localjudge.offline import go_offline
from localjudge.planted import GUARDED, UNGUARDED
from localjudge.rubric import builtin_rubrics

SMALL_VLLM = ("--max-model-len", "8192", "--engine-arg", "kv_cache_memory_bytes=1073741824")
SERVER_SECONDS = 1800
OWN_PROCESS = {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="one row of the table, by the words it begins with")
    parser.add_argument("--instant", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.instant:
        judge_instant()
        return
    model = ("--model", str(tiny_model()))
    rows: dict[str, Callable[[], dict[str, Any]]] = {
        "fake": lambda: of_run(watch(("--engine", "fake"))),
        "instant": traced_instant,
        "hf": lambda: of_run(watch(("--engine", "hf", *model))),
        "vllm": lambda: of_run(watch(("--engine", "vllm", *model, *SMALL_VLLM))),
        "vllm, engine in a process of its own": lambda: of_run(
            watch(("--engine", "vllm", *model, *SMALL_VLLM), OWN_PROCESS)
        ),
        "server": lambda: traced_server(model),
    }
    engines: dict[str, Any] = {}
    for name, trace in rows.items():
        if name.startswith(arguments.only):
            engines |= {name: trace()} if name != "server" else trace()
            print(json.dumps({name: engines[name]}), file=sys.stderr, flush=True)
    planted = watch_trace(demo_file(), ("--engine", "fake"), plant=True)
    caught = [f"{host}:{port}" for host, port in (GUARDED, UNGUARDED)]
    seen = planted.seen.outside if planted.seen else {}
    result = {
        "outside_loopback": sum(
            sum(row["outside"].values()) + sum(row["refused"].values()) for row in engines.values()
        ),
        "planted_caught": (list(planted.refused), list(seen)) == ([caught[0]], [caught[1]]),
        "engines": engines,
    }
    print(json.dumps(result))


def watch(asked: tuple[str, ...], environment: dict[str, str] | None = None) -> Watched:
    return watch_trace(demo_file(), asked, environment=environment)


def of_run(watched: Watched) -> dict[str, Any]:
    assert watched.seen is not None
    return watched.seen.as_dict() | {"refused": watched.refused}


def traced_instant() -> dict[str, Any]:
    """The instant engine has no name on the command line: this script judges with it, as a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace"
        subprocess.run([*STRACE, "-o", str(trace), sys.executable, __file__, "--instant"], check=True)
        return sightings(trace).as_dict() | {"refused": {}}


def judge_instant() -> None:
    go_offline()
    with open_engine("fake", tiny_model(), name="tiny-qwen3") as engine:
        verdicts = list(Judge(engine, builtin_rubrics()).judge(example_records(2)))
    assert len(verdicts) == 2


def traced_server(model: tuple[str, ...]) -> dict[str, Any]:
    """The server and its client, each traced."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder), model[1]) as (url, key):
        watched = watch(("--engine", "server", "--server-url", url, *model), {"LOCALJUDGE_API_KEY": key})
        trace = Path(folder) / "trace"
        served = sightings(trace)
    return {"server": served.as_dict() | {"refused": {}}, "server's client": of_run(watched)}


@contextmanager
def serving(folder: Path, model: str) -> Iterator[tuple[str, str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [*STRACE, "-o", str(folder / "trace"), sys.executable, "-m", "localjudge", "serve", model]
    command += ["--port", str(port), "--engine-arg", "max_model_len=8192"]
    command += ["--engine-arg", "kv_cache_memory_bytes=1073741824"]
    environment = os.environ | {"LOCALJUDGE_HOME": str(folder), "PYTHONPATH": str(ROOT)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, folder / "log")
        yield f"http://127.0.0.1:{port}", (folder / "serve" / f"{port}.key").read_text(encoding="utf-8")
    finally:
        subprocess.run(["pkill", "-TERM", "-P", str(process.pid)], check=False)
        process.wait(timeout=120)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SERVER_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    raise SystemExit(f"the server did not come up:\n{log.read_text(encoding='utf-8', errors='replace')[-2000:]}")


def sightings(trace: Path) -> Sightings:
    with trace.open(encoding="utf-8", errors="replace") as lines:
        return read_trace(lines)


if __name__ == "__main__":
    main()
