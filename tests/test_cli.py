"""The command line: data on stdout, progress on stderr, and not a word of a record in either."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import click
import pytest
from command_line import FAKE, ROOT, call, line, process
from test_docs import commands

from localjudge.rubric import load_rubric

pytestmark = pytest.mark.usefixtures("own_home")


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.jsonl"
    path.write_bytes(line("甲") + line("乙", "reply"))
    return path


def test_a_run_in_a_process_of_its_own(tmp_path: Path, good: Path) -> None:
    done = process("run", good.name, *FAKE, "--out", "out", "--json", cwd=tmp_path)
    assert done.returncode == 0
    printed = json.loads(done.stdout)
    assert printed.pop("engine") == "fake"
    assert printed == json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert printed["records"] == 2
    log = done.stderr.decode()
    assert "loading the model for 2 records" in log
    assert "2/2 records" in log
    assert "records/s" in log
    assert "tokens/s" in log
    assert "s left" in log
    assert "\x1b" not in log
    assert "made up" in log


def test_records_come_from_stdin_and_leave_nothing_behind(tmp_path: Path) -> None:
    os.environ["TMPDIR"] = str(tmp_path / "tmp")
    (tmp_path / "tmp").mkdir()
    done = process("run", "-", *FAKE, "--out", "out", cwd=tmp_path, stdin=line("甲") + line("乙"))
    assert done.returncode == 0
    assert len((tmp_path / "out" / "verdicts" / "00000-of-00001.0001.jsonl").read_bytes().splitlines()) == 2
    bad = process("run", "-", *FAKE, "--out", "out2", cwd=tmp_path, stdin=line("甲") + line("乙", "chat"))
    assert bad.returncode == 3
    assert ":2: record '乙': unknown task_type (4 characters)" in bad.stderr.decode()
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("skip", [False, True])
def test_no_text_of_a_record_reaches_the_log(tmp_path: Path, skip: bool) -> None:
    secret = {
        "message": "绝密甲",
        "dialogue_history": [{"role": "user", "content": "绝密乙"}],
        "user_profile": {"昵称": "绝密丙"},
        "agent_profile": "绝密丁",
    }
    path = tmp_path / "in.jsonl"
    bad = [
        line("b", **secret | {"dialogue_history": [{"content": "绝密戊"}]}),
        line("a", **secret),
        '{"message":"绝密己'.encode(),
    ]
    path.write_bytes(line("a", **secret) + (b"".join(bad) if skip else b""))
    done = process("run", path, *FAKE, "--out", "out", "--on-bad-input", "skip" if skip else "fail", cwd=tmp_path)
    assert done.returncode == 0
    assert "绝密" not in (done.stdout + done.stderr).decode()
    refused = process("run", path, *FAKE, "--out", "out2", cwd=tmp_path)
    assert refused.returncode == (3 if skip else 0)
    assert "绝密" not in (refused.stdout + refused.stderr).decode()
    for kept in (tmp_path / "out").rglob("*.json*"):
        assert "绝密" not in kept.read_text(encoding="utf-8")


def test_a_dry_run_keeps_nothing(tmp_path: Path, good: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    result = call("run", good, "--dry-run")
    assert result.exit_code == 0
    assert "made up" in result.stderr
    assert "push@" in result.stdout
    assert [path for path in sorted(tmp_path.rglob("*")) if path not in before] == []


def test_indicators_may_stand_in_one_pack_alone(tmp_path: Path) -> None:
    only_reply = {i.id for i in load_rubric("reply").indicators} - {i.id for i in load_rubric("push").indicators}
    path = tmp_path / "in.jsonl"
    path.write_bytes(line("甲", "reply"))
    result = call("run", path, *FAKE, "--out", tmp_path / "out", "--indicators", min(only_reply), "--json")
    assert result.exit_code == 0
    (task,) = json.loads(result.stdout)["tasks"]
    assert [row["id"] for row in task["indicators"]] == [min(only_reply)]


def test_an_indicator_that_no_record_is_asked_about_is_named_before_the_run(tmp_path: Path, good: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(line("甲", "reply"))
    told = call("run", path, "--dry-run", "--indicators", "1.1，6.4")
    assert told.exit_code == 0
    assert told.stderr.splitlines()[0] == f"note: no record is asked about 6.4: not in {load_rubric('reply').ref}."
    assert "note:" not in call("run", good, "--dry-run", "--indicators", "1.1,6.4").stderr
    assert "note:" not in call("run", path, "--dry-run").stderr


def test_a_pack_of_ones_own_serves_by_path(tmp_path: Path) -> None:
    text = (ROOT / "localjudge" / "rubrics" / "push.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(text.replace("rubric: push\n", "rubric: mine\n"), encoding="utf-8")
    (tmp_path / "in.jsonl").write_bytes(line())
    result = call("run", tmp_path / "in.jsonl", *FAKE, "--out", tmp_path / "out", "--rubric", tmp_path / "mine.yaml")
    assert result.exit_code == 0
    assert "mine@1.1.0" in result.stdout


def test_a_summary_can_be_printed_again(tmp_path: Path, good: Path) -> None:
    first = call("run", good, *FAKE, "--out", tmp_path / "out")
    assert call("summary", tmp_path / "out").stdout == first.stdout
    as_json = json.loads(call("summary", tmp_path / "out", "--json").stdout)
    assert as_json.pop("engine") == "fake"
    assert as_json == json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    (tmp_path / "out" / "done" / "00000-of-00001").unlink()
    unfinished = call("summary", tmp_path / "out")
    assert "not finished" in unfinished.stderr
    assert unfinished.stdout == first.stdout


def test_a_folder_without_a_run_has_no_summary(tmp_path: Path) -> None:
    result = call("summary", tmp_path)
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)


def test_the_demo_runs_on_the_examples_and_can_be_repeated(tmp_path: Path) -> None:
    for folder in ("demo", "demo-2"):
        result = call("demo", *FAKE, "--out", tmp_path / "demo", "--json")
        assert result.exit_code == 0
        assert json.loads(result.stdout)["records"] == 4
        assert (tmp_path / folder / "summary.json").is_file()


def test_the_demo_goes_beside_a_file_that_is_in_its_way(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("mine", encoding="utf-8")
    assert call("demo", *FAKE, "--limit", "1", "--out", tmp_path / "demo").exit_code == 0
    assert (tmp_path / "demo").read_text(encoding="utf-8") == "mine"
    assert (tmp_path / "demo-2" / "summary.json").is_file()


@pytest.mark.parametrize(
    "arguments",
    [
        ("rubrics", "list", "--json"),
        ("rubrics", "show", "push", "--json"),
        ("rubrics", "schema", "reply"),
        ("rubrics", "schema", "reply", "--strategy", "explain"),
        ("models", "list", "--json"),
        ("models", "show", "qwen3-8b", "--json"),
        ("doctor", "--json"),
    ],
)
def test_what_a_program_may_read_is_json(arguments: tuple[str, ...]) -> None:
    result = call(*arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)


def test_help_is_there_in_half_a_second(tmp_path: Path) -> None:
    def seconds() -> float:
        start = time.perf_counter()
        assert b"doctor" in process("--help", cwd=tmp_path).stdout
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.5


@pytest.mark.parametrize("encoding", ["ascii", "gbk"])
def test_output_is_utf8_whatever_the_locale_says(tmp_path: Path, encoding: str) -> None:
    os.environ.update({"PYTHONIOENCODING": encoding, "LC_ALL": "C", "PYTHONUTF8": "0"})
    done = process("rubrics", "show", "push", cwd=tmp_path)
    assert done.returncode == 0
    assert "客服是否感知用户情绪" in done.stdout.decode("utf-8")


def test_the_demo_judges_records_of_the_example_files(tmp_path: Path) -> None:
    examples = ROOT / "examples"
    others = [
        line for name in ("push", "reply") for line in (examples / f"{name}.jsonl").read_text("utf-8").splitlines()
    ]
    shown = (examples / "demo.jsonl").read_text("utf-8").splitlines()
    assert len(shown) == 4 and set(shown) <= set(others)
    assert call("demo", *FAKE, "--out", tmp_path / "demo").exit_code == 0
    # What is fast enough for a first look: reasons where something is wrong.
    assert json.loads((tmp_path / "demo" / "plan.json").read_text("utf-8"))["reasons"] == "failed"


@pytest.mark.parametrize(
    "command",
    [("summary",), ("replay", "--band", "0.2", "0.8"), ("merge",), ("export", "--to", "csv"), ("retry",)],
    ids=lambda command: command[0],
)
def test_made_up_scores_say_so_wherever_they_are_read(tmp_path: Path, good: Path, command: tuple[str, ...]) -> None:
    assert call("run", good, *FAKE, "--out", tmp_path / "out").exit_code == 0
    result = call(command[0], tmp_path / "out", *command[1:])
    assert result.exit_code == 0
    assert "no model was asked; every score of the model is made up" in result.stderr
    if command[0] in ("summary", "replay", "retry"):
        as_json = call(command[0], tmp_path / "out", *command[1:], "--json")
        assert json.loads(as_json.stdout)["engine"] == "fake"


def test_figures_are_printed_again_where_the_plan_cannot_be_read(tmp_path: Path, good: Path) -> None:
    assert call("run", good, *FAKE, "--out", tmp_path / "out").exit_code == 0
    (tmp_path / "out" / "plan.json").write_text("{", encoding="utf-8")
    assert json.loads(call("summary", tmp_path / "out", "--json").stdout)["engine"] == ""


def test_a_dry_run_says_in_its_json_that_no_model_was_asked(good: Path) -> None:
    assert json.loads(call("run", good, "--dry-run", "--json").stdout)["engine"] == "fake"


LEAVES = [(name, command) for name, command in commands() if not isinstance(command, click.Group)]


@pytest.mark.parametrize(("name", "command"), LEAVES, ids=[name for name, _ in LEAVES])
def test_each_option_is_set_by_the_variable_of_its_name(
    name: str, command: click.Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    context: click.Context | None = None
    for word in name.split()[:-1]:
        context = click.Context(command, parent=context, info_name=word, auto_envvar_prefix=word.upper())
    context = click.Context(command, parent=context, info_name=name.split()[-1])
    for option in (entry for entry in command.params if isinstance(entry, click.Option)):
        (flag,) = [text for text in option.opts if text.startswith("--")]
        variable = f"{name} {flag.strip('-')}".replace(" ", "_").replace("-", "_").upper()
        monkeypatch.setenv(variable, "given")
        assert option.resolve_envvar_value(context) in ("given", True), variable
        monkeypatch.delenv(variable)
        assert option.resolve_envvar_value(context) is None, variable


def test_the_environment_chooses_rubric_model_and_output(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RUBRIC": "push reply", "ENGINE_ARG": "a=1 b=2", "JSON": "1", "ENGINE": "fake"}.items():
        monkeypatch.setenv(f"LOCALJUDGE_RUN_{name}", value)
    result = call("run", good, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["records"] == 2
    assert json.loads((tmp_path / "out" / "plan.json").read_bytes())["engine_options"] == {"a": 1, "b": 2}
    monkeypatch.setenv("LOCALJUDGE_RUN_RUBRIC", "nonsense")
    assert "nonsense" in call("run", good, "--out", tmp_path / "other").stderr
