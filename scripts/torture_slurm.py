"""Runs scripts/slurm_array.sbatch under a real Slurm, kills its tasks and its node, and counts what is lost.

    python scripts/torture_slurm.py [--seed S] [--only SCENE ...] [--keep]

Needs Debian's packages slurmctld, slurmd, slurm-client and munge, and no root: a private Slurm of one node is started
in a temporary folder, and taken down at the end. The model is the fake engine; Slurm, the script, the store, the resume
and the merge are the real ones. The last line is JSON. `kills`: tasks ended by SIGKILL. `requeued`: starts of a task
after its first. `lost`: verdicts that were stored when something happened, and are not there at the end. `duplicated`:
records that stand twice in the merged file. `judged_again`: records judged more than once. `merged_equal`: runs whose
merged file has the bytes of an unbroken run. See docs/reliability.md.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from slurm_node import SlurmNode, wait_until
from torture_setting import write_records

from localjudge.segments import Line, read_segment
from localjudge.shards import Shard

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "slurm_array.sbatch"
# One request for each of two indicators: a record takes twice the delay.
ASK = "--engine fake --strategy explain --rules off --task-type push --indicators 1.1,5.4 --engine-arg capacity=16"
LAUNCHER = """\
#!/bin/sh
echo "$SLURM_ARRAY_TASK_ID ${{SLURM_RESTART_COUNT:-0}} $CUDA_VISIBLE_DEVICES" >> {starts}
export PYTHONPATH={root}${{PYTHONPATH:+:$PYTHONPATH}}
exec {python} -m localjudge "$@"
"""
ENDS = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")
PATIENCE = 600.0
"""Seconds until a task that does not come to its end is given up."""


def main() -> None:
    """Plays all scenes, or some."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=SCENES, nargs="+", default=list(SCENES))
    parser.add_argument("--keep", action="store_true", help="Keep the folder, with the logs of Slurm and of the tasks.")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # so that Slurm is taken down then too
    folder = Path(tempfile.mkdtemp(prefix="torture-slurm-"))
    try:
        print(json.dumps(_figures(folder, options.only, options.seed)))
    finally:
        if options.keep:
            print(f"kept: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder)


def _figures(folder: Path, scenes: list[str], seed: int) -> dict[str, object]:
    start = time.perf_counter()
    total: Counter[str] = Counter()
    with SlurmNode(folder) as slurm:
        setting = _Setting(slurm, folder, seed)
        for name in scenes:
            array = SCENES[name](setting)
            found = array.finish()
            total.update(found)
            print(f"{name}: {dict(found)}", flush=True)
        version = slurm.ask("sbatch", "--version")
    names = ("runs", "kills", "requeued", "verdicts", "lost", "duplicated", "judged_again", "merged_equal")
    figures: dict[str, object] = {"benchmark": "torture_slurm", "slurm": version, "seed": seed, "scenes": scenes}
    return figures | {name: total[name] for name in names} | {"seconds": round(time.perf_counter() - start)}


class _Setting:
    """A Slurm, records, and what an unbroken run of them looks like."""

    def __init__(self, slurm: SlurmNode, folder: Path, seed: int) -> None:
        self.slurm, self.folder = slurm, folder
        self.records = write_records(folder / "in.jsonl", 400, random.Random(seed))
        out = folder / "whole"
        self._localjudge("run", str(self.records), "--out", str(out), "--progress", "none", *ASK.split())
        self.whole = self.merged(out)

    def merged(self, out: Path) -> bytes:
        """The bytes of `localjudge merge`."""
        self._localjudge("merge", str(out))
        return (out / "merged.jsonl").read_bytes()

    def _localjudge(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "localjudge", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)


class _Array:
    """A run by an array job on the script, submitted as a user does it."""

    def __init__(
        self, setting: _Setting, name: str, delay: float, tasks: int = 2, options: tuple[str, ...] = ()
    ) -> None:
        self.setting, self.slurm, self.tasks = setting, setting.slurm, range(tasks)
        self.out = setting.folder / name
        self.job = ""
        self.kills = 0
        self._stored: set[str] = set()
        self._starts = setting.folder / f"{name}.starts"
        launcher = setting.folder / f"{name}.sh"
        launcher.write_text(LAUNCHER.format(starts=self._starts, root=ROOT, python=sys.executable))
        launcher.chmod(0o755)
        self._options = (f"--array=0-{tasks - 1}", *options)
        self._variables = {"LOCALJUDGE": str(launcher), "LOCALJUDGE_ARGS": f"{ASK} --engine-arg delay={delay}"}
        self.submit()

    def submit(self) -> None:
        """Puts the array into the queue, for the first time or once more."""
        given = f"--export=ALL,INPUT={self.setting.records},MODEL=fake,OUT={self.out}"
        said = self.slurm.ask("sbatch", "--parsable", *self._options, given, str(SCRIPT), **self._variables)
        if not said.isdigit():
            raise SystemExit(f"sbatch: {said}")
        self.job = said

    def state(self, task: int) -> str:
        """What Slurm calls a task now."""
        said = self.slurm.ask("scontrol", "--oneliner", "show", "job", f"{self.job}_{task}")
        found = re.search(r"JobState=(\w+)", said)
        return found[1] if found else said

    def log(self, task: int) -> str:
        """What a task said in all its starts."""
        path = self.setting.folder / f"localjudge-{self.job}_{task}.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def await_state(self, task: int, state: str) -> None:
        """Waits until Slurm calls a task that; raises SystemExit, with its last words, when it ends in another way."""
        wait_until(lambda: self.state(task) in (state, *ENDS), PATIENCE, f"task {task} does not become {state}")
        if (found := self.state(task)) != state:
            raise SystemExit(f"task {task} became {found}, not {state}:\n{self.log(task)[-2000:]}")

    def await_word(self, task: int, word: str) -> None:
        """Waits until the log of a task says that."""
        wait_until(lambda: word in self.log(task), PATIENCE, f"task {task} does not say: {word}")

    def await_verdicts(self, count: int = 20) -> None:
        """Waits until every task has stored so many, and is still at work."""
        shards = Shard(0, len(self.tasks)).all()
        wait_until(lambda: min(len(self._lines(shard.name)) for shard in shards) >= count, PATIENCE, "no verdicts")
        for task in self.tasks:
            self.await_state(task, "RUNNING")

    def note_stored(self) -> None:
        """Remembers what is stored now, and must be there at the end."""
        self._stored.update(self._lines("*"))

    def starts(self) -> list[list[str]]:
        """Of each start of a task: task, restarts before, numbers of its GPUs."""
        return [line.split(" ") for line in self._starts.read_text().splitlines()]

    def finish(self) -> Counter[str]:
        """Waits for the end of all tasks, and counts."""
        for task in self.tasks:
            self.await_state(task, "COMPLETED")
        merged, lines = self.setting.merged(self.out), self._lines("*")
        ids = [json.loads(line)["id"] for line in merged.splitlines()]
        return Counter(
            runs=1,
            kills=self.kills,
            requeued=sum(int(restarts) > 0 for _, restarts, _ in self.starts()),
            verdicts=len(ids),
            lost=len(self._stored - set(ids)),
            duplicated=len(ids) - len(set(ids)),
            judged_again=len(lines) - len(set(lines)),
            merged_equal=int(merged == self.setting.whole),
        )

    def _lines(self, shard: str) -> list[str]:
        paths = sorted((self.out / "verdicts").glob(f"{shard}.*.jsonl"))
        entries = (entry for path in paths for entry in read_segment(path))
        return [json.loads(entry.payload)["id"] for entry in entries if isinstance(entry, Line)]


def plain(setting: _Setting) -> _Array:
    """Three tasks that nothing disturbs, each with a GPU of its own."""
    array = _Array(setting, "plain", delay=0.02, tasks=3)
    array.await_verdicts(1)
    gpus = [gpu for _, _, gpu in array.starts()]
    if sorted(gpus) != sorted({gpu for gpu in gpus if gpu.isdigit()}):
        raise SystemExit(f"GPUs of the three tasks: {gpus}")
    return array


def killed(setting: _Setting) -> _Array:
    """One task killed with SIGKILL, the script too. Slurm calls it failed; an operator requeues it."""
    array = _Array(setting, "killed", delay=0.05)
    array.await_verdicts()
    setting.slurm.kill_task(array.job, 0)
    array.kills += 1
    array.note_stored()
    array.await_state(0, "FAILED")
    setting.slurm.ask("scontrol", "requeue", f"{array.job}_0")
    return array


def node_lost(setting: _Setting) -> _Array:
    """The node goes down under two tasks. Slurm notices by itself, and requeues them by itself."""
    array = _Array(setting, "node_lost", delay=0.05)
    array.await_verdicts()
    setting.slurm.lose_node()
    array.kills += len(array.tasks)
    array.note_stored()
    for task in array.tasks:
        array.await_state(task, "PENDING")
    setting.slurm.start_node()
    return array


def time_limit(setting: _Setting) -> _Array:
    """A limit of one minute for more than a minute's work: signal, code 75, and the script requeues itself."""
    array = _Array(setting, "time_limit", delay=0.2, options=("--time=1", "--signal=B:USR1@10"))
    array.await_verdicts()
    for task in array.tasks:
        array.await_word(task, "stopped in time; back into the queue")
    array.note_stored()
    return array


def preempted(setting: _Setting) -> _Array:
    """A job of higher priority takes the node. Slurm stops and requeues both tasks; the script leaves that to it."""
    array = _Array(setting, "preempted", delay=0.05)
    array.await_verdicts()
    setting.slurm.ask("sbatch", "--partition=urgent", "--exclusive", "--output=urgent.log", "--wrap=sleep 5")
    for task in array.tasks:
        array.await_state(task, "PENDING")
    array.note_stored()
    return array


def cancelled(setting: _Setting) -> _Array:
    """One task cancelled: it stops in time and stays cancelled. The same array, submitted again, does the rest."""
    array = _Array(setting, "cancelled", delay=0.05)
    array.await_verdicts()
    setting.slurm.ask("scancel", f"{array.job}_0")
    array.await_state(0, "CANCELLED")
    array.note_stored()
    array.await_state(1, "COMPLETED")
    if (state := array.state(0)) != "CANCELLED":
        raise SystemExit(f"the cancelled task is {state}:\n{array.log(0)}")
    array.submit()
    return array


SCENES = {scene.__name__: scene for scene in (plain, killed, node_lost, time_limit, preempted, cancelled)}


if __name__ == "__main__":
    main()
