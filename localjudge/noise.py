"""How far a margin moves when nothing but its company changes, and which grades that could turn: pure functions of what
is stored. Marks, and never changes a score; measures nothing itself, see `probe`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from localjudge.calibration import Calibration, map_key, sigmoid
from localjudge.decisions import Band, decide, deciding_band, doubt_band, uncertain, wants_thinking
from localjudge.records import TaskType
from localjudge.verdicts import Grade, Stage, StageName, Verdict


class NoiseBand(BaseModel):
    """What a probe found, as a run's manifest keeps it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    margin: float = Field(ge=0)
    """Furthest that any read's margin moved between two ways of asking."""
    reads: int = Field(gt=0)
    ways: int = Field(gt=0)
    probe: str
    """sha256 of the probe."""


@dataclass(frozen=True, slots=True)
class Noise:
    """A noise band, and what decides a grade of the run that it is laid on."""

    margin: float
    cascade: bool = False
    """Whether other stages may decide; else a read alone does."""
    band: Band | None = None
    """The uncertain band that the cascade was given, if any."""
    doubts: bool = False
    """Whether a cascade thinks where its stages leave a doubt."""
    calibration: Calibration | None = None

    def undecided(self, task_type: TaskType, grade: Grade) -> bool:
        """Whether the grade's score could be another one with its margin anywhere within the noise band of the one it
        has; or rests on a question that would then have been asked and was not.
        """
        if grade.margin is None or grade.score is None or grade.source == "rule":
            return False
        low, high = (self._probability(task_type, grade, grade.margin + sign * self.margin) for sign in (-1, 1))
        turns = [bound for bound in self._turns(calibrated=grade.calibrated) if low <= bound <= high]
        if not turns:
            return False
        # Between two bounds nothing changes, so one point on either side of each stands for all.
        points = [low, high, *(math.nextafter(bound, side) for bound in turns for side in (0.0, 1.0))]
        said = {stage.stage: stage for stage in grade.stages}
        return any(self._score_at(point, said) != grade.score for point in points if low <= point <= high)

    def mark(self, verdict: Verdict) -> Verdict:
        """The same verdict, `numerically_undecided` set on the grades that are."""
        marks = [self.undecided(verdict.task_type, grade) for grade in verdict.detail]
        if marks == [grade.numerically_undecided for grade in verdict.detail]:
            return verdict
        detail = tuple(
            grade.model_copy(update={"numerically_undecided": mark})
            for grade, mark in zip(verdict.detail, marks, strict=True)
        )
        return verdict.model_copy(update={"detail": detail})

    def _turns(self, *, calibrated: bool) -> set[float]:
        """The probabilities at which what is decided, or asked, changes."""
        bands = [deciding_band(self.band, calibrated=calibrated)] if self.cascade else []
        bands += [doubt_band(self.band)] if self.doubts else []
        return {0.5, *(end for band in bands for end in band)}

    def _probability(self, task_type: TaskType, grade: Grade, margin: float) -> float:
        if not grade.calibrated or self.calibration is None:
            return sigmoid(margin)
        return self.calibration.maps[map_key(task_type, grade.id)].probability(margin)

    def _score_at(self, probability: float, said: Mapping[StageName, Stage]) -> int | None:
        """The score had the read said this; None where that hangs on a question that was not asked."""
        score = 1 if probability >= 0.5 else 0
        if not self.cascade or "read" not in said:
            return score
        read = said["read"].model_copy(update={"p_pass": probability, "score": score})
        explained = said.get("explain")
        if explained is None:
            return None if uncertain(read, self.band) else score
        doubtful = wants_thinking(read, explained, self.band)
        if doubtful and self.doubts and "thinking" not in said:
            return None
        stages = [read, explained, *([said["thinking"]] if doubtful and "thinking" in said else [])]
        decided = decide(stages, self.band)
        return decided[1].score if decided else None


def marked(verdicts: Iterable[Verdict], noise: Noise | None) -> Iterator[Verdict]:
    """Verdicts as they are read: marked, or as they are where no probe was made."""
    return map(noise.mark, verdicts) if noise else iter(verdicts)
