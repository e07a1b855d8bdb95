"""The kinds of file that records come in, their faults, and which of those cost a row and which the file."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localjudge.errors import ConfigError, InputError
from localjudge.records import UTC8, BadRecord, Record, Turn, input_digest, read_records

ROOT = Path(__file__).parent.parent
GOOD: dict[str, Any] = {"task_type": "push", "message": "张姐，周末的瑜伽课还给您留着位。"}

slow_machine = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def line(message: str = "您好,方便聊聊吗?", **fields: Any) -> bytes:
    return json.dumps({"task_type": "push", "message": message} | fields, ensure_ascii=False).encode() + b"\n"


def read(data: bytes, name: str = "in.jsonl", **options: Any) -> list[Record | BadRecord]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        return list(read_records(path, **options))


def only(found: list[Record | BadRecord]) -> Record:
    assert len(found) == 1
    assert isinstance(found[0], Record), found[0]
    return found[0]


def faults(found: list[Record | BadRecord]) -> list[BadRecord]:
    return [each for each in found if isinstance(each, BadRecord)]


def _csv(rows: list[dict[str, str]], **options: Any) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]), **options)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


@slow_machine
@given(st.binary(max_size=200), st.sampled_from([".jsonl", ".json", ".csv", ".jsonl.gz", ".parquet"]))
def test_a_file_of_any_bytes_raises_nothing_but_input_error(data: bytes, suffix: str) -> None:
    try:
        found = read(data, f"in{suffix}", default_task_type="push")
    except InputError as error:
        assert "\n" not in str(error)
        return
    assert all("\n" not in str(bad) for bad in faults(found))


def test_bom_crlf_blank_lines_and_a_missing_last_newline_are_fine() -> None:
    data = b"\xef\xbb\xbf" + line(id="a").replace(b"\n", b"\r\n") + b"\r\n  \n" + line(id="b").rstrip()
    assert [each.id for each in read(data)] == ["a", "b"]
    rows = b"\xef\xbb\xbf" + "id,task_type,message\r\na,1,您好\r\n\r\n,,\r\nb,0,好的".encode()
    assert [each.id for each in read(rows, "in.csv")] == ["a", "b"]
    assert only(read(b"\xef\xbb\xbf" + line(), "in.json")).task_type == "push"


def test_line_separators_of_unicode_and_nul_do_not_split_a_line() -> None:
    message = "一\u2028二\u2029三\x85四\x0b五\x00"
    raw = b'{"task_type":"push","message":"' + message.replace("\x00", "").replace("\x0b", "").encode() + b'"}\n'
    assert only(read(raw)).message == "一\u2028二\u2029三\x85四五"
    assert only(read(line(message))).message == message
    assert only(read(_csv([{"task_type": "1", "message": message}]), "in.csv")).message == message


def test_gzip_is_read_and_a_cut_one_is_an_error_of_the_file() -> None:
    data = gzip.compress(line(id="a") + line(id="b"))
    assert [each.id for each in read(data, "in.jsonl.gz")] == ["a", "b"]
    with pytest.raises(InputError, match=r"in\.jsonl\.gz: cannot be read"):
        read(data[:-9], "in.jsonl.gz")


def test_stdin_is_read_as_json_lines() -> None:
    code = "from localjudge.records import read_records; [print(getattr(r, 'where', r.id)) for r in read_records('-')]"
    done = subprocess.run(
        [sys.executable, "-c", code], input=line(id="a") + b"{\n", capture_output=True, cwd=ROOT, check=True
    )
    assert done.stdout.split() == [b"a", b"-:2"]


@pytest.mark.parametrize("wrap", ["[%s]", '{"note": ["["], "records": [%s]}'])
def test_elements_of_a_json_file_are_named_by_their_lines(wrap: str) -> None:
    body = '\n{"task_type": 0,\n "message": "好,的\\"]"},\n\n 5,\n{"task_type": 1, "message": "a"}\n'
    found = read((wrap % body).encode(), "in.json")
    assert [type(each) for each in found] == [Record, BadRecord, Record]
    assert faults(found)[0].where.endswith("in.json:5")
    assert read((wrap % "").encode(), "in.json") == []


@pytest.mark.parametrize(
    ("data", "problem"),
    [(b"[1,\n2", "in.json:2: not JSON"), (b'["\xff"]', "byte offset 2"), (b"", "not JSON"), (b"[" * 99999, "nested")],
)
def test_a_broken_json_file_is_an_error_of_the_file(data: bytes, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        read(data, "in.json")


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["in.jsonl", "in.json", "in.csv"])
def test_utf16_is_told_once_for_the_whole_file_with_what_to_run(name: str, codec: str) -> None:
    data = "\ufeff" + 'message,"您好"\n' * 3
    with pytest.raises(InputError, match=rf"{name}: not UTF-8 but UTF-16\. .*iconv -f UTF-16 -t UTF-8"):
        read(data.encode(codec), name)


def test_csv_cells_hold_json_or_plain_text() -> None:
    cells = {
        "task_type": "0",
        "dialogue_history": '[{"role": "用户", "content": "在吗"}]',
        "user_profile": "[图片]王女士",
    }
    cells |= {"labels": '{"1.1": 0}', "message": "在的,\n您说", "send_time": "1771029000", "channel": "app", "": "0"}
    record = only(read(_csv([cells]), "in.csv"))
    assert record.dialogue_history == (Turn(role="user", content="在吗"),)
    assert (record.user_profile, record.labels, record.extra) == ("[图片]王女士", {"1.1": 0}, {"channel": "app"})
    assert record.send_time == datetime(2026, 2, 14, 8, 30, tzinfo=UTC8)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("x,1,\xff,\n".encode("latin-1"), "not UTF-8"),
        (b"x,1\n", "the row has 2 cells, the header 4"),
        (b'x,1,"hi"there,\n', "this is no CSV row"),
        (b"x,1,hi,\"[{'role': 'user'}]\"\n", "dialogue_history is not JSON"),
        (b"x,1,,\n", "message is missing"),
        (b"x,1," + b"y" * 2**25 + b",\n", "the line is too long"),
    ],
)
def test_a_faulty_csv_row_is_named_and_its_neighbours_survive(row: bytes, problem: str) -> None:
    data = b'id,task_type,message,dialogue_history\na,1,"two\nlines",\n' + row + b"b,1,hi,\n"
    first, fault, last = read(data, "in.csv")
    assert (first.id, last.id) == ("a", "b")
    assert isinstance(fault, BadRecord) and problem in fault.problem
    assert fault.where.endswith("in.csv:4")


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (b"id;message\n", "separated by ';'"),
        (b"id\tmessage\n", r"separated by '\\t'. Save it with commas"),
        (b"id;text\n", "no column message"),
        (b"message,id,id\n", "'id' stands twice"),
        (b"\xff\n", ":1: not UTF-8"),
    ],
)
def test_a_csv_header_that_cannot_serve_is_an_error_of_the_file(header: bytes, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        read(header + b"1,2\n", "in.csv")


def test_parquet_is_read_with_nested_columns_json_text_and_real_times(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    turn = {"role": "user", "content": "在吗", "timestamp": None}
    rows = [
        GOOD
        | {
            "dialogue_history": [turn],
            "user_profile": {"年龄": 30},
            "send_time": datetime(2026, 2, 14, 0, 30, tzinfo=UTC),
        },
        GOOD | {"message": None},
        GOOD | {"agent_profile": '{"性格": "稳重"}', "day": datetime(2026, 1, 1)},
    ]
    columns = {name: [row.get(name) for row in rows] for name in {name for row in rows for name in row}}
    path = tmp_path / "in.parquet"
    parquet.write_table(pa.table(columns), path)
    first, fault, last = list(read_records(path))
    assert isinstance(first, Record) and isinstance(fault, BadRecord) and isinstance(last, Record)
    assert first.dialogue_history == (Turn(role="user", content="在吗"),)
    assert first.send_time == datetime(2026, 2, 14, 8, 30, tzinfo=UTC8)
    assert (fault.where, last.agent_profile) == (f"{path}:2", {"性格": "稳重"})
    assert last.extra == {"day": "2026-01-01T00:00:00"}


def test_binary_values_of_parquet_are_text_in_utf8_and_others_a_fault_of_their_row(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    history = '[{"role": "user", "content": "在吗"}]'.encode()
    table = {
        "message": pa.array(["您好".encode(), b"\xff", "再见".encode()], pa.binary()),
        "task_type": ["push"] * 3,
        "dialogue_history": pa.array([history] * 3, pa.binary()),
        "user_profile": pa.array([[("昵称".encode(), "小王")]] * 3, pa.map_(pa.binary(), pa.string())),
    }
    path = tmp_path / "in.parquet"
    parquet.write_table(pa.table(table), path)
    first, fault, last = list(read_records(path))
    assert isinstance(first, Record) and isinstance(fault, BadRecord) and isinstance(last, Record)
    assert (first.message, last.message) == ("您好", "再见")
    assert first.dialogue_history == (Turn(role="user", content="在吗"),)
    assert first.user_profile == {"昵称": "小王"}
    assert (fault.where, "utf-8" in fault.problem) == (f"{path}:2", True)


def test_parquet_with_two_columns_of_one_name_is_refused(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = [pa.array(["甲"]), pa.array(["乙"]), pa.array(["push"])]
    path = tmp_path / "in.parquet"
    parquet.write_table(pa.Table.from_arrays(columns, names=["message", "message", "task_type"]), path)
    with pytest.raises(InputError, match="column 'message' stands twice"):
        list(read_records(path))


def test_parquet_without_pyarrow_names_the_pip_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "pyarrow.parquet", raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'localjudge\[parquet\]'"):
        read_records(tmp_path / "in.parquet")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("none.jsonl", "cannot be read"),
        ("a\0.jsonl", "cannot be read"),
        ("in.xlsx", "Kinds: .jsonl"),
        ("", "folder|suffix"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_at_the_call(tmp_path: Path, name: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        read_records(f"{tmp_path}/{name}")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="this is a folder"):
        read_records(tmp_path / "folder.csv")


def test_the_digest_is_that_of_the_files_in_order(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_bytes(b"a" * 3_000_000)
    two.write_bytes(b"b")
    assert input_digest([one, two]) == hashlib.sha256(one.read_bytes() + b"b").hexdigest() != input_digest([two, one])
    for missing in (tmp_path / "3", "-", os.devnull + "/x"):
        with pytest.raises(InputError):
            input_digest([missing])
