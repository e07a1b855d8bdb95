"""Calls the command line as the tests do: in this process, or in one of its own where exit codes and streams matter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from localjudge.cli import main

ROOT = Path(__file__).parent.parent
UNENDING = "".join(chr(0x4E00 + number % 20_000) for number in range(60_000))
"""Too long for any model of the tests, and not because it repeats itself: that would be struck as padding."""
FAKE = ("--engine", "fake")


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def process(*arguments: str | Path, cwd: Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "localjudge", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=60,
        check=False,
    )


def line(name: str | None = "good", task: Any = "push", **fields: Any) -> bytes:
    record = {"task_type": task, "message": f"消息{name}"} | ({"id": name} if name else {}) | fields
    kept = {key: value for key, value in record.items() if value is not ...}
    return json.dumps(kept, ensure_ascii=False).encode() + b"\n"
