"""Kills what belongs to runs on Ray, and counts what is lost.

    python scripts/torture_ray.py [--only SCENE ...] [--kills N] [--records N] [--seed S] [--model FOLDER] [--address A]

Two workers on this machine's own Ray, or on the one at `--address`. In each scene a run has processes of one kind
killed with SIGKILL: its workers while they judge, the driver (the process of the command), the one that reads the
records, the desk that the workers report to, or the raylet, which is all of Ray on this machine. A driver that ended
early is started again as soon as nothing writes any more. With --model the workers hold vLLM on that folder, with a
context of 4,096 tokens, instead of the fake engine. The last line is JSON, as `torture.py` has it. Needs the extra
`ray`, and Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from torture_setting import Writer, merged, request_for, write_records

from localjudge.engine_choice import EngineChoice
from localjudge.intake import RunRequest
from localjudge.offline import go_offline
from localjudge.ray_executor import RayChoice
from localjudge.segments import Line, read_segment
from localjudge.store import RunStore
from localjudge.weights import resolve

MARK = "LOCALJUDGE_TORTURE"
"""In the environment of a driver and of all that it starts: nothing else is ever killed."""
PATIENCE = 180.0
"""Seconds that Ray's processes have to end in once their driver is gone."""
TITLES = {"reader": b"ray::MapBatches(", "desk": b"ray::Desk"}
ONCE = {"driver": 2, "reader": 2, "desk": 1, "raylet": 1}
"""Kills in the scenes that --kills is not about."""


def main() -> None:
    """One run a scene, killed until it has had enough, then finished and held against an unbroken one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="+", choices=["worker", *ONCE], default=["worker", *ONCE])
    parser.add_argument("--kills", type=int, default=20, help="of workers")
    parser.add_argument("--records", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--address", default="", help="of a Ray that was started with LOCALJUDGE_TORTURE=1 set")
    options = parser.parse_args()
    go_offline()
    rng, start = random.Random(options.seed), time.perf_counter()
    os.environ |= {MARK: "1" if options.address else f"{os.getpid()}-{rng.random()}", "TORTURE_LOUD": "1"}
    scenes: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory(prefix="torture-ray-") as folder:
        records = write_records(Path(folder) / "in.jsonl", options.records, rng)
        whole = _request(records, Path(folder) / "unbroken", options.model)
        assert Writer(whole).wait() == 0
        for scene in options.only:
            request = _request(records, Path(folder) / scene, options.model)
            run = _KilledRun(request, rng, RayChoice(options.address, workers=2))
            run.suffer(scene, ONCE.get(scene, options.kills))
            scenes[scene] = run.finish() | {"merged_equal": merged(request.out) == merged(whole.out)}
            print(json.dumps({scene: scenes[scene]}), flush=True)
    engine = "vllm" if options.model else "fake"
    head = {"benchmark": "torture_ray", "seed": options.seed, "engine": engine, "records": options.records}
    print(json.dumps(head | {"scenes": scenes, "seconds": round(time.perf_counter() - start)}))


def _request(records: Path, out: Path, model: Path | None) -> RunRequest:
    request = request_for(records, out, delay=0.02)
    if model is None:
        return request
    engine = EngineChoice("vllm", {"max_model_len": 4096, "max_num_seqs": 8, "dtype": "float32"})
    return replace(request, engine=engine, model=resolve(str(model), {}))


class _KilledRun:
    def __init__(self, request: RunRequest, rng: random.Random, ray: RayChoice) -> None:
        self.request, self.rng, self.ray = request, rng, ray
        self.acknowledged: set[str] = set()
        self.kills = 0
        self.codes: Counter[str] = Counter()
        self.writing = 0.0
        """Seconds, at most, for which workers had a segment open after their driver's end."""
        self.written = 0
        """Verdicts that they wrote then."""
        self.driver = self._start()

    def suffer(self, kind: str, kills: int) -> None:
        """Kills one process of a kind after another, each time after more verdicts have come; the reader, whose work is
        soon done, as soon as it is there."""
        while self.kills < kills and (kind == "reader" or self._some_more()):
            time.sleep(self.rng.uniform(0.0, 0.5))
            if self.driver.ended():
                if self._ended() == 0:
                    return
                self.driver = self._start()
            victims = [self.driver.pid] if kind == "driver" else list(self._processes(kind))
            if victims and not self.driver.ended():
                with suppress(ProcessLookupError):
                    os.kill(self.rng.choice(victims), signal.SIGKILL)
                    self.kills += 1
                    print(f"{kind} killed, {len(self.driver.acknowledged)} acknowledged by this driver", flush=True)

    def finish(self) -> dict[str, object]:
        """Lets the run come to its end, however often it must be started, and counts."""
        while self._ended() != 0:
            self.driver = self._start()
        ended = time.monotonic()
        while (left := self._left()) and time.monotonic() < ended + PATIENCE:
            time.sleep(0.1)
        ended = time.monotonic() - ended
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        stored = RunStore.open(self.request.out).stored()
        ids = [json.loads(line)["id"] for line in merged(self.request.out).splitlines()]
        manifest = json.loads((self.request.out / "manifest.json").read_bytes())
        return {
            "kills": self.kills,
            "ends": dict(self.codes),
            "writing_after_driver_s": round(self.writing, 1),
            "written_after_driver": self.written,
            "processes_left": len(left),
            "processes_ended_s": round(ended, 1),
            "acknowledged": len(self.acknowledged),
            "verdicts": len(stored),
            "segments": len(self._segments()),
            "lost": len(self.acknowledged - set(ids)),
            "duplicated": len(ids) - len(set(ids)),
            "judged_again": self._lines() - len(set(ids)),
            "executor": manifest.get("executor"),
        }

    def _some_more(self) -> bool:
        """Waits until the driver has acknowledged more verdicts; starts another where it ended before the input did."""
        seen = len(self.driver.acknowledged)
        while len(self.driver.acknowledged) == seen:
            if self.driver.ended():
                if self._ended() == 0:
                    return False
                self.driver, seen = self._start(), 0
            time.sleep(0.02)
        return True

    def _ended(self) -> int:
        """The exit code of the driver, once it is gone and nothing writes any more."""
        code, ended, lines = self.driver.wait(), time.monotonic(), self._lines()
        self.acknowledged.update(self.driver.acknowledged)
        self.codes[str(code)] += 1
        while any(self._processes("worker")) and time.monotonic() < ended + PATIENCE:
            time.sleep(0.05)
        self.writing = max(self.writing, time.monotonic() - ended)
        self.written += self._lines() - lines
        return code

    def _segments(self) -> list[Path]:
        return list((self.request.out / "verdicts").glob("*.jsonl"))

    def _lines(self) -> int:
        return sum(isinstance(entry, Line) for path in self._segments() for entry in read_segment(path))

    def _left(self) -> list[int]:
        """What should end with its driver: all that it started, or its workers in a Ray that stays."""
        return list(self._processes("worker")) if self.ray.address else self._all()

    def _start(self) -> Writer:
        return Writer(self.request, open_executor=self.ray.open)

    def _processes(self, kind: str) -> Iterator[int]:
        """A worker is a process that has a segment open; the others go by their titles."""
        verdicts = self.request.out / "verdicts"
        for pid in self._all():
            process = Path("/proc") / str(pid)
            try:
                if kind == "worker":
                    if any(link.readlink().parent == verdicts for link in (process / "fd").iterdir()):
                        yield pid
                elif kind == "raylet":
                    if process.joinpath("cmdline").read_bytes().split(b"\0")[0].endswith(b"/raylet"):
                        yield pid
                elif process.joinpath("cmdline").read_bytes().startswith(TITLES[kind]):
                    yield pid
            except OSError:
                continue

    def _all(self) -> list[int]:
        mark = f"{MARK}={os.environ[MARK]}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in path.read_bytes():
                    found.append(int(path.parts[2]))
            except OSError:
                continue
        return [pid for pid in found if pid != os.getpid()]


if __name__ == "__main__":
    main()
