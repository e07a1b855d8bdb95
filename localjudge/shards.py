"""A shard: one of several processes that share a run. Which records are its own depends on their ids alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from localjudge.errors import UsageError
from localjudge.records import shard as shard_of

_NAME = re.compile(r"(\d{5,})-of-(\d{5,})")


@dataclass(frozen=True, slots=True)
class Shard:
    """Rank, from 0, and number of shards."""

    rank: int = 0
    world_size: int = 1

    @property
    def name(self) -> str:
        """As files are named after it: `00003-of-00008`."""
        return f"{self.rank:05d}-of-{self.world_size:05d}"

    def __str__(self) -> str:
        return f"shard {self.rank} of {self.world_size} (from 0)"

    def holds(self, record_id: str) -> bool:
        """Whether the record is this shard's."""
        return self.world_size == 1 or shard_of(record_id, self.world_size) == self.rank

    def meets(self, other: Shard) -> bool:
        """Whether the two can have a record in common."""
        return self.world_size != other.world_size or self.rank == other.rank

    def all(self) -> tuple[Shard, ...]:
        """This shard and its fellows, in order."""
        return tuple(Shard(rank, self.world_size) for rank in range(self.world_size))

    @classmethod
    def named(cls, text: str) -> Shard | None:
        """The shard that a file's name begins with; None for another name, and for a rank outside its world."""
        found = _NAME.match(text)
        shard = cls(int(found[1]), int(found[2])) if found else None
        return shard if shard and shard.rank < shard.world_size else None

    @classmethod
    def of(cls, rank: int | None, world_size: int | None, environment: Mapping[str, str]) -> Shard:
        """The shard asked for; without one, that of the Slurm array task this process runs in, else the whole run.

        Raises UsageError for one number without the other, a rank outside its world, an array that is no plain range.
        """
        if rank is None and world_size is None:
            return cls._of_array(environment)
        if rank is None or world_size is None:
            raise UsageError("--rank and --world-size belong together.", hint="Give both, or neither.")
        if not 0 <= rank < world_size:
            raise UsageError(f"--rank {rank} is not below --world-size {world_size}.", hint="Ranks count from 0.")
        return cls(rank, world_size)

    @classmethod
    def _of_array(cls, environment: Mapping[str, str]) -> Shard:
        task = environment.get("SLURM_ARRAY_TASK_ID", "")
        if not task:
            return cls()
        try:
            count = int(environment["SLURM_ARRAY_TASK_COUNT"])
            first = int(environment["SLURM_ARRAY_TASK_MIN"])
            last = int(environment.get("SLURM_ARRAY_TASK_MAX") or first + count - 1)
            step = (last - first) // (count - 1) if count > 1 else 1
            rank = (int(task) - first) // step
            if last != first + (count - 1) * step or int(task) != first + rank * step or not 0 <= rank < count:
                raise ValueError(task)
        except (KeyError, ValueError, ZeroDivisionError):
            raise UsageError(
                "the Slurm array is no plain range, so this task's share cannot be told from its number.",
                hint="Use --array=0-7, or give --rank and --world-size.",
            ) from None
        return cls(rank, count)


def whole_world(shards: Collection[Shard]) -> Shard | None:
    """The first shard of a world whose shards are all among these; None where each world lacks one."""
    present = Counter(shard.world_size for shard in set(shards))
    # Counted, not listed: a name may claim a world of any size.
    return next((Shard(0, size) for size, count in sorted(present.items()) if count == size), None)
