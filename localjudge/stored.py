"""What a run's segments hold, read while others may write: one verdict a record, duplicates resolved by a fixed rule,
damage named. Holds a hash and a place for each record, never the verdicts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from localjudge.errors import StoreError
from localjudge.segments import Damage, Line, LineReader, read_segment
from localjudge.shards import Shard
from localjudge.verdicts import Verdict

_ID_BYTES = 2400
"""An id of 200 characters, each escaped, with room to spare."""
_DECODER = json.JSONDecoder()
_LENGTH_BITS = 32
_OFFSET_BITS = 48


class Stored:
    """The verdicts of a folder of segments, as they were when this was made.

    With a `shard`, only that shard's records are looked for; with `but`, files of those names are passed over, and
    hidden ones always. Raises StoreError for a folder that cannot be read.
    """

    def __init__(self, folder: Path, shard: Shard | None = None, *, but: Collection[str] = ()) -> None:
        self.damage: list[Damage] = []
        self.duplicates = 0
        """Lines beyond the first for their record."""
        self.conflicts = 0
        """Those of the duplicates that score as much as the line they met, and otherwise."""
        self.lines: dict[Path, int] = {}
        """Whole lines of each segment."""
        self._paths: list[Path] = []
        self._places: dict[bytes, int] = {}
        try:
            for path in sorted(folder.glob("*.jsonl")):
                if path.name.startswith("."):
                    continue  # what another system keeps beside a file it copied, as macOS does
                writer = Shard.named(path.name)
                if path.name not in but and (shard is None or writer is None or shard.meets(writer)):
                    self._take(path, shard)
        except OSError as error:
            raise StoreError(f"{error.filename or folder} cannot be read: {error.strerror}.") from error

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, record_id: str) -> bool:
        return _key(record_id) in self._places

    def __getitem__(self, record_id: str) -> Verdict:
        """The verdict on a record. Raises KeyError for one that has none, StoreError."""
        return next(self._verdicts([self._places[_key(record_id)]]))

    def __iter__(self) -> Iterator[Verdict]:
        """Every record's verdict once, in the order of the segments. Raises StoreError."""
        return self._verdicts(sorted(self._places.values()))

    def by_id(self) -> Iterator[Verdict]:
        """The same in the order of the ids, which no restart and no number of writers changes."""
        payloads = self._payloads(sorted(self._places.values()))
        named = sorted((_id_of(payload) or "", place) for place, payload in payloads)
        return self._verdicts(place for _, place in named)

    def place(self, record_id: str) -> str:
        """`verdicts/<segment>:<line>` of a record's verdict. Raises KeyError, StoreError."""
        place = self._places[_key(record_id)]
        path, offset = (
            self._paths[place >> _LENGTH_BITS + _OFFSET_BITS],
            place >> _LENGTH_BITS & (1 << _OFFSET_BITS) - 1,
        )
        try:
            with path.open("rb") as file:
                line = file.read(offset).count(b"\n") + 1
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}.") from error
        return f"{path.parent.name}/{path.name}:{line}"

    def _take(self, path: Path, shard: Shard | None) -> None:
        self._paths.append(path)
        self.lines[path] = 0
        for entry in read_segment(path):
            if isinstance(entry, Damage):
                self.damage.append(entry)
                continue
            record_id = _id_of(entry.payload)
            if record_id is None:
                self.damage.append(Damage(path, entry.number, entry.payload, torn=False))
                continue
            self.lines[path] += 1
            if shard is None or shard.holds(record_id):
                self._note(_key(record_id), entry)

    def _note(self, key: bytes, line: Line) -> None:
        place = (len(self._paths) - 1) << _OFFSET_BITS | line.offset
        place = place << _LENGTH_BITS | line.length
        held = self._places.get(key)
        if held is None:
            self._places[key] = place
            return
        self.duplicates += 1
        ((_, payload),) = self._payloads([held])
        old, new = _rank(payload), _rank(line.payload)
        self.conflicts += old[0] == new[0] and old[1] != new[1]
        if new < old:
            self._places[key] = place

    def _payloads(self, places: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        """The objects at places, in the order given."""
        with closing(LineReader()) as reader:
            for place in places:
                length = place & (1 << _LENGTH_BITS) - 1
                offset = place >> _LENGTH_BITS & (1 << _OFFSET_BITS) - 1
                path = self._paths[place >> _LENGTH_BITS + _OFFSET_BITS]
                try:
                    payload = reader.read(path, offset, length)
                except OSError as error:
                    raise StoreError(f"{path} cannot be read: {error.strerror}.") from error
                if payload is None:
                    problem = f"{path} changed while it was read (byte {offset})."
                    raise StoreError(problem, hint="Segments are never edited.")
                yield place, payload

    def _verdicts(self, places: Iterable[int]) -> Iterator[Verdict]:
        for place, payload in self._payloads(places):
            try:
                yield Verdict.model_validate_json(payload)
            except ValidationError as error:
                path = self._paths[place >> _LENGTH_BITS + _OFFSET_BITS]
                problem = f"{path}: record {_id_of(payload)!r}: not a verdict ({error.errors()[0]['msg']})."
                raise StoreError(problem, hint="It was written by another version of localjudge.") from error


def judgement(verdict: Verdict) -> bytes:
    """A verdict as one line of JSON without what depends on how the machine worked: tokens taken from a cache."""
    return verdict.model_dump_json(exclude={"usage"}).encode("utf-8")


def _rank(payload: bytes) -> tuple[int, str, bytes]:
    """The smallest stays: the most scores, then the bytes; never the age, which no clock tells surely."""
    data: dict[str, Any] = json.loads(payload)
    data.pop("usage", None)
    return -int(data.get("scored", 0)), json.dumps(data, sort_keys=True), payload


def _key(record_id: str) -> bytes:
    return hashlib.sha256(record_id.encode("utf-8")).digest()[:16]


def _id_of(payload: bytes) -> str | None:
    if not payload.startswith(b'{"id":"'):
        return None
    try:
        value, _ = _DECODER.raw_decode(payload[:_ID_BYTES].decode("utf-8", "ignore"), len('{"id":'))
    except ValueError:
        return None
    return str(value)
