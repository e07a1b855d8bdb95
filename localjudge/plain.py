"""Whether a value is one that JSON in UTF-8 can hold, and not nested so deep that recursion would break elsewhere.
Knows nothing of what it should say.
"""

from __future__ import annotations

import math
import re
from typing import Any

from localjudge.errors import InputError

MAX_NESTING = 64
_SURROGATE = re.compile("[\ud800-\udfff]")


def check_plain(value: Any, field: str) -> None:
    """Raises InputError for what JSON in UTF-8 cannot hold, and for nesting that would break recursion elsewhere."""
    level = [value]
    for _ in range(MAX_NESTING):
        below: list[Any] = []
        for each in level:
            if fault := _not_plain(each):
                raise InputError(f"{field!r} {fault[0]}.", hint=fault[1])
            if isinstance(each, dict):
                below += [*each, *each.values()]
            elif isinstance(each, (list, tuple)):  # a union would be several times slower
                below += each
        if not below:
            return
        level = below
    raise InputError(f"{field!r} is nested too deep.", hint=f"At most {MAX_NESTING} levels are read.")


def is_plain(value: Any) -> bool:
    """Whether `check_plain` surely finds nothing; several times faster, because it need not say what."""
    texts: list[Any] = []
    level = [value]
    for _ in range(MAX_NESTING):
        below: list[Any] = []
        for each in level:
            kind = type(each)
            if kind is str:
                texts.append(each)
            elif kind is dict:
                texts += each
                below += each.values()
            elif kind is list:
                below += each
            elif not (each is None or kind is int or kind is bool or (kind is float and math.isfinite(each))):
                return False
        if not below:
            break
        level = below
    else:
        return False
    try:
        text = "".join(texts)
    except TypeError:  # a key that is no string
        return False
    return text.isascii() or not _SURROGATE.search(text)


def _not_plain(value: Any) -> tuple[str, str] | None:
    if isinstance(value, str):
        if value.isascii() or not _SURROGATE.search(value):
            return None
        return "holds a lone surrogate", "UTF-8 cannot write it; mend or drop that text."
    if isinstance(value, float) and not math.isfinite(value):
        return f"holds {value}", "JSON has no NaN or Infinity; write null or a number."
    if isinstance(value, dict) and not all(isinstance(key, str) for key in value):
        return "has a key that is no string", "Keys are strings."
    if value is not None and not isinstance(value, (float, int, dict, list, tuple)):
        return f"holds a {type(value).__name__}", "Records hold JSON values alone."
    return None
