"""A run from input to sealed folder, on the fake engine: what is checked first, what is kept, what leaves no trace."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import UNENDING

from localjudge.engine_choice import EngineChoice
from localjudge.errors import EngineError, InputError, ResumeError, UsageError
from localjudge.intake import BAD_RECORDS_SHOWN, RunRequest, check_input
from localjudge.records import TaskType
from localjudge.registry import load_models
from localjudge.rubric import Rubric, load_rubric
from localjudge.run import execute
from localjudge.store import RunStore
from localjudge.strategies import Settings
from localjudge.verdicts import Unscored
from localjudge.weights import LocalModel
from localjudge.work import Progress

SECRETS: dict[str, Any] = {
    "message": "绝密消息甲",
    "dialogue_history": [{"role": "user", "content": "绝密历史乙"}],
    "user_profile": {"绝密键丙": "绝密值丁"},
    "agent_profile": "绝密人设戊",
}
RUBRICS: dict[TaskType, Rubric] = {
    "push": load_rubric("push").select(("1.1", "5.5")),
    "reply": load_rubric("reply").select(("1.1", "2.1", "4.1")),
}


@pytest.fixture(autouse=True)
def restored_environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def lines(*records: dict[str, Any] | str, name: str = "in.jsonl") -> Path:
        path = tmp_path / name
        texts = [entry if isinstance(entry, str) else json.dumps(entry, ensure_ascii=False) for entry in records]
        path.write_text("\n".join(texts) + "\n", encoding="utf-8")
        return path

    return lines


def record(name: str, task: str = "push", **fields: Any) -> dict[str, Any]:
    return {"id": name, "task_type": task, "message": f"消息{name}"} | fields


def request(path: Path, out: Path, **fields: Any) -> RunRequest:
    values: dict[str, Any] = {"rubrics": RUBRICS, "model": None, "engine": EngineChoice("fake")} | fields
    return RunRequest(inputs=(path,), out=out, **values)


def content(folder: Path) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file())


# What a run leaves


@pytest.mark.parametrize("strategy", ["explain", "joint"])
def test_every_record_has_one_verdict_of_its_own_rubric(tmp_path: Path, write: Any, strategy: Any) -> None:
    path = write(*(record(f"{task}{number}", task) for number in range(10) for task in ("push", "reply")))
    result = execute(request(path, tmp_path / "out", settings=Settings(strategy=strategy)))
    verdicts = {verdict.id: verdict for verdict in RunStore.open(tmp_path / "out").verdicts()}
    assert sorted(verdicts) == sorted(f"{task}{number}" for number in range(10) for task in ("push", "reply"))
    assert {len(verdict.detail) for verdict in verdicts.values() if verdict.task_type == "reply"} == {3}
    assert (result.summary.records, result.manifest.records_judged, result.refused) == (20, 20, ())
    assert RunStore.open(tmp_path / "out").complete


def test_the_same_request_gives_the_same_plan_and_verdicts(tmp_path: Path, write: Any) -> None:
    path = write(*(record(str(number)) for number in range(5)))
    for name in ("one", "two"):
        execute(request(path, tmp_path / name))
    one, two = RunStore.open(tmp_path / "one"), RunStore.open(tmp_path / "two")
    assert one.plan().digest == two.plan().digest
    assert sorted(v.model_dump_json() for v in one.verdicts()) == sorted(v.model_dump_json() for v in two.verdicts())


@pytest.mark.parametrize(
    "fields",
    [
        {"settings": Settings(strategy="joint")},
        {"settings": Settings(seed=1)},
        {"settings": Settings(thinking_budget=0)},
        {"settings": Settings(keep_thinking=True)},
        {"limit": 1},
        {"on_bad_input": "skip"},
        {"rubrics": RUBRICS | {"push": load_rubric("push")}},
        {"engine": EngineChoice("fake", {"max_model_len": 512})},
    ],
)
def test_the_plan_changes_with_all_that_decides_verdicts(tmp_path: Path, write: Any, fields: dict[str, Any]) -> None:
    path = write(record("a"))
    execute(request(path, tmp_path / "one"))
    execute(request(path, tmp_path / "two", **fields))
    assert RunStore.open(tmp_path / "one").plan().digest != RunStore.open(tmp_path / "two").plan().digest


def test_the_plan_changes_with_the_input_and_not_with_its_place(tmp_path: Path, write: Any) -> None:
    plans = []
    for number, path in enumerate(
        (write(record("a")), write(record("a"), name="b.jsonl"), write(record("b"), name="c.jsonl"))
    ):
        execute(request(path, tmp_path / f"out{number}"))
        plans.append(RunStore.open(tmp_path / f"out{number}").plan().digest)
    assert plans[0] == plans[1] != plans[2]


def test_neither_plan_nor_manifest_nor_summary_holds_record_text_or_a_path(tmp_path: Path, write: Any) -> None:
    out = tmp_path / "out"
    execute(request(write(record("绝密编号己", **SECRETS)), out))
    for name in ("plan.json", "manifest.json", "summary.json"):
        text = (out / name).read_text(encoding="utf-8")
        assert "绝密" not in text
        assert str(tmp_path) not in text
        assert not [value for value in _strings(json.loads(text)) if value.startswith(("/", "~", "\\"))]
        assert os.uname().nodename not in _strings(json.loads(text))


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for inner in pair for text in _strings(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _strings(inner)]
    return [value] if isinstance(value, str) else []


def test_a_manifest_tells_switches_and_no_secret_address_or_path(tmp_path: Path, write: Any) -> None:
    hidden = {"VLLM_HOST_IP": "10.0.0.1", "VLLM_API_KEY": "s", "TORCH_HOME": "/x"}
    os.environ |= hidden | {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    manifest = execute(request(write(record("a")), tmp_path / "out")).manifest
    assert manifest.environment["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not hidden.keys() & manifest.environment.keys()
    assert manifest.packages["pydantic"] == importlib.metadata.version("pydantic")
    assert manifest.tokens["requests"] == 2 * 3  # two indicators: a read, an answer, a read of its reason
    assert manifest.git is None or re.fullmatch("[0-9a-f]{40}", manifest.git.commit)


def test_verdicts_carry_ids_and_extra_but_no_message(tmp_path: Path, write: Any) -> None:
    execute(request(write(record("a", **SECRETS, 工单="T-1")), tmp_path / "out"))
    (verdict,) = RunStore.open(tmp_path / "out").verdicts()
    assert verdict.extra == {"工单": "T-1"}
    assert "绝密" not in content(tmp_path / "out")


def test_a_record_too_long_for_the_model_is_kept_as_unscored(tmp_path: Path, write: Any) -> None:
    path = write(record("long", message=UNENDING), record("short"))
    result = execute(request(path, tmp_path / "out"))
    verdicts = {verdict.id: verdict for verdict in RunStore.open(tmp_path / "out").verdicts()}
    assert {grade.unscored for grade in verdicts["long"].detail} == {Unscored.TOO_LONG}
    assert (verdicts["long"].scored, verdicts["short"].scored) == (0, 2)
    (task,) = result.summary.tasks
    assert (task.scored, task.max_score) == (2, 4)


def test_a_limit_judges_the_first_records_alone(tmp_path: Path, write: Any) -> None:
    result = execute(request(write(*(record(str(n)) for n in range(9))), tmp_path / "out", limit=4))
    assert sorted(verdict.id for verdict in RunStore.open(tmp_path / "out").verdicts()) == ["0", "1", "2", "3"]
    assert result.manifest.records_judged == 4


def test_progress_begins_with_loading_and_ends_with_all(tmp_path: Path, write: Any) -> None:
    met: list[Progress] = []
    execute(request(write(record("a"), record("b")), tmp_path / "out"), met.append)
    assert [(step.stage, step.done, step.total) for step in met] == [
        ("loading", 0, 2),
        ("judging", 0, 2),
        ("judging", 1, 2),
        ("judging", 2, 2),
    ]
    # Two indicators of each record: a read, an answer, and a read of its reason.
    assert met[-1].usage.requests == 2 * 2 * 3


# Bad input


def test_faulty_records_stop_a_run_before_anything_is_made(tmp_path: Path, write: Any) -> None:
    path = write(record("a"), "{", record("b", message=" "))
    with pytest.raises(InputError) as caught:
        execute(request(path, tmp_path / "out"))
    first, second, last = caught.value.problem.splitlines()
    assert first.startswith(f"{path}:2: ")
    assert second.startswith(f"{path}:3: record 'b': ")
    assert last.startswith("2 faulty, 1 good; nothing was judged.")
    assert not (tmp_path / "out").exists()


def test_skipped_records_are_noted_and_the_rest_is_judged(tmp_path: Path, write: Any) -> None:
    path = write(record("a"), "{", record("a"), record("b"), record("c", message=""))
    result = execute(request(path, tmp_path / "out", on_bad_input="skip"))
    assert sorted(verdict.id for verdict in RunStore.open(tmp_path / "out").verdicts()) == ["a", "b"]
    lines = (tmp_path / "out" / "errors.jsonl").read_text(encoding="utf-8").splitlines()
    noted = [json.loads(line) for line in lines]
    assert [(note["where"].rpartition(":")[2], note["id"]) for note in noted] == [("2", None), ("3", "a"), ("5", "c")]
    assert (result.manifest.records_judged, result.manifest.records_refused, len(result.refused)) == (2, 3, 3)


def test_many_faults_are_named_up_to_a_bound(tmp_path: Path, write: Any) -> None:
    path = write(*(["{"] * (BAD_RECORDS_SHOWN + 5)))
    with pytest.raises(InputError) as caught:
        check_input(request(path, tmp_path / "out"))
    assert len(caught.value.problem.splitlines()) == BAD_RECORDS_SHOWN + 2
    assert "... and 5 more." in caught.value.problem


@pytest.mark.parametrize("on_bad_input", ["fail", "skip"])
@pytest.mark.parametrize("entries", [[], ["{"]])
def test_nothing_left_to_judge_is_bad_input(tmp_path: Path, write: Any, entries: list[str], on_bad_input: str) -> None:
    with pytest.raises(InputError):
        execute(request(write(*entries), tmp_path / "out", on_bad_input=on_bad_input))
    assert not (tmp_path / "out").exists()


def test_a_task_type_without_a_rubric_is_told_before_anything_is_made(tmp_path: Path, write: Any) -> None:
    path = write(record("a"), record("b", "reply"))
    with pytest.raises(InputError, match=r"record 'b'.*reply"):
        execute(request(path, tmp_path / "out", rubrics={"push": RUBRICS["push"]}))
    assert not (tmp_path / "out").exists()


def test_one_id_in_two_files_is_a_duplicate(tmp_path: Path, write: Any) -> None:
    paths = (write(record("a"), name="1.jsonl"), write(record("a"), name="2.jsonl"))
    with pytest.raises(InputError, match=r"1\.jsonl:1 and at .*2\.jsonl:1"):
        execute(
            RunRequest(inputs=paths, out=tmp_path / "out", rubrics=RUBRICS, model=None, engine=EngineChoice("fake"))
        )


@pytest.mark.parametrize("fields", [{"settings": Settings(seed=1)}, {"limit": 1}, {"on_bad_input": "skip"}])
def test_a_folder_that_holds_another_run_is_refused_and_left_alone(
    tmp_path: Path, write: Any, fields: dict[str, Any]
) -> None:
    path = write(record("a"), record("b"))
    execute(request(path, tmp_path / "out"))
    before = content(tmp_path / "out")
    with pytest.raises(ResumeError, match="already holds a run"):
        execute(request(path, tmp_path / "out", **fields))
    with pytest.raises(ResumeError, match="input_digest"):
        execute(request(write(record("a"), record("c"), name="other.jsonl"), tmp_path / "out"))
    assert content(tmp_path / "out") == before


# Before a model loads


@pytest.mark.parametrize("engine", ["vllm", "hf", "server"])
def test_a_real_engine_without_a_model_leaves_no_folder(tmp_path: Path, write: Any, engine: str) -> None:
    with pytest.raises(UsageError, match="needs a model"):
        execute(request(write(record("a")), tmp_path / "out", engine=EngineChoice(engine)))
    assert not (tmp_path / "out").exists()


def test_an_unknown_engine_is_refused_with_those_there_are(tmp_path: Path, write: Any) -> None:
    with pytest.raises(UsageError, match="vllm, server, hf, fake"):
        execute(request(write(record("a")), tmp_path / "out", engine=EngineChoice("gpt")))


def test_thinking_is_refused_for_a_model_that_cannot(tmp_path: Path, write: Any) -> None:
    model = LocalModel(path=tmp_path, spec=load_models()["qwen2.5-coder-0.5b"], digest="")
    asked = request(
        write(record("a")),
        tmp_path / "out",
        engine=EngineChoice("hf"),
        model=model,
        settings=Settings(thinking_budget=9),
    )
    with pytest.raises(UsageError, match="no thinking mode"):
        execute(asked)
    assert not (tmp_path / "out").exists()


def test_an_engine_that_cannot_open_leaves_no_folder(tmp_path: Path, write: Any, tiny_model: Path) -> None:
    model = LocalModel(path=tiny_model, spec=load_models()["qwen3-0.6b"], digest="")
    asked = request(
        write(record("a")),
        tmp_path / "out",
        engine=EngineChoice("server", {"tries": 1}, "http://127.0.0.1:9"),
        model=model,
    )
    with pytest.raises(EngineError, match="did not answer"):
        execute(asked)
    assert not (tmp_path / "out").exists()
