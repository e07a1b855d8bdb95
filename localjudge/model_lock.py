"""`models.lock`: which bytes each model must be, in a file to commit beside the data. Knows no engine and no source."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from localjudge.errors import ConfigError, StoreError
from localjudge.model_folder import CardFile, digest_of, write_atomically
from localjudge.strict_yaml import load_yaml

FILE_NAME = "models.lock"
_HEADER = """\
# Written by `localjudge models lock`. Where this file is, a run refuses a model that is not in it, or differs from it.
"""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class LockedFile(_Frozen):
    """Size in bytes and sha256 of one file."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0)]


class LockedModel(_Frozen):
    """The files of one model, by their paths within its folder, and the digest over them that plans hold."""

    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    files: Annotated[dict[str, LockedFile], Field(min_length=1)]


class _Document(_Frozen):
    version: Literal[1]
    models: dict[str, LockedModel]


@dataclass(frozen=True, slots=True)
class Difference:
    """A file that is not what the lock says. A digest is None where the file is missing on that side."""

    file: str
    locked: str | None
    actual: str | None

    def __str__(self) -> str:
        if self.actual is None:
            return "missing"
        if self.locked is None:
            return f"not in {FILE_NAME} (sha256 {self.actual})"
        return f"sha256 is {self.actual}, {FILE_NAME} has {self.locked}"


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock file as it was read."""

    path: Path
    models: Mapping[str, LockedModel]

    def differences(self, name: str, files: Mapping[str, CardFile]) -> list[Difference]:
        """Where the files of a model are not what is locked under its name. Raises ConfigError for a model that the
        lock does not list."""
        if name not in self.models:
            raise ConfigError(
                f"{self.path} does not list the model {name}.",
                hint=f"If it is to be used, run: localjudge models lock {name}",
            )
        return list(_differences(self.models[name], files))

    def check(self, name: str, folder: Path, files: Mapping[str, CardFile]) -> None:
        """Raises ConfigError, naming the first file that differs and both digests."""
        found = self.differences(name, files)
        if found:
            more = f" (and {len(found) - 1} more)" if found[1:] else ""
            raise ConfigError(
                f"{folder / found[0].file}: {found[0]}{more}.",
                hint=f"Get the locked files back; or, if this is a new version that you trust, lock it: {self.path}.",
            )


def lock_path() -> Path:
    """LOCALJUDGE_MODELS_LOCK, else models.lock in the working folder. May not exist."""
    return Path(os.environ.get("LOCALJUDGE_MODELS_LOCK") or FILE_NAME).expanduser().absolute()


def find_lock() -> Lock | None:
    """The lock in force, if there is one. Raises ConfigError when it is no lock file, or was named and is missing."""
    path = lock_path()
    if not path.exists() and not os.environ.get("LOCALJUDGE_MODELS_LOCK"):
        return None
    try:
        document = _Document.model_validate(load_yaml(path.read_text(encoding="utf-8"), str(path)))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}).", hint="LOCALJUDGE_MODELS_LOCK names it.") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(f"{path}: {place}: {first['msg']}.", hint="`localjudge models lock` writes it.") from error
    for name, model in document.models.items():
        if model.digest != digest_of({file: CardFile(**held.model_dump()) for file, held in model.files.items()}):
            raise ConfigError(f"{path}: the digest of {name} is not that of its files.", hint="Lock the model again.")
    return Lock(path, document.models)


def write_lock(models: Mapping[str, Mapping[str, CardFile]]) -> Path:
    """Locks models, by name, to their files as they are; others in the lock stay. Returns the lock file.

    Raises ConfigError for a lock that cannot be read, StoreError for one that cannot be written.
    """
    path = lock_path()
    held = find_lock() if path.exists() else None
    fresh = {
        name: LockedModel(
            digest=digest_of(dict(files)),
            files={file: LockedFile(**found.model_dump()) for file, found in sorted(files.items())},
        )
        for name, files in models.items()
    }
    try:
        write_atomically(path, "".join(_lines({**(held.models if held else {}), **fresh})))
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}.") from error
    return path


def _differences(locked: LockedModel, files: Mapping[str, CardFile]) -> Iterator[Difference]:
    for file in sorted({*locked.files, *files}):
        there, here = locked.files.get(file), files.get(file)
        expected, actual = there.sha256 if there else None, here.sha256 if here else None
        if expected != actual:
            yield Difference(file, expected, actual)


def _lines(models: Mapping[str, LockedModel]) -> Iterator[str]:
    """YAML, a line a file, so that a version control system shows what changed."""
    yield _HEADER
    yield "version: 1\nmodels:\n"
    for name, model in sorted(models.items()):
        yield f"  {_quoted(name)}:\n    digest: {_quoted(model.digest)}\n    files:\n"
        for file, held in model.files.items():
            yield f"      {_quoted(file)}: {{sha256: {_quoted(held.sha256)}, size: {held.size}}}\n"


def _quoted(text: str) -> str:
    """In double quotes, where a digest of digits alone stays text, and YAML has its own escapes beyond 16 bits."""
    signs = (sign if sign.isprintable() and sign not in '"\\' else f"\\U{ord(sign):08x}" for sign in text)
    return f'"{"".join(signs)}"'
