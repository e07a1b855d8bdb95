"""The cascade: a one-token read of every indicator, an answer with a reason where one is owed or needed, and thinking
where the two leave a doubt. What the stages said is kept with every grade; who decides is in `decisions`.
"""

from __future__ import annotations

from localjudge.decisions import failure, reasoned, settle, wants_reason, wants_thinking
from localjudge.engines.base import Completion, Request
from localjudge.rubric import Indicator
from localjudge.strategies import Case, failure_of, second_try
from localjudge.verdicts import (
    Answer,
    Grade,
    Stage,
    StageName,
    Unscored,
    Verdict,
    parse_answer,
)


class CascadeCase(Case):
    """One record through the cascade, every indicator at its own pace."""

    def open(self) -> list[Request]:
        self._stages: dict[str, list[Stage]] = {indicator.id: [] for indicator in self.rubric.indicators}
        self._thoughts: dict[str, str] = {}
        self._asked: dict[str, tuple[Indicator, StageName, Request]] = {}
        self._done: dict[str, Grade] = {}
        return [
            self._note(indicator, "read", request)
            for indicator in self.rubric.indicators
            for request in self.read_requests(indicator, f"{indicator.id}/read")
        ]

    def absorb(self, completion: Completion) -> list[Request]:
        self._count(completion)
        indicator, name, request = self._asked.pop(completion.request_id)
        if name in ("explain", "thinking") and completion.finish_reason == "length":
            again = second_try(request)
            if again is not None:
                return [self._note(indicator, name, again)]
        stage = self._stage(completion, name, indicator)
        if stage is None:
            return []
        if completion.thinking and self._settings.keep_thinking:
            self._thoughts[indicator.id] = completion.thinking
        self._stages[indicator.id].append(stage)
        follow_up = self._follow_up(indicator, name)
        if follow_up is None:
            self._done[indicator.id] = self._decide(indicator)
            return []
        return [follow_up]

    def verdict(self) -> Verdict | None:
        return self._whole(self._done)

    def _follow_up(self, indicator: Indicator, name: StageName) -> Request | None:
        settings = self._settings
        said = {stage.stage: stage for stage in self._stages[indicator.id]}
        if name == "read" and wants_reason(said["read"], settings.band, settings.reasons):
            request = self.explain_request(indicator, f"{indicator.id}/explain", settings.thinking_budget)
            return self._note(indicator, "explain", request)
        budget = settings.doubt_budget
        if name == "explain" and budget is not None and wants_thinking(said["read"], said["explain"], settings.band):
            request = self.explain_request(indicator, f"{indicator.id}/thinking", budget)
            return self._note(indicator, "thinking", request)
        stage = reasoned(said)
        if name == "polarity" or stage is None:
            return None
        return self._note(indicator, "polarity", self.polarity_request(stage.reason, f"{indicator.id}/polarity"))

    def _decide(self, indicator: Indicator) -> Grade:
        stages = tuple(self._stages[indicator.id])
        why = stages[0].unscored or Unscored.UNPARSEABLE
        undecided = Grade.without_score(indicator, why, thinking=self._thoughts.get(indicator.id), stages=stages)
        return settle(undecided, self._settings.band, thinks=self._settings.thinking_budget is not None)

    def _note(self, indicator: Indicator, name: StageName, request: Request) -> Request:
        self._asked[request.id] = (indicator, name, request)
        return request

    def _stage(self, completion: Completion, name: StageName, indicator: Indicator) -> Stage | None:
        """What a stage came to; None while reads of the same indicator are still to come."""
        if name == "read":
            reads = self.gather_read(indicator, completion)
            return self.read_stage(reads, name, indicator) if reads else None
        if name == "polarity":
            return self.read_stage([completion], name)
        answer: Answer | Unscored = failure_of(completion) or parse_answer(completion.text)
        if isinstance(answer, Unscored):
            return failure(answer, name, completion.error)
        return Stage(stage=name, score=answer.score, applicable=answer.applicable, reason=answer.reason)
