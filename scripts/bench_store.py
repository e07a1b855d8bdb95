"""What storing costs: a run on the fake engine with all indicators, every verdict acknowledged by an fsync.

    python scripts/bench_store.py [--records N] [--seconds-per-record S] [--folder DIR]

`--seconds-per-record` makes the engine as slow as a real one; without it the run is as fast as it goes. `--folder` puts
the run on another file system. The last line is JSON; `store_share` is the time in the store over the wall time.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

from bench_setting import print_figures
from torture_setting import ONE_REQUEST, write_records

from localjudge.engine_choice import EngineChoice
from localjudge.rubric import load_rubric
from localjudge.run import RunRequest, execute


def main() -> None:
    """Runs, and prints what the manifest says of the store."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=500)
    parser.add_argument("--seconds-per-record", type=float, default=0.0)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    rubric = load_rubric("push")
    delay = options.seconds_per_record / len(rubric.indicators)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        request = RunRequest(
            inputs=(write_records(folder / "in.jsonl", options.records, random.Random(0)),),
            out=folder / "run",
            rubrics={"push": rubric},
            model=None,
            engine=EngineChoice("fake", {"delay": delay}),
            settings=ONE_REQUEST,
            default_task_type="push",
        )
        start = time.perf_counter()
        result = execute(request)
        wall = time.perf_counter() - start
        segments = list((folder / "run" / "verdicts").iterdir())
        size = sum(path.stat().st_size for path in segments)
    assert result.manifest is not None
    cost = result.manifest.store
    print_figures(
        benchmark="store",
        records=options.records,
        wall_s=round(wall, 3),
        store_s=cost["seconds"],
        store_share=round(cost["seconds"] / wall, 4),
        fsyncs=cost["syncs"],
        segments=len(segments),
        bytes_per_record=round(size / options.records),
        verdicts_per_store_second=round(options.records / cost["seconds"]),
    )


if __name__ == "__main__":
    main()
