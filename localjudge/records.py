"""Record files in, a stream of `Record` and `BadRecord` out; also ids, duplicates, shards and the input's digest.

A faulty record is a value that names its place; only a file that cannot be read at all raises. Text is passed on
as it was written. This room knows nothing of rubrics, prompts or engines.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from localjudge.errors import InputError, UsageError
from localjudge.plain import check_plain, is_plain
from localjudge.quoting import quoted, quoted_name
from localjudge.rows import Row, file_label, open_rows
from localjudge.rows import input_digest as input_digest

TaskType = Literal["reply", "push"]
Role = Literal["user", "agent", "system"]

UTC8 = timezone(timedelta(hours=8))
MAX_ID_LENGTH = 200

_TASK_TYPES: dict[Any, TaskType] = {"reply": "reply", "push": "push", 0: "reply", 1: "push", "0": "reply", "1": "push"}
_ROLE_NAMES: dict[Role, str] = {"user": "user 用户 客户 human", "agent": "agent assistant 客服 bot", "system": "system"}
_ROLES: dict[str, Role] = {name: role for role, names in _ROLE_NAMES.items() for name in names.split()}
_ROLES_HINT = f"Roles: {', '.join(_ROLES)}."
_CONTENT_FIELDS = ("task_type", "dialogue_history", "user_profile", "agent_profile", "message", "send_time")
_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?( ?(Z|[+-]\d\d(:?\d\d)?))?)?", re.ASCII)
_LOCAL_TIME = re.compile(
    r"(\d{4})(?:/(\d{1,2})/(\d{1,2})|年(\d{1,2})月(\d{1,2})日)"
    r"(?: ?(\d{1,2})[点时](?:整|(\d{1,2})(?:分(?:(\d{1,2})秒)?)?)?| (\d{1,2}):(\d\d)(?::(\d\d))?)?",
    re.ASCII,
)
_UNIX_SECONDS = range(946_684_800, 4_102_444_800)  # 2000 to 2099: far enough from milliseconds to tell them apart


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Turn(_Frozen):
    """One utterance of the history."""

    role: Role
    content: str
    timestamp: str | None = None


class Record(_Frozen):
    """One message to judge, with what its reader knows. Building one from faulty values raises InputError."""

    id: str
    task_type: TaskType
    dialogue_history: tuple[Turn, ...] | str = ()
    user_profile: dict[str, Any] | str = {}
    agent_profile: dict[str, Any] | str = {}
    message: str
    send_time: datetime | None = None
    """Always in UTC+8; a time without a zone is taken to be that already."""
    labels: dict[str, Literal[0, 1]] = {}
    extra: dict[str, Any] = {}

    @field_validator("id", mode="before")
    @classmethod
    def _id_is_printable(cls, value: Any) -> str:
        return _clean_id(value)

    @field_validator("task_type", mode="before")
    @classmethod
    def _task_type_is_known(cls, value: Any) -> TaskType:
        known = _TASK_TYPES.get(value) if type(value) in (str, int) else None
        if known is None:
            raise InputError(f"unknown task_type {quoted(value)}.", hint="Write reply (or 0) or push (or 1).")
        return known

    @field_validator("dialogue_history", mode="before")
    @classmethod
    def _history_has_roles(cls, value: Any) -> tuple[Turn, ...] | str:
        if isinstance(value, str):
            return value
        if not isinstance(value, list | tuple):
            raise InputError(f"dialogue_history is {_kind(value)}.", hint="Write a list of turns, or one string.")
        return tuple(_turn(raw, number) for number, raw in enumerate(value, start=1))

    @field_validator("user_profile", "agent_profile", mode="before")
    @classmethod
    def _profile_is_object_or_text(cls, value: Any) -> Any:
        if not isinstance(value, dict | str):
            raise InputError(f"a profile is {_kind(value)}.", hint="Write each profile as an object or a string.")
        return value

    @field_validator("message", mode="before")
    @classmethod
    def _message_is_not_blank(cls, value: Any) -> str:
        if not isinstance(value, str) or not value.strip():
            what = "missing" if value is None else "blank" if isinstance(value, str) else _kind(value)
            raise InputError(f"message is {what}.", hint="Give the text to judge as a string.")
        return value

    @field_validator("send_time", mode="before")
    @classmethod
    def _send_time_is_in_utc8(cls, value: Any) -> datetime | None:
        return None if value is None else _moment(value)

    @field_validator("labels", mode="before")
    @classmethod
    def _labels_are_0_or_1(cls, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise InputError(f"labels is {_kind(value)}.", hint='Write an object such as {"1.1": 1, "5.4": 0}.')
        for name, label in value.items():
            if type(label) is not int or label not in (0, 1):
                told = quoted(label) if isinstance(label, str) else quoted_name(label)
                problem = f"label {quoted_name(name)} is {told}."
                raise InputError(problem, hint="Labels are 0 or 1; leave out the rest.")
        return value

    def to_json(self) -> str:
        """The whole record as one line of JSON, which `read_records` reads back as an equal record."""
        return _canonical(self.model_dump(mode="json"))

    def content_json(self) -> str:
        """What a made id is the hash of: compact JSON with sorted keys of task_type, dialogue_history, user_profile,
        agent_profile, message and send_time, as `to_json` writes them. id, labels and extra are no content."""
        return _canonical(self.model_dump(mode="json", include=set(_CONTENT_FIELDS)))


_FIELDS = tuple(Record.model_fields)


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that cannot be judged. `where` is file:line; in .parquet the line is the row, counted from 1."""

    where: str
    id: str | None
    problem: str
    hint: str

    def error(self) -> InputError:
        """The same as an exception, for a caller that stops at the first fault."""
        named = f"record {self.id!r}: " if self.id else ""
        return InputError(f"{self.where}: {named}{self.problem}", hint=self.hint)

    def __str__(self) -> str:
        return str(self.error())


class IdLedger:
    """The ids met so far and where, over any number of files. Holds 16 bytes of each id's hash, never the id."""

    def __init__(self) -> None:
        self._places: dict[bytes, int] = {}
        self._files: list[str] = []

    def claim(self, record_id: str, file: str, line: int) -> str | None:
        """Notes the id and returns None, or returns the file:line that claimed it before."""
        key = hashlib.sha256(record_id.encode("utf-8")).digest()[:16]
        earlier = self._places.get(key)
        if earlier is not None:
            return f"{self._files[earlier >> 40]}:{earlier & (1 << 40) - 1}"
        if not self._files or self._files[-1] != file:
            self._files.append(file)
        self._places[key] = (len(self._files) - 1) << 40 | line
        return None


def parse_record(data: Mapping[str, Any], *, default_task_type: TaskType | None = None) -> Record:
    """Makes a record of one JSON-like object; an absent id is made from the content, unknown fields go to `extra`.

    Raises InputError, without a place, for the first fault found.
    """
    if not isinstance(data, dict):
        raise InputError(f"the record is {_kind(data)}.", hint="Each record is one JSON object.")
    if not is_plain(data):
        check_plain(dict.fromkeys(data), "record")
        for field, value in data.items():
            if not (field == "send_time" and isinstance(value, datetime)):
                check_plain(value, field[:40])
    known = {name: data[name] for name in _FIELDS if data.get(name) is not None}
    known |= {"message": data.get("message"), "extra": _extra(data)}
    if "task_type" not in known:
        if default_task_type is None:
            raise InputError("task_type is missing.", hint="Give it in the record, or --task-type for all of them.")
        known["task_type"] = default_task_type
    try:
        record = Record.model_validate({"id": "unnamed"} | known)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise InputError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from error
    if "id" in known:
        return record
    digest = hashlib.sha256(record.content_json().encode("utf-8")).hexdigest()
    return record.model_copy(update={"id": f"sha256-{digest[:16]}"})


def read_records(
    path: str | Path,
    *,
    default_task_type: TaskType | None = None,
    seen: IdLedger | None = None,
    label: str | None = None,
) -> Iterator[Record | BadRecord]:
    """Streams the records of one file, in file order; the suffix says how it is read and `-` is JSON lines on stdin.

    `default_task_type` stands in for a missing task_type. Give the same `seen` to several calls to find ids that
    two files share; `label` is how faults name the file, if not by its path.

    Raises InputError for a file that is missing, unreadable, or of an unknown kind (a .json file
    is one value, so a fault of its syntax is one of the file) and ConfigError for .parquet without pyarrow.
    """
    rows = open_rows(path)
    return _records(label or file_label(path), rows, default_task_type, IdLedger() if seen is None else seen)


def shard(record_id: str, world_size: int) -> int:
    """Which of `world_size` shards, from 0, works on a record; it depends on the id alone."""
    if world_size < 1:
        raise UsageError(f"world size {world_size} leaves no shard.", hint="Give 1 or more.")
    return int.from_bytes(hashlib.sha256(record_id.encode("utf-8")).digest()[:8], "big") % world_size


def _records(
    file: str, rows: Iterator[Row], default_task_type: TaskType | None, ledger: IdLedger
) -> Iterator[Record | BadRecord]:
    for line, raw in rows:
        where = f"{file}:{line}"
        try:
            if isinstance(raw, InputError):
                raise raw
            record = parse_record(raw, default_task_type=default_task_type)
        except InputError as error:
            yield BadRecord(where, _readable_id(raw), error.problem, error.hint)
            continue
        earlier = ledger.claim(record.id, file, line)
        if earlier is None:
            yield record
        elif raw.get("id") is None:
            problem = f"the same record, without an id, stands at {earlier} and at {where}."
            yield BadRecord(where, record.id, problem, "Delete one of the two, or give each an id of its own.")
        else:
            problem = f"duplicate id: it stands at {earlier} and at {where}."
            yield BadRecord(where, record.id, problem, "Give every record an id of its own.")


def _readable_id(raw: Any) -> str | None:
    try:
        return _clean_id(raw.get("id")) if isinstance(raw, dict) else None
    except InputError:
        return None


def _clean_id(value: Any) -> str:
    hint = f"Give a string of 1 to {MAX_ID_LENGTH} printable characters, or leave the id out."
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        raise InputError(f"id is {_kind(value)}.", hint=hint)
    if not value.strip() or len(value) > MAX_ID_LENGTH:
        raise InputError(f"id is {'blank' if not value.strip() else f'{len(value)} characters long'}.", hint=hint)
    if not value.isprintable() and any(unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp") for each in value):
        raise InputError(f"id {quoted(value)} holds a control character.", hint=hint)
    return value


def _turn(raw: Any, number: int) -> Turn:
    where = f"dialogue_history turn {number}"
    if not isinstance(raw, dict):
        if isinstance(raw, Turn):
            return raw
        raise InputError(f"{where} is {_kind(raw)}.", hint="Write each turn as an object with role and content.")
    role, content, timestamp = raw.get("role"), raw.get("content"), raw.get("timestamp")
    if role is None:
        raise InputError(f"{where} has no role.", hint=_ROLES_HINT)
    known = _ROLES.get(role.strip().lower()) if isinstance(role, str) else None
    if known is None:
        raise InputError(f"{where} has the unknown role {quoted(role)}.", hint=_ROLES_HINT)
    if not isinstance(content, str):
        raise InputError(f"{where} has no text: content is {_kind(content)}.", hint="Write content as a string.")
    if timestamp is not None and type(timestamp) not in (str, int):
        raise InputError(f"{where}: timestamp is {_kind(timestamp)}.", hint="Write it as a string, or leave it out.")
    return Turn(role=known, content=content, timestamp=None if timestamp is None else str(timestamp))


def _moment(value: Any) -> datetime:
    try:
        if isinstance(value, datetime):
            moment = value
        elif type(value) is int:
            moment = _from_unix(value)
        else:
            moment = _from_text(value.strip())
        return moment.replace(tzinfo=UTC8) if moment.tzinfo is None else moment.astimezone(UTC8)
    except (AttributeError, ValueError, OverflowError):
        raise InputError(
            f"unparseable send_time {quoted(value)}.",
            hint="Write 2026-02-14T08:30, 2026/2/14 08:30, 2026年2月14日 8点30分, or unix seconds or milliseconds.",
        ) from None


def _from_unix(value: int) -> datetime:
    if value in _UNIX_SECONDS:
        return datetime.fromtimestamp(value, UTC8)
    if value // 1000 in _UNIX_SECONDS:
        return datetime.fromtimestamp(value // 1000, UTC8) + timedelta(milliseconds=value % 1000)
    raise ValueError(value)


def _from_text(text: str) -> datetime:
    if _ISO_TIME.fullmatch(text):
        return datetime.fromisoformat(text.replace(" +", "+").replace(" -", "-").replace(" Z", "Z"))
    if found := _LOCAL_TIME.fullmatch(text):
        parts = [int(part) for part in found.groups() if part is not None]
        year, month, day, hour, minute, second = parts + [0] * (6 - len(parts))
        return datetime(year, month, day, hour, minute, second)
    if text.isascii() and text.isdigit() and len(text) in (10, 13):
        return _from_unix(int(text))
    raise ValueError(text)


def _extra(data: Mapping[str, Any]) -> dict[str, Any]:
    unknown = {name: value for name, value in data.items() if name not in _FIELDS}
    given = data.get("extra")
    if given is None:
        return unknown
    if not isinstance(given, dict):
        given = {"extra": given}
    if clash := given.keys() & unknown.keys():
        problem = f"field {quoted(min(clash))} stands both in extra and beside it."
        raise InputError(problem, hint="Keep one of the two.")
    return given | unknown


def _kind(value: Any) -> str:
    names = {type(None): "missing", bool: "true or false", int: "a number", float: "a number", str: "a string"}
    return (names | {list: "a list", dict: "an object"}).get(type(value), f"a {type(value).__name__}")


def _canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
