"""Records with the scores that people gave them, and minimal pairs seen as such: what a calibration is fitted on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from localjudge.errors import InputError
from localjudge.exam import Pair, read_pairs
from localjudge.records import BadRecord, Record, TaskType, read_records
from localjudge.rubric import Rubric


class Labelled(NamedTuple):
    """A record and what people said of it."""

    record: Record
    labels: Mapping[str, Literal[0, 1]]
    """Indicator id -> score."""
    group: str
    """Records of one group are never split between fitting and testing: the two sides of a pair are one group."""


def read_labelled(path: Path, rubrics: Mapping[TaskType, Rubric]) -> list[Labelled]:
    """Reads records that carry a `labels` field, or a file of minimal pairs.

    Raises InputError naming file, line and record for the first fault: an unknown indicator, a label that is neither 0
    nor 1, a record without labels, no record at all.
    """
    if _holds_pairs(path):
        return from_pairs(read_pairs(path, rubrics))
    found = []
    for entry in read_records(path):
        if isinstance(entry, BadRecord):
            raise entry.error()
        _check(entry, path, rubrics)
        found.append(Labelled(entry, entry.labels, entry.id))
    if not found:
        raise InputError(f"{path}: no records.")
    return found


def from_pairs(pairs: Sequence[Pair]) -> list[Labelled]:
    """Both sides of each pair: the passing one labelled 1, the failing one 0."""
    sides: list[Labelled] = []
    for pair in pairs:
        passing, failing = pair.records()
        sides += [
            Labelled(passing, {pair.indicator: 1}, pair.pair_id),
            Labelled(failing, {pair.indicator: 0}, pair.pair_id),
        ]
    return sides


def _check(record: Record, path: Path, rubrics: Mapping[TaskType, Rubric]) -> None:
    where = f"{path}: record {record.id}"
    if not record.labels:
        raise InputError(f"{where}: no labels.", hint='Give "labels": {"1.1": 1, "5.4": 0}, or a file of pairs.')
    rubric = rubrics.get(record.task_type)
    known = {indicator.id for indicator in rubric.indicators} if rubric else set()
    for indicator_id in record.labels:
        if indicator_id not in known:
            raise InputError(f"{where}: no {record.task_type} indicator {indicator_id!r}.")


def _holds_pairs(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8-sig") as lines:
            first = next((line for line in lines if line.strip()), "")
        row = json.loads(first)
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(row, dict) and "pair_id" in row
