"""Full and read-only disks, a folder deleted in mid-run, writers started twice, a clock set back, many readers."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from torture_setting import Writer, merged, request_for, unbroken, write_records

from localjudge.shards import Shard
from localjudge.store import RunStore

DELAY = 0.004


def fault_figures(folder: Path, seed: int) -> dict[str, object]:
    """One word a fault: `ok`, or what was found instead."""
    rng = random.Random(seed)
    records = write_records(folder / "faults.jsonl", 200, rng)
    whole = unbroken(records, folder / "unbroken")
    figures: dict[str, object] = {}
    for fault in (full_disk, read_only, deleted_folder, two_writers, two_worlds, clock_set_back, many_readers):
        out = folder / fault.__name__
        figures[fault.__name__] = fault(records, out, whole)
        print(f"{fault.__name__}: {figures[fault.__name__]}", flush=True)
    return figures


def full_disk(records: Path, out: Path, whole: bytes) -> str:
    """A file system of 64 KiB, made larger afterwards; a bound on file size where mounting is not allowed."""
    mounted = _mount(out, "size=64k")
    writer = Writer(request_for(records, out / "run"), before=(lambda: None) if mounted else _bound_files)
    code = writer.wait()
    kept = _kept(out / "run", writer)
    if mounted:
        _mount(out, "remount,size=16m")
    finished = _finished(records, out / "run", whole)
    if mounted:
        _unmount(out)
    way = "tmpfs of 64 KiB" if mounted else "RLIMIT_FSIZE"
    return _word(f"{way}, stopped with {code}", code == 1 and bool(writer.acknowledged), kept, finished)


def read_only(records: Path, out: Path, whole: bytes) -> str:
    """A run that is stopped, and finds its file system read-only when it is to go on."""
    if not _mount(out, "size=16m"):
        return "not tried: mounting is not allowed here"
    first = Writer(request_for(records, out / "run", delay=DELAY))
    _until(lambda: bool(first.ended() or first.acknowledged))
    first.kill(signal.SIGTERM)
    _mount(out, "remount,ro")
    second = Writer(request_for(records, out / "run"))
    code = second.wait()
    kept = _kept(out / "run", first)
    _mount(out, "remount,rw")
    finished = _finished(records, out / "run", whole)
    _unmount(out)
    return _word(f"refused with {code}", first.code == 75 and code == 1, kept, finished)


def deleted_folder(records: Path, out: Path, whole: bytes) -> str:
    """The run folder removed while it is written; the same command then begins anew."""
    writer = Writer(request_for(records, out, delay=DELAY))
    _until(lambda: bool(writer.ended() or writer.acknowledged))
    shutil.rmtree(out)
    code = writer.wait()
    return _word(f"stopped with {code}", code == 1, True, _finished(records, out, whole))


def two_writers(records: Path, out: Path, whole: bytes) -> str:
    """One rank started twice by mistake."""
    writers = [Writer(request_for(records, out, delay=DELAY / 2)) for _ in range(2)]
    codes = [writer.wait() for writer in writers]
    stored = RunStore.open(out).stored()
    told = f"{stored.duplicates} records judged twice"
    return _word(told, codes == [0, 0], all(_kept(out, each) for each in writers), merged(out) == whole)


def two_worlds(records: Path, out: Path, whole: bytes) -> str:
    """Two and three shards of one run at the same time."""
    shards = [Shard(rank, world) for world in (2, 3) for rank in range(world)]
    writers = [Writer(request_for(records, out, shard, delay=DELAY / 2)) for shard in shards]
    codes = [writer.wait() for writer in writers]
    told = f"{RunStore.open(out).stored().duplicates} records judged twice"
    return _word(told, codes == [0] * 5, all(_kept(out, each) for each in writers), merged(out) == whole)


def clock_set_back(records: Path, out: Path, whole: bytes) -> str:
    """The wall clock runs backwards, ten years at a time, and every file is dated at random."""
    first = Writer(request_for(records, out, delay=DELAY), before=_turn_back)
    _until(lambda: bool(first.ended() or first.acknowledged))
    first.kill()
    for number, path in enumerate(sorted(out.rglob("*"))):
        os.utime(path, (4e9 * (number % 2), 4e9 * (number % 2)))
    second = Writer(request_for(records, out), before=_turn_back)
    code = second.wait()
    return _word(f"ended with {code}", code == 0, _kept(out, first), merged(out) == whole)


def many_readers(records: Path, out: Path, whole: bytes) -> str:
    """Eight processes read all the time while four write."""
    expected = {json.loads(line)["id"]: json.loads(line) for line in whole.splitlines()}
    writers = [Writer(request_for(records, out, Shard(rank, 4), delay=DELAY * 3)) for rank in range(4)]
    _until(lambda: (out / "plan.json").exists())
    readers = [_reader(out, expected) for _ in range(8)]
    codes = [writer.wait() for writer in writers]
    results = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in readers]
    polls = sum(int(path.read_text()) for path in out.parent.glob("polls-*"))
    return _word(f"{polls} readings", codes == [0] * 4 and results == [0] * 8, True, merged(out) == whole)


def _reader(out: Path, expected: dict[str, dict[str, object]]) -> int:
    pid = os.fork()
    if pid:
        return pid
    polls, seen = 0, 0
    try:
        store = RunStore.open(out)
        while not store.complete:
            stored = store.stored()
            held = {verdict.id: verdict.model_dump(mode="json", exclude={"usage"}) for verdict in stored}
            sound = all(expected[name] == value for name, value in held.items())
            if not sound or len(held) < seen or any(not entry.torn for entry in stored.damage):
                os._exit(1)
            polls, seen = polls + 1, len(held)
        (out.parent / f"polls-{os.getpid()}").write_text(str(polls))
        os._exit(0)
    except BaseException as error:
        print(f"reader: {error!r}", flush=True)
        os._exit(2)


def _kept(out: Path, writer: Writer) -> bool:
    stored = RunStore.open(out).stored()
    return all(name in stored for name in writer.acknowledged)


def _finished(records: Path, out: Path, whole: bytes) -> bool:
    return Writer(request_for(records, out)).wait() == 0 and merged(out) == whole


def _word(told: str, expected: bool, kept: bool, finished: bool) -> str:
    faults = {"another end than expected": expected, "verdicts lost": kept, "merged file differs": finished}
    found = [name for name, sound in faults.items() if not sound]
    return f"{'; '.join(found) or 'ok'} ({told})"


def _mount(folder: Path, options: str) -> bool:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False
    )
    return done.returncode == 0


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", str(folder)], check=False)


def _bound_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, 64 * 1024))


def _turn_back() -> None:
    real, calls = time.time, [0]

    def backwards() -> float:
        calls[0] += 1
        return real() - 315_360_000.0 * calls[0] % real()

    class Past(datetime):
        @classmethod
        def now(cls, tz: object = None) -> Past:
            return cls.fromtimestamp(backwards(), tz)  # type: ignore[arg-type]

    import localjudge.run

    time.time = backwards
    localjudge.run.datetime = Past  # type: ignore[attr-defined]


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
