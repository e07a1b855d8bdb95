"""The seal of a finished run: one hash over all verdicts, and one of each file that they stand in or were counted to.
Says what bytes there were when the run ended; who wrote them it cannot say, a signature can.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from localjudge.stored import Stored, judgement

SEALED = ("plan.json", "errors.jsonl", "manifest*.json", "summary.json", "verdicts/*.jsonl")
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


def make_seal(folder: Path, stored: Stored, plan_digest: str) -> Seal:
    """Reads everything that is sealed. Raises OSError, StoreError."""
    return Seal(
        plan_digest=plan_digest,
        verdicts=len(stored),
        merkle_root=merkle_root(judgement(verdict) for verdict in stored.by_id()),
        files={name: file_digest(folder / name) for name in sealed_names(folder)},
    )


def sealed_names(folder: Path) -> list[str]:
    """The files of a run folder that a seal covers, as they are now."""
    return sorted(path.relative_to(folder).as_posix() for pattern in SEALED for path in folder.glob(pattern))


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes, in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def merkle_root(leaves: Iterable[bytes]) -> str:
    """Root of the Merkle tree over the leaves in their order, in hexadecimal; memory grows with the tree's height.

    The tree of RFC 6962, section 2.1: a leaf is sha256(0x00 || bytes), a node sha256(0x01 || left || right), so that no
    node can pass for a leaf; of n leaves the left subtree has the largest power of two below n. No leaves: sha256("").
    """
    subtrees: list[tuple[int, bytes]] = []
    for leaf in leaves:
        height, digest = 0, hashlib.sha256(b"\x00" + leaf).digest()
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


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
