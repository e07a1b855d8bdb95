"""What one level of a verification found: whether it held, and each fault as one line. Looks at nothing itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

Level = Literal["shape", "integrity", "completeness", "numbers", "environment", "replay"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""In the order in which they are checked: each takes for granted what those before it found."""
Outcome = Literal["passed", "failed", "differs", "skipped"]

KEPT = 200
"""Faults of a level that are kept; the rest is counted."""


class Findings:
    """The findings of one level."""

    def __init__(self, level: Level) -> None:
        self.level = level
        self.detail = ""
        """What was checked, or why nothing was."""
        self.skipped = False
        self.count = 0
        """Of all faults."""
        self.faults: list[str] = []
        """`where: what`; the first KEPT."""
        self.notes: list[str] = []
        """What a reader should know and is no fault."""

    @property
    def outcome(self) -> Outcome:
        """`differs`: nothing is wrong with the run, and not everything here is as it was there."""
        if self.count:
            return "failed"
        if self.skipped:
            return "skipped"
        return "differs" if self.level == "environment" and self.notes else "passed"

    def fault(self, where: str, what: str) -> None:
        """Something that does not hold: in which file, line or record, and what."""
        self.count += 1
        if len(self.faults) < KEPT:
            self.faults.append(f"{where}: {what}")

    def skip(self, why: str) -> Findings:
        """Nothing was checked."""
        self.skipped, self.detail = True, why
        return self

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "level": self.level,
            "outcome": self.outcome,
            "detail": self.detail,
            "count": self.count,
            "faults": self.faults,
            "notes": self.notes,
        }


def differences(there: Any, here: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Each place where two pieces of plain data differ, with both values; None where one has nothing."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in dict.fromkeys((*there, *here)):
            yield from differences(there.get(key), here.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for number, pair in enumerate(zip(there, here, strict=True)):
            yield from differences(*pair, f"{path}[{number}]")
    elif there != here:
        yield path, there, here


def shown(value: Any) -> str:
    """A value in a line of text: digests cut short, the rest at most 60 characters."""
    text = (
        "nothing" if value is None else repr(value) if isinstance(value, str) and value.strip() != value else str(value)
    )
    if len(text) == 64 and text.isalnum():
        return f"{text[:12]}..."
    text = text.replace("\n", " ")
    return text if len(text) <= 60 else f"{text[:57]}..."
