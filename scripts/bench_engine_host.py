"""What vLLM's own host work costs for each record under `read`: handing requests in, and all of a step but the model.
On a device this is what it waits for, or what runs beside it; no model is made faster or slower here.

    python scripts/bench_engine_host.py [--records N] [--rounds N] [--block-size N] [--words N]

vLLM on the tiny test model, whose own time is left out: the clock stops while the executor runs. The same records are
judged in turn as vLLM takes prompts by itself (every block of every prompt hashed, parameters copied deeply, prompts
rendered and each of their ids looked up) and as localjudge hands them in, the prefix cache emptied each time. With
`--words`, as many words are read beside the labels, as a calibration with a verbalizer has it. The last line is JSON.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from bench_setting import (
    example_records,
    forget,
    made_up_calibration,
    open_bench_engine,
    print_figures,
    tiny_model,
)

from localjudge.calibration import Calibration, MarginMap, map_key
from localjudge.engines.block_hashes import BlockHashes
from localjudge.engines.driver import TokenRequest
from localjudge.judge import Judge
from localjudge.reads import READ_LABELS
from localjudge.records import TaskType
from localjudge.rubric import Rubric, builtin_rubrics
from localjudge.strategies import Settings
from localjudge.verbalizer import WORDS, Verbalizer


def main() -> None:
    """Measures, and prints the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--block-size", type=int, default=32)
    parser.add_argument("--words", type=int, default=0)
    options = parser.parse_args()
    if not 0 <= options.words <= len(WORDS):
        parser.error(f"--words {options.words}: 0 to {len(WORDS)}")
    records = example_records(options.records)
    with open_bench_engine(str(tiny_model()), block_size=options.block_size) as engine:
        backend: Any = engine.backend
        core = backend._engine.engine_core.engine_core
        renderer = backend._engine.renderer
        settled = {name: vars(renderer)[name] for name in ("get_eos_token_id", "validate_token_ids")}
        ours, remembering = backend.add, core.request_block_hasher
        assert isinstance(remembering, BlockHashes)
        clock = _Clock(core.model_executor)
        rubrics = builtin_rubrics()
        weighing = _weighing(WORDS[: options.words], rubrics) if options.words else None
        judge = Judge(engine, rubrics, Settings(strategy="read", rules="off", calibration=weighing))
        ways: dict[str, tuple[Callable[[TokenRequest], None], Any, dict[str, Any]]] = {
            "vllm": (lambda request: _handed_in(backend, request), remembering._hasher, {}),
            "localjudge": (ours, remembering, settled),
        }
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        requests = sum(verdict.usage.requests for verdict in judge.judge(records))
        for _ in range(options.rounds):
            for name, (add, hasher, functions) in ways.items():
                backend.add, core.request_block_hasher = clock.timed(add), hasher
                for function in settled:
                    vars(renderer).pop(function, None)
                vars(renderer).update(functions)
                forget(engine)
                clock.adding = clock.device = 0.0
                started = time.perf_counter()
                list(judge.judge(records))
                elsewhere = time.perf_counter() - started - clock.device
                seconds[name].append((clock.adding, elsewhere))
                print(f"{name}: handing in {clock.adding:.3f} s, host {elsewhere:.3f} s", flush=True)
    adding = {name: median(row[0] for row in rows) for name, rows in seconds.items()}
    host = {name: median(row[1] for row in rows) for name, rows in seconds.items()}
    print_figures(
        benchmark="engine_host",
        records=options.records,
        block_size=options.block_size,
        words=options.words,
        requests_per_record=round(requests / options.records, 1),
        handing_in_ms_per_record={name: round(1000 * each / options.records, 2) for name, each in adding.items()},
        host_ms_per_record={name: round(1000 * each / options.records, 2) for name, each in host.items()},
        handing_in_ratio=round(adding["vllm"] / adding["localjudge"], 2),
        host_ratio=round(host["vllm"] / host["localjudge"], 2),
    )


def _handed_in(backend: Any, request: TokenRequest) -> None:
    """A prompt as vLLM's documentation has it handed in."""
    params = backend.sampling(request)
    params.skip_clone = False
    backend._engine.add_request(request.id, {"prompt_token_ids": request.prompt}, params)
    backend._reads[request.id] = request.choice_ids


def _weighing(words: tuple[str, ...], rubrics: dict[TaskType, Rubric]) -> Calibration:
    """A calibration for which these words are read beside the labels."""
    maps = {
        map_key(task_type, indicator.id): MarginMap(slope=1.0, intercept=0.0, labels=0)
        for task_type, rubric in rubrics.items()
        for indicator in rubric.indicators
    }
    return made_up_calibration(maps, Verbalizer(weights=dict.fromkeys((*READ_LABELS, *words), 0.0), offset=0.0))


class _Clock:
    """Seconds spent in handing requests in, and in the executor."""

    def __init__(self, executor: Any) -> None:
        self.adding = self.device = 0.0
        for name in ("execute_model", "sample_tokens"):
            setattr(executor, name, self._on_device(getattr(executor, name)))

    def timed(self, add: Callable[[TokenRequest], None]) -> Callable[[TokenRequest], None]:
        """The same, its seconds counted."""

        def counted(request: TokenRequest) -> None:
            started = time.perf_counter()
            add(request)
            self.adding += time.perf_counter() - started

        return counted

    def _on_device(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*values: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return run(*values, **named)
            finally:
                self.device += time.perf_counter() - started

        return counted


if __name__ == "__main__":
    main()
