"""What storing costs: a whole run, every verdict acknowledged by an fsync, on the fake engine or on a real model.

    python scripts/bench_store.py [--records N] [--seconds-per-record S] [--folder DIR]
    python scripts/bench_store.py --strategy read|cascade [--model NAME|FOLDER] [--records N] [--folder DIR]

Without a strategy there is no model: made-up push records, one request an indicator, answered by the fake engine as
fast as it goes, or `--seconds-per-record`. With one, vLLM judges the example records, repeated; the model is the 0.5B
one unless named, and `cascade` runs with `--reasons failed`. `--folder` puts the run on another file system.

The last line is JSON. `store_share` is the time in the store over the time of judging, from the first request to the
last verdict on disk, so that loading the model flatters nothing. `fsyncs` are those that acknowledge verdicts,
`fsyncs_in_all` all of the process: plan, command, manifest, summary and markers too.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from bench_setting import bench_model, example_records, print_figures
from torture_setting import ONE_REQUEST, write_records

from localjudge.engine_choice import EngineChoice
from localjudge.intake import RunRequest
from localjudge.rubric import builtin_rubrics
from localjudge.run import execute
from localjudge.strategies import Settings, Strategy

RUBRICS = builtin_rubrics()


def main() -> None:
    """Runs, and prints what the manifest says of the store."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=500)
    parser.add_argument("--seconds-per-record", type=float, default=0.0)
    parser.add_argument("--strategy", choices=["read", "cascade"])
    parser.add_argument("--model")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.strategy is None and options.model:
        parser.error("--model needs --strategy")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        if options.strategy:
            request = _real(folder, options.records, options.model, options.strategy)
        else:
            request = _made_up(folder, options.records, options.seconds_per_record)
        syncs = _count_syncs()
        start = time.perf_counter()
        manifest = execute(request).manifest
        wall = time.perf_counter() - start
        segments = list((request.out / "verdicts").iterdir())
        size = sum(path.stat().st_size for path in segments)
    assert manifest is not None
    cost = manifest.store
    print_figures(
        benchmark="store",
        model=request.model.spec.name if request.model else "none",
        strategy=request.settings.strategy,
        records=options.records,
        wall_s=round(wall, 3),
        load_s=manifest.load_seconds,
        judge_s=manifest.judge_seconds,
        store_s=cost["seconds"],
        store_share=round(cost["seconds"] / manifest.judge_seconds, 5),
        fsyncs=cost["syncs"],
        fsyncs_in_all=len(syncs),
        segments=len(segments),
        verdicts_per_s=round(options.records / manifest.judge_seconds, 4),
        verdicts_per_store_s=round(options.records / cost["seconds"]),
        bytes_per_record=round(size / options.records),
    )


def _made_up(folder: Path, records: int, seconds_per_record: float) -> RunRequest:
    delay = seconds_per_record / len(RUBRICS["push"].indicators)
    return RunRequest(
        inputs=(write_records(folder / "in.jsonl", records, random.Random(0)),),
        out=folder / "run",
        rubrics=RUBRICS,
        model=None,
        engine=EngineChoice("fake", {"delay": delay}),
        settings=ONE_REQUEST,
        default_task_type="push",
    )


def _real(folder: Path, records: int, model: str | None, strategy: Strategy) -> RunRequest:
    path = folder / "in.jsonl"
    lines = (record.model_dump_json(exclude={"extra"}) + "\n" for record in example_records(records))
    path.write_text("".join(lines), encoding="utf-8")
    return RunRequest(
        inputs=(path,),
        out=folder / "run",
        rubrics=RUBRICS,
        model=bench_model(model),
        engine=EngineChoice("vllm", {"max_model_len": 8192}),
        settings=Settings(strategy=strategy, reasons="failed"),
    )


def _count_syncs() -> list[Any]:
    """Grows by one with each fsync of this process from now on."""
    real = os.fsync
    called: list[Any] = []

    def fsync(fd: Any) -> None:
        called.append(fd)
        real(fd)

    os.fsync = fsync
    return called


if __name__ == "__main__":
    main()
