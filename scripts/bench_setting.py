"""What the benchmarks share: the model they use, the example records, a real vLLM engine."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

from localjudge.calibration import Calibration, FoldFigures, MarginMap
from localjudge.engines import open_engine
from localjudge.engines.base import ALIGNED, Engine, Message
from localjudge.engines.driver import TokenEngine
from localjudge.offline import go_offline
from localjudge.prompts import Prompts
from localjudge.records import Record, read_records
from localjudge.registry import find_model, load_models
from localjudge.rubric import builtin_rubrics
from localjudge.verbalizer import Verbalizer
from localjudge.verdicts import Usage, Verdict
from localjudge.weights import LocalModel, pull_any, resolve

ROOT = Path(__file__).parents[1]
SMALL = "qwen2.5-coder-0.5b"
EXAMPLES = tuple(ROOT / "examples" / f"{name}.jsonl" for name in ("push", "reply"))


def bench_model(model: str | None) -> LocalModel:
    """A model by name or folder; without one, the 0.5B model, fetched if need be. No network from here on."""
    if model is None:
        model = pull_any((find_model(SMALL, load_models()),), report=lambda line: print(line, file=sys.stderr)).name
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
    go_offline()
    return resolve(model, load_models())


def open_bench_engine(model: str | None, **options: Any) -> TokenEngine:
    """vLLM on a model, as `bench_model` finds it."""
    local = bench_model(model)
    chosen = local.spec.vllm_options | {"max_model_len": 8192} | options
    engine = open_engine("vllm", local.path, name=local.spec.name, options=chosen)
    assert isinstance(engine, TokenEngine)
    return engine


def tiny_model() -> Path:
    """Folder of the tiny model that the tests use, with Qwen3's real tokenizer; made the first time."""
    folder = Path(os.environ.get("LOCALJUDGE_TEST_CACHE", ROOT / ".cache")) / "tiny-qwen3"
    if not folder.is_dir():
        folder.parent.mkdir(exist_ok=True)
        script = Path(__file__).parent / "make_tiny_model.py"
        subprocess.run([sys.executable, str(script), str(folder)], check=True)
    return folder


def example_records(limit: int) -> list[Record]:
    """Records of both example files, half of each, repeated under ids of their own when there are too few."""
    records: list[Record] = []
    for path, count in zip(EXAMPLES, (limit - limit // 2, limit // 2), strict=True):
        found = [entry for entry in read_records(path) if isinstance(entry, Record)]
        for number in range(count):
            turn, place = divmod(number, len(found))
            records.append(found[place] if not turn else _variant(found[place], turn))
    return records


def _variant(record: Record, turn: int) -> Record:
    """The same record for another agent, whom the prompt names first: nothing but the system message is shared."""
    profile = record.agent_profile
    other = {"工号": f"{turn}", **profile} if isinstance(profile, dict) else f"工号{turn}。{profile}"
    return record.model_copy(update={"id": f"{record.id}-{turn}", "agent_profile": other})


def forget(engine: Engine) -> None:
    """Empties the prefix cache, so that a measurement begins as on a fresh engine."""
    if not engine.forget():
        raise SystemExit("the prefix cache could not be emptied")


def block_size(engine: Engine) -> int:
    """Tokens of a cache block."""
    return int(str(engine.info.options.get("block_size", 16)))


def per_record(verdicts: list[Verdict]) -> dict[str, float]:
    """Means over the records: prompt tokens, those computed, output tokens, requests. And all unscored grades."""
    usage = Usage()
    for verdict in verdicts:
        usage += verdict.usage
    count = len(verdicts)
    return {
        "prompt": round(usage.prompt_tokens / count),
        "computed": round((usage.prompt_tokens - usage.cached_tokens) / count),
        "output": round(usage.output_tokens / count),
        "requests": round(usage.requests / count, 1),
        "unscored": sum(verdict.max_score - verdict.scored for verdict in verdicts),
    }


def shared_floor(engine: Engine, records: list[Record], strategy: Literal["read", "explain"]) -> int:
    """The least prompt tokens that any sharing leaves: each record once, plus every question's own tokens rounded up to
    whole cache blocks, over all records; for reads the pack before the records, once for each task type."""
    prompts, rubrics, block = Prompts(), builtin_rubrics(), block_size(engine)
    total, packs = 0, set[str]()
    for record in records:
        rubric = rubrics[record.task_type]
        before, parts = prompts.opening(record)
        ask = prompts.explain
        if strategy == "read":
            (before,), ask = prompts.packs(rubric, 1), prompts.read
            if rubric.ref in packs:
                total -= engine.count_tokens((before,))
            packs.add(rubric.ref)
        opening = engine.count_tokens((before, Message("user", parts)))
        if strategy == "read":
            opening += -opening % ALIGNED
        total += opening
        for indicator in rubric.indicators:
            whole = engine.count_tokens((before, Message("user", (*parts, ask(rubric, indicator)))))
            total += -(-(whole - opening) // block) * block
    return total


def made_up_calibration(maps: dict[str, MarginMap], verbalizer: Verbalizer | None = None) -> Calibration:
    """A calibration that was fitted on nothing, for what a run costs with one."""
    none = FoldFigures(0, 0, 0, 0, 0)
    return Calibration(
        model="",
        model_digest="",
        prompt_digest="",
        orders=1,
        labels_digest="",
        labels=0,
        base_rate=0.5,
        verbalizer=verbalizer,
        packs={task_type: rubric.digest for task_type, rubric in builtin_rubrics().items()},
        maps=maps,
        before=none,
        after=none,
    )


def print_figures(**figures: Any) -> None:
    """The last line of every benchmark: one JSON object, with the machine's pace at the end of it."""
    print(json.dumps(figures | {"machine_pace": machine_pace()}, ensure_ascii=False))


def machine_pace() -> float:
    """Million steps a second of a fixed loop in plain Python, best of five. A shared machine is twice as fast in one
    hour as in the next: rates of two runs can be held against each other by it, and no closer."""
    best = math.inf
    for _ in range(5):
        clock, total = time.perf_counter(), 0
        for step in range(1_000_000):
            total += step & 7
        best = min(best, time.perf_counter() - clock)
    return round(1 / best, 1)
