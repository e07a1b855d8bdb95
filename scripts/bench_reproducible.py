"""What `--reproducible` costs: records per second and tokens with it and without, side by side in one run.

    python scripts/bench_reproducible.py [--model NAME|FOLDER] [--records N] [--rounds N] [--strategy cascade]

Two processes hold one engine each, one as `run` opens it and one with the strictest options of this device; they are
asked in turn, the next round in the other order, each with an empty prefix cache. The ratio is that of the medians of
the rounds; the last line is JSON.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from bench_setting import example_records, forget, open_bench_engine, per_record, print_figures

from localjudge.engines.driver import TokenEngine
from localjudge.judge import Judge
from localjudge.nvidia import least_capability
from localjudge.rubric import builtin_rubrics
from localjudge.strategies import Settings, Strategy
from localjudge.strictness import strictest

_engines: list[TokenEngine] = []


def main() -> None:
    """Measures, and prints the ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    parser.add_argument("--records", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--strategy", default="cascade", choices=("read", "cascade", "explain"))
    options = parser.parse_args()
    capability = least_capability()
    strict = strictest("vllm", capability)
    # Two engines share a card.
    room: dict[str, Any] = {} if capability is None else {"gpu_memory_utilization": 0.4}
    chosen = {"as-run": room, "reproducible": room | strict.options}
    seconds: dict[str, list[float]] = defaultdict(list)
    tokens: dict[str, dict[str, float]] = {}
    spawn = get_context("spawn")
    with ProcessPoolExecutor(1, spawn) as one, ProcessPoolExecutor(1, spawn) as other:
        pools = dict(zip(chosen, (one, other), strict=True))
        for name, pool in pools.items():
            pool.submit(_open, options.model, chosen[name]).result()
        for number in range(options.rounds):
            for name in chosen if number % 2 == 0 else reversed(chosen):
                took, tokens[name] = pools[name].submit(_judge, options.records, options.strategy).result()
                seconds[name].append(took)
                print(f"round {number + 1} {name}: {took:.1f} s, {tokens[name]}", flush=True)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    print_figures(
        benchmark="reproducible",
        strategy=options.strategy,
        records=options.records,
        rounds=options.rounds,
        strict_options=strict.options,
        rate_over_as_run=round(medians["as-run"] / medians["reproducible"], 3),
        computed_over_as_run=round(tokens["reproducible"]["computed"] / tokens["as-run"]["computed"], 2),
        tokens_per_record=tokens,
        seconds={name: [round(each, 1) for each in times] for name, times in seconds.items()},
    )


def _open(model: str | None, options: dict[str, Any]) -> None:
    engine = open_bench_engine(model, **options)
    # The first answer pays for the automaton of its schema.
    list(Judge(engine, builtin_rubrics(), Settings(rules="off", strategy="explain")).judge(example_records(1)))
    _engines.append(engine)


def _judge(records: int, strategy: Strategy) -> tuple[float, dict[str, float]]:
    (engine,) = _engines
    forget(engine)
    settings = Settings(rules="off", strategy=strategy, reasons="failed")
    start = time.perf_counter()
    verdicts = list(Judge(engine, builtin_rubrics(), settings).judge(example_records(records)))
    return time.perf_counter() - start, per_record(verdicts)


if __name__ == "__main__":
    main()
