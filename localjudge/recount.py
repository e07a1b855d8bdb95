"""A run counted again without a model: every record once, every score from what its stages said, every total from its
scores. Knows the rules by which figures are made, and none of the reasons for what a model said.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from localjudge.calibration import Calibration
from localjudge.checks import lists_digest
from localjudge.decisions import Band, Reasons, settle, stages_owed
from localjudge.errors import StoreError
from localjudge.evidence import Evidence
from localjudge.findings import KEPT, Findings, differences, shown
from localjudge.manifest import Manifest, Plan
from localjudge.marking import summed
from localjudge.reads import MIN_LABEL_MASS
from localjudge.records import BadRecord, IdLedger, Record, TaskType, input_digest, read_records
from localjudge.rubric import Rubric
from localjudge.rules import rule
from localjudge.shards import Shard, whole_world
from localjudge.verdicts import NOT_APPLICABLE, Grade, Stage, Unscored, Usage, Verdict

_ROUNDING = 1e-6
"""How far a stored probability may be from the one that its margin gives."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a run was judged from, as far as it is at hand."""

    inputs: tuple[Path, ...] = ()
    task_type: TaskType | None = None
    """For records that do not say."""
    rubrics: Mapping[TaskType, Rubric] = field(default_factory=dict)
    """Those of the plan, word for word."""
    calibration: Calibration | None = None

    def entries(self) -> Iterator[Record | BadRecord]:
        """The input as a run reads it. Raises InputError."""
        seen = IdLedger()
        for path in self.inputs:
            yield from read_records(path, default_task_type=self.task_type, seen=seen)

    def records(self, limit: int | None) -> Iterator[Record]:
        """Those that a run with this limit judges."""
        return islice((entry for entry in self.entries() if isinstance(entry, Record)), limit)


def check_completeness(evidence: Evidence, source: Source, findings: Findings) -> None:
    """Every record of the input has one verdict, and nothing else has; without the input, as many as were counted."""
    stored = evidence.stored
    for where, record_id in evidence.repeats:
        findings.fault(where, f"record {record_id!r} stands twice in one segment")
    _check_counts(evidence, findings)
    if stored.duplicates:
        again = f"{stored.duplicates} records were judged more than once, {stored.conflicts} of them otherwise"
        findings.notes.append(again)
    if not source.inputs:
        findings.skip("needs --input; the counts alone were checked")
        return
    if input_digest(source.inputs) != evidence.plan.input_digest:
        hint = (
            "give the same files in the same order" if len(source.inputs) > 1 else "it is another file, or was changed"
        )
        findings.fault(", ".join(path.name for path in source.inputs), f"not the input that was judged; {hint}")
    wanted = _check_records(evidence, source, findings)
    for verdict in stored:
        if wanted.claim(verdict.id, "", 0) is None:
            _blame(evidence, findings, verdict.id, "judged, and not in the input")


def _check_records(evidence: Evidence, source: Source, findings: Findings) -> IdLedger:
    """Looks for the verdict of every record; returns the ids there are."""
    wanted, good, bad = IdLedger(), 0, 0
    limit = evidence.plan.limit
    for entry in source.entries():
        if isinstance(entry, BadRecord):
            bad += 1
        elif limit is None or good < limit:
            good += 1
            wanted.claim(entry.id, "", good)
            if entry.id not in evidence.stored:
                findings.fault(f"record {entry.id!r}", "in the input, and without a verdict")
    refused = evidence.store.refused()
    if bad != refused:
        findings.fault("errors.jsonl", f"{refused} records were refused, the input has {bad} faulty ones")
    findings.detail = f"{good} records of the input, {len(evidence.stored)} verdicts"
    return wanted


def check_numbers(evidence: Evidence, source: Source, findings: Findings) -> None:
    """Grades from their stages, totals from the grades, the summary from the totals; rules from the records."""
    plan = evidence.plan

    def recounted() -> Iterator[Verdict]:
        for verdict in evidence.stored:
            for what in verdict_faults(verdict, plan, source):
                _blame(evidence, findings, verdict.id, what)
            yield verdict

    try:
        again = summed(evidence.store, recounted())
    except StoreError as error:
        findings.fault("calibration.json", str(error))
        return
    if evidence.summary is not None:
        there, here = (summary.model_dump(mode="json") for summary in (evidence.summary, again))
        for name, told, counted in differences(there, here):
            findings.fault("summary.json", f"{name} is {shown(told)}, the verdicts make {shown(counted)}")
    if evidence.store.complete:
        _check_tokens(evidence, again.usage, findings)
    if plan.rules != "off":
        _check_rules(evidence, source, findings)
    findings.detail = f"{len(evidence.stored)} verdicts and the summary counted again"


def verdict_faults(verdict: Verdict, plan: Plan, source: Source) -> Iterator[str]:
    """What of a verdict does not follow from the rest of it."""
    scored = [grade for grade in verdict.detail if grade.score is not None]
    totals = {
        "total_score": sum(grade.score or 0 for grade in scored),
        "max_score": len(verdict.detail),
        "scored": len(scored),
        "not_applicable": sum(grade.applicable is False for grade in scored),
    }
    for name, counted in totals.items():
        if getattr(verdict, name) != counted:
            yield f"{name} is {getattr(verdict, name)}, the grades make {counted}"
    for grade in verdict.detail:
        for what in _grade_faults(grade, plan):
            yield f"indicator {grade.id}: {what}"
        for what in _calibration_faults(verdict, grade, source):
            yield f"indicator {grade.id}: {what}"


def _grade_faults(grade: Grade, plan: Plan) -> Iterator[str]:
    if grade.score is not None and grade.applicable is False and grade.score != 1:
        yield "does not apply, and is not a pass"
    if grade.source == "rule":
        if plan.rules != "on" or grade.stages:
            yield "decided by a rule, where the model decides"
    elif grade.stages:
        yield from _stage_faults(grade, plan)
    elif grade.unscored is None and plan.strategy == "cascade":
        yield "has a score and no stages"
    elif plan.strategy == "read":
        yield from _read_faults(grade)
    elif grade.unscored is None:
        yield from _answer_faults(grade)


def _stage_faults(grade: Grade, plan: Plan) -> Iterator[str]:
    band = Band(*plan.band) if plan.band else None
    reasons: Reasons = "all" if plan.reasons == "all" else "failed"
    asked = tuple(stage.stage for stage in grade.stages)
    owed = stages_owed(grade.stages, band, reasons, doubts=plan.doubt_budget is not None)
    if asked != owed:
        yield f"its stages are {', '.join(asked)}; they call for {', '.join(owed)}"
    again = settle(grade, band, thinks=plan.thinking_budget is not None)
    if again != grade:
        there, here = (each.model_dump(mode="json", exclude={"stages"}) for each in (grade, again))
        for name, told, follows in differences(there, here):
            yield f"{name} is {shown(told)}, its stages say {shown(follows)}"
    for stage in grade.stages:
        for what in _read_faults(stage) if stage.stage in ("read", "polarity") else _answer_faults(stage):
            yield f"stage {stage.stage}: {what}"


def _read_faults(said: Stage | Grade) -> Iterator[str]:
    if said.score is None:
        return
    if said.p_pass is None or said.margin is None or said.label_mass is None:
        yield "a read without its figures"
        return
    if said.score != (said.p_pass >= 0.5):
        yield f"the score is {said.score}, p_pass {said.p_pass:.4g}"
    if not said.calibrated and not _close(said.p_pass, probability(said.margin)):
        yield f"p_pass is {said.p_pass:.6g}, its margin makes {probability(said.margin):.6g}"
    if not MIN_LABEL_MASS <= said.label_mass <= 1:
        yield f"scored with a label mass of {said.label_mass:.4g}"


def _answer_faults(said: Stage | Grade) -> Iterator[str]:
    if said.score is not None and said.applicable is said.reason.strip().startswith(NOT_APPLICABLE):
        yield f"applicable is {said.applicable}, the reason {shown(said.reason)}"


def _close(one: float, other: float) -> bool:
    # False for NaN too.
    return abs(one - other) <= _ROUNDING


def probability(margin: float) -> float:
    """The probability of which a margin is the natural log-odds."""
    return 1 / (1 + math.exp(-margin)) if margin >= 0 else math.exp(margin) / (1 + math.exp(margin))


def _calibration_faults(verdict: Verdict, grade: Grade, source: Source) -> Iterator[str]:
    rubric, calibration = source.rubrics.get(verdict.task_type), source.calibration
    if rubric is None or calibration is None or grade.margin is None or grade.p_pass is None:
        return
    indicator = next((entry for entry in rubric.indicators if entry.id == grade.id), None)
    made = calibration.probability(rubric, indicator, grade.margin) if indicator else None
    if (made is not None) != grade.calibrated or (made is not None and not _close(made, grade.p_pass)):
        yield f"p_pass is {grade.p_pass:.6g}, the calibration makes {shown(made)} of its margin"


def _check_counts(evidence: Evidence, findings: Findings) -> None:
    if not evidence.store.complete:
        findings.fault("done/", f"the run is not finished; it holds {len(evidence.stored)} verdicts")
        return
    world = _last_world(evidence, findings)
    counted = sum(manifest.records_judged for manifest in world)
    if world and counted != len(evidence.stored):
        findings.fault("verdicts/", f"{len(evidence.stored)} verdicts, the manifests count {counted} records")
    for refused in {manifest.records_refused for manifest in world}:
        if refused != evidence.store.refused():
            findings.fault("errors.jsonl", f"{evidence.store.refused()} lines, a manifest counts {refused}")


def _last_world(evidence: Evidence, findings: Findings) -> tuple[Manifest, ...]:
    """The manifests of the shards that completed the run; none where one of them is missing."""
    whole = whole_world(evidence.store.done()) or Shard()
    held = {(manifest.rank, manifest.world_size): manifest for manifest in evidence.manifests.values()}
    for shard in whole.all():
        if (shard.rank, shard.world_size) not in held:
            findings.fault(f"done/{shard.name}", "marks as done a shard that left no manifest")
            return ()
    return tuple(held[shard.rank, shard.world_size] for shard in whole.all())


def _check_tokens(evidence: Evidence, counted: Usage, findings: Findings) -> None:
    manifests = evidence.manifests.values()
    # Who goes on with a run counts its own verdicts alone, and one judged again was paid for twice.
    if evidence.stored.duplicates or not all(entry.tokens and not entry.records_before for entry in manifests):
        return
    for name, value in counted.model_dump().items():
        told = sum(manifest.tokens.get(name, 0) for manifest in manifests)
        if told != value:
            findings.fault("manifest*.json", f"tokens.{name} is {told}, the verdicts make {value}")


def _check_rules(evidence: Evidence, source: Source, findings: Findings) -> None:
    plan = evidence.plan
    why = _why_no_rules(plan, source)
    if why:
        findings.notes.append(f"what the rules say was not looked up again: {why}")
        return
    for record in source.records(plan.limit):
        if record.id in evidence.stored:
            for what in _rule_faults(record, evidence.stored[record.id], source, plan):
                _blame(evidence, findings, record.id, what)


def _why_no_rules(plan: Plan, source: Source) -> str:
    if not source.inputs:
        return "needs --input"
    if set(source.rubrics) != set(plan.rubrics):
        return "the rubrics of the run are not here"
    return "" if plan.lists_digest == lists_digest() else "the word lists here are others"


def _rule_faults(record: Record, verdict: Verdict, source: Source, plan: Plan) -> Iterator[str]:
    rules = next(name for name in ("on", "witness") if name == plan.rules)
    ruling = rule(record, source.rubrics[record.task_type], rules)
    for grade in verdict.detail:
        if grade.unscored is Unscored.ENGINE_ERROR:
            continue  # runs from before gave up a rule's grades too, on a record that the engine died of
        ruled = ruling.decided.get(grade.id)
        if grade.unscored is None and (ruled is not None) != (grade.source == "rule"):
            yield f"indicator {grade.id}: {'not ' if ruled else ''}decided by a rule, the rules say otherwise"
        elif ruled is not None and ruled != grade.model_copy(update={"witnesses": ()}):
            yield f"indicator {grade.id}: the rule says {ruled.score}, {shown(ruled.reason)}"
        elif grade.witnesses != ruling.witnesses.get(grade.id, ()) and grade.unscored is None:
            yield f"indicator {grade.id}: its witnesses are not what the checks say"


def _blame(evidence: Evidence, findings: Findings, record_id: str, what: str) -> None:
    # To find the line, the segment is read up to it: not for faults that nobody will see.
    where = evidence.stored.place(record_id) if findings.count < KEPT else ""
    findings.fault(where, f"record {record_id!r}: {what}")
