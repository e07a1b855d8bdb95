"""Checks by name: what a rubric pack's `check:` becomes. A check decides what is a fact, or stands beside the model as
a witness; none asks a model, and none guesses.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Any

from pydantic import ValidationError

from localjudge.checks.base import Check
from localjudge.checks.festivals import FestivalGreeting
from localjudge.checks.history import NearRepetition, OpenPromise
from localjudge.checks.identity import AiAdmission
from localjudge.checks.manner import AsksOrInvites, Length, RepeatedAddress
from localjudge.checks.user import MentionsUser
from localjudge.checks.words import ForbiddenWords, OutdatedWords

CHECKS: Mapping[str, type[Check]] = {
    check.name: check
    for check in (
        AiAdmission,
        AsksOrInvites,
        FestivalGreeting,
        ForbiddenWords,
        Length,
        MentionsUser,
        NearRepetition,
        OpenPromise,
        OutdatedWords,
        RepeatedAddress,
    )
}


def read_checks(value: Any) -> tuple[Check, ...]:
    """The checks that `{name: {argument: value}}` names, in that order; several of one name as a list of arguments.

    Raises ValueError naming the check and the argument at fault.
    """
    if isinstance(value, tuple) and all(isinstance(entry, Check) for entry in value):
        return value
    if not isinstance(value, dict):
        raise ValueError("check is a mapping of a check's name to its arguments, such as {ai_admission: {}}")
    return tuple(
        _read(name, arguments)
        for name, given in value.items()
        for arguments in (given if isinstance(given, list) else [given])
    )


def plain_checks(checks: tuple[Check, ...]) -> dict[str, list[dict[str, Any]]]:
    """The checks as `read_checks` reads them, arguments left at their defaults left out."""
    plain: dict[str, list[dict[str, Any]]] = {}
    for check in checks:
        plain.setdefault(check.name, []).append(check.model_dump(mode="json", exclude_defaults=True))
    return plain


@lru_cache(maxsize=1)
def lists_digest() -> str:
    """sha256 over the packaged word lists and festivals: other words are other rules."""
    digest = hashlib.sha256()
    folder = resources.files("localjudge") / "checks" / "lists"
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        digest.update(entry.name.encode() + b"\n" + entry.read_bytes())
    return digest.hexdigest()


def _read(name: Any, arguments: Any) -> Check:
    kind = CHECKS.get(name) if isinstance(name, str) else None
    if kind is None:
        near = difflib.get_close_matches(str(name), CHECKS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(CHECKS)}"
        raise ValueError(f"no check named {name!r}; {hint}")
    try:
        return kind.model_validate({} if arguments is None else arguments)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        told = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"check {name}: {place + ': ' if place else ''}{told}") from error
