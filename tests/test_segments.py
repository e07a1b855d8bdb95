"""Segments under cuts, flips, full disks and deleted folders: what is whole is read, what is damaged is named."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localjudge.segments import SYNC_LINES, Damage, Line, LineReader, SegmentWriter, read_segment, seal, unseal

OBJECTS = st.dictionaries(
    st.text(max_size=8), st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner, max_size=3))
).map(lambda value: {"id": "x"} | value)


def compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def written(folder: Path, count: int = 5) -> tuple[Path, list[bytes]]:
    writer = SegmentWriter(folder, "s")
    payloads = [compact({"id": f"r{number}", "text": "好" * number}) for number in range(count)]
    for number, payload in enumerate(payloads):
        writer.append(f"r{number}", payload)
    writer.commit()
    writer.close()
    return writer.path, payloads


def found(path: Path) -> tuple[list[bytes], list[Damage]]:
    entries = list(read_segment(path))
    whole = [entry.payload for entry in entries if isinstance(entry, Line)]
    return whole, [entry for entry in entries if isinstance(entry, Damage)]


@given(OBJECTS)
def test_a_line_gives_its_object_back_and_is_json_itself(value: dict[str, Any]) -> None:
    line = seal(compact(value))
    assert unseal(line[:-1]) == compact(value)
    assert line.count(b"\n") == 1
    read = json.loads(line.decode("utf-8", "surrogatepass"))
    assert {name: read[name] for name in value} == value
    assert len(read["crc32"]) == 8


@given(OBJECTS, st.data())
def test_a_line_with_any_byte_changed_is_refused(value: dict[str, Any], data: st.DataObject) -> None:
    line = bytearray(seal(compact(value))[:-1])
    place = data.draw(st.integers(0, len(line) - 1))
    line[place] ^= data.draw(st.integers(1, 255))
    assert unseal(bytes(line)) is None


def test_a_checksum_inside_an_object_ends_nothing(tmp_path: Path) -> None:
    payload = b'{"id":"a","extra":{"b":1,"crc32":"00000000"}}'
    (tmp_path / "s.jsonl").write_bytes(seal(payload)[:-1] + b"\x0b" + seal(payload))
    whole, damage = found(tmp_path / "s.jsonl")
    assert whole == [payload, payload]
    assert [entry.line for entry in damage] == [1]


def test_a_segment_cut_at_any_byte_keeps_every_line_before_the_cut(tmp_path: Path) -> None:
    path, payloads = written(tmp_path)
    data = path.read_bytes()
    ends = [index for index, byte in enumerate(data) if byte == 10]
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        whole, damage = found(path)
        assert whole == payloads[: sum(end <= cut for end in ends)]
        torn = cut not in (0, *ends, *(end + 1 for end in ends))
        assert [entry.torn for entry in damage] == [True] * torn


def test_a_changed_byte_costs_the_line_it_stands_in_and_no_other(tmp_path: Path) -> None:
    path, payloads = written(tmp_path)
    data = path.read_bytes()
    rng = random.Random(7)
    for _ in range(2000):
        place = rng.randrange(len(data))
        changed = bytearray(data)
        changed[place] ^= rng.randrange(1, 256)
        path.write_bytes(changed)
        whole, damage = found(path)
        hit = data.count(b"\n", 0, place)
        spared = payloads[:hit] + payloads[hit + 1 :]
        assert whole == (payloads if data[place] == 10 else spared)
        assert damage and all(entry.line >= hit + 1 for entry in damage)


def test_a_line_is_read_again_from_its_place(tmp_path: Path) -> None:
    path, payloads = written(tmp_path)
    lines = [entry for entry in read_segment(path) if isinstance(entry, Line)]
    with closing(LineReader()) as reader:
        assert [reader.read(path, line.offset, line.length) for line in lines] == payloads
        assert reader.read(path, lines[1].offset + 1, lines[1].length) is None


def test_a_reader_goes_from_file_to_file_and_leaves_none_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    (one, first), (two, second) = written(tmp_path), written(tmp_path)
    assert one != two
    with closing(LineReader()) as reader:
        for path, payloads in ((one, first), (two, second), (one, first)):
            line = next(entry for entry in read_segment(path) if isinstance(entry, Line))
            assert reader.read(path, line.offset, line.length) == payloads[0]
        assert len(os.listdir("/proc/self/fd")) == before + 1
    assert len(os.listdir("/proc/self/fd")) == before


def test_two_writers_of_one_name_have_a_file_each(tmp_path: Path) -> None:
    one, two = SegmentWriter(tmp_path, "s"), SegmentWriter(tmp_path, "s")
    one.append("a", b'{"id":"a"}')
    two.append("b", b'{"id":"b"}')
    assert [found(writer.path)[0] for writer in (one, two)] == [[b'{"id":"a"}'], [b'{"id":"b"}']]
    one.close()
    two.close()


def test_keys_are_acknowledged_once_and_only_after_an_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    fsync = os.fsync
    writer = SegmentWriter(tmp_path, "s")
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(descriptor), fsync(descriptor)))
    acknowledged: list[str] = []
    for number in range(3 * SYNC_LINES):
        before = len(synced)
        keys = writer.append(str(number), b'{"id":"a"}')
        assert bool(keys) == (len(synced) > before)
        acknowledged += keys
    acknowledged += writer.commit()
    assert acknowledged == [str(number) for number in range(3 * SYNC_LINES)]
    assert writer.commit() == ()
    assert writer.syncs <= 5
    writer.close()


def test_a_failed_fsync_is_not_tried_again_and_acknowledges_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = SegmentWriter(tmp_path, "s")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _failing)
        with pytest.raises(OSError, match="Input/output"):
            writer.append("a", b'{"id":"a"}')
    assert writer.commit() == ()
    writer.close()


def _failing(_: int) -> None:
    raise OSError(5, "Input/output error")


def test_a_file_that_may_not_grow_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, "s")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    acknowledged: list[str] = []
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
        with pytest.raises(OSError, match="too large"):
            for number in range(1000):
                acknowledged += writer.append(f"r{number}", compact({"id": f"r{number}"}))
                acknowledged += writer.commit() if number % 10 == 0 else ()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert writer.commit() == ()
    writer.close()
    whole, damage = found(writer.path)
    assert acknowledged
    assert set(acknowledged) <= {json.loads(payload)["id"] for payload in whole}
    assert all(entry.torn for entry in damage)


@pytest.mark.parametrize("again", [False, True])
def test_a_folder_deleted_under_the_writer_acknowledges_nothing(tmp_path: Path, again: bool) -> None:
    folder = tmp_path / "verdicts"
    folder.mkdir()
    writer = SegmentWriter(folder, "s")
    assert writer.append("a", b'{"id":"a"}') == ("a",)
    shutil.rmtree(folder)
    if again:
        folder.mkdir()
        writer.path.write_bytes(b"")
    writer.append("b", b'{"id":"b"}')
    with pytest.raises(FileNotFoundError):
        writer.commit()
    assert writer.commit() == ()
    writer.close()
