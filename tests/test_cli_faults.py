"""The command line and what it is wrongly given: one clear line for each fault, its exit code, no run folder left."""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import FAKE, ROOT, UNENDING, call, line, process

from localjudge.cli import main

pytestmark = pytest.mark.usefixtures("own_home")


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.jsonl"
    path.write_bytes(line("甲") + line("乙", "reply"))
    return path


# Bad records


BAD: dict[str, tuple[bytes, str, str]] = {
    "not UTF-8": ('{"message": "您好"}\n'.encode("gb18030"), "", "not UTF-8"),
    "not JSON": (b'{"message": \n', "", "not JSON"),
    "no object": (b'["message"]\n', "", "one JSON object"),
    "no message": (line("bad", message=...), "bad", "message is missing"),
    "empty message": (line("bad", message=""), "bad", "message is blank"),
    "task type": (line("bad", "chat"), "bad", "unknown task_type (4 characters)"),
    "duplicate id": (line("good"), "good", "duplicate id"),
    "no role": (line("bad", dialogue_history=[{"content": "在吗"}]), "bad", "turn 1 has no role"),
    "send time": (line("bad", send_time="明天一早"), "bad", "unparseable send_time"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_faulty_record_ends_the_run_with_one_line_and_no_folder(tmp_path: Path, case: str) -> None:
    data, name, problem = BAD[case]
    path = tmp_path / "in.jsonl"
    path.write_bytes(line("good") + data + line("other"))
    result = call("run", path, *FAKE, "--out", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (3, "")
    (told,) = [text for text in result.stderr.splitlines() if f"{path}:2: " in text]
    assert problem in told
    assert f"record {name!r}" in told or not name
    assert len(result.stderr.splitlines()) == 2
    assert "1 faulty, 2 good; nothing was judged." in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("case", BAD)
def test_a_faulty_record_can_be_skipped_and_is_noted(tmp_path: Path, case: str) -> None:
    data, name, problem = BAD[case]
    path, out = tmp_path / "in.jsonl", tmp_path / "out"
    path.write_bytes(line("good") + data + line("other"))
    result = call("run", path, *FAKE, "--out", out, "--on-bad-input", "skip")
    assert result.exit_code == 0
    assert f"skipped: {path}:2: " in result.stderr
    (noted,) = [json.loads(text) for text in (out / "errors.jsonl").read_text(encoding="utf-8").splitlines()]
    assert (noted["where"], noted["id"]) == (f"{path}:2", name or None)
    assert problem.partition(" '")[0] in noted["problem"] or case == "no object"
    verdicts = (out / "verdicts" / "00000-of-00001.0001.jsonl").read_text(encoding="utf-8").splitlines()
    assert sorted(json.loads(text)["id"] for text in verdicts) == ["good", "other"]


@pytest.mark.parametrize("fields", [{"send_time": "绝密时间"}, {"task_type": "绝密类型"}, {"labels": {"绝密标签": 5}}])
def test_messages_quote_a_faulty_value_only_where_it_is_asked_for(tmp_path: Path, fields: dict[str, Any]) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(line("good") + line("bad", **({"task": fields.pop("task_type", "push")} | fields)))
    for options, quoted in (((), False), (("--log-text",), True)):
        out = tmp_path / f"out{quoted}"
        result = call(*options, "run", path, *FAKE, "--out", out, "--on-bad-input", "skip")
        assert ("绝密" in result.stderr) is quoted
        assert ("绝密" in (out / "errors.jsonl").read_text(encoding="utf-8")) is quoted


@pytest.mark.parametrize("rows", ["绝密的话13800138000,user\n再见,user\n", "绝密的话,绝密的话\n"])
def test_a_table_without_a_header_is_refused_without_its_first_record(tmp_path: Path, rows: str) -> None:
    path = tmp_path / "in.csv"
    path.write_text(rows, encoding="utf-8")
    for options, quoted in (((), False), (("--log-text",), True)):
        result = call(*options, "run", path, *FAKE, "--out", tmp_path / "out")
        assert (result.exit_code, len(result.stderr.splitlines())) == (3, 1)
        assert f"{path}:1: " in result.stderr
        assert ("绝密" in result.stderr) is quoted


def test_all_faults_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(line("good") + b"".join(data for data, _, _ in BAD.values()))
    result = call("run", path, *FAKE, "--out", tmp_path / "out")
    assert result.exit_code == 3
    *told, last = result.stderr.splitlines()
    assert [f"{path}:{number}: " in text for number, text in enumerate(told, start=2)] == [True] * len(BAD)
    assert last.startswith(f"{len(BAD)} faulty, 1 good")


@pytest.mark.parametrize(("name", "problem"), [("none.jsonl", "cannot be read"), ("in.xlsx", "suffix")])
def test_a_file_that_cannot_be_read_is_bad_input(tmp_path: Path, name: str, problem: str) -> None:
    result = call("run", tmp_path / name, *FAKE, "--out", tmp_path / "out")
    assert (result.exit_code, len(result.stderr.splitlines())) == (3, 1)
    assert problem in result.stderr


def test_a_record_longer_than_the_context_is_kept_and_warned_of(tmp_path: Path) -> None:
    path, out = tmp_path / "in.jsonl", tmp_path / "out"
    path.write_bytes(line("long", message=UNENDING) + line("short"))
    result = call("run", path, *FAKE, "--rules", "off", "--out", out, "--json")
    assert result.exit_code == 0
    assert "22 grades are unscored" in result.stderr
    (task,) = json.loads(result.stdout)["tasks"]
    assert {tuple(row["unscored"].items()) for row in task["indicators"]} == {(("too_long", 1),)}


# Fields that no model sees


TURNS = [{"role": "user", "content": "在吗"}]


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        (
            {"history": TURNS, "userprofile": {"昵称": "阿哲"}},
            "note: no record has dialogue_history or user_profile; the model does not see history (2 records), "
            "userprofile (2 records). Did you mean dialogue_history, user_profile?",
        ),
        ({"对话": TURNS}, "note: no record has dialogue_history; the model does not see 对话 (2 records). It sees"),
        ({"聊天": "客户：在吗？客服：在的，您请说，有什么可以帮您？"}, "the model does not see 聊天 (2 records)"),
        ({"dialogue_history": TURNS, "user-profile": {"昵称": "阿哲"}}, "Did you mean user_profile?"),
        ({"h\u202eistory" + "长" * 90: TURNS}, "h\\u202eistory" + "长" * 32 + " (2 records)"),
        ({"dialogue_history": TURNS, "order_history": TURNS, "tags": ["a"] * 30}, ""),
        ({"campaign": "A1", "channel": 3}, ""),
        ({}, ""),
    ],
)
def test_fields_that_may_have_been_meant_for_the_model_are_noted_once(
    tmp_path: Path, fields: dict[str, Any], note: str
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(line("一", **fields) + line("二", **fields))
    result = call("run", path, "--dry-run", "--progress", "none")
    assert result.exit_code == 0
    told = [text for text in result.stderr.splitlines() if text.startswith("note: ")]
    assert len(told) == bool(note)
    assert not note or note in told[0]


def test_a_note_on_many_fields_names_a_few(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(line("一", **{f"字段{number}": TURNS for number in range(30)}))
    (told,) = [text for text in call("run", path, "--dry-run").stderr.splitlines() if text.startswith("note: ")]
    assert "and 25 more" in told
    assert len(told) < 300


# Standard output that takes no more


class Full(io.StringIO):
    """A stream on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_a_run_whose_figures_cannot_be_printed_says_how_to_print_them(
    tmp_path: Path, good: Path, extra: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(sys, "stdout", Full())
    code = main(["run", str(good), *FAKE, "--out", str(tmp_path / "out"), *extra], standalone_mode=False)
    last = capsys.readouterr().err.splitlines()[-1]
    assert code == 1
    assert "cannot write to standard output: No space left on device." in last
    assert f"localjudge summary {tmp_path / 'out'}" in last
    monkeypatch.undo()
    assert call("summary", tmp_path / "out").exit_code == 0


@pytest.mark.parametrize("command", [("summary",), ("export", "--to", "csv", "--out", "-")])
def test_a_process_whose_output_takes_no_more_ends_with_one_line(tmp_path: Path, good: Path, command: Any) -> None:
    assert call("run", good, *FAKE, "--out", tmp_path / "out").exit_code == 0
    # Unbuffered, Python loses what a short write leaves over and says nothing: nobody could notice.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with (tmp_path / "printed").open("wb") as file:
        done = subprocess.run(
            [sys.executable, "-m", "localjudge", command[0], tmp_path / "out", *command[1:]],
            stdout=file,
            stderr=subprocess.PIPE,
            env=environment | {"PYTHONPATH": str(ROOT)},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    *_, last = done.stderr.decode().splitlines()
    assert "error: cannot write to standard output: File too large." in last
    assert b"Traceback" not in done.stderr


# What else cannot be


def test_a_place_that_cannot_be_written_is_told_before_a_model_loads(tmp_path: Path, good: Path) -> None:
    for place in (good / "out", tmp_path / ("长" * 300)):
        result = call("run", good, *FAKE, "--progress", "plain", "--out", place)
        assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
        assert f"cannot write {place}" in result.stderr
        assert "loading" not in result.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_run_in_a_folder_without_rights_is_told_before_a_model_loads(tmp_path: Path, good: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    result = call("run", good, *FAKE, "--progress", "plain", "--out", locked / "out")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


def test_probing_a_place_leaves_nothing_there(tmp_path: Path, good: Path) -> None:
    out = tmp_path / "a" / "b" / "out"
    assert call("run", good, *FAKE, "--out", out).exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "good.jsonl"]
    held = sorted(path.name for path in out.rglob("*"))
    assert call("retry", out).exit_code == 0
    assert sorted(path.name for path in out.rglob("*")) == held


def test_a_folder_that_holds_another_run_is_refused_with_what_differs(tmp_path: Path, good: Path) -> None:
    assert call("run", good, *FAKE, "--out", tmp_path / "out").exit_code == 0
    again = call("run", good, *FAKE, "--out", tmp_path / "out", "--seed", "3", "--strategy", "joint")
    assert (again.exit_code, again.stdout) == (3, "")
    assert "already holds a run" in again.stderr
    assert "  strategy: cascade there, joint here" in again.stderr.splitlines()
    assert "  seed: 0 there, 3 here" in again.stderr.splitlines()


def test_an_unknown_model_is_answered_with_the_nearest_names(tmp_path: Path, good: Path) -> None:
    result = call("run", good, "--model", "qwen3-0.6", "--out", tmp_path / "out")
    assert (result.exit_code, len(result.stderr.splitlines())) == (3, 1)
    assert "Did you mean qwen3-0.6b" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("extra", "problem"), [((), "no weights"), (("pytorch_model.bin",), "pickle"), (("model.py",), "code")]
)
def test_a_model_folder_that_cannot_serve_is_refused(
    tmp_path: Path, good: Path, extra: tuple[str, ...], problem: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", *extra):
        (folder / name).write_text("{}", encoding="utf-8")
    result = call("run", good, "--model", folder, "--out", tmp_path / "out")
    assert (result.exit_code, len(result.stderr.splitlines())) == (3, 1)
    assert problem in result.stderr
    assert not (tmp_path / "out").exists()


def test_no_engine_is_answered_with_the_pip_line(
    tmp_path: Path, good: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for library in ("vllm", "transformers"):
        monkeypatch.setitem(sys.modules, library, None)
    result = call("run", good, "--model", tiny_model, "--out", tmp_path / "out")
    assert (result.exit_code, len(result.stderr.splitlines())) == (3, 1)
    assert "pip install 'localjudge[vllm]'" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("--rubric", "pusch"), 3, "Did you mean push"),
        (("--rubric", "push", "--rubric", "push"), 2, "two rubrics for task type push"),
        (("--rubric", "push"), 3, "no rubric for task type reply"),
        (("--indicators", "1.1,99.9"), 3, "no indicator '99.9'"),
        (("--indicators", " ,，"), 2, "--indicators names none"),
        (
            ("--indicators", "6.4"),
            3,
            "good.jsonl:2: record '乙': no rubric for task type reply has one of --indicators. Name one",
        ),
        (("--engine-arg", "nonsense"), 2, "KEY=VALUE"),
        (("--engine-arg", "a=["), 3, "--engine-arg a"),
        (("--engine-arg", "delay=abc"), 2, "--engine-arg delay=N"),
        (("--server-url", "http://example.com"), 2, "not on this machine"),
        (("--strategy", "guess"), 2, "guess"),
        (("--limit", "0"), 2, "limit"),
    ],
)
def test_what_cannot_be_asked_is_told_and_leaves_no_folder(
    tmp_path: Path, good: Path, arguments: tuple[str, ...], code: int, problem: str
) -> None:
    result = call("run", good, *FAKE, "--out", tmp_path / "out", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert problem in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_label_and_a_missing_task_type_are_told_so_that_they_can_be_mended(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(line("a", labels={"1.1": 2}) + line("b", task=...) + line("c", labels={"1.1": "绝密"}))
    told = call("run", path, "--dry-run").stderr.splitlines()
    assert told[0].endswith("label '1.1' is 2. Labels are 0 or 1; leave out the rest.")
    assert told[1].endswith("task_type is missing. Give it in the record, or --task-type for all of them.")
    assert "label '1.1' is (2 characters)." in told[2]


def test_an_input_given_twice_is_named_once_and_not_each_of_its_records(good: Path) -> None:
    again = good.parent / ".." / good.parent.name / good.name
    result = call("run", good, again, "--dry-run")
    assert (result.exit_code, result.stderr) == (2, f"error: {again} is given twice. Name each input once.\n")


def test_inputs_without_a_record_are_named_as_they_were_given(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "empty.jsonl").touch()
    done = process("run", "in/empty.jsonl", "-", "--dry-run", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (3, b"error: no record to judge in in/empty.jsonl, standard input.\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--strategy", "read", "--thinking", "on"),
        ("--strategy", "read", "--band", "0.2", "0.8"),
        ("--strategy", "explain", "--reasons", "failed"),
        ("--strategy", "joint", "--orders", "2"),
        ("--strategy", "explain", "--calibration", "of-mine.json"),
        ("--keep-thinking",),
        ("--thinking-budget", "5"),
        ("--thinking", "off", "--thinking-budget", "5"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(tmp_path: Path, good: Path, arguments: tuple[str, ...]) -> None:
    result = call("run", good, *FAKE, "--out", tmp_path / "out", *arguments)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert "does nothing" in result.stderr
    assert not (tmp_path / "out").exists()
    assert call("exam", *FAKE, "--limit", "1", *arguments).exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("--strategy", "joint", "--thinking", "on", "--keep-thinking", "--thinking-budget", "0"),
        ("--strategy", "read", "--orders", "2", "--calibration", "off"),
        ("--strategy", "explain", "--thinking", "off", "--calibration", "off"),
        ("--band", "0.2", "0.8", "--reasons", "failed", "--thinking", "auto", "--keep-thinking"),
    ],
)
def test_an_option_that_does_something_is_taken(good: Path, arguments: tuple[str, ...]) -> None:
    assert call("run", good, "--dry-run", *arguments).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("--model", "qwen3-8bb"), 3, "Did you mean qwen3-8b"),
        (("--model", "./none"), 3, "no model named './none'"),
        (("--engine", "fak"), 2, "no engine named 'fak'"),
    ],
)
def test_a_dry_run_tells_a_name_that_is_none(good: Path, arguments: tuple[str, ...], code: int, problem: str) -> None:
    result = call("run", good, "--dry-run", *arguments)
    assert (result.exit_code, len(result.stderr.splitlines())) == (code, 1)
    assert problem in result.stderr


def test_a_dry_run_takes_names_of_what_is_not_here(good: Path) -> None:
    assert call("run", good, "--dry-run", "--model", "qwen3-8b", "--engine", "vllm").exit_code == 0
    assert call("run", good, "--dry-run", "--model", good.parent).exit_code == 0


def test_an_option_that_one_of_two_strategies_heeds_is_taken() -> None:
    compared = ("exam", *FAKE, "--limit", "1", "--indicators", "5.4", "--compare", "cascade", "read")
    assert call(*compared, "--reasons", "failed").exit_code == 0


def test_the_environment_may_hold_options_of_other_strategies(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALJUDGE_RUN_REASONS", "failed")
    assert call("run", good, "--dry-run", "--strategy", "read").exit_code == 0


def test_a_pack_with_one_label_is_refused(tmp_path: Path, good: Path) -> None:
    text = (ROOT / "localjudge" / "rubrics" / "push.yaml").read_text(encoding="utf-8")
    labels = [text for text in text.splitlines(keepends=True) if text.lstrip().startswith("- {score: 0, meaning")]
    (tmp_path / "one.yaml").write_text(text.replace(labels[0], ""), encoding="utf-8")
    for arguments in (("run", good, *FAKE, "--out", tmp_path / "out", "--rubric"), ("rubrics", "check")):
        result = call(*arguments, tmp_path / "one.yaml")
        assert (result.exit_code, len(result.stderr.splitlines())) == (3, 1)
        assert "one.yaml" in result.stderr
        assert "0 and 1" in result.stderr


@pytest.mark.parametrize(
    "command",
    ["run x.jsonl", "demo", "merge x", "export x --to csv", "replay x --band 0 1", "calibrate"],
)
def test_an_empty_place_is_not_the_working_folder(command: str) -> None:
    result = call(*command.split(), "--out", "")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert "--out is empty." in result.stderr


@pytest.mark.parametrize("arguments", [(), ("--out", "x"), ("good.jsonl",), ("good.jsonl", "--out", "x")])
def test_an_unfinished_command_is_a_usage_error(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "good.jsonl").write_bytes(line())
    done = process("run", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


def test_bad_input_ends_a_process_with_three(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b"{\n")
    done = process("run", "in.jsonl", *FAKE, "--out", "out", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr.startswith(b"error: in.jsonl:1: not JSON")
    assert not (tmp_path / "out").exists()
