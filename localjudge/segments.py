"""Segments: append-only files of checked lines, each with one writer. Knows how a line is kept whole, not what it says.

A line is a JSON object whose last field is the CRC-32 of the object without it:

    {"id":"a", ... ,"crc32":"0f1e2d3c"}

so that `jq` and every JSON reader take the file as it is, and any cut or changed byte is seen.
"""

from __future__ import annotations

import itertools
import os
import re
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from localjudge.disk import sync_folder

SYNC_LINES = 64
SYNC_SECONDS = 1.0
"""A line waits for the fsync that acknowledges it until this many wait, or the last fsync is this long ago."""

_SEAL = re.compile(rb',"crc32":"([0-9a-f]{8})"\}')
_SEAL_LENGTH = len(b',"crc32":"00000000"}')


class Line(NamedTuple):
    """A whole line: where it stands, and the object in it, without the checksum."""

    number: int
    offset: int
    length: int
    payload: bytes


class Damage(NamedTuple):
    """Bytes of a segment that are no whole line."""

    path: Path
    line: int
    data: bytes
    torn: bool
    """The unfinished end of a file: what a killed writer leaves, or one that is still writing."""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: " + ("the last line is unfinished" if self.torn else "damaged")


def seal(payload: bytes) -> bytes:
    """A JSON object as a line with its checksum."""
    return b'%s,"crc32":"%08x"}\n' % (payload[:-1], zlib.crc32(payload))


def unseal(line: bytes) -> bytes | None:
    """The object in a line without its line break; None when any byte of it is missing or changed."""
    found = _SEAL.fullmatch(line, max(0, len(line) - _SEAL_LENGTH))
    payload = line[:-_SEAL_LENGTH] + b"}"
    return payload if found and int(found[1], 16) == zlib.crc32(payload) else None


def read_segment(path: Path) -> Iterator[Line | Damage]:
    """All whole lines, also those behind damage, and the damage between them. Raises OSError."""
    offset = 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            line = raw.removesuffix(b"\n")
            payload = unseal(line)
            if payload is not None:
                yield Line(number, offset, len(line), payload)
            else:
                yield from _salvaged(path, number, offset, line, torn=line == raw)
            offset += len(raw)


class LineReader:
    """Reads lines at places that are known. The file of the last one stays open for the next, until `close`."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._descriptor = -1

    def read(self, path: Path, offset: int, length: int) -> bytes | None:
        """The object of the line at a place; None when it is no longer whole. Raises OSError."""
        if path is not self._path:
            self.close()
            self._descriptor, self._path = os.open(path, os.O_RDONLY | os.O_CLOEXEC), path
        return unseal(os.pread(self._descriptor, length, offset))

    def close(self) -> None:
        """Safe to call twice."""
        if self._path is not None:
            self._path = None
            os.close(self._descriptor)


def _salvaged(path: Path, number: int, offset: int, line: bytes, *, torn: bool) -> Iterator[Line | Damage]:
    """A damaged line break leaves two whole objects in one line: each is found by its own checksum."""
    start = 0
    for found in _SEAL.finditer(line):
        payload = unseal(line[start : found.end()])
        if payload is not None:
            yield Line(number, offset + start, found.end() - start, payload)
            start = found.end() + 1
    yield Damage(path, number, line[start:] or line[max(0, start - 1) :], torn)


class SegmentWriter:
    """One new file, never opened again. A line counts only once `append` or `commit` has returned its key."""

    def __init__(self, folder: Path, name: str) -> None:
        """Makes `<name>.<n>.jsonl` with the first n that is free. Raises OSError."""
        for number in itertools.count(1):
            self.path = folder / f"{name}.{number:04d}.jsonl"
            try:
                self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
                break
            except FileExistsError:
                continue
        self.syncs = 0
        self._waiting: list[str] = []
        self._last_sync = -SYNC_SECONDS
        self._broken = False
        sync_folder(folder)

    def append(self, key: str, payload: bytes) -> tuple[str, ...]:
        """Writes a line; returns the keys that are safe on disk since the last call. Raises OSError."""
        line = memoryview(seal(payload))
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError:
            self._broken = True
            raise
        self._waiting.append(key)
        due = len(self._waiting) >= SYNC_LINES or time.monotonic() - self._last_sync >= SYNC_SECONDS
        return self.commit() if due else ()

    def commit(self) -> tuple[str, ...]:
        """Puts on disk what waits, and returns its keys. Raises OSError; nothing more may be written then."""
        if not self._waiting or self._broken:
            return ()
        try:
            os.fsync(self._descriptor)
            mine, there = os.fstat(self._descriptor), os.stat(self.path)
        except OSError:
            # After a failed fsync the system may drop what it could not write: trying again would lie.
            self._broken = True
            raise
        if (mine.st_dev, mine.st_ino) != (there.st_dev, there.st_ino):
            self._broken = True
            raise FileNotFoundError(2, "the file was replaced while it was written", str(self.path))
        self.syncs += 1
        self._last_sync = time.monotonic()
        safe, self._waiting = tuple(self._waiting), []
        return safe

    def close(self) -> None:
        """Closes the file; what was not committed stays unacknowledged. Safe to call twice."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)
