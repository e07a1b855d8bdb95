"""Segments cut at every byte and with a byte changed at random, each time followed by the run's own command."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path

from torture_setting import merged, request_for, write_records

from localjudge.run import execute
from localjudge.segments import read_segment
from localjudge.store import RunStore

FLIPS = 2000
RECORDS = 3


def damage_figures(folder: Path, seed: int) -> dict[str, object]:
    """How often damage was seen, and how many records were judged again for it."""
    rng = random.Random(seed)
    records = write_records(folder / "damage.jsonl", RECORDS, rng)
    sound, harmed = folder / "sound", folder / "harmed"
    execute(request_for(records, sound))
    (segment,) = (sound / "verdicts").iterdir()
    whole, data = merged(sound), segment.read_bytes()
    cuts: Counter[str] = Counter()
    for cut in range(len(data) + 1):
        lost = RECORDS - data[: cut + 1].count(b"\n")
        cuts.update(_again(sound, harmed, segment.name, data[:cut], records, whole, lost))
    flips: Counter[str] = Counter()
    for _ in range(FLIPS):
        place = rng.randrange(len(data))
        changed = bytearray(data)
        changed[place] ^= rng.randrange(1, 256)
        flips.update(_again(sound, harmed, segment.name, bytes(changed), records, whole, int(data[place] != 10)))
    return {
        **{f"truncations_{name}": count for name, count in sorted(cuts.items())},
        **{f"flips_{name}": count for name, count in sorted(flips.items())},
    }


def _again(sound: Path, harmed: Path, name: str, data: bytes, records: Path, whole: bytes, lost: int) -> Counter[str]:
    shutil.rmtree(harmed, ignore_errors=True)
    shutil.copytree(sound, harmed)
    (harmed / "verdicts" / name).write_bytes(data)
    intact = data.count(b"\n") == RECORDS and len(list(read_segment(harmed / "verdicts" / name))) == RECORDS
    seen = bool(RunStore.open(harmed).stored().damage) or len(RunStore.open(harmed).stored()) < RECORDS
    result = execute(request_for(records, harmed))
    return Counter(
        tried=1,
        detected=int(seen or intact or not lost),
        only_the_damaged_judged_again=int(result.judged == lost),
        merged_equal=int(merged(harmed) == whole),
    )
