"""Fields of an input that no model will see, where they look like a context field under another name. Counts names and
never keeps a value.
"""

from __future__ import annotations

import difflib
from collections import Counter
from functools import lru_cache
from typing import Any

from localjudge.records import Record

CONTEXT = ("dialogue_history", "user_profile", "agent_profile", "send_time")
"""What a model reads beside the message."""
NEAR = 0.75
"""From this ratio of `difflib` on, two names are one misspelled; plurals and lost underscores are far above it."""
LONG = 20
"""Characters from which on an unknown text may be a history; an object and a list may be one at any length."""
NAMES_SHOWN = 5
NAME_CHARACTERS = 40
_NAMES_COUNTED = 1000


class Unread:
    """What the records of an input carry beside what a model reads; at most a thousand names are counted."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()
        self._meant: Counter[str] = Counter()
        self._large: Counter[str] = Counter()

    def note(self, record: Record) -> None:
        """Counts the fields of one record."""
        present = [field for field in CONTEXT if getattr(record, field)]
        self._held.update(present)
        for name, value in record.extra.items():
            meant = meant_by(name)
            if meant and meant not in present:
                _count(self._meant, name)
            elif isinstance(value, list | dict) or (isinstance(value, str) and len(value) > LONG):
                _count(self._large, name)

    def told(self) -> str:
        """One line on fields that may have been meant for the model; empty where nothing looks like that.

        A field counts when its name is near a context field that its record lacks. Where no record has a history, large
        fields under any name count too.
        """
        unseen = self._meant if self._held["dialogue_history"] else self._meant + self._large
        if not unseen:
            return ""
        near = dict.fromkeys(meant for name in unseen if (meant := meant_by(name)))
        wanted = [field for field in CONTEXT if field in near or field == "dialogue_history"]
        absent = [field for field in wanted if not self._held[field]]
        head = f"no record has {' or '.join(absent)}; " if absent else ""
        names = [f"{name[:NAME_CHARACTERS]} ({count} records)" for name, count in unseen.most_common(NAMES_SHOWN)]
        if len(unseen) > NAMES_SHOWN:
            names.append(f"and {len(unseen) - NAMES_SHOWN} more")
        hint = f"Did you mean {', '.join(near)}?" if near else f"It sees {', '.join(CONTEXT)} and message."
        return f"{head}the model does not see {', '.join(names)}. {hint}"


@lru_cache(maxsize=_NAMES_COUNTED)
def meant_by(name: str) -> str:
    """The context field that an unknown name is near, or an empty text."""
    bare = {_bare(field): field for field in CONTEXT}
    own = _bare(name)
    if own.endswith("history"):
        return "dialogue_history"
    return next((bare[match] for match in difflib.get_close_matches(own, bare, n=1, cutoff=NEAR)), "")


def _bare(name: Any) -> str:
    return "".join(character for character in str(name)[:NAME_CHARACTERS].casefold() if character.isalnum())


def _count(names: Counter[str], name: str) -> None:
    if name in names or len(names) < _NAMES_COUNTED:
        names[name] += 1
