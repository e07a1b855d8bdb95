"""The work of one process on a run: verdicts as they come, put on disk and counted, to the end or until a stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from localjudge.errors import EngineError, StoppedError
from localjudge.manifest import ShardProgress
from localjudge.stop import GraceOver, Stop
from localjudge.store import RunStore
from localjudge.verdicts import Usage, Verdict

NOTE_SECONDS = 5.0
"""Between two notes of a shard's progress in the run folder."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a process is. Seconds count from the first request, not from the start of loading."""

    stage: Literal["loading", "judging"]
    done: int
    """Stored by this process, on disk."""
    total: int
    """What there was to judge when it began: the shard's records without those already stored."""
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)
    stored: tuple[str, ...] = ()
    """Ids of the records whose verdicts came to be safe on disk since the step before."""


class Work:
    """Verdicts on their way to disk, counted, until they end or the process is asked to stop."""

    def __init__(
        self,
        store: RunStore,
        stop: Stop,
        on_progress: Callable[[Progress], None],
        *,
        total: int,
        share: int,
        before: int,
        notes: bool = True,
    ) -> None:
        """`notes`: whether to tell `status` how far the shard is."""
        self.judged = 0
        self.seconds = 0.0
        self._store = store
        self._stop = stop
        self._on_progress = on_progress
        self._total, self._share, self._before = total, share, before
        self._notes = notes
        self._usage = Usage()
        self._start = self._noted = time.monotonic()

    def do(self, verdicts: Iterable[Verdict]) -> None:
        """Stores every verdict. Raises StoppedError, EngineError or StoreError, with what is stored told."""
        self.follow((verdict.usage, self._store.append(verdict)) for verdict in self._stop.watch(verdicts))

    def follow(self, steps: Iterable[tuple[Usage, tuple[str, ...]]]) -> None:
        """Counts verdicts on their way: what each step cost, and the ids that came to be safe on disk with it. Raises
        what `do` raises."""
        self._tell(())
        self._note("judging")
        state: Literal["done", "stopped", "failed"] = "failed"
        try:
            for usage, stored in steps:
                self._usage += usage
                self._tell(stored)
                if time.monotonic() - self._noted >= NOTE_SECONDS:
                    self._note("judging")
            state = "stopped" if self._stop.asked else "done"
        except GraceOver:
            state = "stopped"
        except EngineError as error:
            self._tell(self._store.commit())
            if not self._stop.asked:
                raise EngineError(f"{error.problem} {self._told()}", hint=error.hint) from error
            state = "stopped"  # a signal to the whole process group ends an engine's own processes too
        finally:
            if state != "failed":
                self._tell(self._store.commit())
            self._note(state)
        if state == "stopped" and self._before + self.judged < self._share:
            raise StoppedError(f"stopped by {self._stop.asked}. {self._told()}", hint="The same command goes on.")

    @property
    def tokens(self) -> dict[str, int]:
        """Requests and tokens of the verdicts so far."""
        return self._usage.model_dump()

    @property
    def left(self) -> int:
        """Records of the share that have no verdict yet."""
        return self._share - self._before - self.judged

    def cost(self) -> dict[str, float]:
        """What storing cost so far."""
        return {"seconds": round(self._store.seconds, 4), "syncs": self._store.syncs, "verdicts": self.judged}

    def _tell(self, stored: tuple[str, ...]) -> None:
        self.judged += len(stored)
        self.seconds = time.monotonic() - self._start
        if stored or not self.judged:
            left = self._share - self._before
            self._on_progress(Progress("judging", self.judged, left, self.seconds, self._usage, stored))

    def _note(self, state: Literal["judging", "done", "stopped", "failed"]) -> None:
        self._noted = time.monotonic()
        if not self._notes:
            return
        shard = self._store.shard
        self._store.note_progress(
            ShardProgress(
                rank=shard.rank,
                world_size=shard.world_size,
                state=state,
                total=self._total,
                share=self._share,
                before=self._before,
                judged=self.judged,
                seconds=round(self.seconds, 3),
            )
        )

    def _told(self) -> str:
        return f"{self._before + self.judged} of {self._share} verdicts are stored in {self._store.folder}."
