"""The run folder: what is written when, and what may be believed of it. Never interprets a grade.

plan.json              what was asked; written first, never changed
command.json           how `run` was called, so that `retry` can ask again
calibration.json       the calibration of the reads, where there is one
errors.jsonl           records that cannot be judged, and why
verdicts/<rank>-of-<world>.<n>.jsonl    append-only segments, one writer each
quarantine/            damaged lines of segments, set aside
progress/              how far each shard is; advisory
manifest*.json         facts observed, one file a shard
summary.json           the numbers of a finished run
seal.json              what a finished run consists of: digests of all of the above; seal.sig, its signature if any
done/<rank>-of-<world> written last: its existence means that this shard is complete
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from localjudge.calibration import Calibration, read_calibration
from localjudge.disk import is_temporary, probe_writing, write_once, write_whole
from localjudge.errors import ConfigError, ResumeError, StoreError
from localjudge.manifest import Manifest, Plan, ShardProgress
from localjudge.noise import NoiseBand
from localjudge.output import cannot_write
from localjudge.seal import Leaves, Seal, make_seal
from localjudge.segments import Damage, SegmentWriter
from localjudge.shards import Shard, whole_world
from localjudge.stored import Stored
from localjudge.verdicts import Verdict

WHOLE = Shard()
_Made = TypeVar("_Made")
_Summed = TypeVar("_Summed", bound=BaseModel)


class RunStore:
    """A run folder, opened to write one shard by `create` or to read by `open`."""

    def __init__(self, folder: Path, shard: Shard = WHOLE, *, writable: bool = False) -> None:
        self.folder = folder
        self.shard = shard
        self.seconds = 0.0
        """Spent in `append` and `commit` so far."""
        self._writable = writable
        self._segment: SegmentWriter | None = None

    @classmethod
    def create(
        cls,
        folder: Path,
        plan: Plan,
        shard: Shard = WHOLE,
        *,
        command: Mapping[str, Any] | None = None,
        calibration: Calibration | None = None,
    ) -> RunStore:
        """Starts a run, or goes on with one of the same plan.

        Raises ResumeError when the folder holds another run or anything else, StoreError when it cannot be written.
        """
        cls.check_folder(folder)
        store = cls(folder, shard, writable=True)

        def make() -> None:
            folder.mkdir(parents=True, exist_ok=True)
            write_once(folder / "plan.json", _pretty(plan.model_dump(mode="json")))
            store.check_plan(plan)
            if command is not None:
                write_once(folder / "command.json", _pretty(command))
            if calibration is not None:
                write_once(folder / "calibration.json", _pretty(calibration.model_dump(mode="json")))
            for name in ("verdicts", "progress", "done"):
                (folder / name).mkdir(exist_ok=True)

        store._written(make)
        return store

    @classmethod
    def open(cls, folder: Path) -> RunStore:
        """Opens a run to read. Raises StoreError when the folder holds none."""
        if not (folder / "plan.json").is_file():
            raise StoreError(f"{folder} holds no run (no plan.json).", hint="Give the folder of a run's --out.")
        return cls(folder)

    @staticmethod
    def check_folder(folder: Path) -> bool:
        """Whether the folder holds a run. Raises ResumeError for anything else, StoreError when it is shut."""
        try:
            if (folder / "plan.json").exists():
                return True
            free = not folder.exists() or (
                folder.is_dir() and all(is_temporary(held.name) for held in folder.iterdir())
            )
        except OSError as error:
            raise cannot_write(folder, error) from error
        if not free:
            raise ResumeError(f"{folder} is not an empty folder.", hint="Give another --out.")
        return False

    @staticmethod
    def check_writable(folder: Path) -> None:
        """Raises StoreError when nothing can be written in the folder, or where it is to be made."""
        try:
            probe_writing(folder)
        except OSError as error:
            raise cannot_write(folder, error) from error

    def plan(self) -> Plan:
        """What was asked. Raises StoreError for a plan that cannot be read."""
        path = self.folder / "plan.json"
        try:
            return Plan.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise StoreError(f"{path} cannot be read: {str(error).splitlines()[0]}.") from error

    def check_plan(self, asked: Plan) -> None:
        """Raises ResumeError, with each field that differs, when the folder holds a run of another plan."""
        differences = self.plan().differences(asked)
        if differences:
            lines = [f"  {field}: {there} there, {here} here" for field, there, here in differences]
            first = f"{self.folder} already holds a run, and this command asks for another:"
            last = "Give another --out, or ask the same again to go on with that run."
            raise ResumeError("\n".join([first, *lines, last]))

    def command(self) -> dict[str, Any]:
        """How `run` was called. Raises StoreError when that is not known."""
        path = self.folder / "command.json"
        try:
            held: dict[str, Any] = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} cannot be read: {str(error).splitlines()[0]}.") from error
        return held

    def calibration(self) -> Calibration:
        """The calibration that the reads were given. Raises StoreError when it is missing or another one."""
        path = self.folder / "calibration.json"
        try:
            held = read_calibration(path)
        except ConfigError as error:
            raise StoreError(error.problem) from error
        if held.digest != self.plan().calibration:
            raise StoreError(f"{path} is not the calibration of this run.", hint="It was changed after the run began.")
        return held

    def noise_bands(self) -> list[NoiseBand | None]:
        """What each finished shard says of numerical noise; None where it was not probed, or cannot be read."""
        found: list[NoiseBand | None] = []
        for path in sorted(self.folder.glob("manifest*.json")):
            try:
                said = json.loads(path.read_bytes()).get("noise_band")
                found.append(None if said is None else NoiseBand.model_validate(said))
            except (OSError, ValueError, AttributeError):
                found.append(None)
        return found

    def stored(self, shard: Shard | None = None, *, but: Collection[str] = ()) -> Stored:
        """The verdicts there are now, as `Stored` takes them: of one shard's records or of all. Raises StoreError."""
        return Stored(self.folder / "verdicts", shard, but=but)

    def verdicts(self) -> Iterator[Verdict]:
        """Every judged record's verdict, once. Raises StoreError."""
        return iter(self.stored())

    def append(self, verdict: Verdict) -> tuple[str, ...]:
        """Writes a verdict; returns the ids that are safe on disk since the last call. Raises StoreError."""
        if not self._writable:
            raise StoreError(f"{self.folder} is open to read only.")
        payload = verdict.model_dump_json().encode("utf-8")

        def write() -> tuple[str, ...]:
            if self._segment is None:
                self._segment = SegmentWriter(self.folder / "verdicts", self.shard.name)
            return self._segment.append(verdict.id, payload)

        return self._timed(write)

    def commit(self) -> tuple[str, ...]:
        """Puts on disk what waits, and returns its ids. Raises StoreError."""
        segment = self._segment
        return self._timed(segment.commit) if segment else ()

    @property
    def syncs(self) -> int:
        """How many fsync calls acknowledged verdicts so far."""
        return self._segment.syncs if self._segment else 0

    def write_errors(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Notes the records that cannot be judged. Every shard finds the same ones; the first to come writes them."""
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        self._written(lambda: write_once(self.folder / "errors.jsonl", text.encode("utf-8")))

    def quarantine(self, damage: Iterable[Damage]) -> list[Damage]:
        """Sets damaged lines aside; returns those that were not known yet. Unfinished last lines are left."""
        fresh = [entry for entry in damage if not entry.torn and not self.is_quarantined(entry)]
        for entry in fresh:
            self._written(partial(_set_aside, self._aside(entry), entry.data))
        return fresh

    def is_quarantined(self, damage: Damage) -> bool:
        """Whether a run has met this damage already, and judged its record again."""
        return self._aside(damage).exists()

    def _aside(self, damage: Damage) -> Path:
        return self.folder / "quarantine" / f"{damage.path.stem}.{damage.line}"

    def note_progress(self, progress: ShardProgress) -> None:
        """Tells `status` how far this shard is. Advisory: what cannot be written is passed over."""
        with suppress(OSError):
            path = self.folder / "progress" / f"{self.shard.name}.json"
            temporary = path.with_suffix(".new")
            temporary.write_text(progress.model_dump_json() + "\n", encoding="utf-8")
            temporary.replace(path)

    def progress(self) -> list[tuple[Shard, ShardProgress, float]]:
        """What each shard last said of itself, and when, in seconds since 1970."""
        found = []
        for path in sorted((self.folder / "progress").glob("*.json")):
            with suppress(OSError, ValidationError):
                progress = ShardProgress.model_validate_json(path.read_bytes())
                found.append((Shard(progress.rank, progress.world_size), progress, path.stat().st_mtime))
        return found

    def refused(self) -> int:
        """How many records cannot be judged."""
        with suppress(OSError):
            return (self.folder / "errors.jsonl").read_bytes().count(b"\n")
        return 0

    def reopen_shard(self) -> None:
        """Takes back that this shard is complete, because it is not."""
        self._written(lambda: (self.folder / "done" / self.shard.name).unlink(missing_ok=True))

    def finish_shard(self, manifest: Manifest, summarize: Callable[[Iterable[Verdict]], _Summed]) -> _Summed | None:
        """Seals this shard: facts first, the marker last. The last shard of a run also writes the summary; returns it,
        or None where other shards are to come."""
        self.close()
        name = "manifest.json" if self.shard == WHOLE else f"manifest-{self.shard.name}.json"
        done = self.folder / "done"

        def seal() -> _Summed | None:
            write_whole(self.folder / name, _pretty(manifest.model_dump(mode="json")))
            # Two last shards may each see the other one missing, and sum up only after both markers are there.
            others = all((done / other.name).is_file() for other in self.shard.all() if other != self.shard)
            summary = self._sum_up(summarize) if others else None
            write_whole(done / self.shard.name, b"")
            if summary is None and self.complete:
                summary = self._sum_up(summarize)
            return summary

        return self._written(seal)

    def _sum_up(self, summarize: Callable[[Iterable[Verdict]], _Summed]) -> _Summed:
        """Counts the run's verdicts and seals them: every one is read once for both."""
        leaves = Leaves()
        summary = summarize(leaves.noted(self.verdicts()))
        return self.write_summary(summary, leaves)

    def write_summary(self, summary: _Summed, leaves: Leaves | None = None) -> _Summed:
        """Writes the numbers of the run, counted from its verdicts, and returns them; then seals it as `write_seal`."""
        self._written(lambda: write_whole(self.folder / "summary.json", _pretty(summary.model_dump(mode="json"))))
        self.write_seal(leaves)
        return summary

    def write_seal(self, leaves: Leaves | None = None) -> Seal:
        """Seals what the folder holds now. `leaves`: of all its verdicts; without them these are read. Raises
        StoreError."""
        if leaves is None:
            leaves = Leaves()
            deque(leaves.noted(self.verdicts()), maxlen=0)

        def write() -> Seal:
            seal = make_seal(self.folder, leaves, self.plan().digest)
            # A signature of the old seal says nothing of this one.
            (self.folder / "seal.sig").unlink(missing_ok=True)
            write_whole(self.folder / "seal.json", _pretty(seal.model_dump(mode="json")))
            return seal

        return self._written(write)

    def write_signature(self, sign: Callable[[bytes], bytes]) -> None:
        """Signs the seal. Raises StoreError."""
        path = self.folder / "seal.sig"
        self._written(lambda: write_whole(path, sign((self.folder / "seal.json").read_bytes())))

    def close(self) -> None:
        """Acknowledges what waits, as far as that can be, and closes the segment. Safe to call twice."""
        if self._segment is not None:
            with suppress(OSError):
                self._segment.commit()
            self._segment.close()

    @property
    def complete(self) -> bool:
        """Whether every shard of some world size reached its end."""
        return whole_world(self.done()) is not None

    def done(self) -> set[Shard]:
        """The shards that reached their end."""
        names = (path.name for path in (self.folder / "done").glob("*-of-*"))
        return {shard for shard in map(Shard.named, names) if shard is not None}

    def _timed(self, write: Callable[[], _Made]) -> _Made:
        start = time.perf_counter()
        try:
            return self._written(write)
        finally:
            self.seconds += time.perf_counter() - start

    def _written(self, write: Callable[[], _Made]) -> _Made:
        try:
            return write()
        except OSError as error:
            raise cannot_write(self.folder, error, goes_on=self._writable) from error


def _set_aside(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    write_whole(path, data)


def _pretty(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode("utf-8")
