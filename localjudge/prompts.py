"""Records and indicators to messages. Prompts are Jinja templates kept as data beside this module; text that comes
from a record never enters a rendered string, it stays in parts of its own to be encoded apart. With defences, it stands
there without the characters that nobody sees and without what is addressed to the judge; a fence puts it between two
markers that its author cannot write.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import unicodedata
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from importlib import resources
from itertools import count
from typing import Any, Literal

from jinja2 import DictLoader, Environment, StrictUndefined, Template

from localjudge.characters import PATTERN, without_unseen
from localjudge.engines.base import ALIGNED, Message, Part
from localjudge.flags import Flag
from localjudge.records import Record
from localjudge.rubric import Indicator, Rubric
from localjudge.strike import RULES, seen_record

_TEMPLATES = resources.files("localjudge") / "templates"
_ROLES = {"user": "用户", "agent": "客服", "system": "系统"}
_WEEKDAYS = "一二三四五六日"
_to_json = json.JSONEncoder(ensure_ascii=False).encode

Defences = Literal["off", "clean", "fence"]
"""What guards a prompt against its record's text: nothing; no unseen characters, forged headings and passages that are
addressed to the judge; also a fence."""
MARKER_DIGITS = 8
_HEADING = re.compile(r"【(\s*(?:材料|客服人设|用户资料|对话历史|发送时间|待评消息|指标)[^【】\n]{0,20})】")
"""What looks like a heading of the record template. In record text it gets other brackets."""
_SEEN_AS = f"without {PATTERN}; {_HEADING.pattern} -> 〔〕; struck by {RULES}"
"""What defences do to record text, for the digest: it decides a prompt as much as a template does."""


class Prompts:
    """The prompt templates, compiled once. `seed` goes into the markers around records."""

    names = ("system", "record", "explain", "joint", "pack", "read", "polarity")
    fenced_names = ("fenced_record",)

    def __init__(self, defences: Defences = "clean", seed: int = 0) -> None:
        self._defences = defences
        self._seed = seed
        names = (*self.names, *(self.fenced_names if defences == "fence" else ()))
        self._sources = {name: (_TEMPLATES / f"{name}.j2").read_text(encoding="utf-8") for name in names}
        # No sandbox: the templates are the package's own, and what comes from outside is never a template. No escapes:
        # what they make is read by a model and by no browser.
        environment = Environment(
            loader=DictLoader(self._sources),
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
            autoescape=False,  # noqa: S701
            keep_trailing_newline=True,
        )
        environment.filters |= {"data": self._data, "profile": _profile, "role": _role, "moment": _moment}
        self._templates: dict[str, Template] = {name: environment.get_template(name) for name in names}
        self._nonce = secrets.token_hex(8)
        self._place = re.compile(rf"@{self._nonce}\.(\d+)@")
        self._system = Message("system", (Part(self._templates["system"].render().strip()),))
        self._parts: list[Part] = []
        self._tails: dict[tuple[str, str, str], Part] = {}
        self._packs: dict[tuple[str, bool], Message] = {}

    @cached_property
    def digest(self) -> str:
        """sha256 over all templates and what is done to record text: a changed word is another prompt."""
        seen = {"seen_as": _SEEN_AS} if self._defences != "off" else {}
        decisive = self._sources | seen | {"aligned": str(ALIGNED)}
        canonical = json.dumps(decisive, ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(canonical.encode("utf-8")).hexdigest()

    def opening(self, record: Record, flags: tuple[Flag, ...] | None = None) -> tuple[Message, tuple[Part, ...]]:
        """What all written answers about a record share: the system message, and the record as parts of the user
        message. Reads have the same record behind the system message of `packs`.

        `flags`: those of the record, where they are known. Nothing is struck from a record that has none.
        """
        if flags != ():
            record = self._seen(record)
        self._parts = []
        fenced = self._defences == "fence"
        marker = self._keep(Part("")) if fenced else ""
        rendered = self._templates["fenced_record" if fenced else "record"].render(record=record, marker=marker)
        if fenced:
            self._parts[0] = Part(self._marker())
        return self._system, tuple(self._split(rendered))

    def strikes(self, record: Record) -> bool:
        """Whether the model does not see all of a record's passages."""
        return self._seen(record) is not record

    def explain(self, rubric: Rubric, indicator: Indicator) -> Part:
        """The question for one indicator, to stand behind the record."""
        return self._tail("explain", rubric, indicator)

    def read(self, rubric: Rubric, indicator: Indicator) -> Part:
        """The one-word question for one indicator, to stand behind the record, with `packs` as the system message."""
        return self._tail("read", rubric, indicator)

    def packs(self, rubric: Rubric, orders: int) -> list[Message]:
        """The system message of reads: the rules, and every indicator of the whole pack with its examples, whichever of
        them are asked, so that all records share it and no grade depends on what else was asked. Once for each order of
        the examples, the passing one first and then flipped."""
        return [self._pack_message(rubric.pack, flipped=flipped) for flipped in (False, True)[:orders]]

    def polarity(self, reason: str) -> Message:
        """The question what a reason says, by itself. The reason is data: it may quote a hostile record."""
        self._parts = []
        return Message("user", tuple(self._split(self._templates["polarity"].render(reason=reason).strip())))

    def joint(self, rubric: Rubric) -> Part:
        """The question for all indicators at once, to stand behind the record."""
        return self._tail("joint", rubric, None)

    def _pack_message(self, pack: Rubric, *, flipped: bool) -> Message:
        key = (pack.digest, flipped)
        if key not in self._packs:
            listed = self._templates["pack"].render(rubric=pack, flipped=flipped).strip()
            self._packs[key] = Message("system", (Part(f"{self._system.parts[0].text}\n{listed}"),))
        return self._packs[key]

    def _tail(self, name: str, rubric: Rubric, indicator: Indicator | None) -> Part:
        key = (name, rubric.digest, indicator.id if indicator else "")
        if key not in self._tails:
            rendered = self._templates[name].render(rubric=rubric, indicator=indicator)
            self._tails[key] = Part(rendered.strip(), aligned=name == "read")
        return self._tails[key]

    def _marker(self) -> str:
        """What stands before and behind a record: 8 hex digits of a sha256 over the seed and a counter.

        Drawn again while the text that the model sees holds it, in any case or width: whatever an author knows, he
        cannot write it, since a record that holds one marker gets another. All other records of a run share the first:
        a marker of each record's own moves a small model's margins by about as much as a fault in the message does.
        """
        seen = unicodedata.normalize("NFKC", "\n".join(part.text for part in self._parts)).lower()
        drawn = (hashlib.sha256(f"{self._seed}\n{number}".encode()).hexdigest()[:MARKER_DIGITS] for number in count())
        return next(marker for marker in drawn if marker not in seen)

    def _seen(self, record: Record) -> Record:
        return record if self._defences == "off" else seen_record(record)

    def _data(self, text: str) -> str:
        if self._defences != "off":
            text = without_unseen(text)
            if "【" in text:
                text = _HEADING.sub(r"〔\1〕", text)
        return self._keep(Part(text, data=True))

    def _keep(self, part: Part) -> str:
        """Sets a part aside; returns what stands for it in the rendered text."""
        self._parts.append(part)
        return f"@{self._nonce}.{len(self._parts) - 1}@"

    def _split(self, rendered: str) -> Iterable[Part]:
        for position, piece in enumerate(self._place.split(rendered)):
            if position % 2:
                yield self._parts[int(piece)]
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
    # strftime would take as long as all other filters together.
    written = moment.isoformat(" ", "minutes")[:16]
    return f"{written}（星期{_WEEKDAYS[moment.weekday()]}）"
