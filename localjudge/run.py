"""Starts a run and works it: input checked, folder made, engine opened, every verdict stored as it comes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from localjudge.checks import lists_digest
from localjudge.engine_choice import EngineChoice
from localjudge.engines.base import Engine, EngineInfo
from localjudge.errors import EngineError, InputError, UsageError
from localjudge.judge import Judge
from localjudge.manifest import (
    Manifest,
    ModelPlan,
    Plan,
    RubricPlan,
    digest_of,
    environment,
    hardware,
    own_version,
    packages,
)
from localjudge.prompts import Prompts
from localjudge.records import BadRecord, IdLedger, Record, TaskType, input_digest, read_records
from localjudge.rubric import Rubric
from localjudge.stats import Summary, summarize
from localjudge.store import RunStore
from localjudge.strategies import Settings
from localjudge.verdicts import Usage, answer_schema, joint_schema
from localjudge.weights import LocalModel

BAD_RECORDS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a run was asked to do. `model` may be None for the fake engine alone, which then counts characters."""

    inputs: tuple[Path, ...]
    out: Path
    rubrics: dict[TaskType, Rubric]
    model: LocalModel | None
    engine: EngineChoice = field(default_factory=EngineChoice)
    settings: Settings = field(default_factory=Settings)
    limit: int | None = None
    on_bad_input: Literal["skip", "fail"] = "fail"
    default_task_type: TaskType | None = None
    labels: Mapping[Path, str] = field(default_factory=dict)
    """How faults name an input, where its path would mean nothing to the reader."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. Seconds count from the first request, not from the start of loading."""

    stage: Literal["loading", "judging"]
    done: int
    total: int
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a finished run left."""

    folder: Path
    summary: Summary
    refused: tuple[BadRecord, ...]
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class CheckedInput:
    """The input after its first reading."""

    good: int
    refused: tuple[BadRecord, ...]
    digest: str


def check_input(request: RunRequest) -> CheckedInput:
    """Reads the whole input once, before any model loads.

    Raises InputError, naming every place up to a bound, for faulty records under `on_bad_input="fail"`; and when no
    record is left to judge.
    """
    good, refused = 0, []
    for entry in _entries(request):
        if isinstance(entry, BadRecord):
            refused.append(entry)
        elif entry.task_type not in request.rubrics:
            raise InputError(
                f"record {entry.id}: no rubric for task type {entry.task_type}.",
                hint=f"Add --rubric with a pack for {entry.task_type}.",
            )
        else:
            good += 1
    if refused and request.on_bad_input == "fail":
        lines = [str(bad.error()) for bad in refused[:BAD_RECORDS_SHOWN]]
        if len(refused) > BAD_RECORDS_SHOWN:
            lines.append(f"... and {len(refused) - BAD_RECORDS_SHOWN} more.")
        lines.append(
            f"{len(refused)} faulty, {good} good; nothing was judged. --on-bad-input skip judges the good ones."
        )
        raise InputError("\n".join(lines))
    if not good:
        raise InputError("no record to judge in " + ", ".join(path.name for path in request.inputs) + ".")
    if request.limit is not None:
        good = min(good, request.limit)
    return CheckedInput(good, tuple(refused), input_digest(request.inputs))


def execute(request: RunRequest, on_progress: Callable[[Progress], None] = lambda _: None) -> RunResult:
    """Does a run from start to end. Verdicts stored before an error stay stored.

    Raises InputError and ResumeError before anything is loaded or written; EngineError and StoreError later.
    """
    RunStore.check_free(request.out)
    checked = check_input(request)
    _check_thinking(request)
    plan = make_plan(request, checked)
    started = datetime.now(UTC)
    on_progress(Progress("loading", 0, checked.good))
    clock = time.monotonic()
    with closing(request.engine.open(request.model)) as engine:
        load_seconds = time.monotonic() - clock
        store = RunStore.create(request.out, plan)
        with closing(store):
            for bad in checked.refused:
                store.append_error(bad.where, bad.id, bad.problem)
            judge_seconds = _work(request, engine, store, checked.good, on_progress)
            manifest = _manifest(plan, engine.info, started, load_seconds, judge_seconds, checked)
            summary = summarize(store.verdicts())
            store.finish(manifest, summary)
    return RunResult(request.out, summary, checked.refused, manifest)


def make_plan(request: RunRequest, checked: CheckedInput) -> Plan:
    """The plan of a run, before any of it is done."""
    settings = request.settings
    schemas = {rubric.ref: [answer_schema(), joint_schema(rubric)] for rubric in request.rubrics.values()}
    return Plan(
        localjudge=own_version(),
        rubrics={
            task_type: RubricPlan(
                ref=rubric.ref, digest=rubric.digest, indicators=tuple(entry.id for entry in rubric.indicators)
            )
            for task_type, rubric in request.rubrics.items()
        },
        model=ModelPlan(
            name=request.model.spec.name if request.model else "fake",
            digest=request.model.digest if request.model else "",
        ),
        engine=request.engine.engine,
        engine_options=dict(request.engine.options),
        strategy=settings.strategy,
        thinking_budget=settings.thinking_budget,
        doubt_budget=settings.doubt_budget,
        reasons=settings.reasons,
        orders=settings.orders,
        band=settings.band,
        calibration=settings.calibration.digest if settings.calibration else "",
        keep_thinking=settings.keep_thinking,
        rules=settings.rules,
        lists_digest=lists_digest(),
        seed=settings.seed,
        prompt_digest=Prompts().digest,
        schema_digest=digest_of(schemas),
        input_digest=checked.digest,
        limit=request.limit,
        on_bad_input=request.on_bad_input,
    )


def _entries(request: RunRequest) -> Iterator[Record | BadRecord]:
    seen = IdLedger()
    for path in request.inputs:
        label = request.labels.get(path)
        yield from read_records(path, default_task_type=request.default_task_type, seen=seen, label=label)


def _records(request: RunRequest) -> Iterator[Record]:
    good = (entry for entry in _entries(request) if isinstance(entry, Record))
    return itertools.islice(good, request.limit)


def _work(
    request: RunRequest, engine: Engine, store: RunStore, total: int, on_progress: Callable[[Progress], None]
) -> float:
    judge = Judge(engine, request.rubrics, request.settings)
    clock = time.monotonic()
    usage, done = Usage(), 0
    on_progress(Progress("judging", 0, total))
    try:
        for verdict in judge.judge(_records(request)):
            store.append(verdict)
            usage, done = usage + verdict.usage, done + 1
            on_progress(Progress("judging", done, total, time.monotonic() - clock, usage))
    except EngineError as error:
        raise EngineError(
            f"{error.problem} {done} of {total} verdicts are stored in {request.out}.", hint=error.hint
        ) from error
    return time.monotonic() - clock


def _check_thinking(request: RunRequest) -> None:
    settings = request.settings
    asked = settings.thinking_budget is not None or settings.doubt_budget is not None
    if not asked or request.model is None:
        return
    if not request.model.spec.thinking:
        raise UsageError(
            f"model {request.model.spec.name} has no thinking mode.", hint="Use --thinking off, or a Qwen3 model."
        )


def _manifest(
    plan: Plan, info: EngineInfo, started: datetime, load_seconds: float, judge_seconds: float, checked: CheckedInput
) -> Manifest:
    return Manifest(
        plan_digest=plan.digest,
        started=started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        load_seconds=round(load_seconds, 3),
        judge_seconds=round(judge_seconds, 3),
        engine={
            "engine": info.engine,
            "context_length": info.context_length,
            "versions": dict(info.versions),
            "options": dict(info.options),
        },
        packages=packages(),
        hardware=hardware(),
        environment=environment(),
        records_judged=checked.good,
        records_refused=len(checked.refused),
    )
