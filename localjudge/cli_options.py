"""Reads option values that several commands share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from localjudge.errors import UsageError
from localjudge.registry import FORBIDDEN_ENGINE_OPTIONS
from localjudge.strict_yaml import load_yaml


def engine_arguments(texts: Iterable[str]) -> dict[str, Any]:
    """`KEY=VALUE` options, values read as YAML scalars. Raises UsageError for any other shape, or a key not allowed."""
    chosen: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        name = key.strip().replace("-", "_")
        if not equals or not name:
            raise UsageError(f"--engine-arg {text!r} is not KEY=VALUE.")
        if name in FORBIDDEN_ENGINE_OPTIONS:
            raise UsageError(f"--engine-arg {name} cannot be set.", hint="localjudge sets it, so that runs stay safe.")
        chosen[name] = load_yaml(value, f"--engine-arg {name}")
    return chosen
