"""Records and indicators to messages. Prompts are Jinja templates kept as data beside this module; text that comes
from a record never enters a rendered string, it stays in parts of its own to be encoded apart.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from localjudge.engines.base import Message, Part
from localjudge.records import Record
from localjudge.rubric import Indicator, Rubric

_TEMPLATES = resources.files("localjudge") / "templates"
_ROLES = {"user": "用户", "agent": "客服", "system": "系统"}
_WEEKDAYS = "一二三四五六日"
_to_json = json.JSONEncoder(ensure_ascii=False).encode


class Prompts:
    """The prompt templates, compiled once."""

    names = ("system", "record", "explain", "joint", "read", "polarity")

    def __init__(self) -> None:
        # No sandbox: the templates are this package's own, and nothing that comes from outside is ever a template.
        environment = Environment(
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
            autoescape=False,  # noqa: S701 - the reader is a model
            keep_trailing_newline=True,
        )
        environment.filters |= {"data": self._data, "profile": _profile, "role": _role, "moment": _moment}
        self._sources = {name: (_TEMPLATES / f"{name}.j2").read_text(encoding="utf-8") for name in self.names}
        self._templates: dict[str, Template] = {
            name: environment.from_string(source) for name, source in self._sources.items()
        }
        self._nonce = secrets.token_hex(8)
        self._marker = re.compile(rf"@{self._nonce}\.(\d+)@")
        self._system = Message("system", (Part(self._templates["system"].render().strip()),))
        self._texts: list[str] = []
        self._tails: dict[tuple[str, str, str, bool], Part] = {}

    @cached_property
    def digest(self) -> str:
        """sha256 over all templates: a changed word is another prompt."""
        canonical = json.dumps(self._sources, ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(canonical.encode("utf-8")).hexdigest()

    def opening(self, record: Record) -> tuple[Message, tuple[Part, ...]]:
        """What all questions about a record share: the system message, and the record as parts of the user message."""
        self._texts = []
        rendered = self._templates["record"].render(record=record)
        return self._system, tuple(self._split(rendered))

    def explain(self, rubric: Rubric, indicator: Indicator) -> Part:
        """The question for one indicator, to stand behind the record."""
        return self._tail("explain", rubric, indicator)

    def read(self, rubric: Rubric, indicator: Indicator, *, flipped: bool = False) -> Part:
        """The one-word question for one indicator, to stand behind the record; `flipped`, with the failing example
        first."""
        return self._tail("read", rubric, indicator, flipped=flipped)

    def reads(self, rubric: Rubric, indicator: Indicator, orders: int) -> list[Part]:
        """The question of `read`, once for each order of the examples, the passing one first and then flipped."""
        return [self.read(rubric, indicator, flipped=flipped) for flipped in (False, True)[:orders]]

    def polarity(self, reason: str) -> Message:
        """The question what a reason says, by itself. The reason is data: it may quote a hostile record."""
        self._texts = []
        return Message("user", tuple(self._split(self._templates["polarity"].render(reason=reason).strip())))

    def joint(self, rubric: Rubric) -> Part:
        """The question for all indicators at once, to stand behind the record."""
        return self._tail("joint", rubric, None)

    def _tail(self, name: str, rubric: Rubric, indicator: Indicator | None, *, flipped: bool = False) -> Part:
        key = (name, rubric.digest, indicator.id if indicator else "", flipped)
        if key not in self._tails:
            rendered = self._templates[name].render(rubric=rubric, indicator=indicator, flipped=flipped)
            self._tails[key] = Part(rendered.strip())
        return self._tails[key]

    def _data(self, text: str) -> str:
        self._texts.append(text)
        return f"@{self._nonce}.{len(self._texts) - 1}@"

    def _split(self, rendered: str) -> Iterable[Part]:
        for position, piece in enumerate(self._marker.split(rendered)):
            if position % 2:
                yield Part(self._texts[int(piece)], data=True)
            elif piece:
                yield Part(piece)


def _profile(profile: dict[str, Any] | str) -> str:
    if isinstance(profile, str):
        return profile or "（无）"
    entries = (f"{key}：{_plain(value)}" for key, value in profile.items())
    return "；".join(entries) or "（无）"


def _plain(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return "、".join(value)
    return value if isinstance(value, str) else _to_json(value)


def _role(role: str) -> str:
    return _ROLES[role]


def _moment(moment: datetime | None) -> str:
    if moment is None:
        return "（未知）"
    return f"{moment:%Y-%m-%d %H:%M}（星期{_WEEKDAYS[moment.weekday()]}）"
