"""What the torture tests share: made-up records, a writer as a process of its own, and what a whole run looks like."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import traceback
from collections.abc import Callable
from pathlib import Path

from localjudge.engine_choice import EngineChoice
from localjudge.errors import LocalJudgeError
from localjudge.export import write_merged
from localjudge.intake import RunRequest
from localjudge.records import TaskType
from localjudge.rubric import Rubric, load_rubric
from localjudge.run import LocalExecutor, OpenExecutor, execute
from localjudge.segments import Line, read_segment
from localjudge.shards import Shard
from localjudge.store import RunStore
from localjudge.strategies import Settings
from localjudge.work import Progress

ONE_REQUEST = Settings(strategy="explain", rules="off")
"""One request for each indicator, so that an engine's delay is easy to reckon with."""
RUBRICS: dict[TaskType, Rubric] = {"push": load_rubric("push").select(("1.1", "5.4"))}


def write_records(path: Path, count: int, rng: random.Random) -> Path:
    """Made-up records; every number of records and every seed gives others."""
    lines = [
        {"id": f"记录-{number}-{rng.random():.6f}", "message": "请查收。" * rng.randint(1, 9)}
        for number in range(count)
    ]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


def request_for(records: Path, out: Path, shard: Shard | None = None, delay: float = 0.0) -> RunRequest:
    """A run on the fake engine, which takes `delay` seconds an answer."""
    return RunRequest(
        inputs=(records,),
        out=out,
        rubrics=RUBRICS,
        model=None,
        engine=EngineChoice("fake", {"delay": delay}),
        settings=ONE_REQUEST,
        default_task_type="push",
        shard=shard or Shard(),
    )


def merged(out: Path) -> bytes:
    """The bytes of `localjudge merge`."""
    file = io.BytesIO()
    write_merged(file, RunStore.open(out).stored().by_id())
    return file.getvalue()


def unbroken(records: Path, folder: Path) -> bytes:
    """The merged bytes of a run that nothing disturbs."""
    execute(request_for(records, folder))
    whole = merged(folder)
    shutil.rmtree(folder)
    return whole


class Writer:
    """One shard at work in a forked process, which tells every id at the moment it is acknowledged."""

    def __init__(
        self,
        request: RunRequest,
        before: Callable[[], None] = lambda: None,
        open_executor: OpenExecutor = LocalExecutor,
    ) -> None:
        self.request = request
        self.acknowledged: list[str] = []
        self.code: int | None = None
        self._rest = b""
        self._pipe, inner = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os._exit(_work(request, inner, before, open_executor))
        os.close(inner)
        os.set_blocking(self._pipe, False)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Ends the process as `kill -9` does, if it has not ended, and reads what it said to the last."""
        if self.code is None:
            os.kill(self.pid, number)
        self.wait()

    def ended(self) -> bool:
        """Whether the process is gone; reads what it has said."""
        self._read()
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._end(status)
        return self.code is not None

    def wait(self) -> int:
        """Waits for the end; returns the exit code, negative for a signal."""
        if self.code is None:
            self._end(os.waitpid(self.pid, 0)[1])
        assert self.code is not None
        return self.code

    def newest_segment(self) -> Path | None:
        """The segment this process wrote, if it came to that."""
        found = sorted((self.request.out / "verdicts").glob(f"{self.request.shard.name}.*.jsonl"))
        return found[-1] if found and self.acknowledged else None

    def _end(self, status: int) -> None:
        self.code = os.waitstatus_to_exitcode(status)
        self._read()
        os.close(self._pipe)

    def _read(self) -> None:
        while self.code is None or self._pipe >= 0:
            try:
                block = os.read(self._pipe, 1 << 16)
            except (BlockingIOError, OSError):
                return
            if not block:
                return
            *lines, self._rest = (self._rest + block).split(b"\n")
            self.acknowledged += [line.decode("utf-8") for line in lines]


def _work(request: RunRequest, pipe: int, before: Callable[[], None], open_executor: OpenExecutor) -> int:
    def tell(progress: Progress) -> None:
        if progress.stored:
            os.write(pipe, "".join(f"{name}\n" for name in progress.stored).encode("utf-8"))

    try:
        before()
        execute(request, tell, open_executor)
    except LocalJudgeError as error:
        os.write(2, f"{error}\n".encode()) if os.environ.get("TORTURE_LOUD") else None
        return error.exit_code
    except BaseException:
        traceback.print_exc()
        return 70
    return 0


def lose_power(segment: Path, acknowledged: set[str], rng: random.Random) -> None:
    """What a power cut may leave: all that an fsync acknowledged, then nothing, zeros, or rubbish."""
    end = 0
    for entry in read_segment(segment):
        if isinstance(entry, Line) and json.loads(entry.payload)["id"] in acknowledged:
            end = entry.offset + entry.length + 1
    data = segment.read_bytes()
    keep = rng.randint(min(end, len(data)), len(data))
    tail = rng.choice([b"", b"\0" * (len(data) - keep), rng.randbytes(len(data) - keep)])
    segment.write_bytes(data[:keep] + tail)
