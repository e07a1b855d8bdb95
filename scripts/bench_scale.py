"""What the host alone costs: a whole run over many records on one core, with a model that answers at once.

    python scripts/bench_scale.py [--records N] [--strategy S] [--reasons all|failed] [--model FOLDER] [--profile]

Everything but the model is real: the input file is read twice, prompts become token ids with the model folder's own
tokenizer, answers are parsed, every verdict is stored and forced to disk, and the summary is counted from the stored
verdicts. Records are made from the clauses of the example records and the packaged exam, in the lengths of the
examples, so that no two are equal. Without --model the tiny test model gives the tokenizer, which is Qwen3's own.
`--profile` runs under cProfile and prints where the time goes; its rates are not comparable. The last line is JSON.
"""

from __future__ import annotations

import argparse
import cProfile
import itertools
import json
import os
import pstats
import random
import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench_setting import EXAMPLES, print_figures, tiny_model

from localjudge.engine_choice import EngineChoice
from localjudge.intake import RunRequest
from localjudge.offline import go_offline
from localjudge.rubric import builtin_rubrics
from localjudge.run import RunResult, execute
from localjudge.strategies import Settings
from localjudge.weights import resolve
from localjudge.work import Progress

EXAM = Path(__file__).parents[1] / "localjudge" / "exams" / "dev.jsonl"
SETTLED = 5000
"""Records after which memory may no longer grow much."""
SAMPLED_EVERY = 1000


def main() -> None:
    """Measures, and prints the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--strategy", default="read", choices=["read", "cascade", "explain", "joint"])
    parser.add_argument("--reasons", default="all", choices=["all", "failed"])
    parser.add_argument("--model")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    go_offline()
    model = resolve(options.model or str(tiny_model()), {})
    with tempfile.TemporaryDirectory(prefix="bench-scale-") as folder:
        path = Path(folder) / "records.jsonl"
        write_records(path, options.records)
        request = RunRequest(
            inputs=(path,),
            out=Path(folder) / "run",
            rubrics=builtin_rubrics(),
            model=model,
            engine=EngineChoice("fake"),
            settings=Settings(strategy=options.strategy, reasons=options.reasons),
        )
        watch = Watch()
        profile = cProfile.Profile() if options.profile else None
        result = profile.runcall(execute, request, watch) if profile else execute(request, watch)
        figures = watch.figures(result)
        stored = sum(file.stat().st_size for file in (request.out / "verdicts").iterdir())
    if profile:
        print_profile(profile)
    print_figures(
        benchmark="scale",
        strategy=options.strategy,
        reasons=options.reasons,
        profiled=options.profile,
        **figures,
        stored_mib=round(stored / 2**20),
    )


class Watch:
    """Notes clock and memory of this process while a run goes on."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._cpu = time.process_time()
        self._marks: dict[str, float] = {}
        self._samples: list[tuple[int, float, float]] = []
        """Records done, seconds, MiB."""

    def __call__(self, progress: Progress) -> None:
        now = time.perf_counter()
        self._marks.setdefault(progress.stage, now)
        before = self._samples[-1][0] if self._samples else -1
        # Records come to be stored several at a time.
        if progress.done // SAMPLED_EVERY > before // SAMPLED_EVERY or progress.done == progress.total:
            self._samples.append((progress.done, now, resident_mib()))
            if progress.done // (50 * SAMPLED_EVERY) > before // (50 * SAMPLED_EVERY):
                print(f"{progress.stage} {progress.done}: {self._samples[-1][2]:.0f} MiB", flush=True)

    def figures(self, result: RunResult) -> dict[str, Any]:
        """Rates over the whole run, its parts in seconds, growth of memory, evenness of the pace."""
        ended, cpu = time.perf_counter(), time.process_time() - self._cpu
        total = ended - self._started
        assert result.summary is not None, "one shard is the whole run"
        records, usage = result.summary.records, result.summary.usage
        loading, judging = self._marks["loading"], self._marks["judging"]
        judged = self._samples[-1][1]
        settled = next((mib for done, _, mib in self._samples if done >= min(SETTLED, records)), 0.0)
        return {
            "records": records,
            "requests": usage.requests,
            "prompt_tokens_per_record": round(usage.prompt_tokens / records),
            "records_per_s": round(records / total, 1),
            "requests_per_s": round(usage.requests / total),
            "records_per_cpu_s": round(records / cpu, 1),
            "seconds": round(total, 1),
            "check_s": round(loading - self._started, 1),
            "open_s": round(judging - loading, 1),
            "judge_s": round(judged - judging, 1),
            "summary_s": round(ended - judged, 1),
            "judge_s_by_quarter": self._quarters(records),
            "mib_at_5000": round(settled),
            "mib_growth_after": round(max(mib for done, _, mib in self._samples) - settled, 1),
            "cores": len(os.sched_getaffinity(0)),
        }

    def _quarters(self, records: int) -> list[float]:
        judged = [sample for sample in self._samples if sample[1] >= self._marks["judging"]]
        at = [min(judged, key=lambda s: abs(s[0] - records * share / 4))[1] for share in range(5)]
        return [round(after - before, 2) for before, after in itertools.pairwise(at)]


def resident_mib() -> float:
    """Memory of this process that is in RAM."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def write_records(path: Path, count: int) -> None:
    """Writes records shaped like the examples: every text cut at its punctuation, every clause drawn anew."""
    lines = [line for file in EXAMPLES for line in file.read_text("utf-8").splitlines()]
    shapes = [json.loads(line) for line in lines]
    clauses = list(dict.fromkeys(re.findall(r"[一-鿿]{2,}", "".join(lines) + EXAM.read_text("utf-8"))))
    dice = random.Random(0)

    def redrawn(value: Any) -> Any:
        if isinstance(value, dict):
            kept = ("role", "timestamp", "task_type", "send_time")
            return {key: inner if key in kept else redrawn(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [redrawn(inner) for inner in value]
        if isinstance(value, str):
            return re.sub(r"[一-鿿]{2,}", lambda found: drawn(len(found[0])), value)
        return value

    def drawn(length: int) -> str:
        text = ""
        while len(text) < length:
            text += clauses[int(dice.random() * len(clauses))]
        return text[:length]

    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            record = redrawn(shapes[number % len(shapes)]) | {"id": f"r{number:07d}"}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def print_profile(profile: cProfile.Profile) -> None:
    """Own time by file, and the functions that take most."""
    stats = pstats.Stats(profile)
    by_file: Counter[str] = Counter()
    functions = []
    for (file, line, name), (_, calls, own, _, _) in stats.stats.items():  # type: ignore[attr-defined]
        label = "/".join(Path(file).parts[-2:]) if file != "~" else "built in"
        by_file[label] += own
        functions.append((own, calls, f"{label}:{line} {name}"))
    total = sum(by_file.values())
    print("\nown time by file")
    for label, own in by_file.most_common(14):
        print(f"{own / total:6.1%}  {label}")
    print("\nown time by function, with calls")
    for own, calls, label in sorted(functions, reverse=True)[:30]:
        print(f"{own / total:6.1%} {calls:10d}  {label}")


if __name__ == "__main__":
    main()
