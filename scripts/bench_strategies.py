"""Records per second and tokens per record of the strategies, side by side in one run on one loaded engine.

    python scripts/bench_strategies.py [--model NAME|FOLDER] [--records N] [--rounds N] [--strategy NAME ...]

The examples are repeated to N records, each repeat a record of its own. The prefix cache is emptied before every
measurement, and every round takes all strategies in turn, the next round in the other order. For `cascade-failed` the
reads are given thresholds at which a fifth of the indicators fail, so that a fifth is asked for a reason, and whatever
was off the labels; a model of this size fails nearly none or nearly all by itself.

`floor` is the least that `read` can compute: each record once, and each question's own tokens rounded up to whole cache
blocks. Ratios are medians over the rounds; the last line is JSON.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from typing import Any

from bench_setting import (
    example_records,
    forget,
    made_up_calibration,
    open_bench_engine,
    per_record,
    print_figures,
    shared_floor,
)

from localjudge.calibration import MarginMap, map_key
from localjudge.decisions import Band
from localjudge.engines.driver import TokenEngine
from localjudge.judge import Judge
from localjudge.records import Record
from localjudge.rubric import builtin_rubrics
from localjudge.strategies import Settings
from localjudge.verdicts import Verdict

NAMES = ("read", "cascade-failed", "cascade-all", "explain", "joint")
RATIOS = {
    "read_vs_joint": ("read", "joint"),
    "cascade_failed_vs_joint": ("cascade-failed", "joint"),
    "cascade_all_vs_joint": ("cascade-all", "joint"),
    "read_vs_explain": ("read", "explain"),
    "cascade_all_vs_explain": ("cascade-all", "explain"),
}
FAILING = 0.2
RUBRICS = builtin_rubrics()


def main() -> None:
    """Measures, and prints the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    parser.add_argument("--records", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--strategy", action="append", choices=NAMES)
    options = parser.parse_args()
    records = example_records(options.records)
    asked = options.strategy or list(NAMES)
    seconds: dict[str, list[float]] = defaultdict(list)
    tokens: dict[str, dict[str, Any]] = {}
    with open_bench_engine(options.model) as engine:
        settings = _settings(_judged(engine, records, Settings(rules="off", strategy="read"))[1])
        list(Judge(engine, RUBRICS, Settings(rules="off", strategy="explain")).judge(records[:1]))
        for number in range(options.rounds):
            for name in asked if number % 2 == 0 else reversed(asked):
                took, verdicts = _judged(engine, records, settings[name])
                seconds[name].append(took)
                tokens[name] = per_record(verdicts) | {"explained": round(_explained(verdicts), 3)}
                print(f"round {number + 1} {name}: {took:.1f} s, {tokens[name]}", flush=True)
        floor = shared_floor(engine, records, "read") / len(records)
    rates = {name: len(records) / statistics.median(times) for name, times in seconds.items()}
    print_figures(
        benchmark="strategies",
        model=engine.info.model,
        records=len(records),
        rounds=options.rounds,
        **{
            key: round(rates[fast] / rates[slow], 2)
            for key, (fast, slow) in RATIOS.items()
            if fast in rates and slow in rates
        },
        records_per_second={name: round(rate, 4) for name, rate in rates.items()},
        tokens_per_record=tokens,
        read_computed_over_floor=round(tokens["read"]["computed"] / floor, 3) if "read" in tokens else None,
        read_floor=round(floor),
    )


def _judged(engine: TokenEngine, records: list[Record], settings: Settings) -> tuple[float, list[Verdict]]:
    forget(engine)
    start = time.perf_counter()
    verdicts = list(Judge(engine, RUBRICS, settings).judge(records))
    return time.perf_counter() - start, verdicts


def _maps(reads: list[Verdict]) -> dict[str, MarginMap]:
    """Thresholds at which a fifth of these reads fail: of eight reads of an indicator one or two do, as many as keep
    the sum at a fifth."""
    maps = {}
    seen = failing = 0
    for rubric in RUBRICS.values():
        for indicator in rubric.indicators:
            margins = sorted(
                grade.margin
                for verdict in reads
                if verdict.task_type == rubric.task_type
                for grade in verdict.detail
                if grade.id == indicator.id and grade.margin is not None
            )
            seen += len(margins)
            threshold = _threshold(margins, round(FAILING * seen) - failing)
            failing += sum(margin < threshold for margin in margins)
            maps[map_key(rubric.task_type, indicator.id)] = MarginMap(slope=1.0, intercept=-threshold, labels=0)
    return maps


def _threshold(margins: list[float], failing: int) -> float:
    """What the `failing` smallest of the sorted margins lie below; fewer where margins are equal."""
    if not margins:
        return 0.0
    if not 0 < failing < len(margins):
        return margins[0] - 1.0 if failing <= 0 else margins[-1] + 1.0
    return (margins[failing - 1] + margins[failing]) / 2


def _settings(reads: list[Verdict]) -> dict[str, Settings]:
    """A setting for each name; by the cascade's thresholds a fifth of these reads fail."""
    calibration = made_up_calibration(_maps(reads))
    certain = Band(0.5, 0.5)
    return {
        "read": Settings(rules="off", strategy="read"),
        "explain": Settings(rules="off", strategy="explain"),
        "joint": Settings(rules="off", strategy="joint"),
        "cascade-all": Settings(rules="off", strategy="cascade", reasons="all"),
        "cascade-failed": Settings(
            rules="off", strategy="cascade", reasons="failed", calibration=calibration, band=certain
        ),
    }


def _explained(verdicts: list[Verdict]) -> float:
    """Share of the grades that were asked for a reason after their read."""
    grades = [grade for verdict in verdicts for grade in verdict.detail]
    return sum(any(stage.stage == "explain" for stage in grade.stages) for grade in grades) / len(grades)


if __name__ == "__main__":
    main()
