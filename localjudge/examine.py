"""Sits a judge down to an exam: asks about each side of each pair the one indicator that the pair is about."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from localjudge.engines.base import Engine
from localjudge.exam import ExamResult, Pair, grade_exam
from localjudge.judge import Judge
from localjudge.records import TaskType
from localjudge.rubric import Rubric
from localjudge.rules import deciding, rule
from localjudge.strategies import Settings
from localjudge.verdicts import Usage, Verdict


def take_exam(
    engine: Engine,
    rubrics: Mapping[TaskType, Rubric],
    pairs: Sequence[Pair],
    settings: Settings,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    others: int = 0,
) -> tuple[ExamResult, Usage]:
    """Judges both sides of every pair and grades the judge. Raises EngineError when the engine is gone.

    `others`: how many indicators each pair is asked about beside its own, drawn from its pack by the settings' seed.
    """
    records = [record for pair in pairs for record in pair.records()]
    only = {
        record.id: (pair.indicator, *_drawn(rubrics[pair.task_type], pair, others, settings.seed))
        for pair in pairs
        for record in pair.records()
    }
    verdicts: list[Verdict] = []
    usage = Usage()
    for verdict in Judge(engine, rubrics, settings).judge(records, only=only):
        verdicts.append(verdict)
        usage += verdict.usage
        on_progress(len(verdicts), len(records))
    return grade_exam(pairs, verdicts), usage


def _drawn(rubric: Rubric, pair: Pair, count: int, seed: int) -> list[str]:
    ids = [indicator.id for indicator in rubric.indicators if indicator.id != pair.indicator]
    return random.Random(f"{seed} {pair.pair_id}").sample(ids, min(count, len(ids)))


def take_rules_exam(rubrics: Mapping[TaskType, Rubric], pairs: Sequence[Pair]) -> tuple[ExamResult, dict[str, int]]:
    """Grades the deciding checks alone, without a model. A side that they leave to the model is not covered.

    The second value counts the pairs left out: `task_type indicator` -> pairs, where the indicator has no such check.
    """
    held = {task_type: set(deciding(rubric)) for task_type, rubric in rubrics.items()}
    asked = [pair for pair in pairs if pair.indicator in held[pair.task_type]]
    left_out = Counter(
        f"{pair.task_type} {pair.indicator}" for pair in pairs if pair.indicator not in held[pair.task_type]
    )
    verdicts = []
    for pair in asked:
        rubric = rubrics[pair.task_type].select((pair.indicator,))
        for record in pair.records():
            ruling = rule(record, rubric, "on")
            if not ruling.undecided:
                verdicts.append(ruling.join(None))
    return grade_exam(asked, verdicts), dict(left_out)
