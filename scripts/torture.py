"""Kills runs and harms their folders, and counts what is lost.

    python scripts/torture.py [--runs N] [--kills N] [--seed S] [--only kills|damage|faults]

Every run has 1 to 4 writers on the fake engine; the number changes in its middle. After a kill, the segment's end is
sometimes harmed as a power cut would harm it, behind what an fsync had acknowledged. The last line is JSON.
`lost`: acknowledged verdicts that are not there at the end. `duplicated`: records that stand twice in the merged file.
`merged_equal`: runs whose merged file has the bytes of an unbroken run. See docs/reliability.md.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from torture_damage import damage_figures
from torture_faults import fault_figures
from torture_setting import Writer, lose_power, merged, request_for, unbroken, write_records

from localjudge.segments import Line, read_segment
from localjudge.shards import Shard
from localjudge.store import RunStore


def main() -> None:
    """Does all three kinds of harm, or one of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=["kills", "damage", "faults"])
    options = parser.parse_args()
    figures: dict[str, object] = {"benchmark": "torture", "seed": options.seed}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        if options.only in (None, "kills"):
            figures |= kill_figures(Path(folder), options.runs, options.kills, options.seed)
        if options.only in (None, "damage"):
            figures |= damage_figures(Path(folder), options.seed)
        if options.only in (None, "faults"):
            figures |= fault_figures(Path(folder), options.seed)
    print(json.dumps(figures | {"seconds": round(time.perf_counter() - start)}))


def kill_figures(folder: Path, runs: int, kills: int, seed: int) -> dict[str, object]:
    """Runs that are killed again and again, each held against an unbroken one."""
    total: Counter[str] = Counter()
    for number in range(runs):
        rng = random.Random(f"{seed}/{number}")
        records = write_records(folder / f"in-{number}.jsonl", rng.randint(100, 400), rng)
        whole = unbroken(records, folder / "unbroken")
        run = _KilledRun(records, folder / f"run-{number}", rng)
        run.suffer(-(-kills * (number + 1) // runs) - total["kills"])
        found = run.finish()
        found["merged_equal"] = int(merged(run.out) == whole)
        total.update(found | {"runs": 1, "verdicts": whole.count(b"\n")})
        print(f"run {number + 1}/{runs}: {dict(found)}", flush=True)
    names = (
        "runs",
        "kills",
        "power_cuts",
        "acknowledged",
        "verdicts",
        "lost",
        "duplicated",
        "merged_equal",
        "judged_again",
    )
    return {name: total[name] for name in names}


class _KilledRun:
    def __init__(self, records: Path, out: Path, rng: random.Random) -> None:
        self.records, self.out, self.rng = records, out, rng
        self.acknowledged: set[str] = set()
        self.counts: Counter[str] = Counter()

    def suffer(self, kills: int) -> None:
        """Kills writers at random moments, beginning with another number of them every few kills."""
        while self.counts["kills"] < kills:
            world = self.rng.randint(1, 4)
            writers = [self._start(Shard(rank, world)) for rank in range(world)]
            for _ in range(min(self.rng.randint(1, 4), kills - self.counts["kills"])):
                alive = [writer for writer in writers if not writer.ended()]
                if not alive:
                    break
                victim = self.rng.choice(alive)
                # Most kills are to land among the verdicts, some while a process starts.
                patient = self.rng.random() < 0.85
                while patient and not victim.ended() and not victim.acknowledged:
                    time.sleep(0.01)
                time.sleep(self.rng.uniform(0.0, 0.4))
                self._kill(victim)
                if self.rng.random() < 0.7:
                    writers.append(self._start(victim.request.shard))
            for writer in writers:
                if not writer.ended():
                    if self.counts["kills"] < kills:
                        self._kill(writer)
                    else:
                        writer.wait()
                self.acknowledged.update(writer.acknowledged)

    def finish(self) -> Counter[str]:
        """Lets the run come to its end, and counts."""
        world = self.rng.randint(1, 4)
        writers = [self._start(Shard(rank, world)) for rank in range(world)]
        codes = [writer.wait() for writer in writers]
        assert codes == [0] * world and RunStore.open(self.out).complete, codes
        for writer in writers:
            self.acknowledged.update(writer.acknowledged)
        ids = [json.loads(line)["id"] for line in merged(self.out).splitlines()]
        lines = sum(
            isinstance(entry, Line) for path in (self.out / "verdicts").iterdir() for entry in read_segment(path)
        )
        self.counts["acknowledged"] = len(self.acknowledged)
        self.counts["lost"] = len(self.acknowledged - set(ids))
        self.counts["duplicated"] = len(ids) - len(set(ids))
        self.counts["judged_again"] = lines - len(set(ids))
        return self.counts

    def _start(self, shard: Shard) -> Writer:
        return Writer(request_for(self.records, self.out, shard, delay=self.rng.uniform(0.002, 0.006)))

    def _kill(self, writer: Writer) -> None:
        writer.kill()
        if writer.code != -9:
            return  # it came to its end a moment before
        self.counts["kills"] += 1
        self.acknowledged.update(writer.acknowledged)
        segment = writer.newest_segment()
        if segment is not None and self.rng.random() < 0.5:
            lose_power(segment, self.acknowledged, self.rng)
            self.counts["power_cuts"] += 1


if __name__ == "__main__":
    main()
