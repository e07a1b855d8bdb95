"""The run folder. One writer, append-only; never interprets a grade. Verdicts are readable at once, and forced to disk
in groups.

plan.json              what was asked; written first, never changed
verdicts/<writer>.jsonl
errors.jsonl           records that were not judged, and why
manifest.json          facts observed; written at the end
summary.json
done/<rank>-of-<world> written last: its existence means that this part is complete
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ValidationError

from localjudge.errors import ResumeError, StoreError
from localjudge.manifest import Manifest, Plan
from localjudge.verdicts import Verdict

_WRITER = "00000-of-00001"
SYNC_SECONDS = 0.5
"""A verdict that comes this long after the latest sync, or later, brings the next; so does the end of the run."""


class RunStore:
    """A run folder, opened to write by `create` or to read by `open`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._verdicts: IO[str] | None = None
        self._errors: IO[str] | None = None
        self._synced = time.monotonic()

    @classmethod
    def create(cls, folder: Path, plan: Plan) -> RunStore:
        """Starts a run. Raises ResumeError when the folder already holds one, StoreError when it cannot be written."""
        cls.check_free(folder)
        store = cls(folder)
        try:
            (folder / "verdicts").mkdir(parents=True, exist_ok=True)
            _write_whole(folder / "plan.json", _pretty(plan))
            store._verdicts = (folder / "verdicts" / f"{_WRITER}.jsonl").open("x", encoding="utf-8", newline="\n")
            store._errors = (folder / "errors.jsonl").open("a", encoding="utf-8", newline="\n")
        except OSError as error:
            raise _cannot("write", folder, error) from error
        return store

    @classmethod
    def open(cls, folder: Path) -> RunStore:
        """Opens a run to read. Raises StoreError when the folder holds none."""
        if not (folder / "plan.json").is_file():
            raise StoreError(f"{folder} holds no run (no plan.json).", hint="Give the folder of a run's --out.")
        return cls(folder)

    @staticmethod
    def check_free(folder: Path) -> None:
        """Raises ResumeError when the folder already holds a run, or anything else."""
        if (folder / "plan.json").exists():
            raise ResumeError(f"{folder} already holds a run.", hint="Give another --out, or remove that folder.")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ResumeError(f"{folder} is not an empty folder.", hint="Give another --out.")

    def append(self, verdict: Verdict) -> None:
        """Stores a verdict: readable when this returns, on disk with the next `sync`, which comes by itself."""
        self._write_line(self._verdicts, verdict.model_dump_json(exclude_defaults=False))
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Forces to disk all that was stored."""
        try:
            for file in (self._verdicts, self._errors):
                if file is not None:
                    os.fsync(file.fileno())
        except OSError as error:
            raise _cannot("write", self.folder, error) from error
        self._synced = time.monotonic()

    def append_error(self, where: str, record_id: str | None, problem: str) -> None:
        """Notes a record that was not judged."""
        line = {"where": where, "id": record_id, "problem": problem}
        self._write_line(self._errors, json.dumps(line, ensure_ascii=False))

    def finish(self, manifest: Manifest, summary: BaseModel) -> None:
        """Seals the run: facts first, the marker last."""
        self.sync()
        try:
            _write_whole(self.folder / "manifest.json", _pretty(manifest))
            _write_whole(self.folder / "summary.json", _pretty(summary))
            (self.folder / "done").mkdir(exist_ok=True)
            _write_whole(self.folder / "done" / _WRITER, "")
        except OSError as error:
            raise _cannot("write", self.folder, error) from error
        self.close()

    def close(self) -> None:
        """Forces to disk what is not there yet, and closes the files. Safe to call twice."""
        if self._verdicts is not None and not self._verdicts.closed:
            self.sync()
        for file in (self._verdicts, self._errors):
            if file is not None:
                file.close()

    @property
    def complete(self) -> bool:
        """Whether the run reached its end."""
        return (self.folder / "done" / _WRITER).is_file()

    def plan(self) -> Plan:
        """What was asked. Raises StoreError for a plan that cannot be read."""
        path = self.folder / "plan.json"
        try:
            return Plan.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise StoreError(f"{path} cannot be read: {str(error).splitlines()[0]}.") from error

    def verdicts(self) -> Iterator[Verdict]:
        """All whole verdicts. A torn last line, left by a run that was killed, is passed over."""
        for path in sorted((self.folder / "verdicts").glob("*.jsonl")):
            with path.open("rb") as lines:
                for number, line in enumerate(lines, start=1):
                    if not line.endswith(b"\n"):
                        break
                    try:
                        yield Verdict.model_validate_json(line)
                    except ValidationError as error:
                        raise StoreError(f"{path}:{number}: not a verdict ({error.errors()[0]['msg']}).") from error

    def _write_line(self, file: IO[str] | None, line: str) -> None:
        if file is None:
            raise StoreError(f"{self.folder} is open to read only.")
        try:
            file.write(line + "\n")
            file.flush()
        except OSError as error:
            raise _cannot("write", self.folder, error) from error


def write_verdicts(path: Path, verdicts: Iterable[Verdict]) -> None:
    """Verdicts as a file of their own, whole or not at all. Raises StoreError when it cannot be written."""
    try:
        _write_whole(path, "".join(verdict.model_dump_json() + "\n" for verdict in verdicts))
    except OSError as error:
        raise _cannot("write", path, error) from error


def _pretty(model: BaseModel) -> str:
    return json.dumps(model.model_dump(mode="json"), ensure_ascii=False, indent=1) + "\n"


def _write_whole(path: Path, text: str) -> None:
    """A file that is either absent or whole: temporary name, fsync, rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _cannot(verb: str, folder: Path, error: OSError) -> StoreError:
    return StoreError(
        f"cannot {verb} {folder}: {error.strerror or error}.",
        hint="Check space and permissions; nothing stored is lost.",
    )
