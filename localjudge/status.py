"""How far a run is, told from its folder alone, also while others write to it."""

from __future__ import annotations

import time
from collections import Counter

from pydantic import BaseModel, ConfigDict

from localjudge.manifest import ShardProgress
from localjudge.store import RunStore

QUIET_SECONDS = 60.0
"""A working shard notes its progress every few seconds; one that was silent for longer may have been killed."""


class ShardStatus(BaseModel):
    """One shard, as it last said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    progress: ShardProgress
    done: bool
    quiet_seconds: float
    """Since its last note, by this machine's clock."""

    @property
    def working(self) -> bool:
        """Whether it seems to be at work now. A slow one may be silent for as long as three records take."""
        patience = QUIET_SECONDS + 3 / (self.progress.rate or 1.0)
        return not self.done and self.progress.state == "judging" and self.quiet_seconds < patience


class RunStatus(BaseModel):
    """How far a run is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    complete: bool
    total: int | None
    """Records of the input; None until a shard has counted them."""
    stored: int
    refused: int
    unscored: dict[str, int]
    """Why there is no score -> how many grades."""
    segments: int
    duplicates: int
    conflicts: int
    damage: tuple[str, ...]
    unfinished_lines: int
    """Unfinished last lines of segments: of writers that were killed, or that write at this moment."""
    rate: float | None
    """Records a second of the shards at work."""
    seconds_left: float | None
    """Until the slowest shard at work is done; None when none is, or none can tell."""
    shards: tuple[ShardStatus, ...]


def run_status(store: RunStore) -> RunStatus:
    """Reads everything the folder holds. Raises StoreError."""
    stored = store.stored()
    unscored = Counter(grade.unscored.value for verdict in stored for grade in verdict.detail if grade.unscored)
    done = store.done()
    now = time.time()
    shards = tuple(
        ShardStatus(progress=progress, done=shard in done, quiet_seconds=round(max(0.0, now - noted), 1))
        for shard, progress, noted in store.progress()
    )
    working = [shard.progress for shard in shards if shard.working]
    left = [progress.seconds_left for progress in working]
    return RunStatus(
        complete=store.complete,
        total=max((shard.progress.total for shard in shards), default=None),
        stored=len(stored),
        refused=store.refused(),
        unscored=dict(sorted(unscored.items())),
        segments=len(stored.lines),
        duplicates=stored.duplicates,
        conflicts=stored.conflicts,
        damage=tuple(str(entry) for entry in stored.damage if not entry.torn),
        unfinished_lines=sum(entry.torn for entry in stored.damage),
        rate=sum(progress.rate or 0.0 for progress in working) if working else None,
        seconds_left=max((each for each in left if each is not None), default=None) if None not in left else None,
        shards=shards,
    )
