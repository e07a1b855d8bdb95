"""Starts a run or goes on with one: input checked, folder made, engine opened, every verdict stored as it comes."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from localjudge.asked import observed
from localjudge.egress import facts as egress_facts
from localjudge.engines.base import Engine, EngineInfo
from localjudge.errors import EngineError
from localjudge.intake import CheckedInput, RunRequest, check_unchanged, prepare, records_of
from localjudge.isolation import is_isolated
from localjudge.labels import insist_on_labels
from localjudge.manifest import (
    Manifest,
    Plan,
    checkout,
    environment,
    hardware,
    packages,
)
from localjudge.marking import summed
from localjudge.noise import NoiseBand
from localjudge.probe import find_band
from localjudge.records import BadRecord
from localjudge.recovery import SteadyJudge
from localjudge.seal import is_outgrown
from localjudge.segments import Damage
from localjudge.shards import Shard
from localjudge.stats import Summary
from localjudge.stop import Stop
from localjudge.store import RunStore
from localjudge.stored import Stored
from localjudge.work import Progress, Work


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


PUT_BACK = "Put it back as it was, and the same command goes on; or begin again with another --out."
COLLECTED_EVERY = 50_000
"""Objects made and not yet freed before Python looks for cycles among them. At its default of 700 it walks over the
prompts in flight, token by token, several times a record, and what a record leaves behind holds no cycles."""


@contextmanager
def rare_collections() -> Iterator[None]:
    """Lets Python look for cycles of dead objects less often, in the whole process."""
    before = gc.get_threshold()
    gc.set_threshold(COLLECTED_EVERY, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def execute(
    request: RunRequest,
    on_progress: Callable[[Progress], None] = lambda _: None,
    open_executor: OpenExecutor = LocalExecutor,
) -> RunResult:
    """Does one shard of a run, from its start or from where it stopped. What is stored before an error stays stored.

    Raises InputError and ResumeError before anything is loaded or written; StoppedError when it was asked to stop;
    EngineError and StoreError.
    """
    with Stop(request.grace, request.time_limit) as stop, rare_collections():
        checked, plan, stored = prepare(request)
        if len(stored) >= checked.share:
            return _seal(request, plan, checked, len(stored))
        return _judge(request, plan, checked, stored, stop, on_progress, open_executor)


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
    # Before an engine is imported, which sets switches of its own; those follow from its version.
    started, clock, switches = datetime.now(UTC), time.monotonic(), environment()
    # What is added to the input meanwhile was never checked, and stays out.
    with closing(open_executor(replace(request, limit=checked.good), plan, stored, stop, left)) as executor:
        load_seconds = time.monotonic() - clock
        check_unchanged(request, checked, PUT_BACK)
        with closing(RunStore.create(request.out, plan, request.shard, **_kept(request))) as store:
            store.write_errors(_errors(checked))
            damage = tuple(store.quarantine(stored.damage))
            store.reopen_shard()
            work = Work(store, stop, on_progress, total=checked.good, share=checked.share, before=len(stored))
            executor.do(work)
            _insist_on_all(request, checked, work)
            facts = executor.facts()
            manifest = _manifest(plan, checked, request.shard, started, switches).model_copy(
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


def _insist_on_all(request: RunRequest, checked: CheckedInput, work: Work) -> None:
    """A shard is complete when each record that was checked has a verdict, whatever its engine says."""
    check_unchanged(request, checked, "Verdicts stored since may be of other records: begin again with another --out.")
    if work.left:
        raise EngineError(
            f"the engine came to its end, and {work.left} of {checked.share} records have no verdict.",
            hint="The same command goes on.",
        )


def _seal(request: RunRequest, plan: Plan, checked: CheckedInput, before: int) -> RunResult:
    """Finishes a shard that has nothing to judge: an empty one, or one that was killed just before its last step."""
    with closing(RunStore.create(request.out, plan, request.shard, **_kept(request))) as store:
        if request.shard not in store.done():
            store.write_errors(_errors(checked))
            manifest = _manifest(plan, checked, request.shard, datetime.now(UTC), environment())
            summary = store.finish_shard(manifest, partial(summed, store))
        else:
            summary = summed(store, store.stored()) if store.complete else None
            if summary and (not (request.out / "summary.json").is_file() or is_outgrown(request.out)):
                store.write_summary(summary)
    return RunResult(request.out, plan, summary, checked.refused, None, before, judged=0)


def open_judge(request: RunRequest) -> SteadyJudge:
    """Opens the engine asked for. Raises EngineError, ConfigError or UsageError."""
    return SteadyJudge(lambda: request.engine.open(request.model), request.rubrics, request.settings)


def _noise_band(request: RunRequest, plan: Plan, info: EngineInfo) -> NoiseBand | None:
    if request.probes is None or plan.strategy not in ("read", "cascade"):
        return None
    calibration = request.settings.calibration
    return find_band(
        request.probes,
        info,
        model_digest=plan.model.digest,
        prompt_digest=plan.prompt_digest,
        orders=plan.orders,
        verbalizer=calibration.verbalizer_digest if calibration else "",
    )


def _kept(request: RunRequest) -> dict[str, Any]:
    return {"command": request.command, "calibration": request.settings.calibration}


def _errors(checked: CheckedInput) -> Iterator[dict[str, str | None]]:
    return ({"where": bad.where, "id": bad.id, "problem": bad.problem} for bad in checked.refused)


def _manifest(plan: Plan, checked: CheckedInput, shard: Shard, started: datetime, switches: dict[str, str]) -> Manifest:
    return Manifest(
        plan_digest=plan.digest,
        started=started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        load_seconds=0.0,
        judge_seconds=0.0,
        engine={"engine": plan.engine},
        packages=packages(),
        hardware=hardware(),
        environment=switches,
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
