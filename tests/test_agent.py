"""The call of the script that this project replaces: the same question in, the same shape out, and more in it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

import localjudge
from localjudge.agent import evaluate_agent, open_judge
from localjudge.engines.base import Completion
from localjudge.engines.fake import FakeEngine
from localjudge.errors import InputError, UsageError
from localjudge.judge import Judge
from localjudge.rubric import load_rubric
from localjudge.strategies import Settings

TASK: dict[str, Any] = {
    "dialogue_history": [{"role": "user", "content": "腰疼，先停几天。"}],
    "user_profile": {"昵称": "张姐"},
    "agent_profile": {"职业": "健身教练"},
    "message": "张姐，周末的瑜伽课还给您留着位。",
    "send_time": "2026-02-14T08:30",
}


@pytest.fixture(autouse=True)
def restored_environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def judge() -> Judge:
    return open_judge("", engine="fake")


@pytest.mark.parametrize(("task_type", "name"), [("push", "push"), (1, "push"), ("reply", "reply"), (0, "reply")])
def test_it_returns_what_the_replaced_script_returned(judge: Judge, task_type: Any, name: str) -> None:
    result = evaluate_agent(TASK, task_type, judge=judge)
    rubric = load_rubric(name)
    assert [entry["indicator"] for entry in result["detail"]] == [indicator.title for indicator in rubric.indicators]
    assert all(entry["score"] in (0, 1) and isinstance(entry["reason"], str) for entry in result["detail"])
    assert result["total_score"] == sum(entry["score"] for entry in result["detail"])
    assert (result["max_score"], result["scored"], result["rubric"]) == (len(result["detail"]),) * 2 + (rubric.ref,)
    assert json.loads(json.dumps(result)) == result


def test_the_argument_wins_over_the_tasks_own_type(judge: Judge) -> None:
    assert evaluate_agent(TASK | {"task_type": "push"}, "reply", judge=judge)["task_type"] == "reply"


def test_the_task_is_left_as_it_was(judge: Judge) -> None:
    before = json.dumps(TASK)
    evaluate_agent(TASK, "push", judge=judge)
    assert json.dumps(TASK) == before


def test_what_cannot_be_scored_is_none_and_counts_as_nothing() -> None:
    engine = FakeEngine(lambda request: Completion(request.id, "坏", "stop"))
    judge = Judge(engine, {"push": load_rubric("push")}, Settings(rules="off"))
    result = evaluate_agent(TASK, "push", judge=judge)
    assert {entry["score"] for entry in result["detail"]} == {None}
    assert {entry["unscored"] for entry in result["detail"]} == {"unparseable"}
    assert (result["total_score"], result["scored"]) == (0, 0)


def test_a_faulty_task_raises(judge: Judge) -> None:
    with pytest.raises(InputError, match="message is blank"):
        evaluate_agent(TASK | {"message": " "}, "push", judge=judge)


@pytest.mark.parametrize("task_type", ["chat", 2, None, ""])
def test_an_unknown_task_type_raises(judge: Judge, task_type: Any) -> None:
    with pytest.raises(UsageError, match="task_type"):
        evaluate_agent(TASK, task_type, judge=judge)


def test_without_a_judge_the_environment_names_the_model() -> None:
    with pytest.raises(UsageError, match="LOCALJUDGE_MODEL"):
        evaluate_agent(TASK, "push")


def test_the_judge_of_the_environment_is_opened_offline_and_kept() -> None:
    os.environ["LOCALJUDGE_ENGINE"] = "fake"
    first, second = (evaluate_agent(TASK, "push") for _ in range(2))
    assert first["id"] == second["id"]
    assert (first["scored"], second["scored"]) == (22, 22)
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_the_package_offers_its_names() -> None:
    assert localjudge.evaluate_agent is evaluate_agent
    assert localjudge.Judge is Judge
    assert all(getattr(localjudge, name) is not None for name in localjudge.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = localjudge.no_such_name
