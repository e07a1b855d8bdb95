"""Judging with an engine that may die: it is opened again, and the record that it dies of is found and set apart.
Knows no disk and no concrete engine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import suppress

from localjudge.engines.base import Engine
from localjudge.errors import EngineError
from localjudge.judge import Judge
from localjudge.records import Record, TaskType
from localjudge.rubric import Rubric
from localjudge.rules import Ruling, rule
from localjudge.strategies import Settings
from localjudge.verdicts import Grade, Unscored, Usage, Verdict

_PARTS = 8
"""A batch that an engine died of is asked again in this many parts. More than two, because opening a model takes far
longer than judging a few records by themselves."""

_IN_A_ROW = 3
"""An engine that dies of so many records one after the other, with no verdict in between, is itself at fault."""

Only = Mapping[str, tuple[str, ...]]
_Attempt = Generator[Verdict, None, EngineError | None]


class SteadyJudge:
    """A `Judge` on an engine of its own, which it opens again when it dies.

    When the engine dies, the records in flight are asked again in ever smaller parts. One that it dies of alone gets a
    verdict of `engine_error` beside what rules decide, once the engine has answered for another record, or none is
    left. An engine that dies of three single records in a row, or a second time of no record in particular, is given
    up: EngineError. Both are counted over all calls of `judge`.
    """

    def __init__(
        self, open_engine: Callable[[], Engine], rubrics: Mapping[TaskType, Rubric], settings: Settings
    ) -> None:
        self._open = open_engine
        self._rubrics = dict(rubrics)
        self._settings = settings
        self._accused: list[tuple[Record, EngineError]] = []
        self._in_a_row = 0
        self._condemned = 0
        self._unexplained = 0
        self.reopened = 0
        self.engine = open_engine()
        self._judge = Judge(self.engine, self._rubrics, settings)

    def close(self) -> None:
        """Closes the engine."""
        self.engine.close()

    def judge(self, records: Iterable[Record], *, only: Only | None = None) -> Iterator[Verdict]:
        """As `Judge.judge`. Raises EngineError when the engine is given up."""
        source = iter(records)
        while True:
            held: dict[str, Record] = {}
            failure = yield from self._attempt(source, held, only)
            if failure is None:
                break
            self._reopen(failure)
            condemned = self._condemned
            yield from self._isolate(list(held.values()), only)
            self._unexplained += self._condemned == condemned and not self._accused
            if self._unexplained > 1:
                raise failure
        yield from self._condemn(only)

    def _attempt(self, records: Iterator[Record], held: dict[str, Record], only: Only | None) -> _Attempt:
        """Judges until the records end (None) or the engine dies; `held` is then what was in flight."""

        def taken() -> Iterator[Record]:
            for record in records:
                held[record.id] = record
                yield record

        try:
            for verdict in self._judge.judge(taken(), only=only):
                del held[verdict.id]
                yield verdict
                if verdict.usage.requests:  # one that rules decided says nothing of the engine
                    self._in_a_row = 0
                    yield from self._condemn(only)
        except EngineError as failure:
            return failure
        return None

    def _isolate(self, suspects: list[Record], only: Only | None) -> Iterator[Verdict]:
        groups = deque(_parts(suspects))
        while groups:
            group = groups.popleft()
            held: dict[str, Record] = {}
            rest = iter(group)
            failure = yield from self._attempt(rest, held, only)
            if failure is None:
                continue
            left = [*held.values(), *rest]
            if len(left) == 1:
                self._accused.append((left[0], failure))
                self._in_a_row += 1
                if self._in_a_row == _IN_A_ROW:
                    raise failure
            else:
                groups.extendleft(reversed(_parts(left)))
            self._reopen(failure)

    def _reopen(self, failure: EngineError) -> None:
        with suppress(Exception):  # it is dead: whatever it says to being closed is no news
            self.engine.close()
        try:
            self.engine = self._open()
        except EngineError as error:
            raise EngineError(f"{failure.problem} It could not be opened again: {error.problem}") from error
        self.reopened += 1
        self._judge = Judge(self.engine, self._rubrics, self._settings)

    def _condemn(self, only: Only | None) -> Iterator[Verdict]:
        """The verdicts on those that the engine died of."""
        accused, self._accused = self._accused, []
        for record, failure in accused:
            self._condemned += 1
            rubric = self._rubrics[record.task_type]
            if only and record.id in only:
                rubric = rubric.select(only[record.id])
            yield unjudged(rule(record, rubric, self._settings.rules), failure.problem)


def unjudged(ruling: Ruling, problem: str) -> Verdict:
    """The verdict on a record that no engine survives: what rules decide, and no score else, with what the engine
    said."""
    detail = tuple(
        Grade.without_score(indicator, Unscored.ENGINE_ERROR, reason=problem)
        for indicator in ruling.rubric.indicators
        if indicator.id in ruling.undecided
    )
    return ruling.join(Verdict.of(id=ruling.record.id, rubric=ruling.rubric, detail=detail, usage=Usage()))


def _parts(records: list[Record]) -> list[list[Record]]:
    size = -(-len(records) // _PARTS)
    return [records[start : start + size] for start in range(0, len(records), size)] if records else []
