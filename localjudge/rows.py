"""Files in, numbered raw values out: JSON lines, JSON, CSV, Parquet, gzip and stdin, in memory bounded by one line.

A row that cannot be read comes out as an InputError value, so that its neighbours survive; a file that cannot be
read at all raises. What a row should hold is not known here.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
import re
import sys
import zlib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from localjudge.errors import ConfigError, InputError
from localjudge.quoting import quoted

Row = tuple[int, Any]
"""Line number from 1 (row number in Parquet), and the value there or the InputError that says why there is none."""

MAX_LINE_BYTES = 32 * 2**20

_KINDS = "Kinds: .jsonl, .ndjson (each also with .gz), .json, .csv, .parquet, or - for JSON lines on stdin."
_JSON_HINT = "Each line is one JSON object; a file that holds one JSON list is a .json file."
_UTF8_HINT = "Save it as UTF-8; for a file from a Chinese Windows: iconv -f GB18030 -t UTF-8 OLD > NEW."
_UTF16_HINT = "Save it as UTF-8: iconv -f UTF-16 -t UTF-8 OLD > NEW."
_LINE_HINT = f"A line may have {MAX_LINE_BYTES // 2**20} MiB; split the record or shorten it."
_STRUCTURED = frozenset({"dialogue_history", "user_profile", "agent_profile", "labels", "extra"})
_FIELDS = _STRUCTURED | {"id", "task_type", "message", "send_time"}
_LOOKS_LIKE_JSON = re.compile(r"""\s*(\[\s*[{\]]|\{\s*["'}])""")
_JSON_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def open_rows(path: str | Path) -> Iterator[Row]:
    """Streams the rows of one file, by its suffix. Faults of the whole file are raised as soon as they can be told."""
    file = file_label(path)
    if file == "-":
        return _opened(path, file, "stdin")
    kind = re.search(r"\.(jsonl|ndjson|json|csv|parquet)$|\.(jsonl|ndjson)\.gz$", str(path).lower())
    if kind is None:
        raise InputError(f"{file}: the suffix does not tell how to read the file.", hint=_KINDS)
    try:
        if Path(path).is_dir():
            raise InputError(f"{file}: this is a folder.", hint="Name a file in it.")
        Path(path).stat()
    except (OSError, ValueError) as error:
        raise unreadable(file, error) from error
    if kind[1] == "parquet":
        return _parquet(_pyarrow_parquet(file), path, file)
    return _opened(path, file, kind[1] or "gz")


def file_label(path: str | Path) -> str:
    """The path as messages name it: one line that can be written as UTF-8."""
    text = os.fspath(path)
    return text if text.isprintable() else repr(text)


def unreadable(file: str, error: Exception) -> InputError:
    """The one way to say that the system refused a file."""
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
    return InputError(f"{file}: cannot be read ({reason}).", hint="Check its path and rights, and that it is whole.")


def input_digest(paths: Iterable[str | Path]) -> str:
    """sha256 (hex) over the bytes of the files, one after the other. Raises InputError for what cannot be read."""
    digest = hashlib.sha256()
    for path in paths:
        if str(path) == "-":
            raise InputError("stdin has no digest, since it can be read only once.", hint="Save it to a file first.")
        try:
            with open(path, "rb") as stream:
                while block := stream.read(2**20):
                    digest.update(block)
        except (OSError, ValueError) as error:
            raise unreadable(file_label(path), error) from error
    return digest.hexdigest()


def _opened(path: str | Path, file: str, kind: str) -> Iterator[Row]:
    opener: Any = gzip.open if kind == "gz" else open
    source = nullcontext(sys.stdin.buffer) if kind == "stdin" else None
    reader = partial({"json": _json_file, "csv": _csv_file}.get(kind, _json_lines), file=file)
    try:
        with source or opener(path, "rb") as stream:
            yield from reader(stream)
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(file, error) from error


def _lines(stream: BinaryIO, file: str) -> Iterator[tuple[int, bytes | InputError]]:
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        if number == 1:
            if line.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
                raise InputError(f"{file}: not UTF-8 but UTF-16.", hint=_UTF16_HINT)
            line = line.removeprefix(b"\xef\xbb\xbf")
        if len(line) <= MAX_LINE_BYTES or line.endswith(b"\n"):
            yield number, line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(2**20)
        yield number, InputError("the line is too long.", hint=_LINE_HINT)


def _json_lines(stream: BinaryIO, file: str) -> Iterator[Row]:
    for number, line in _lines(stream, file):
        if isinstance(line, InputError):
            yield number, line
        elif line.strip():
            yield number, _value_or_fault(line)


def _value_or_fault(line: bytes) -> Any:
    try:
        return _parse_json(_decode(line))
    except InputError as error:
        return error


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(error) from None


def not_utf8(error: UnicodeDecodeError) -> InputError:
    """The one way to say that bytes are no UTF-8: which, and what to run."""
    if error.object.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return InputError("not UTF-8 but UTF-16.", hint=_UTF16_HINT)
    found = f"byte 0x{error.object[error.start]:02x} at byte offset {error.start}"
    return InputError(f"not UTF-8 ({found}, counted from 0).", hint=_UTF8_HINT)


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON ({error.msg}, column {error.colno}).", hint=_JSON_HINT) from None
    except RecursionError:
        raise InputError("the JSON is nested too deep.", hint="Records are flat: write fewer levels.") from None
    except ValueError:
        raise InputError("the JSON holds a number too long to read.", hint="Write it as a string.") from None


def _json_file(stream: BinaryIO, file: str) -> Iterator[Row]:
    try:
        text = _decode(stream.read().removeprefix(b"\xef\xbb\xbf"))
        whole = json.loads(text)
    except json.JSONDecodeError as error:
        place = f"{file}:{error.lineno}"
        raise InputError(f"{place}: not JSON ({error.msg}, column {error.colno}).", hint="Mend the file.") from None
    except InputError as error:
        raise InputError(f"{file}: {error.problem}", hint=error.hint) from None
    except (RecursionError, ValueError):
        problem = f"{file}: the JSON is nested too deep or holds a number too long."
        raise InputError(problem, hint="Mend the file.") from None
    start = _skip_space(text, 0)
    if isinstance(whole, dict) and isinstance(whole.get("records"), list) and "message" not in whole:
        start = [at for key, at, _ in _members(text, start) if key == "records"][-1]
    elif not isinstance(whole, list):
        yield 1 + text.count("\n", 0, start), whole
        return
    line, counted = 1, 0
    for _, at, value in _members(text, start):
        line, counted = line + text.count("\n", counted, at), at
        yield line, value


def _members(text: str, at: int) -> Iterator[tuple[str | None, int, Any]]:
    """Key, position and value of each member of the list or object at `at`, in text known to be sound JSON."""
    closing = "]" if text[at] == "[" else "}"
    at = _skip_space(text, at + 1)
    while text[at] != closing:
        key = None
        if closing == "}":
            key, end = _DECODER.raw_decode(text, at)
            at = _skip_space(text, _skip_space(text, end) + 1)
        value, end = _DECODER.raw_decode(text, at)
        yield key, at, value
        at = _skip_space(text, end)
        if text[at] == ",":
            at = _skip_space(text, at + 1)


def _skip_space(text: str, at: int) -> int:
    found = _JSON_SPACE.match(text, at)
    return found.end() if found else at


class _CsvText:
    """Feeds a csv reader and remembers, for the row being read, where it began and the first fault of its bytes."""

    def __init__(self, stream: BinaryIO, file: str) -> None:
        self._lines = _lines(stream, file)
        self.first = self.last = 0
        self.fault: InputError | None = None

    def begin_row(self) -> None:
        self.first, self.fault = 0, None

    def __iter__(self) -> _CsvText:
        return self

    def __next__(self) -> str:
        self.last, line = next(self._lines)
        self.first = self.first or self.last
        if not isinstance(line, InputError):
            try:
                return _decode(line)
            except InputError as error:
                self.fault = self.fault or error
                return line.decode("utf-8", "replace")
        self.fault = line
        return "\n"


def _csv_file(stream: BinaryIO, file: str) -> Iterator[Row]:
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))
    text = _CsvText(stream, file)
    reader = csv.reader(text, strict=True)
    header: list[str] | None = None
    while True:
        text.begin_row()
        try:
            cells = next(reader)
            fault = text.fault
        except StopIteration:
            return
        except csv.Error as error:
            lines = f"lines {text.first} to {text.last} are" if text.last > text.first else "this is"
            cells, fault = [], text.fault or InputError(f"{lines} no CSV row ({error}).", hint="Check the quotes.")
        if header is None and (fault or cells):
            header = _csv_header(cells, fault, f"{file}:{text.first}")
        elif fault:
            yield text.first, fault
        elif header and any(cells):
            yield text.first, _csv_row(header, cells)


def _csv_header(cells: list[str], fault: InputError | None, where: str) -> list[str]:
    mark = next((mark for mark in ";\t|" if "message" in "".join(cells[:1]).split(mark)), "")
    if len(cells) == 1 and cells != ["message"] and mark:
        raise InputError(f"{where}: the cells are separated by {mark!r}.", hint="Save it with commas between them.")
    if fault:
        raise InputError(f"{where}: {fault.problem}", hint=fault.hint)
    names = [cell.strip() for cell in cells]
    _check_columns(names, where)
    return names


def _check_columns(names: list[str], where: str) -> None:
    doubled = next((name for place, name in enumerate(names) if name and name in names[:place]), None)
    if doubled is not None:
        raise InputError(f"{where}: column {_column(doubled)} stands twice.", hint="Column names must differ.")
    if "message" not in names:
        shown = ", ".join(map(_column, names[:12])) + (", ..." if len(names) > 12 else "")
        raise InputError(
            f"{where}: no column message among the {len(names)} found: {shown}.",
            hint="Name the column to judge so; a table without a header needs one.",
        )


def _column(name: str) -> str:
    """How a message speaks of a column: where a header is missing, the names are a record's text."""
    return repr(name) if name in _FIELDS else quoted(name)


def _csv_row(header: list[str], cells: list[str]) -> Any:
    if len(cells) != len(header):
        return InputError(
            f"the row has {len(cells)} cells, the header {len(header)}.", hint="Quote cells that hold commas or quotes."
        )
    return _unpacked({name: cell for name, cell in zip(header, cells, strict=True) if name and cell})


def _unpacked(row: dict[str, Any]) -> Any:
    """The row with JSON text in structured cells parsed; plain text, such as a transcript, stays text."""
    for name in _STRUCTURED & row.keys():
        cell = row[name]
        if isinstance(cell, str) and _LOOKS_LIKE_JSON.match(cell):
            try:
                row[name] = _parse_json(cell)
            except InputError as error:
                return InputError(f"{name} is {error.problem}", hint="Write the cell as JSON, with double quotes.")
    return row


def _pyarrow_parquet(file: str) -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        problem = f"{file}: reading .parquet needs pyarrow."
        raise ConfigError(problem, hint="Run: pip install 'localjudge[parquet]'") from error
    return pyarrow.parquet


def _parquet(parquet: Any, path: str | Path, file: str) -> Iterator[Row]:
    number = 0
    try:
        with parquet.ParquetFile(path) as source:
            _check_columns(source.schema_arrow.names, file)
            for batch in source.iter_batches(batch_size=64):
                for offset in range(batch.num_rows):
                    number += 1
                    yield number, _parquet_row(batch.slice(offset, 1))
    except (OSError, ValueError) as error:  # pyarrow's own errors derive from these
        raise unreadable(file, error) from error


def _parquet_row(row: Any) -> Any:
    try:
        return _unpacked(_plain(row.to_pylist(maps_as_pydicts="lossy")[0]))
    except (ValueError, OverflowError) as error:
        return InputError(f"unreadable row ({str(error)[:80]!r}).", hint="Write UTF-8 text, times in microseconds.")


def _plain(value: Any) -> Any:
    """JSON-like values alone. A struct cannot leave a field out, so null stands for absent and is dropped.
    Raises UnicodeDecodeError for bytes that are no UTF-8."""
    if isinstance(value, dict):
        return {str(_plain(name)): _plain(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, date):
        return value.isoformat()
    return value if value is None or isinstance(value, str | int | float) else str(value)
