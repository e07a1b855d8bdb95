"""Verdicts as other programs read them: nothing a spreadsheet would compute, nothing that a restart would change."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import re
import stat
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from command_line import call, line, process
from hypothesis import given
from hypothesis import strategies as st
from test_store import PLAN, verdict

from localjudge.characters import unseen
from localjudge.export import COLUMNS, neutral
from localjudge.shards import Shard
from localjudge.store import RunStore
from localjudge.verdicts import Grade, Usage, Verdict

NASTY = ["=1+1", "+1", "-2", "@x", "\tx", "\rx", "＝1", "＋1", "－1", "＠x"]


def stored(folder: Path, verdicts: list[Verdict], shard: Shard | None = None) -> Path:
    store = RunStore.create(folder, PLAN, shard or Shard())
    for each in verdicts:
        store.append(each)
    store.close()
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    grades = [Grade(id="1.1", indicator=text, score=1, applicable=True, reason=text, margin=-2.5) for text in NASTY]
    verdicts = [verdict(f"{text.strip()}{number}", detail=(grades[number],)) for number, text in enumerate(NASTY)]
    return stored(tmp_path / "run", verdicts)


def test_no_text_of_a_spreadsheet_is_a_formula(run: Path) -> None:
    assert call("export", run, "--to", "csv").exit_code == 0
    data = (run / "export.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert sorted(row["reason"] for row in rows) == sorted(f"'{text}" for text in NASTY)
    assert all(row["indicator"].startswith("'") for row in rows)
    assert {row["id"] for row in rows if row["id"][:2] in ("'=", "'@")} == {"'=1+10", "'@x3"}
    assert {row["margin"] for row in rows} == {"-2.5"}


@given(st.text() | st.integers() | st.none() | st.floats(allow_nan=False))
def test_what_is_no_formula_stays_as_it_is(value: Any) -> None:
    changed = neutral(value)
    if not isinstance(value, str) or (value.isprintable() and not any(sign in value for sign in "=+-@＝＋－＠")):
        assert changed == value or unseen(value)
    else:
        assert not unseen(changed)
        assert not re.search(r"^[^\S\n]*[=+\-@＝＋－＠]", changed, re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("  =1+1", "'  =1+1"),
        ("\u00a0＝1", "'\u00a0＝1"),
        ("好\n=cmd|' /C calc'!A0", "好\n'=cmd|' /C calc'!A0"),
        ("\x1b]0;x\x07\u202e好", "\\x1b]0;x\\x07\\u202e好"),
        ("\u200b=1+1", "\\u200b=1+1"),
        ("1-2=3", "1-2=3"),
    ],
)
def test_formulas_behind_spaces_in_later_lines_and_escapes_are_text(text: str, safe: str) -> None:
    assert neutral(text) == safe


def test_a_table_has_a_row_for_each_grade(run: Path) -> None:
    for kind in ("parquet", "jsonl"):
        assert call("export", run, "--to", kind).exit_code == 0
    table = pyarrow.parquet.read_table(run / "export.parquet")
    assert tuple(table.column_names) == tuple(COLUMNS)
    lines = [json.loads(text) for text in (run / "export.jsonl").read_text(encoding="utf-8").split("\n") if text]
    assert lines == table.to_pylist()
    assert {row["reason"] for row in lines} == set(NASTY)
    assert {row["engine"] for row in lines} == {PLAN.engine}


def test_a_batch_result_names_each_record_and_holds_its_verdict(run: Path, tmp_path: Path) -> None:
    assert call("export", run, "--to", "openai-batch", "--out", tmp_path / "b.jsonl").exit_code == 0
    lines = [json.loads(text) for text in (tmp_path / "b.jsonl").read_text(encoding="utf-8").split("\n") if text]
    assert len({each["custom_id"] for each in lines}) == len(NASTY)
    for each in lines:
        assert (each["error"], each["response"]["status_code"]) == (None, 200)
        assert each["response"]["body"]["engine"] == PLAN.engine
        content = each["response"]["body"]["choices"][0]["message"]["content"]
        assert Verdict.model_validate_json(content).id == each["custom_id"]


def test_merged_bytes_depend_on_the_verdicts_alone(tmp_path: Path) -> None:
    verdicts = [verdict(f"r{number}", usage=Usage(requests=1)) for number in range(40)]
    merged = set()
    for seed in range(5):
        rng = random.Random(seed)
        folder = tmp_path / str(seed)
        order = [
            each.model_copy(update={"usage": Usage(cached_tokens=rng.randrange(9))})
            for each in [*verdicts, *rng.sample(verdicts, 9)]
        ]
        rng.shuffle(order)
        for rank in range(seed + 1):
            stored(folder, order[rank :: seed + 1], Shard(rank, seed + 1))
        assert call("merge", folder).exit_code == 0
        merged.add((folder / "merged.jsonl").read_bytes())
    (only,) = merged
    assert [json.loads(text)["id"] for text in only.splitlines()] == sorted(each.id for each in verdicts)


def test_an_export_replaces_the_last_one_and_leaves_nothing_beside_it(run: Path) -> None:
    for _ in range(2):
        assert call("export", run, "--to", "csv").exit_code == 0
    assert sorted(path.name for path in run.iterdir()) == [
        "done",
        "export.csv",
        "plan.json",
        "progress",
        "verdicts",
    ]


def test_an_unfinished_run_is_exported_with_a_word(run: Path) -> None:
    assert "is not finished" in call("merge", run).stderr


@pytest.mark.usefixtures("own_home")
def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(line())
    assert call("run", tmp_path / "in.jsonl", "--engine", "fake", "--out", tmp_path / "out").exit_code == 0
    result = call("export", tmp_path / "out", "--to", "csv", "--out", tmp_path / "none" / "x.csv")
    dry, told = result.stderr.splitlines()
    assert (result.exit_code, "made up" in dry) == (1, True)
    assert "cannot write" in told
    (tmp_path / "out" / "seal.json").unlink()
    (tmp_path / "out" / "seal.json" / "in the way").mkdir(parents=True)
    again = call("seal", tmp_path / "out")
    assert again.exit_code == 1
    for stderr in (result.stderr, again.stderr):
        assert "Check space and permissions.\n" in stderr and "goes on" not in stderr


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.usefixtures("own_home")
def test_no_command_writes_over_what_belongs_to_a_run(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(line())
    out = tmp_path / "out"
    assert call("run", tmp_path / "in.jsonl", "--engine", "fake", "--out", out).exit_code == 0
    (tmp_path / "link").symlink_to(out / "plan.json")
    before = everything_in(out)
    new = ["calibration.json", "seal.sig", "quarantine/x.1", "verdicts/mine.jsonl", "../out/plan.json", "../link"]
    for name in [*before, *new]:
        for command in (("merge",), ("export", "--to", "csv"), ("replay", "--band", 0, 1)):
            result = call(*command, out, "--force", "--out", out / name)
            assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1), (command, name)
            assert "belongs to the run" in result.stderr
    assert everything_in(out) == before


def test_a_file_that_is_there_is_replaced_only_when_told_to(run: Path, tmp_path: Path) -> None:
    held = tmp_path / "mine.csv"
    held.write_text("mine", encoding="utf-8")
    refused = call("export", run, "--to", "csv", "--out", held)
    assert (refused.exit_code, held.read_text(encoding="utf-8")) == (2, "mine")
    assert "--force" in refused.stderr
    assert call("export", run, "--to", "csv", "--out", held, "--force").exit_code == 0
    assert len(held.read_bytes().splitlines()) > len(NASTY)
    empty = tmp_path / "empty.csv"
    empty.touch()
    assert call("export", run, "--to", "csv", "--out", empty).exit_code == 0
    assert empty.read_bytes() == held.read_bytes()


def test_what_is_no_file_is_not_replaced_even_when_told_to(run: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, problem in (("pipe", "not a regular file"), ("link", "not a regular file"), ("folder", "a folder")):
        result = call("merge", run, "--force", "--out", tmp_path / name)
        assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1), name
        assert problem in result.stderr
    assert stat.S_ISFIFO((tmp_path / "pipe").lstat().st_mode)
    assert (tmp_path / "link").is_symlink()


def test_a_link_to_a_file_stays_a_link(run: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "made.jsonl")
    assert call("merge", run, "--out", tmp_path / "link").exit_code == 0
    assert (tmp_path / "link").is_symlink()
    assert len((tmp_path / "made.jsonl").read_bytes().splitlines()) == len(NASTY)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_dash_is_standard_output(run: Path, tmp_path: Path, kind: str) -> None:
    done = process("export", run, "--to", kind, "--out", "-", cwd=tmp_path)
    assert done.returncode == 0
    assert call("export", run, "--to", kind).exit_code == 0
    assert done.stdout == (run / f"export.{kind}").read_bytes()
    assert not (tmp_path / "-").exists()
