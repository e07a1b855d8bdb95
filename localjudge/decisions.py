"""The cascade's decisions, as pure functions of what each stage said: they hold while a run asks its questions, and
again when `replay` moves the thresholds over stored stages, without a model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from localjudge.verdicts import NOT_APPLICABLE, Grade, Stage, StageName, Unscored, Verdict

Reasons = Literal["all", "failed"]

_REASONING: tuple[StageName, ...] = ("thinking", "explain")

# A "but" between the negation and the fault ends the negation: "未违反但缺乏关怀".
_NEGATED = re.compile(r"(?:没有?|未|无|不|不存在|并非|避免)[^，。；、但却而]{0,4}$")
_FAULT = re.compile(r"违反|不符合|不合适|不恰当|不当|不妥|未能|缺乏|缺少|忽视|忽略|越权|超出了?|矛盾|重复询问|答非所问")
_PRAISE = re.compile(
    r"^(?:该|此|本)?(?:消息|回复|客服|语气|内容|表达|称呼)?(?:完全|基本|整体)?"
    r"(?:符合|得体|恰当|合适|到位|(?:没有|并?无|未)(?:任何|明显)?(?:违反|问题|不妥|不当))"
)
_TURN = re.compile(r"但|却|不过|然而|只是")


class Band(NamedTuple):
    """The uncertain band of p_pass: strictly between `low` and `high` a read alone decides nothing."""

    low: float = 0.3
    high: float = 0.7

    def holds(self, probability: float | None) -> bool:
        """Whether a probability is uncertain; one that is missing is."""
        return probability is None or self.low < probability < self.high


DEFAULT_BAND = Band()
"""Of an uncalibrated read, where no other is given."""
SETTLED_BAND = Band(0.5, 0.5)
"""Of a calibrated read, where no other is given: how often such reads are right was measured, and of an answer it was
not. So the read decides, and the answer gives the reason."""
CERTAIN = Band(0.2, 0.8)
"""Outside of this the read of a reason alone is taken at its word."""


def deciding_band(band: Band | None, *, calibrated: bool) -> Band:
    """Where a read decides nothing alone: the band that was given, else that of such a read."""
    return band or (SETTLED_BAND if calibrated else DEFAULT_BAND)


def doubt_band(band: Band | None) -> Band:
    """Where a read is worth thinking about, calibrated or not."""
    return band or DEFAULT_BAND


def uncertain(read: Stage, band: Band | None) -> bool:
    """Whether a read decides nothing alone: inside its band, or without a result."""
    return deciding_band(band, calibrated=read.calibrated).holds(read.p_pass)


def wants_reason(read: Stage, band: Band | None, reasons: Reasons) -> bool:
    """Whether an indicator is asked again for a reason and a score after its read."""
    return reasons == "all" or read.score != 1 or uncertain(read, band)


def wants_thinking(read: Stage, explained: Stage, band: Band | None) -> bool:
    """Whether the two stages leave a doubt worth thinking about: they disagree, or the read is in the doubtful band."""
    return read.score != explained.score or doubt_band(band).holds(read.p_pass)


def decide(stages: Sequence[Stage], band: Band | None) -> tuple[StageName, Stage] | None:
    """Which stage decides, and what it said; None when no stage has a score.

    Thinking decides where it was asked for. A read decides where it is certain; where it is not, or failed, the answer
    with a reason does.
    """
    said = {stage.stage: stage for stage in stages if stage.score is not None}
    if "thinking" in said:
        return "thinking", said["thinking"]
    read, explained = said.get("read"), said.get("explain")
    if explained is not None and (read is None or uncertain(read, band)):
        return "explain", explained
    if read is not None:
        return "read", read
    return None


def regrade(grade: Grade, band: Band | None) -> Grade:
    """The same grade decided anew from its stages. A grade without stages stays as it is."""
    if not grade.stages:
        return grade
    said: Mapping[StageName, Stage] = {stage.stage: stage for stage in grade.stages}
    read = said.get("read")
    decided = decide(grade.stages, band)
    shared = {
        "p_pass": read.p_pass if read else None,
        "label_mass": read.label_mass if read else None,
        "margin": read.margin if read else None,
        "calibrated": read.calibrated if read else False,
    }
    if decided is None:
        last = grade.stages[-1]
        nothing = {"score": None, "applicable": None, "reason": last.reason, "decided_by": None}
        return grade.model_copy(update=shared | nothing | {"unscored": last.unscored, "source": "model"})
    name, stage = decided
    spoken = _spoken(stage, said)
    outcome = {
        "score": stage.score,
        "applicable": spoken.applicable,
        "reason": NOT_APPLICABLE if spoken.applicable is False else spoken.reason,
        "unscored": None,
        "decided_by": name,
        "source": "thinking" if name == "thinking" else "model",
    }
    return grade.model_copy(update=shared | outcome)


def settle(grade: Grade, band: Band | None, *, thinks: bool) -> Grade:
    """`regrade`, with all that a cascade notes beside the score; `thinks`: every answer came after thinking."""
    again = regrade(grade, band)
    if again.decided_by == "explain" and thinks:
        again = again.model_copy(update={"source": "thinking"})
    said = {stage.stage: stage for stage in grade.stages}
    stage = reasoned(said)
    against = (
        stage is not None and stage.score is not None and contradicts(stage.reason, stage.score, said.get("polarity"))
    )
    return again.model_copy(update={"contradiction": against})


def stages_owed(stages: Sequence[Stage], band: Band | None, reasons: Reasons, *, doubts: bool) -> tuple[StageName, ...]:
    """The stages that a cascade asks for, given what they said; `doubts`: thinking was allowed where in doubt."""
    said = {stage.stage: stage for stage in stages}
    owed: list[StageName] = ["read"]
    if "read" in said and wants_reason(said["read"], band, reasons):
        owed.append("explain")
        if doubts and "explain" in said and wants_thinking(said["read"], said["explain"], band):
            owed.append("thinking")
    return (*owed, "polarity") if reasoned(said) is not None else tuple(owed)


def redecide(verdict: Verdict, band: Band, *, thinks: bool) -> Verdict:
    """The same verdict with every grade decided anew as `settle` does, totals included."""
    detail = tuple(settle(grade, band, thinks=thinks) for grade in verdict.detail)
    scored = [grade for grade in detail if grade.score is not None]
    return verdict.model_copy(
        update={
            "detail": detail,
            "total_score": sum(grade.score or 0 for grade in scored),
            "scored": len(scored),
            "not_applicable": sum(1 for grade in scored if grade.applicable is False),
        }
    )


def contradicts(reason: str, score: int, polarity: Stage | None) -> bool:
    """Whether a reason argues against its own score: by its words, or by a read that saw the reason alone.

    Counted and reported; never a ground to change a score.
    """
    if polarity is not None and polarity.score != score and not CERTAIN.holds(polarity.p_pass):
        return True
    if score:
        return says_fault(reason)
    return bool(_PRAISE.match(reason)) and not says_fault(reason) and not _TURN.search(reason)


def says_fault(reason: str) -> bool:
    """Whether a reason names a fault, by words alone; a negated fault ("没有违反") is none."""
    return any(not _NEGATED.search(reason[: match.start()]) for match in _FAULT.finditer(reason))


def reasoned(said: Mapping[StageName, Stage]) -> Stage | None:
    """The last stage that came to a score and gave a reason for it."""
    for name in _REASONING:
        stage = said.get(name)
        if stage is not None and stage.score is not None and stage.reason:
            return stage
    return None


def _spoken(decisive: Stage, said: Mapping[StageName, Stage]) -> Stage:
    """The stage whose reason stands beside the deciding score: the deciding one, else one that came to the same score,
    never one that argues the other way. What it says of applicability goes with its reason."""
    if decisive.reason:
        return decisive
    others = (said[name] for name in _REASONING if name in said)
    return next((other for other in others if other.score == decisive.score and other.reason), decisive)


def failure(outcome: Unscored, name: StageName, reason: str = "", label_mass: float | None = None) -> Stage:
    """A stage that came to nothing, and why."""
    return Stage(stage=name, score=None, applicable=None, reason=reason, label_mass=label_mass, unscored=outcome)
