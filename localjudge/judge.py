"""The spine: records in, verdicts out. No disk, no progress bar, no opinion about engines."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from localjudge.cascade import CascadeCase
from localjudge.engines.base import Completion, Engine, Request
from localjudge.errors import UsageError
from localjudge.prompts import Prompts
from localjudge.records import Record, TaskType
from localjudge.rubric import Rubric
from localjudge.rules import Ruling, rule
from localjudge.strategies import Case, ExplainCase, JointCase, ReadCase, Settings, Strategy
from localjudge.verdicts import Verdict

CASES: Mapping[Strategy, type[Case]] = {
    "cascade": CascadeCase,
    "read": ReadCase,
    "explain": ExplainCase,
    "joint": JointCase,
}


class Judge:
    """An open engine put to work on records. Reuse it: opening an engine takes far longer than a verdict."""

    def __init__(self, engine: Engine, rubrics: Mapping[TaskType, Rubric], settings: Settings | None = None) -> None:
        self._engine = engine
        self._rubrics = dict(rubrics)
        self._settings = settings or Settings()
        self._prompts = Prompts(self._settings.defences, self._settings.seed)
        self._opened = 0
        # An engine may still hold requests of a judge that was abandoned half-way; keys of two judges never meet.
        self._nonce = secrets.token_hex(4)
        self._select = lru_cache(maxsize=256)(self._narrowed)

    def judge(
        self, records: Iterable[Record], *, only: Mapping[str, tuple[str, ...]] | None = None
    ) -> Iterator[Verdict]:
        """Yields one verdict a record, as they become whole: not in input order.

        `only` maps record ids to the indicator ids to ask; records it does not name are asked all.

        Holds no more records than it takes to keep the engine's capacity busy. Raises UsageError for a record whose
        task type has no rubric, EngineError when the engine is gone.
        """
        engine = self._engine
        source = iter(records)
        cases: dict[str, tuple[Case, Ruling]] = {}
        waiting: deque[Request] = deque()
        exhausted = False
        while True:
            room = engine.capacity - engine.in_flight
            while room > 0:
                if not waiting and not exhausted:
                    record = next(source, None)
                    if record is None:
                        exhausted = True
                    else:
                        ruling = self._ruling(record, (only or {}).get(record.id))
                        if not ruling.undecided:
                            yield ruling.join(None)
                            continue
                        key, opened = self._case(ruling)
                        cases[key] = opened, ruling
                        waiting.extend(opened.open())
                if not waiting:
                    break
                engine.submit(waiting.popleft())
                room -= 1
            if not engine.in_flight:
                return
            for completion in engine.poll():
                verdict = self._absorb(completion, cases, waiting)
                if verdict is not None:
                    yield verdict

    def _ruling(self, record: Record, only: tuple[str, ...] | None) -> Ruling:
        rubric = self._rubrics.get(record.task_type)
        if rubric is None:
            raise UsageError(
                f"record {record.id}: no rubric for task type {record.task_type!r}.",
                hint="Give one with --rubric.",
            )
        if only is not None:
            rubric = self._select(record.task_type, only)
        return rule(record, rubric, self._settings.rules)

    def _narrowed(self, task_type: TaskType, ids: tuple[str, ...]) -> Rubric:
        # Cached by task type: to hash a whole rubric takes longer than all else that is done for a record.
        return self._rubrics[task_type].select(ids)

    def _case(self, ruling: Ruling) -> tuple[str, Case]:
        rubric = ruling.rubric
        # One answer for all costs one request either way, and each other set of indicators another automaton.
        if ruling.decided and self._settings.strategy != "joint":
            rubric = self._select(ruling.record.task_type, ruling.undecided)
        self._opened += 1
        key = f"{self._nonce}-{self._opened}"
        kind = CASES[self._settings.strategy]
        return key, kind(key, ruling.record, rubric, self._prompts, self._settings, ruling.flags)

    def _absorb(
        self, completion: Completion, cases: dict[str, tuple[Case, Ruling]], waiting: deque[Request]
    ) -> Verdict | None:
        """Hands a completion to its case; the whole verdict once that was the last one."""
        key = completion.request_id.partition("/")[0]
        if key not in cases:
            return None
        case, ruling = cases[key]
        if more := case.absorb(completion):
            waiting.extendleft(reversed(more))
        verdict = case.verdict()
        if verdict is None:
            return None
        del cases[key]
        whole = ruling.join(verdict)
        # Nothing is struck where nothing is found.
        if whole.flags and self._prompts.strikes(ruling.record):
            whole = whole.model_copy(update={"flags": (*whole.flags, "struck")})
        return whole
