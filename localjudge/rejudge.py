"""A run held against this machine: what is different here, and what a sample of its records gets when it is judged here
again. Tells how often a score flips and how near to a tie it was; does not decide which of the two is right.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from localjudge.decisions import Band
from localjudge.engine_choice import EngineChoice
from localjudge.engines.vllm_offline import SWITCHES
from localjudge.evidence import Evidence
from localjudge.findings import Findings, differences, shown
from localjudge.intake import CheckedInput, RunRequest, make_plan
from localjudge.manifest import Plan, environment, hardware, packages
from localjudge.prompts import Defences
from localjudge.recount import Source
from localjudge.run import open_judge
from localjudge.stats import Rate, wilson
from localjudge.strategies import Settings, Strategy
from localjudge.verdicts import Grade, Unscored, Verdict
from localjudge.weights import LocalModel

SAMPLE = 100
MARGIN_TOLERANCE = 1.0
"""How far a margin may move, in natural log-odds. The last bits of bfloat16 move one by a few tenths; another model, or
a figure that was made up, by several."""
FLIP_RATE = 0.05
"""A share of flips that numerical noise does not explain, when the whole interval lies above it."""

_OTHER_MACHINE = ("localjudge", "engine", "engine_options")
"""What of a plan may be different here without asking another question."""


@dataclass(frozen=True, slots=True)
class Means:
    """With what a sample is judged again."""

    model: LocalModel | None = None
    engine: EngineChoice = field(default_factory=EngineChoice)
    sample: int = SAMPLE
    seed: int = 0
    strict: bool = False
    """Allow no flip, no other reason and no other margin."""


class Flip(BaseModel):
    """A score that is another one here."""

    model_config = ConfigDict(frozen=True)

    id: str
    indicator: str
    there: int | None
    here: int | None
    margin_there: float | None
    margin_here: float | None
    decided_by: str | None

    def __str__(self) -> str:
        return (
            f"record {self.id!r}: indicator {self.indicator}: {shown(self.there)} there, {shown(self.here)} here; "
            f"margin {_signed(self.margin_there)} there, {_signed(self.margin_here)} here"
        )


class Replay(BaseModel):
    """A sample judged again. Grades of rules are left out, and those that an engine failed on there."""

    model_config = ConfigDict(frozen=True)

    records: int
    grades: int
    flips: tuple[Flip, ...]
    flip_rate: Rate
    margins: int
    """Grades that have a margin both there and here."""
    same_margins: int
    """Those with the very same one."""
    median_shift: float
    largest_shift: float
    """Of the margins, in natural log-odds."""


class _Pair(NamedTuple):
    record_id: str
    there: Grade
    here: Grade

    @property
    def shift(self) -> float | None:
        if self.there.margin is None or self.here.margin is None:
            return None
        return abs(self.there.margin - self.here.margin)


def request_of(evidence: Evidence, source: Source, means: Means) -> RunRequest:
    """The request that asks what a plan says was asked."""
    plan = evidence.plan
    return RunRequest(
        inputs=source.inputs,
        out=evidence.folder,
        rubrics=dict(source.rubrics),
        model=means.model,
        engine=EngineChoice(
            _engine(plan, means.engine),
            {**plan.engine_options, **means.engine.options},
            means.engine.server_url,
            means.engine.api_key,
        ),
        settings=settings_of(plan, source),
        limit=plan.limit,
        on_bad_input="skip" if plan.on_bad_input == "skip" else "fail",
        default_task_type=source.task_type,
    )


def _engine(plan: Plan, wanted: EngineChoice) -> str:
    if wanted.wanted != "auto":
        return wanted.wanted
    return "server" if wanted.server_url else plan.engine


def settings_of(plan: Plan, source: Source) -> Settings:
    """How a plan says that records were asked about."""
    levels: dict[str, Defences] = {"off": "off", "clean": "clean", "fence": "fence"}
    strategies: dict[str, Strategy] = {"cascade": "cascade", "read": "read", "explain": "explain", "joint": "joint"}
    return Settings(
        strategy=strategies[plan.strategy],
        thinking_budget=plan.thinking_budget,
        keep_thinking=plan.keep_thinking,
        seed=plan.seed,
        reasons="all" if plan.reasons == "all" else "failed",
        band=Band(*plan.band) if plan.band else None,
        doubt_budget=plan.doubt_budget,
        orders=1 if plan.orders == 1 else 2,
        calibration=source.calibration,
        defences=levels[plan.defences],
        rules="on" if plan.rules == "on" else "witness" if plan.rules == "witness" else "off",
    )


Difference = tuple[str, Any, Any]
"""Where, what it was there, what it is here."""


def plan_differences(evidence: Evidence, source: Source, means: Means) -> Iterator[Difference]:
    """Where the plan that these means make is not the plan of the run. What was not given is not compared."""
    plan = evidence.plan
    request = request_of(evidence, source, means)
    again = make_plan(request, CheckedInput(0, (), plan.input_digest))
    missing = [task for task in plan.rubrics if task not in source.rubrics]
    for task in missing:
        yield f"rubrics.{task}", f"{plan.rubrics[task].ref} {plan.rubrics[task].digest[:12]}", "none in these words"
    unknown = {"model.name"} | ({"model.digest"} if means.model is None and plan.engine != "fake" else set())
    unknown |= set() if plan.tells_task_type else {"default_task_type"}
    for name, there, here in differences(plan.model_dump(mode="json"), again.model_dump(mode="json")):
        if name in unknown or (missing and (name.startswith("rubrics") or name == "schema_digest")):
            continue
        yield name, there, here


def check_environment(
    evidence: Evidence, asked: Sequence[Difference], findings: Findings, *, strict: bool = False
) -> None:
    """Notes what is different here, with what `plan_differences` found; nothing of it is a fault unless `strict`."""
    for name, there, here in asked:
        findings.notes.append(f"plan.json: {name}: {shown(there)} there, {shown(here)} here")
    here = {"packages": packages(), "hardware": hardware(), "environment": SWITCHES | environment()}
    noted: set[str] = set()
    for name, manifest in evidence.manifests.items():
        there = {
            "packages": manifest.packages,
            "hardware": manifest.hardware,
            "environment": SWITCHES | manifest.environment,
        }
        for path, told, found in differences(there, here):
            text = f"{path}: {shown(told)} there, {shown(found)} here"
            if text not in noted:
                noted.add(text)
                findings.notes.append(f"{name}: {text}")
    findings.detail = f"{len(findings.notes)} differences from this machine"
    if strict:
        for note in findings.notes:
            findings.fault("difference", note)
        findings.notes.clear()


def check_replay(
    evidence: Evidence,
    source: Source,
    means: Means,
    asked: Sequence[Difference],
    findings: Findings,
    on_record: Callable[[int, int], None] = lambda done, total: None,
) -> Replay | None:
    """Judges a sample again, drawn from the ids by the seed. None, with faults, where it cannot be asked as it was."""
    for name, there, here in asked:
        if not name.startswith(_OTHER_MACHINE):
            findings.fault("plan.json", f"{name} is {shown(there)}, here {shown(here)}: not the same question")
    if findings.count:
        return None
    ids = sorted(verdict.id for verdict in evidence.stored)
    chosen = set(random.Random(means.seed).sample(ids, min(means.sample, len(ids))))
    records = [record for record in source.records(evidence.plan.limit) if record.id in chosen]
    for missing in sorted(chosen - {record.id for record in records}):
        findings.fault(f"record {missing!r}", "judged, and not in the input")
    pairs: list[_Pair] = []
    with closing(open_judge(request_of(evidence, source, means))) as judge:
        for done, verdict in enumerate(judge.judge(records), start=1):
            pairs += _paired(evidence.stored[verdict.id], verdict, findings)
            on_record(done, len(records))
    replay = _counted(len(records), pairs)
    _judge_pairs(pairs, replay, means, findings)
    rate = replay.flip_rate
    findings.detail = (
        f"{replay.records} records, {len(replay.flips)} of {replay.grades} scores flipped "
        f"({100 * rate.value:.2f} %, 95 % interval {100 * rate.low:.2f} to {100 * rate.high:.2f} %), "
        f"{replay.same_margins} of {replay.margins} margins the same, largest shift {replay.largest_shift:.3g}"
    )
    return replay


def _paired(there: Verdict, here: Verdict, findings: Findings) -> Iterator[_Pair]:
    again = {grade.id: grade for grade in here.detail}
    for grade in there.detail:
        other = again.get(grade.id)
        if grade.unscored is Unscored.ENGINE_ERROR:
            continue
        if other is None or (grade.source == "rule") != (other.source == "rule"):
            findings.fault(f"record {there.id!r}", f"indicator {grade.id}: a rule decides it on one side alone")
        elif grade.source != "rule":
            yield _Pair(there.id, grade, other)


def _counted(records: int, pairs: list[_Pair]) -> Replay:
    flips = tuple(
        Flip(
            id=pair.record_id,
            indicator=pair.there.id,
            there=pair.there.score,
            here=pair.here.score,
            margin_there=pair.there.margin,
            margin_here=pair.here.margin,
            decided_by=pair.there.decided_by,
        )
        for pair in pairs
        if pair.there.score != pair.here.score
    )
    shifts = [pair.shift for pair in pairs if pair.shift is not None]
    return Replay(
        records=records,
        grades=len(pairs),
        flips=flips,
        flip_rate=wilson(len(flips), len(pairs)),
        margins=len(shifts),
        same_margins=sum(not shift for shift in shifts),
        median_shift=median(shifts) if shifts else 0.0,
        largest_shift=max(shifts, default=0.0),
    )


def _judge_pairs(pairs: list[_Pair], replay: Replay, means: Means, findings: Findings) -> None:
    """A margin that moved further than noise moves one is a fault, and so are more flips than noise makes; `strict`:
    whatever is not the same."""
    for flip in replay.flips:
        if means.strict:
            findings.fault("flip", str(flip))
        else:
            findings.notes.append(str(flip))
    allowed = 0.0 if means.strict else MARGIN_TOLERANCE
    for pair in pairs:
        where = f"record {pair.record_id!r}: indicator {pair.there.id}"
        if pair.shift is not None and not pair.shift <= allowed:  # NaN is no small shift
            findings.fault(where, f"margin {_signed(pair.there.margin)} there, {_signed(pair.here.margin)} here")
        elif means.strict and _reasons(pair.there) != _reasons(pair.here):
            findings.fault(where, "another reason here")
    if replay.flip_rate.low > FLIP_RATE:
        findings.fault(
            "scores", f"{len(replay.flips)} of {replay.grades} flipped, more than {FLIP_RATE:.0%} for certain"
        )


def _reasons(grade: Grade) -> tuple[str, ...]:
    """What was said, by stages that the grade does not show too."""
    return (grade.reason, *(stage.reason for stage in grade.stages))


def _signed(margin: float | None) -> str:
    return "none" if margin is None else f"{margin:+.3f}"
