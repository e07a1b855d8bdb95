"""Offline judge of customer-service messages. Importing this loads nothing heavy."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from localjudge.agent import evaluate_agent, open_judge
    from localjudge.errors import LocalJudgeError
    from localjudge.judge import Judge
    from localjudge.records import Record, parse_record, read_records
    from localjudge.rubric import Rubric, load_rubric
    from localjudge.strategies import Settings
    from localjudge.verdicts import Grade, Unscored, Verdict

_HOMES = {
    "Grade": "verdicts",
    "Judge": "judge",
    "LocalJudgeError": "errors",
    "Record": "records",
    "Rubric": "rubric",
    "Settings": "strategies",
    "Unscored": "verdicts",
    "Verdict": "verdicts",
    "evaluate_agent": "agent",
    "load_rubric": "rubric",
    "open_judge": "agent",
    "parse_record": "records",
    "read_records": "records",
}

__all__ = [
    "Grade",
    "Judge",
    "LocalJudgeError",
    "Record",
    "Rubric",
    "Settings",
    "Unscored",
    "Verdict",
    "evaluate_agent",
    "load_rubric",
    "open_judge",
    "parse_record",
    "read_records",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'localjudge' has no attribute {name!r}")
    return getattr(importlib.import_module(f"localjudge.{_HOMES[name]}"), name)
