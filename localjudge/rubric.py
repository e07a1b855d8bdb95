"""Rubric packs: strict YAML in, frozen `Rubric` out. Knows nothing of records, prompts or engines.

A pack is data. Two come with the package (`reply`, `push`); a path to any other YAML file of the same shape
works wherever a pack's name does.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from localjudge.checks import plain_checks, read_checks
from localjudge.checks.base import Check
from localjudge.errors import ConfigError
from localjudge.records import TaskType
from localjudge.strict_yaml import load_yaml
from localjudge.validation import first_fault

Polarity = Literal["direct", "inverted"]

_Text = Annotated[str, Field(min_length=1)]
_Checks = Annotated[tuple[Check, ...], BeforeValidator(read_checks), PlainSerializer(plain_checks)]
_PACKS = resources.files("localjudge") / "rubrics"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class RubricExample(_Frozen):
    """A message, the score it deserves on one indicator, and why in a few words."""

    score: Literal[0, 1]
    message: _Text
    why: _Text
    context: str = ""
    """What the reader must know of the history or the profiles, in one clause; empty when the message says it all."""


class Indicator(_Frozen):
    """One yes-or-no question about a message. 1 is always the good outcome."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$", max_length=32)]
    title: _Text
    polarity: Polarity
    """`inverted`: the title asks after a fault, so that a plain yes would be bad; 1 still means that all is well."""
    criterion: _Text
    pass_when: _Text
    fail_when: _Text
    not_applicable_when: str = ""
    """When the indicator has nothing to say about a message; empty if it always applies."""
    check: _Checks = ()
    """Rules beside the model: `{name: {argument: value}}`, a list of arguments for several of one name."""
    examples: tuple[RubricExample, ...]

    @model_validator(mode="after")
    def _decides_once(self) -> Indicator:
        deciding = [check.name for check in self.check if check.decides]
        if len(deciding) > 1:
            raise ValueError(f"indicator {self.id!r} has several deciding checks; give `witness: true` to all but one")
        return self

    @model_validator(mode="after")
    def _has_both_sides(self) -> Indicator:
        missing = {0, 1} - {example.score for example in self.examples}
        if missing:
            raise ValueError(f"indicator {self.id!r} has no example with score {min(missing)}; give one of each")
        return self

    @cached_property
    def digest(self) -> str:
        """sha256 over its canonical JSON: a changed word is another indicator."""
        return _digest(self)


class Group(_Frozen):
    """Indicators that belong together."""

    id: _Text
    title: _Text
    indicators: Annotated[tuple[Indicator, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _ids_carry_the_group(self) -> Group:
        for indicator in self.indicators:
            if not indicator.id.startswith(f"{self.id}."):
                raise ValueError(
                    f"indicator {indicator.id!r} stands in group {self.id!r}; its id must begin {self.id}."
                )
        return self


class Label(_Frozen):
    """One point of the scale, in the words the model reads."""

    score: Literal[0, 1]
    meaning: _Text


class Rubric(_Frozen):
    """One pack: what is asked about messages of one task type."""

    rubric: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
    version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")]
    task_type: TaskType
    language: str = "zh"
    description: _Text
    labels: tuple[Label, ...]
    groups: Annotated[tuple[Group, ...], Field(min_length=1)]
    _pack: Rubric | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _is_whole(self) -> Rubric:
        scores = [label.score for label in self.labels]
        if sorted(scores) != [0, 1]:
            raise ValueError(f"labels must be the two scores 0 and 1, each once; found {scores}")
        seen: set[str] = set()
        for indicator in self.indicators:
            if indicator.id in seen:
                raise ValueError(f"indicator id {indicator.id!r} stands twice; ids must differ")
            seen.add(indicator.id)
        return self

    @cached_property
    def indicators(self) -> tuple[Indicator, ...]:
        """All indicators in pack order, which is the order of every verdict."""
        return tuple(indicator for group in self.groups for indicator in group.indicators)

    @cached_property
    def checked(self) -> tuple[Indicator, ...]:
        """Those of the indicators that have checks."""
        return tuple(indicator for indicator in self.indicators if indicator.check)

    @cached_property
    def digest(self) -> str:
        """sha256 over the pack's canonical JSON: layout and comments of the YAML do not count, wording does."""
        return _digest(self)

    @property
    def pack(self) -> Rubric:
        """The whole pack that this was selected from: itself, unless `select` made it."""
        return self._pack or self

    @property
    def ref(self) -> str:
        """`name@version`, as verdicts carry it."""
        return f"{self.rubric}@{self.version}"

    def select(self, ids: tuple[str, ...]) -> Rubric:
        """The same pack with only the indicators named, and the whole as its `pack`. Raises ConfigError for an id that
        it does not hold."""
        known = [indicator.id for indicator in self.indicators]
        for wanted in ids:
            if wanted not in known:
                raise ConfigError(f"rubric {self.ref} has no indicator {wanted!r}.", hint=f"It has {', '.join(known)}.")
        groups = [
            group.model_copy(update={"indicators": tuple(i for i in group.indicators if i.id in ids)})
            for group in self.groups
        ]
        kept = tuple(group for group in groups if group.indicators)
        selected = Rubric.model_validate(self.model_dump() | {"groups": [group.model_dump() for group in kept]})
        selected._pack = self.pack
        return selected


def _digest(model: BaseModel) -> str:
    canonical = json.dumps(model.model_dump(mode="json"), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()


def builtin_rubrics() -> dict[TaskType, Rubric]:
    """The packaged packs by task type."""
    return {pack.task_type: pack for pack in map(load_rubric, builtin_names())}


def builtin_names() -> list[str]:
    """Names of the packs that come with the package."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _PACKS.iterdir() if entry.name.endswith(".yaml"))


def load_rubric(name_or_path: str | Path) -> Rubric:
    """Reads a built-in pack by name or any pack by path. Raises ConfigError naming the file and the fault."""
    wanted = str(name_or_path)
    if re.fullmatch(r"[a-z][a-z0-9_-]*", wanted):
        if wanted in builtin_names():
            return _parse((_PACKS / f"{wanted}.yaml").read_text(encoding="utf-8"), f"rubrics/{wanted}.yaml")
        near = difflib.get_close_matches(wanted, builtin_names(), n=1)
        raise ConfigError(
            f"no rubric pack named {wanted!r}.",
            hint=(f"Did you mean {near[0]}? " if near else "")
            + f"Built in: {', '.join(builtin_names())}; for a file of your own give its path (./{wanted}.yaml).",
        )
    path = Path(wanted)
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the rubric pack ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: the rubric pack is not UTF-8.", hint="Save it as UTF-8.") from error
    return _parse(text, str(path))


def _parse(text: str, where: str) -> Rubric:
    data = load_yaml(text, where)
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: a rubric pack is a mapping with rubric, version, task_type, labels and groups.")
    try:
        return Rubric.model_validate(data)
    except ValidationError as error:
        fault, hint = first_fault(error, data)
        raise ConfigError(f"{where}: {fault}.", hint=hint) from error
