"""The seal of a finished run: one hash over all verdicts, and one of each file that they stand in or were counted to.
Says what bytes there were when the run ended; who wrote them it cannot say, a signature can.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from localjudge.stored import judgement
from localjudge.verdicts import Verdict

SEALED = ("plan.json", "calibration.json", "errors.jsonl", "manifest*.json", "summary.json", "verdicts/*.jsonl")
"""What a seal covers. Not `command.json`, which holds paths of the machine, nor what only tells how far a run is."""

_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Name = Annotated[str, Field(pattern=r"^(verdicts/)?[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Seal(BaseModel):
    """What a finished run consists of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_name: Literal["localjudge/seal/1"] = "localjudge/seal/1"
    plan_digest: _Digest
    verdicts: int
    """Records that have one."""
    merkle_root: _Digest
    """Over the lines that `merge` writes, in its order."""
    files: dict[_Name, _Digest]
    """sha256 of each sealed file, by its path in the run folder."""


class Leaves:
    """The Merkle leaves of a run's verdicts, noted as these pass by in any order: who counts them seals them as well.
    Holds a hash and the id of each, never the verdicts."""

    def __init__(self) -> None:
        self._hashes: list[tuple[str, bytes]] = []

    def __len__(self) -> int:
        return len(self._hashes)

    def noted(self, verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
        """The verdicts, one a record, as they come."""
        for verdict in verdicts:
            self._hashes.append((verdict.id, _leaf(judgement(verdict))))
            yield verdict

    def root(self) -> str:
        """`merkle_root` of what was noted, in the order of the ids."""
        return _root(hashed for _, hashed in sorted(self._hashes))


def make_seal(folder: Path, leaves: Leaves, plan_digest: str) -> Seal:
    """Reads the files that are sealed. `leaves`: of all verdicts in them. Raises OSError."""
    return Seal(
        plan_digest=plan_digest,
        verdicts=len(leaves),
        merkle_root=leaves.root(),
        files={name: file_digest(folder / name) for name in sealed_names(folder)},
    )


def sealed_names(folder: Path) -> list[str]:
    """The files of a run folder that a seal covers, as they are now. Hidden files are none of a run's."""
    found = (path for pattern in SEALED for path in folder.glob(pattern) if not path.name.startswith("."))
    return sorted(path.relative_to(folder).as_posix() for path in found)


def is_outgrown(folder: Path) -> bool:
    """Whether the run has other segments than when it was sealed, as after a `retry` that was killed. False without a
    seal that can be read: whoever verifies is told of that."""
    try:
        sealed = Seal.model_validate_json((folder / "seal.json").read_bytes()).files
    except (OSError, ValidationError):
        return False
    now, then = ({name for name in names if "/" in name} for names in (sealed_names(folder), sealed))
    return now != then


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes, in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def merkle_root(leaves: Iterable[bytes]) -> str:
    """Root of the Merkle tree over the leaves in their order, in hexadecimal; memory grows with the tree's height.

    The tree of RFC 6962, section 2.1: a leaf is sha256(0x00 || bytes), a node sha256(0x01 || left || right), so that no
    node can pass for a leaf; of n leaves the left subtree has the largest power of two below n. No leaves: sha256("").
    """
    return _root(map(_leaf, leaves))


def _root(hashes: Iterable[bytes]) -> str:
    subtrees: list[tuple[int, bytes]] = []
    for digest in hashes:
        height = 0
        while subtrees and subtrees[-1][0] == height:
            digest = _node(subtrees.pop()[1], digest)
            height += 1
        subtrees.append((height, digest))
    if not subtrees:
        return hashlib.sha256(b"").hexdigest()
    root = subtrees.pop()[1]
    while subtrees:
        root = _node(subtrees.pop()[1], root)
    return root.hex()


def _leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
