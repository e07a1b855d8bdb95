"""Verifies a run that somebody else made, level by level; each takes for granted what those before it found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localjudge.calibration import Calibration
from localjudge.errors import ConfigError, UsageError
from localjudge.evidence import Evidence, check_integrity, check_signature, open_evidence
from localjudge.findings import LEVELS, Findings, Level
from localjudge.manifest import Plan
from localjudge.records import TaskType
from localjudge.recount import Source, check_completeness, check_numbers
from localjudge.rejudge import Means, Replay, check_environment, check_replay, plan_differences
from localjudge.rubric import Rubric, builtin_names, load_rubric


@dataclass(frozen=True, slots=True)
class Verification:
    """What every level that was asked for found."""

    levels: tuple[Findings, ...]
    replay: Replay | None = None

    @property
    def failed(self) -> tuple[Level, ...]:
        """The levels that do not hold, in order."""
        return tuple(findings.level for findings in self.levels if findings.outcome == "failed")

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "passed": not self.failed,
            "levels": [findings.as_dict() for findings in self.levels],
            "replay": self.replay.model_dump(mode="json") if self.replay else None,
        }


def verify(
    folder: Path,
    *,
    last: Level = "environment",
    public_key: Path | None = None,
    at_hand: Callable[[Evidence], tuple[Source, Means]] = lambda evidence: (source_of(evidence.plan), Means()),
    on_record: Callable[[int, int], None] = lambda done, total: None,
) -> Verification:
    """Checks a run folder up to and with the level `last`. `at_hand` says what there is to check it with, by default
    the built-in rubrics alone; with a public key, integrity asks for a signature by its owner.

    Raises StoreError for a folder that holds no run, InputError for an input that cannot be read, ConfigError for a
    key, UsageError for a replay without an input, and whatever opening an engine raises.
    """
    levels = [Findings(level) for level in LEVELS[: LEVELS.index(last) + 1]]
    found = {findings.level: findings for findings in levels}
    evidence = open_evidence(folder, found["shape"])
    if evidence is None:
        for findings in levels[1:]:
            findings.skip("the shape does not hold")
        return Verification(tuple(levels))
    source, means = at_hand(evidence)
    if last == "replay" and not source.inputs:
        raise UsageError("a replay judges records again.", hint="Give the input of the run: --input FILE.")
    if "integrity" in found:
        check_integrity(evidence, found["integrity"])
        if public_key is not None:
            check_signature(evidence, public_key, found["integrity"])
    if "completeness" in found:
        check_completeness(evidence, source, found["completeness"])
    if "numbers" in found:
        check_numbers(evidence, source, found["numbers"])
    replay = None
    if "environment" in found:
        asked = list(plan_differences(evidence, source, means))
        check_environment(evidence, asked, found["environment"], strict=means.strict)
        if "replay" in found:
            replay = check_replay(evidence, source, means, asked, found["replay"], on_record)
    return Verification(tuple(levels), replay)


def source_of(
    plan: Plan,
    *,
    inputs: Sequence[Path] = (),
    task_type: TaskType | None = None,
    rubrics: Sequence[str] = (),
    calibration: Calibration | None = None,
) -> Source:
    """What a run was judged from, out of what is given, else by the plan's task type and the built-in rubrics; those
    that are not the plan's word for word are left out. Raises ConfigError for packs that cannot be read, another
    calibration."""
    if calibration is not None and calibration.digest != plan.calibration:
        raise ConfigError("this calibration is not the one that the run used.", hint="Leave it out, or give that one.")
    packs = [load_rubric(name) for name in rubrics or builtin_names()]
    found = {task: pack for task in plan.rubrics if (pack := _same_rubric(plan, task, packs)) is not None}
    told = plan.default_task_type if plan.default_task_type != "unknown" else None
    return Source(tuple(inputs), task_type or told, found, calibration)


def _same_rubric(plan: Plan, task_type: TaskType, packs: Sequence[Rubric]) -> Rubric | None:
    wanted = plan.rubrics[task_type]
    for pack in packs:
        if pack.task_type != task_type or not {i.id for i in pack.indicators} >= set(wanted.indicators):
            continue
        for candidate in (pack, pack.select(wanted.indicators)):
            if candidate.digest == wanted.digest and wanted.pack in ("", pack.digest):
                return candidate
    return None
