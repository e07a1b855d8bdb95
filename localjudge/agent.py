"""The call of the script that this project replaces: one task in, a total and its detail out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from localjudge.engine_choice import EngineChoice
from localjudge.errors import UsageError
from localjudge.judge import Judge
from localjudge.offline import go_offline
from localjudge.records import TaskType, parse_record
from localjudge.rubric import builtin_rubrics

_CODES: dict[object, TaskType] = {0: "reply", 1: "push", "0": "reply", "1": "push", "reply": "reply", "push": "push"}


def open_judge(model: str, engine: str = "auto", *, allowed_hosts: tuple[str, ...] = ()) -> Judge:
    """A judge with both built-in rubrics on an engine of its own. `model` is a name in models.yaml or a folder.

    From then on this process connects to this machine alone, and to `allowed_hosts`: name those that the rest of the
    program needs.

    Raises UsageError, ConfigError or EngineError when it cannot be opened.
    """
    go_offline()
    choice = EngineChoice.of(engine, {}, os.environ.get("LOCALJUDGE_SERVER_URL", ""), allowed_hosts)
    return Judge(choice.open(choice.find_model(model)), builtin_rubrics())


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
