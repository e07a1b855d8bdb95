"""The call of the script that this project replaces: one task in, a total and its detail out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from localjudge.engines import choose_engine, open_engine
from localjudge.errors import UsageError
from localjudge.judge import Judge
from localjudge.offline import check_local, go_offline
from localjudge.records import TaskType, parse_record
from localjudge.registry import load_models
from localjudge.rubric import load_rubric
from localjudge.weights import resolve

_CODES: dict[object, TaskType] = {0: "reply", 1: "push", "0": "reply", "1": "push", "reply": "reply", "push": "push"}


def open_judge(model: str, engine: str = "auto") -> Judge:
    """A judge with both built-in rubrics on an engine of its own. `model` is a name in models.yaml or a folder.

    Raises UsageError, ConfigError or EngineError when it cannot be opened.
    """
    go_offline()
    kind = choose_engine(engine)
    rubrics = {pack.task_type: pack for pack in (load_rubric("reply"), load_rubric("push"))}
    if kind == "fake":
        return Judge(open_engine("fake", None, name="fake"), rubrics)
    local = resolve(model, load_models())
    url = os.environ.get("LOCALJUDGE_SERVER_URL", "")
    if url:
        check_local(url)
    options = local.spec.vllm_options if kind == "vllm" else {}
    opened = open_engine(
        kind,
        local.path,
        name=local.spec.name,
        options=options,
        server_url=url,
        api_key=os.environ.get("LOCALJUDGE_API_KEY", ""),
    )
    return Judge(opened, rubrics)


@lru_cache(maxsize=1)
def _default_judge(model: str, engine: str) -> Judge:
    return open_judge(model, engine)


def evaluate_agent(task: Mapping[str, Any], task_type: TaskType | int, *, judge: Judge | None = None) -> dict[str, Any]:
    """Judges one task: `{"total_score", "max_score", "scored", "detail": [{"indicator", "score", "reason", ...}]}`.

    `task` holds the fields of a record; `task_type` is reply (0) or push (1) and wins over the task's own. Without
    `judge`, one is opened for the model that LOCALJUDGE_MODEL names and kept for the next call; for many tasks use
    `Judge.judge`, which is several times faster. `score` is None where an indicator could not be scored.
    Raises InputError for a faulty task.
    """
    if task_type not in _CODES:
        raise UsageError(f"unknown task_type {task_type!r}.", hint="Write reply (or 0) or push (or 1).")
    record = parse_record(dict(task) | {"task_type": _CODES[task_type]})
    if judge is None:
        model = os.environ.get("LOCALJUDGE_MODEL", "")
        engine = os.environ.get("LOCALJUDGE_ENGINE", "auto")
        if not model and engine != "fake":
            raise UsageError("which model?", hint="Set LOCALJUDGE_MODEL, or pass a judge from open_judge(MODEL).")
        judge = _default_judge(model, engine)
    (verdict,) = judge.judge([record])
    return verdict.model_dump(mode="json")
