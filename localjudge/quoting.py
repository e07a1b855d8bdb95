"""How a fault speaks of a value of a record: to a program with the value in part, in logs by kind and length alone."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60
_IDENTIFIER = re.compile(r"[A-Za-z0-9_.]{1,32}")
_hidden = False


def quoted(value: object) -> str:
    """The value, cut short; or, where text is hidden, what it is."""
    if not _hidden:
        return _short.repr(value)
    return f"({len(value)} characters)" if isinstance(value, str) else f"({type(value).__name__})"


def quoted_name(value: object) -> str:
    """As `quoted`, but an indicator's id or a small number, neither of them text of a record, is shown in any case."""
    told = (
        _IDENTIFIER.fullmatch(value) if isinstance(value, str) else isinstance(value, int | float) and -99 < value < 99
    )
    return _short.repr(value) if told else quoted(value)


@contextmanager
def without_text() -> Iterator[None]:
    """Hides values while it lasts, in the whole process."""
    global _hidden
    before, _hidden = _hidden, True
    try:
        yield
    finally:
        _hidden = before
