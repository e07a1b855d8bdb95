"""Why a document does not validate, in one line that people can act on. Knows models by their errors alone."""

from __future__ import annotations

import difflib

from pydantic import ValidationError


def first_fault(error: ValidationError, document: object) -> tuple[str, str]:
    """The fault to mend first, `entry: place: what` without a full stop, and a hint, which may be empty.

    An unknown key goes before a missing one, which it may stand for. The entry is the innermost that has an `id`.
    """
    faults = error.errors(include_url=False)
    first = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    place = first["loc"]
    told = ": ".join(part for part in (_entry(place, document), ".".join(map(str, place))) if part)
    told = f"{told}: " if told else ""
    if first["type"] != "extra_forbidden":
        return f"{told}{first['msg'].removeprefix('Value error, ')}", ""
    missing = [fault["loc"] for fault in faults if fault["type"] == "missing"]
    beside = [str(other[-1]) for other in missing if other[:-1] == place[:-1]]
    near = difflib.get_close_matches(str(place[-1]), beside, n=1)
    return f"{told}unknown key", f"Did you mean {near[0]}?" if near else ""


def _entry(place: tuple[int | str, ...], document: object) -> str:
    name, here = "", document
    for step in place:
        if isinstance(here, dict):
            here = here.get(step)
        else:
            here = here[step] if isinstance(here, list) and isinstance(step, int) and step < len(here) else None
        if isinstance(here, dict) and isinstance(here.get("id"), str):
            name = f"in {here['id'][:40]!r}"
    return name
