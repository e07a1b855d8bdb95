"""Starts a run or goes on with one: input checked, folder made, engine opened, every verdict stored as it comes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from localjudge.asked import observed
from localjudge.checks import lists_digest
from localjudge.egress import facts as egress_facts
from localjudge.engine_choice import EngineChoice
from localjudge.engines.base import Engine, EngineInfo
from localjudge.errors import InputError, UsageError
from localjudge.isolation import is_isolated
from localjudge.labels import insist_on_labels
from localjudge.manifest import (
    NEUTRAL_OPTIONS,
    Manifest,
    ModelPlan,
    Plan,
    RubricPlan,
    checkout,
    digest_of,
    environment,
    hardware,
    own_version,
    packages,
)
from localjudge.marking import summed
from localjudge.noise import NoiseBand
from localjudge.probe import find_band
from localjudge.prompts import Prompts
from localjudge.records import BadRecord, IdLedger, Record, TaskType, input_digest, read_records
from localjudge.recovery import SteadyJudge
from localjudge.rubric import Rubric
from localjudge.segments import Damage
from localjudge.shards import Shard
from localjudge.stats import Summary
from localjudge.stop import GRACE, Stop
from localjudge.store import RunStore
from localjudge.stored import Stored
from localjudge.strategies import Settings
from localjudge.verdicts import answer_schema, joint_schema
from localjudge.weights import LocalModel
from localjudge.work import Progress, Work

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
    shard: Shard = field(default_factory=Shard)
    grace: float = GRACE
    time_limit: float | None = None
    """Seconds, as `Stop` takes them."""
    probes: Path | None = None
    """Where probes lie; a band found for the setting that is opened goes into the manifest."""
    command: Mapping[str, Any] | None = None
    """How the command line asked for this, kept in the run folder for `retry`."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a finished shard left. `summary` counts the whole run, and is None while other shards are to come."""

    folder: Path
    plan: Plan
    summary: Summary | None
    refused: tuple[BadRecord, ...]
    manifest: Manifest | None
    """None where nothing was left to judge."""
    before: int
    """Records of this shard that were stored already."""
    judged: int
    damage: tuple[Damage, ...] = ()
    """Damaged lines met for the first time; their records were judged again."""


@dataclass(frozen=True, slots=True)
class CheckedInput:
    """The input after its first reading."""

    good: int
    refused: tuple[BadRecord, ...]
    digest: str
    share: int = 0
    """Those of the good ones that are this shard's."""


def check_input(request: RunRequest) -> CheckedInput:
    """Reads the whole input once, before any model loads.

    Raises InputError, naming every place up to a bound, for faulty records under `on_bad_input="fail"`; and when no
    record is left to judge.
    """
    good, share, refused = 0, 0, []
    for entry in _entries(request):
        if isinstance(entry, BadRecord):
            refused.append(entry)
        elif entry.task_type not in request.rubrics:
            raise InputError(
                f"record {entry.id}: no rubric for task type {entry.task_type}.",
                hint=f"Add --rubric with a pack for {entry.task_type}.",
            )
        elif request.limit is None or good < request.limit:
            good += 1
            share += request.shard.holds(entry.id)
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
    return CheckedInput(good, tuple(refused), input_digest(request.inputs), share)


class Executor(Protocol):
    """Engines that are open, and the way of putting them to work on a shard. Where it works decides no verdict."""

    def do(self, work: Work) -> None:
        """Judges what is not stored yet, to its end or to a stop. Raises what `Work.do` raises."""

    def facts(self) -> dict[str, Any]:
        """What a manifest says of the engines."""

    def close(self) -> None:
        """Closes the engines."""


OpenExecutor = Callable[[RunRequest, Plan, Stored, Stop, int], Executor]
"""Opens the engines, before anything is written, for so many records that are not stored yet. Raises EngineError,
ConfigError or UsageError."""


class LocalExecutor:
    """One engine, in this process."""

    def __init__(self, request: RunRequest, plan: Plan, stored: Stored, stop: Stop, left: int) -> None:
        self._records = (record for record in records_of(request) if record.id not in stored)
        self._request, self._plan, self._stop = request, plan, stop
        self._judge = open_judge(request)

    def do(self, work: Work) -> None:
        work.do(insist_on_labels(self._judge.judge(self._stop.feed(self._records))))

    def facts(self) -> dict[str, Any]:
        return observed_of(self._request, self._plan, self._judge.engine) | {"engine_reopened": self._judge.reopened}

    def close(self) -> None:
        self._judge.close()


def execute(
    request: RunRequest,
    on_progress: Callable[[Progress], None] = lambda _: None,
    open_executor: OpenExecutor = LocalExecutor,
) -> RunResult:
    """Does one shard of a run, from its start or from where it stopped. What is stored before an error stays stored.

    Raises InputError and ResumeError before anything is loaded or written; StoppedError when it was asked to stop;
    EngineError and StoreError.
    """
    with Stop(request.grace, request.time_limit) as stop:
        checked, plan = prepare(request)
        stored = RunStore(request.out).stored(request.shard)
        if len(stored) >= checked.share:
            return _seal(request, plan, checked, len(stored))
        return _judge(request, plan, checked, stored, stop, on_progress, open_executor)


def prepare(request: RunRequest) -> tuple[CheckedInput, Plan]:
    """Checks folder, input and options against each other. Raises InputError, ResumeError or UsageError."""
    held = RunStore.check_folder(request.out)
    checked = check_input(request)
    _check_thinking(request)
    plan = make_plan(request, checked)
    if held:
        RunStore.open(request.out).check_plan(plan)
    return checked, plan


def records_of(request: RunRequest) -> Iterator[Record]:
    """The shard's records, streamed."""
    good = (entry for entry in _entries(request) if isinstance(entry, Record))
    return (record for record in itertools.islice(good, request.limit) if request.shard.holds(record.id))


def make_plan(request: RunRequest, checked: CheckedInput) -> Plan:
    """The plan of a run, before any of it is done."""
    settings = request.settings
    options = request.engine.all_options(request.model)
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
        engine_options={name: value for name, value in options.items() if name not in NEUTRAL_OPTIONS},
        strategy=settings.strategy,
        thinking_budget=settings.thinking_budget,
        doubt_budget=settings.doubt_budget,
        reasons=settings.reasons,
        orders=settings.orders,
        band=settings.band,
        calibration=settings.calibration.digest if settings.calibration else "",
        keep_thinking=settings.keep_thinking,
        rules=settings.rules,
        defences=settings.defences,
        lists_digest=lists_digest(),
        seed=settings.seed,
        prompt_digest=Prompts(settings.defences).digest,
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


def _judge(
    request: RunRequest,
    plan: Plan,
    checked: CheckedInput,
    stored: Stored,
    stop: Stop,
    on_progress: Callable[[Progress], None],
    open_executor: OpenExecutor,
) -> RunResult:
    left = checked.share - len(stored)
    on_progress(Progress("loading", 0, left))
    started, clock = datetime.now(UTC), time.monotonic()
    with closing(open_executor(request, plan, stored, stop, left)) as executor:
        load_seconds = time.monotonic() - clock
        with closing(RunStore.create(request.out, plan, request.shard, **_kept(request))) as store:
            store.write_errors(_errors(checked))
            damage = tuple(store.quarantine(stored.damage))
            store.reopen_shard()
            work = Work(store, stop, on_progress, total=checked.good, share=checked.share, before=len(stored))
            executor.do(work)
            facts = executor.facts()
            manifest = _manifest(plan, checked, request.shard, started).model_copy(
                update={
                    "load_seconds": round(load_seconds, 3),
                    "judge_seconds": round(work.seconds, 3),
                    "records_before": len(stored),
                    "tokens": work.tokens,
                    **facts,
                    "store": work.cost() | facts.get("store", {}),
                }
            )
            summary = store.finish_shard(manifest, partial(summed, store))
    return RunResult(request.out, plan, summary, checked.refused, manifest, len(stored), work.judged, damage)


def _seal(request: RunRequest, plan: Plan, checked: CheckedInput, before: int) -> RunResult:
    """Finishes a shard that has nothing to judge: an empty one, or one that was killed just before its last step."""
    with closing(RunStore.create(request.out, plan, request.shard, **_kept(request))) as store:
        if request.shard not in store.done():
            store.write_errors(_errors(checked))
            manifest = _manifest(plan, checked, request.shard, datetime.now(UTC))
            summary = store.finish_shard(manifest, partial(summed, store))
        else:
            summary = summed(store, store.stored()) if store.complete else None
            if summary and not (request.out / "summary.json").is_file():
                store.write_summary(summary)
    return RunResult(request.out, plan, summary, checked.refused, None, before, judged=0)


def open_judge(request: RunRequest) -> SteadyJudge:
    """Opens the engine asked for. Raises EngineError, ConfigError or UsageError."""
    return SteadyJudge(lambda: request.engine.open(request.model), request.rubrics, request.settings)


def _noise_band(request: RunRequest, plan: Plan, info: EngineInfo) -> NoiseBand | None:
    if request.probes is None or plan.strategy not in ("read", "cascade"):
        return None
    return find_band(
        request.probes, info, model_digest=plan.model.digest, prompt_digest=plan.prompt_digest, orders=plan.orders
    )


def _kept(request: RunRequest) -> dict[str, Any]:
    return {"command": request.command, "calibration": request.settings.calibration}


def _errors(checked: CheckedInput) -> Iterator[dict[str, str | None]]:
    return ({"where": bad.where, "id": bad.id, "problem": bad.problem} for bad in checked.refused)


def _check_thinking(request: RunRequest) -> None:
    settings = request.settings
    asked = settings.thinking_budget is not None or settings.doubt_budget is not None
    if not asked or request.model is None:
        return
    if not request.model.spec.thinking:
        raise UsageError(
            f"model {request.model.spec.name} has no thinking mode.", hint="Use --thinking off, or a Qwen3 model."
        )


def _manifest(plan: Plan, checked: CheckedInput, shard: Shard, started: datetime) -> Manifest:
    return Manifest(
        plan_digest=plan.digest,
        started=started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        load_seconds=0.0,
        judge_seconds=0.0,
        engine={"engine": plan.engine},
        packages=packages(),
        hardware=hardware(),
        environment=environment(),
        git=checkout(),
        records_judged=checked.share,
        records_refused=len(checked.refused),
        rank=shard.rank,
        world_size=shard.world_size,
        records_before=checked.share,
        egress=egress_facts() | {"isolated": is_isolated()},
    )


def observed_of(request: RunRequest, plan: Plan, engine: Engine) -> dict[str, Any]:
    """What a manifest says of an open engine, and of what it was asked."""
    return {
        "engine": engine_facts(engine.info),
        **observed(engine, request.rubrics, request.settings),
        "noise_band": _noise_band(request, plan, engine.info),
    }


def engine_facts(info: EngineInfo) -> dict[str, Any]:
    """What was opened, as the manifest keeps it."""
    return {
        "engine": info.engine,
        "context_length": info.context_length,
        "versions": dict(info.versions),
        "options": dict(info.options),
    }
