"""The rules' figures: what each deciding check decides of a part of the labelled messages and how often it is right,
records a second for all checks together on one core, and time against length for hostile messages.

    python scripts/bench_checks.py [--half tune|held|fresh|guard|dev|all] [--labelled FILE] [--records N] [--quick]

The halves are drawn by the hash of a message's id. `tune` is the half that the rules were written on; `held` was
looked at once, at the end; `fresh` was written after that look. `dev` and `guard` are messages on admissions, by an
author who never saw the rule and by its own. FILE is JSON lines with `id`, `check`, `message` and `score`. A violation
that a check leaves to the model counts against its recall. The last line is JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from bench_setting import example_records, print_figures

from localjudge.checks import CHECKS
from localjudge.records import Record, parse_record
from localjudge.rubric import builtin_rubrics
from localjudge.rules import rule

_DATA = Path(__file__).parents[1] / "tests" / "data"
LABELLED = (_DATA / "checks.jsonl", _DATA / "admissions.jsonl")
Half = Literal["tune", "held", "fresh", "guard", "dev"]
LENGTHS = (20_000, 40_000, 80_000)
HOSTILE = {
    "particles in words": "呢子大衣啦啦队",
    "particles in the middle": "好呀我们走呢",
    "marks": "~",
    "ranges": "3~5",
    "open quotes": "“「『《'\"",
    "quoted": "“好呀”",
    "claims cut off": "我是一个",
    "claims": "我是不是AI",
    "denials": "我不是机器人也不是",
    "roles": "我是AI智能客服助手",
    "spelled": "我 是 机 器 ",
    "sentence without end": "我是您的专属机器人店的",
    "festivals": "中秋端午",
    "wishes": "祝您中秋",
    "addresses": "https://a~",
    "digits": "1234567890",
    "spaces": " ",
    "zero width": "y​",
    "latin": "yyds i am a very ",
    "nothing": "啊",
}


def half_of(entry: dict[str, Any]) -> Half:
    """Which half a labelled message belongs to."""
    part: Half | None = entry.get("part")
    if part is not None:
        return part
    if entry.get("round") == 2:
        return "fresh"
    return "held" if hashlib.sha256(entry["id"].encode()).digest()[0] % 2 else "tune"


def labelled(files: Iterable[Path] = LABELLED[:1]) -> list[dict[str, Any]]:
    """The labelled messages, in file order."""
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def record_of(entry: dict[str, Any]) -> Record:
    """The record of one labelled message."""
    fields = {name: entry[name] for name in Record.model_fields if name in entry}
    return parse_record({"task_type": "push"} | fields)


def quality(half: str, entries: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """Counts for each deciding check, with its misses in words."""
    figures: dict[str, Any] = {}
    misses = []
    for name in sorted({entry["check"] for entry in entries}):
        check = CHECKS[name]()
        counts: Counter[tuple[int, int | None]] = Counter()
        for entry in entries:
            if entry["check"] != name or half not in ("all", half_of(entry)):
                continue
            opinion = check.look(record_of(entry))
            counts[entry["score"], opinion.score] += 1
            if opinion.score != entry["score"]:
                kind = "left" if opinion.score is None else f"said {opinion.score}"
                misses.append(f"{entry['id']} {name} label {entry['score']}, {kind}: {entry['message']}")
        left = counts[0, None] + counts[1, None]
        violations = counts[0, 0] + counts[0, 1] + counts[0, None]
        figures[name] = {
            "messages": counts.total(),
            "violations": violations,
            "decided": _share(counts.total() - left, counts.total()),
            "precision_violated": _share(counts[0, 0], counts[0, 0] + counts[1, 0]),
            "precision_clear": _share(counts[1, 1], counts[1, 1] + counts[0, 1]),
            "recall": _share(counts[0, 0], violations),
            "wrongly_violated": counts[1, 0],
            "wrongly_clear": counts[0, 1],
            "violations_left": counts[0, None],
            "others_left": counts[1, None],
        }
    return figures, misses


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 3) if whole else None


def throughput(count: int) -> float:
    """Records a second, all checks of both packs, on records that are no two the same; best of five."""
    examples = example_records(24) + [record_of(entry) for entry in labelled()]
    packs = builtin_rubrics()
    best = 0.0
    for turn in range(5):
        records = [
            record.model_copy(update={"message": f"{record.message}{turn}{number}"})
            for number, record in enumerate(itertools.islice(itertools.cycle(examples), count))
        ]
        # Processor time: other work on the machine takes none of it away.
        clock = time.process_time()
        for record in records:
            rule(record, packs[record.task_type], "on")
        best = max(best, count / (time.process_time() - clock))
    return best


def linearity() -> tuple[float, str, dict[str, list[float]]]:
    """Seconds of all checks on hostile messages of doubling length; the worst growth per doubling of time / length."""
    packs = builtin_rubrics()
    seconds: dict[str, list[float]] = {}
    worst, name = 0.0, ""
    for kind, unit in HOSTILE.items():
        seconds[kind] = []
        for length in LENGTHS:
            text = (unit * (length // len(unit) + 1))[:length]
            shared: dict[str, Any] = {
                "message": f"请看{text}",
                "send_time": "2026-09-01",
                "dialogue_history": [{"role": "agent", "content": text}, {"role": "user", "content": text}],
                "user_profile": {"昵称": "啦啦", "性别": "女"},
                "agent_profile": {"性别": "女", "年龄": 30, "人设": text[:5000]},
            }
            taken = []
            for attempt in range(3):
                record = parse_record(shared | {"task_type": "push", "message": shared["message"] + str(attempt)})
                clock = time.process_time()
                for pack in packs.values():
                    rule(record, pack, "on")
                taken.append(time.process_time() - clock)
            seconds[kind].append(round(min(taken), 4))
        growth = (seconds[kind][-1] / max(seconds[kind][0], 0.002)) / (LENGTHS[-1] / LENGTHS[0])
        if growth > worst:
            worst, name = growth, kind
    return worst, name, seconds


def main() -> None:
    """Measures, and prints the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--half", choices=["tune", "held", "fresh", "guard", "dev", "all"], default="all")
    parser.add_argument("--labelled", type=Path, help="Messages of your own instead of the packaged ones.")
    parser.add_argument("--records", type=int, default=4000)
    parser.add_argument("--quick", action="store_true", help="Precision and recall alone.")
    options = parser.parse_args()
    figures, misses = quality(options.half, labelled([options.labelled] if options.labelled else LABELLED))
    for name, counts in figures.items():
        print(f"{name}: {counts}")
    print("\n".join(misses))
    if options.quick:
        print_figures(benchmark="checks", half=options.half, checks=figures)
        return
    rate = throughput(options.records)
    growth, worst, seconds = linearity()
    for kind, times in seconds.items():
        print(f"{kind}: {times} s for {LENGTHS} characters")
    records = example_records(24)
    packs = builtin_rubrics()
    saved = sum(len(rule(record, packs[record.task_type], "on").decided) for record in records)
    print_figures(
        benchmark="checks",
        half=options.half,
        checks=figures,
        records_per_second=round(rate),
        slowest_seconds=max(times[-1] for times in seconds.values()),
        worst_growth=round(growth, 2),
        worst_growth_on=worst,
        requests_saved_per_record=round(saved / len(records), 2),
        requests_saved_per_push_record=round(saved / sum(record.task_type == "push" for record in records), 2),
    )


if __name__ == "__main__":
    main()
