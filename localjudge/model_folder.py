"""What a folder of weights must look like before any engine may open it: checks, the digest, the card of a pull.

Reads headers and JSON, never a tensor; refuses pickles and code. Refuses to know where a folder came from.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from localjudge.errors import ConfigError

CARD = "localjudge-model.json"

_CODE_OR_PICKLE = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".py", ".pyc", ".so"}
_MAX_HEADER = 100_000_000


class CardFile(BaseModel):
    """Size and sha256 of one file of a pulled model."""

    model_config = ConfigDict(frozen=True)
    sha256: str
    size: int


class Card(BaseModel):
    """What a pull writes beside the files it brought: name, source, revision, files, when."""

    model_config = ConfigDict(frozen=True)
    name: str
    source: dict[str, Any]
    revision: str | None
    files: dict[str, CardFile]
    pulled_at: datetime


def read_card(folder: Path) -> Card | None:
    """The card of a pulled model, or None when there is no readable one."""
    try:
        return Card.model_validate_json((folder / CARD).read_bytes())
    except (OSError, ValidationError):
        return None


def is_whole(folder: Path) -> bool:
    """Whether every file on the card is there with its size. Says nothing of the bytes."""
    card = read_card(folder)
    if card is None:
        return False
    return all(_size(folder / name) == file.size for name, file in card.files.items())


def files_of(folder: Path) -> list[str]:
    """Relative paths of all files but the card, sorted; folders whose names begin with a dot are left out."""
    found: list[str] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in [*names, *(link for link in folders if (Path(parent) / link).is_symlink())]:
            found.append((Path(parent) / name).relative_to(folder).as_posix())
    return sorted(name for name in found if name != CARD)


def check_folder(folder: Path) -> None:
    """Raises ConfigError, naming the file, unless `folder` is a whole and harmless model."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder.", hint="Give a model's name, or the folder that holds its files.")
    files = files_of(folder)
    for name in files:
        _refuse_stray_link(folder, name)
        if Path(name).suffix.lower() in _CODE_OR_PICKLE:
            raise ConfigError(
                f"{folder / name}: pickle weights and code can run commands when loaded and are refused.",
                hint="Use a folder that holds safetensors alone; where both are there, move this file away.",
            )
    weights = [name for name in files if name.endswith(".safetensors")]
    if not weights:
        raise ConfigError(f"{folder}: no weights (*.safetensors) in the folder.", hint="Is the download complete?")
    for required in ("config.json", "tokenizer.json"):
        if required not in files:
            raise ConfigError(f"{folder}: {required} is missing.", hint="Is the download complete?")
    for name in files:
        if "/" not in name and name.endswith("config.json"):
            _refuse_auto_map(folder / name)
    for name in weights:
        _check_safetensors(folder / name)
    _check_shards(folder, files)


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object. Raises ConfigError naming the file."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not readable as JSON ({error}).") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: not a JSON object.")
    return value


def hash_files(folder: Path, names: list[str]) -> dict[str, CardFile]:
    """sha256 and size of each file, read afresh, a few at a time."""

    def one(name: str) -> CardFile:
        with (folder / name).open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            return CardFile(sha256=sha256, size=os.fstat(stream.fileno()).st_size)

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(names, pool.map(one, names), strict=True))


def digest_of(files: dict[str, CardFile]) -> str:
    """sha256 over the sorted `path NUL size NUL sha256` lines of a model's files."""
    lines = sorted(f"{name}\0{file.size}\0{file.sha256}" for name, file in files.items())
    return hashlib.sha256("\n".join(lines).encode("utf-8")).hexdigest()


def stamp_of(folder: Path) -> str:
    """Changes when a file of the model is added, removed or written to; reads no byte of them. Raises OSError."""
    identities = [[name, *_identity(folder / name)] for name in files_of(folder)]
    return hashlib.sha256(json.dumps(identities).encode()).hexdigest()


class DigestMemory:
    """Remembers sha256 by path, size, inode and both times in one JSON file, so that large weights are read once.

    Only a memory: losing it, or an entry to a concurrent writer, costs time alone. It cannot tell a file changed by
    somebody who sets the clock back; `models verify` and `models lock` therefore never ask it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def hash_files(self, folder: Path) -> dict[str, CardFile]:
        """As the function of that name over all files of `folder`, reading only what is new."""
        folder = folder.resolve()
        known = self._load()
        names = files_of(folder)
        before = {name: _identity(folder / name) for name in names}
        files = {
            n: CardFile(**known[str(folder / n)]["file"])
            for n in names
            if known.get(str(folder / n), {}).get("identity") == before[n]
        }
        fresh = hash_files(folder, [name for name in names if name not in files])
        self._remember(
            {
                str(folder / name): {"identity": before[name], "file": file.model_dump()}
                for name, file in fresh.items()
                if _identity(folder / name) == before[name]
            }
        )
        return files | fresh

    def _load(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            value = json.loads(self._path.read_bytes())
            return value if isinstance(value, dict) else {}
        return {}

    def _remember(self, entries: dict[str, Any]) -> None:
        if not entries:
            return
        # A read-only home is a fine home for models; it only means hashing again.
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, json.dumps(self._load() | entries, indent=0))


def write_atomically(path: Path, text: str) -> None:
    """Replaces `path` by `text` in one step, so that a reader sees the old file or the new one. Raises OSError."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with temporary.open("x", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _identity(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_ctime_ns]


def _refuse_stray_link(folder: Path, name: str) -> None:
    path = folder / name
    if not path.is_symlink():
        return
    root, target = folder.resolve(), path.resolve()
    # The Hugging Face cache keeps snapshots/<revision>/<file> as links to blobs/<hash>, two floors up.
    blobs = root.parent.parent / "blobs"
    in_hub_cache = root.parent.name == "snapshots" and target.parent == blobs
    if not target.is_file() or not (target.is_relative_to(root) or in_hub_cache):
        raise ConfigError(f"{path}: the link leads to no file of this model ({target}).", hint="Copy the file itself.")


def _refuse_auto_map(path: Path) -> None:
    if "auto_map" in _keys(read_json(path)):
        raise ConfigError(
            f"{path}: auto_map names code to run at loading, which is refused.",
            hint="Use a model that needs no code of its own.",
        )


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for inner in value.values():
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)


def _check_safetensors(path: Path) -> None:
    """Header against file length: finds pointer files of git-lfs and downloads that stopped halfway."""
    size = path.stat().st_size
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(_MAX_HEADER, size - 8):
                raise ValueError("no header")
            header = json.loads(stream.read(length))
        ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
        whole = 8 + length + max(ends, default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        hint = "Is it a git-lfs pointer? Download it again."
        raise ConfigError(f"{path}: not a safetensors file.", hint=hint) from error
    if size != whole:
        raise ConfigError(f"{path}: holds {size} bytes, its header speaks of {whole}.", hint="Download it again.")


def _check_shards(folder: Path, files: list[str]) -> None:
    index = folder / "model.safetensors.index.json"
    if index.name not in files:
        return
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, dict):
        raise ConfigError(f"{index}: no weight_map.")
    missing = sorted({str(shard) for shard in shards.values()} - set(files))
    if missing:
        hint = "Is the download complete?"
        raise ConfigError(f"{folder}: {missing[0]} is missing, which {index.name} names.", hint=hint)
