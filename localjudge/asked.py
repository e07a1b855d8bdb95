"""What an open engine made of the questions: the tokens of the labels, the grammar of the answers. For the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from localjudge.engines.base import Engine
from localjudge.engines.constraint import regex_of
from localjudge.manifest import digest_of
from localjudge.records import TaskType
from localjudge.rubric import Rubric
from localjudge.strategies import Settings
from localjudge.verdicts import answer_schema_text, joint_schema_text


def label_token_ids(engine: Engine, settings: Settings) -> dict[str, int]:
    """The token that each label of a read begins with, and each further word of a calibration; empty where nothing is
    read, or the engine has no tokens."""
    if settings.strategy not in ("read", "cascade"):
        return {}
    choices = settings.read_choices
    return dict(zip(choices, engine.first_tokens(choices), strict=False))


def grammar_digest(engine: Engine, rubrics: Mapping[TaskType, Rubric], settings: Settings) -> str:
    """Over the regular expressions that whole answers are held to; empty for an engine that holds them to none."""
    if settings.strategy == "read" or engine.info.engine == "fake":
        return ""
    schemas = [answer_schema_text()]
    if settings.strategy == "joint":
        schemas = [joint_schema_text(tuple(i.id for i in rubrics[task].indicators)) for task in sorted(rubrics)]
    return digest_of([regex_of(schema) for schema in schemas])


def observed(engine: Engine, rubrics: Mapping[TaskType, Rubric], settings: Settings) -> dict[str, Any]:
    """Both, as fields of a manifest."""
    return {
        "label_token_ids": label_token_ids(engine, settings),
        "grammar_digest": grammar_digest(engine, rubrics, settings),
    }
