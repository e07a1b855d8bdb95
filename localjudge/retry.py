"""Asks a run's unscored indicators once more, and nothing else; what has a score keeps it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

from localjudge.errors import LocalJudgeError, ResumeError
from localjudge.intake import RunRequest, check_unchanged, prepare, records_of
from localjudge.marking import summed
from localjudge.records import TaskType
from localjudge.rubric import Rubric
from localjudge.run import PUT_BACK, RunResult, open_judge
from localjudge.stats import Summary
from localjudge.stop import Stop
from localjudge.store import RunStore
from localjudge.stored import Stored
from localjudge.verdicts import Verdict
from localjudge.work import Progress, Work


def retry(request: RunRequest, on_progress: Callable[[Progress], None] = lambda _: None) -> RunResult:
    """Judges again what has no score in the run at `request.out`. `judged` of the result counts records that gained.
    One that is stopped, or whose engine dies, has summed up and sealed what it gained.

    Raises what `execute` raises, and ResumeError where there is no run.
    """
    with Stop(request.grace, request.time_limit) as stop:
        if not RunStore.check_folder(request.out):
            raise ResumeError(f"{request.out} holds no run.", hint="`localjudge run` begins one.")
        checked, plan, _ = prepare(request)
        stored = RunStore.open(request.out).stored()
        wanted = {verdict.id: ids for verdict in stored if (ids := unscored_ids(verdict))}
        judged = 0
        if wanted:
            on_progress(Progress("loading", 0, len(wanted)))
            with (
                closing(open_judge(request)) as judge,
                closing(RunStore.create(request.out, plan, request.shard)) as store,
            ):
                check_unchanged(request, checked, PUT_BACK)
                records = (record for record in records_of(request) if record.id in wanted)
                work = Work(store, stop, on_progress, total=checked.good, share=len(wanted), before=0, notes=False)
                try:
                    work.do(_gains(judge.judge(stop.feed(records), only=wanted), stored, request.rubrics))
                except LocalJudgeError:
                    store.close()
                    if work.judged:  # what it gained until then counts
                        _sum_up(request.out)
                    raise
                judged = work.judged
        return RunResult(request.out, plan, _sum_up(request.out), checked.refused, None, len(stored), judged)


def _sum_up(folder: Path) -> Summary:
    """Counts the run again; the numbers and the seal of a finished one are written anew."""
    store = RunStore.open(folder)
    summary = summed(store, store.verdicts())
    return store.write_summary(summary) if store.complete else summary


def unscored_ids(verdict: Verdict) -> tuple[str, ...]:
    """The indicators of a verdict that have no score."""
    return tuple(grade.id for grade in verdict.detail if grade.unscored is not None)


def amended(old: Verdict, new: Verdict, rubric: Rubric) -> Verdict:
    """The old verdict with the new one's grades in the place of unscored ones, both paid for."""
    fresh = {grade.id: grade for grade in new.detail}
    detail = tuple(fresh.get(grade.id, grade) if grade.unscored is not None else grade for grade in old.detail)
    whole = Verdict.of(id=old.id, rubric=rubric, detail=detail, usage=old.usage + new.usage, extra=old.extra)
    # A verdict without an answer does not tell what was struck for the model.
    return whole.model_copy(update={"flags": tuple(dict.fromkeys((*old.flags, *new.flags)))})


def _gains(verdicts: Iterable[Verdict], stored: Stored, rubrics: Mapping[TaskType, Rubric]) -> Iterator[Verdict]:
    """Only what became better: a record that fails the same way again needs no second line."""
    for verdict in verdicts:
        old = stored[verdict.id]
        whole = amended(old, verdict, rubrics[verdict.task_type])
        if whole.scored > old.scored:
            yield whole
