"""The real engine in workers on a real Ray: the tiny model on vLLM, two workers with a core each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from command_line import ROOT, call

from localjudge.findings import LEVELS

pytestmark = [pytest.mark.ray, pytest.mark.engine, pytest.mark.usefixtures("own_home")]

RECORDS = ROOT / "examples" / "push.jsonl"
SMALL = ("max_model_len=4096", "kv_cache_memory_bytes=268435456", "dtype=float32")
PATIENCE = 900.0
"""Seconds, with a crowded machine; a quiet one needs a tenth."""


def one_process(arguments: tuple[str | Path, ...], cwd: Path) -> str:
    """Calls the command line in a process of its own; returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "localjudge", *map(str, arguments)],
        capture_output=True,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.mark.skipif(not sys.platform.startswith("linux") or find_spec("ray") is None, reason="needs Ray, and Linux")
def test_two_engines_on_ray_leave_the_bytes_that_one_leaves_and_they_verify(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One request at a time without a prefix cache, and as many threads as Ray gives a worker with one core: then sums
    # are added in one order, whoever adds them.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    engine = ("--engine", "vllm", *(part for option in SMALL for part in ("--engine-arg", option)))
    what = ("--limit", "6", "--indicators", "1.1,5.4", "--reproducible", "--progress", "none")
    asked = ("run", RECORDS, *what, "--model", tiny_model, *engine)
    means = ("--input", RECORDS, "--model", tiny_model, "--level", "replay", "--sample", "2")
    one_process((*asked, "--out", "spread", "--executor", "ray", "--workers", "2"), cwd=tmp_path)
    one_process((*asked, "--out", "alone"), cwd=tmp_path)
    printed = one_process(("verify", "spread", *means), cwd=tmp_path)

    alone, spread = tmp_path / "alone", tmp_path / "spread"
    assert call("merge", alone).exit_code == call("merge", spread).exit_code == 0
    assert (spread / "merged.jsonl").read_bytes() == (alone / "merged.jsonl").read_bytes()
    assert len(list((spread / "verdicts").iterdir())) == 2

    levels = [line.split()[:2] for line in printed.splitlines() if line.split(" ")[0] in LEVELS]
    assert levels == [[level, "passed"] for level in LEVELS]

    there, here = (json.loads((folder / "manifest.json").read_bytes()) for folder in (alone, spread))
    assert here["executor"] | {"version": ""} == {"name": "ray", "workers": 2, "started": 2, "version": ""}
    same = ("engine", "packages", "hardware", "environment", "grammar_digest", "label_token_ids")
    assert {name: here[name] for name in same} == {name: there[name] for name in same}
    assert here["egress"]["guard"]
