"""A worker of a run that is spread over processes: batches of records in, verdicts into a segment of its own, and word
of it to a desk. Knows neither what started it nor who else works on the run.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from localjudge.errors import EngineError, LocalJudgeError, StoreError
from localjudge.intake import RunRequest, records_of
from localjudge.labels import Reads, insist_on_labels
from localjudge.manifest import Plan, environment, hardware, packages
from localjudge.offline import go_offline
from localjudge.records import Record
from localjudge.recovery import SteadyJudge
from localjudge.run import observed_of, open_judge, rare_collections
from localjudge.store import RunStore
from localjudge.stored import Stored
from localjudge.verdicts import Usage

ASK_SECONDS = 0.5
"""A worker asks this often whether it is to stop."""

DEATHS_A_BATCH = 4
"""A batch that so many workers died of ends the run: one more would die as well."""

Batch = tuple[int, list[Record]]


@dataclass(frozen=True, slots=True)
class News:
    """What a worker tells the desk."""

    batch: int = -1
    begun: bool = False
    """The batch is begun; its worker is yet to open its engine, if it has none."""
    stored: tuple[str, ...] = ()
    """Ids that are safe on disk."""
    usage: Usage = field(default_factory=Usage)
    whole: bool = False
    """Every record of the batch is stored."""
    opened: dict[str, Any] | None = None
    """Facts about an engine that has just been opened."""
    reopened: int = 0
    """How often an engine was opened again since the last word."""
    store: tuple[float, int] = (0.0, 0)
    """Seconds and fsync calls of the store, since the last word."""
    failed: LocalJudgeError | None = None
    """Why this worker gave up."""


class Desk:
    """Where workers tell what is stored, and hear whether to stop. Each id is passed on once, however often a batch is
    begun anew."""

    def __init__(self) -> None:
        self._news: list[News] = []
        self._told: dict[int, set[str]] = {}
        self._whole: set[int] = set()
        self._begun: Counter[int] = Counter()
        self._stopping = False

    def tell(self, news: News) -> bool:
        """Takes word from a worker; returns whether it is to stop."""
        told = self._told.setdefault(news.batch, set())
        fresh = () if news.batch in self._whole else tuple(name for name in news.stored if name not in told)
        told.update(fresh)
        if news.begun:
            self._begun[news.batch] += 1
            if self._begun[news.batch] > DEATHS_A_BATCH:
                self._news.append(News(failed=_deadly()))
                self._stopping = True
        if news.whole:
            del self._begun[news.batch]
            self._whole.add(news.batch)
        if news.batch in self._whole or not told:
            del self._told[news.batch]
        if news != News():
            self._news.append(replace(news, stored=fresh))
        return self._stopping

    def take(self, stop: bool) -> list[News]:
        """What came in since the last call. `stop`: tell the workers to stop."""
        self._stopping = self._stopping or stop
        news, self._news = self._news, []
        return news


class Worker:
    """One engine, opened with the first batch, and one segment."""

    def __init__(self, request: RunRequest, plan: Plan, before: frozenset[str], tell: Callable[[News], bool]) -> None:
        """`before`: names of the segments whose records do not come here. `tell`: `Desk.tell`."""
        self._request = request
        self._plan = plan
        self._before = before
        self._tell = tell
        self._stopping = False
        self._asked = 0.0
        self._judge: SteadyJudge | None = None
        self._store: RunStore | None = None
        self._reads = Reads()

    def do(self, number: int, records: Sequence[Record]) -> None:
        """Judges and stores a batch. Whatever prevents that is told to the desk."""
        try:
            self._hear(News(number, begun=True))
            if self._stopping:
                return
            if self._judge is None or self._store is None:
                self._judge, self._store = self._open()
            with rare_collections():
                self._do(self._judge, self._store, number, records)
        except LocalJudgeError as error:
            stored = self._store.commit() if self._store and not isinstance(error, StoreError) else ()
            self._tell(News(number, stored=stored, failed=error))

    def _open(self) -> tuple[SteadyJudge, RunStore]:
        go_offline()
        if model := self._request.model:
            self._request = replace(self._request, model=model.as_here())
        # Of the machine that the engine is on; the one with the command may be another.
        here = {"packages": packages(), "hardware": hardware(), "environment": environment()}
        judge = open_judge(self._request)
        store = RunStore.create(self._request.out, self._plan, self._request.shard, command=self._request.command)
        # One that was killed and started anew finds here what it stored before.
        self._stored = store.stored(self._request.shard, but=self._before)
        self._tell(News(opened=observed_of(self._request, self._plan, judge.engine) | here))
        return judge, store

    def _do(self, judge: SteadyJudge, store: RunStore, number: int, records: Sequence[Record]) -> None:
        reopened, seconds, syncs = judge.reopened, store.seconds, store.syncs
        stored = tuple(record.id for record in records if record.id in self._stored)
        self._hear(News(number, stored=stored))
        left = len(records) - len(stored)
        usage = Usage()
        fresh = (record for record in records if record.id not in self._stored)
        for verdict in insist_on_labels(judge.judge(self._feed(fresh)), self._reads):
            left -= 1
            usage += verdict.usage
            safe = store.append(verdict)
            if safe:
                self._hear(News(number, stored=safe, usage=usage))
                usage = Usage()
        safe, cost = store.commit(), (store.seconds - seconds, store.syncs - syncs)
        reopened = judge.reopened - reopened
        self._hear(News(number, stored=safe, usage=usage, whole=not left, reopened=reopened, store=cost))

    def _feed(self, records: Iterable[Record]) -> Iterator[Record]:
        for record in records:
            if self._is_stopping():
                return
            yield record

    def _is_stopping(self) -> bool:
        if not self._stopping and time.monotonic() - self._asked >= ASK_SECONDS:
            self._hear(News())
        return self._stopping

    def _hear(self, news: News) -> None:
        self._stopping = self._tell(news)
        self._asked = time.monotonic()


def batches(request: RunRequest, after: frozenset[str], size: int, tell: Callable[[News], bool]) -> Iterator[Batch]:
    """The shard's records that no segment named in `after` holds, in batches numbered from 0, until the desk says stop.

    The same ones in the same order on each call, because those segments grow no more: who asks twice, as one that was
    killed does, gets no other batch 7.
    """
    folder = request.out / "verdicts"
    stored = Stored(folder, request.shard, but={path.name for path in folder.glob("*.jsonl")} - after)
    records = (record for record in records_of(request) if record.id not in stored)
    number = 0
    while batch := list(islice(records, size)):
        if tell(News()):
            return
        yield number, batch
        number += 1


def _deadly() -> EngineError:
    return EngineError(
        f"{DEATHS_A_BATCH} workers died over the same records.",
        hint="Most often it is memory: fewer --workers, or a smaller model. The same command goes on.",
    )
