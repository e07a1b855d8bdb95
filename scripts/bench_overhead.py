"""What judging costs on top of the model: `run --strategy explain` against bare `LLM.generate`.

    python scripts/bench_overhead.py [--model NAME|FOLDER] [--records N] [--rounds N]

Both sides get the very same token ids and constraints on one loaded engine, with an empty prefix cache each time, in
alternating order. Our side includes prompt building, encoding, parsing and storing every verdict with fsync. The last
line is JSON; `ratio` is the median of ours over the median of theirs.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from bench_setting import example_records, forget, open_bench_engine, print_figures

from localjudge.engines.driver import TokenEngine, TokenRequest
from localjudge.engines.vllm_offline import VLLMOffline
from localjudge.intake import CheckedInput, RunRequest, make_plan
from localjudge.judge import Judge
from localjudge.records import Record
from localjudge.rubric import builtin_rubrics
from localjudge.store import RunStore
from localjudge.strategies import Settings

RUBRICS = builtin_rubrics()
ASKED = Settings(strategy="explain", rules="off")


def main() -> None:
    """Measures, and prints the ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    parser.add_argument("--records", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    records = example_records(options.records)
    with open_bench_engine(options.model) as engine:
        requests = _captured(engine, records)
        ours: list[float] = []
        theirs: list[float] = []
        for number in range(options.rounds * 2):
            if number % 2 == 0:
                ours.append(_ours(engine, records))
            else:
                theirs.append(_theirs(engine, requests))
            side = "ours" if number % 2 == 0 else "bare"
            print(f"round {number // 2 + 1} {side}: {(ours if side == 'ours' else theirs)[-1]:.2f} s", flush=True)
        pairs = [a / b for a, b in zip(ours, theirs, strict=True)]
        print_figures(
            benchmark="overhead",
            model=engine.info.model,
            records=len(records),
            requests=len(requests),
            ours_s=round(statistics.median(ours), 3),
            bare_s=round(statistics.median(theirs), 3),
            ratio=round(statistics.median(ours) / statistics.median(theirs), 4),
            ratio_by_round=[round(pair, 4) for pair in pairs],
        )


def _captured(engine: TokenEngine, records: list[Record]) -> list[TokenRequest]:
    """The generations that judging these records asks for; taking them also warms up the grammar."""
    taken: list[TokenRequest] = []
    add = engine.backend.add

    def tap(request: TokenRequest) -> None:
        taken.append(request)
        add(request)

    engine.backend.add = tap  # type: ignore[method-assign]
    list(Judge(engine, RUBRICS, ASKED).judge(records))
    engine.backend.add = add  # type: ignore[method-assign]
    return taken


def _ours(engine: TokenEngine, records: list[Record]) -> float:
    forget(engine)
    with tempfile.TemporaryDirectory() as folder:
        request = RunRequest(inputs=(), out=Path(folder) / "run", rubrics=RUBRICS, model=None, settings=ASKED)
        plan = make_plan(request, CheckedInput(len(records), (), ""))
        start = time.perf_counter()
        store = RunStore.create(request.out, plan)
        for verdict in Judge(engine, RUBRICS, ASKED).judge(records):
            store.append(verdict)
        store.close()
        return time.perf_counter() - start


def _theirs(engine: TokenEngine, requests: list[TokenRequest]) -> float:
    backend = _vllm(engine)
    forget(engine)
    prompts = [{"prompt_token_ids": request.prompt} for request in requests]
    params = [backend.sampling(request) for request in requests]
    start = time.perf_counter()
    backend.llm.generate(prompts, params, use_tqdm=False)
    return time.perf_counter() - start


def _vllm(engine: TokenEngine) -> VLLMOffline:
    assert isinstance(engine.backend, VLLMOffline)
    return engine.backend


if __name__ == "__main__":
    main()
