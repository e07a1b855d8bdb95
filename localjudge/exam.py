"""An exam for the judge: minimal pairs, one message that meets an indicator and one that does not. Grades verdicts;
calls no engine.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from localjudge.errors import InputError
from localjudge.estimates import Interval, auroc, bootstrap, sign_test
from localjudge.records import Record, TaskType, parse_record
from localjudge.rows import not_utf8, unreadable
from localjudge.rubric import Rubric
from localjudge.verdicts import Grade, Verdict

RULED = 1e9
"""Rank of a side that a rule passed: beyond every margin."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Pair(_Frozen):
    """Two readings of one situation that differ in one thing. Either the message or the time of sending differs."""

    pair_id: str
    task_type: TaskType
    indicator: str
    dialogue_history: list[dict[str, Any]] | str
    user_profile: dict[str, Any] | str = {}
    agent_profile: dict[str, Any] | str = {}
    send_time: str | None = None
    message_pass: str | None = None
    message_fail: str | None = None
    message: str | None = None
    send_time_pass: str | None = None
    send_time_fail: str | None = None
    difficulty: str = ""
    note: str = ""

    @model_validator(mode="after")
    def _has_two_sides(self) -> Pair:
        by_message = (self.message_pass, self.message_fail)
        by_time = (self.message, self.send_time_pass, self.send_time_fail)
        whole, empty = (by_message, by_time) if self.message_pass is not None else (by_time, by_message)
        # Half of the other kind would make the sides differ in two things.
        if None in whole or any(value is not None for value in empty):
            raise ValueError("give message_pass and message_fail, or message with send_time_pass and send_time_fail")
        return self

    def records(self) -> tuple[Record, Record]:
        """The passing and the failing record, ids `<pair_id>:pass` and `<pair_id>:fail`.

        Raises InputError for what no record may hold, and for sides that say the same.
        """
        shared = {
            "task_type": self.task_type,
            "dialogue_history": self.dialogue_history,
            "user_profile": self.user_profile,
            "agent_profile": self.agent_profile,
        }
        sides = []
        for side in ("pass", "fail"):
            own = {
                "id": f"{self.pair_id}:{side}",
                "message": self.message if self.message is not None else getattr(self, f"message_{side}"),
                "send_time": self.send_time if self.message is None else getattr(self, f"send_time_{side}"),
            }
            sides.append(parse_record(shared | own))
        if sides[0].content_json() == sides[1].content_json():
            raise InputError("both sides are the same.", hint="They must differ in the message or the time of sending.")
        return sides[0], sides[1]


class ExamScore(_Frozen):
    """Figures over a set of pairs."""

    pairs: int
    covered: int
    """Pairs with both sides scored; the other figures are over these."""
    pair_accuracy: Interval | None
    """Share of pairs whose passing side scored above the failing one; a tie counts half."""
    ties: int
    accuracy: Interval | None
    """Share of sides whose 0/1 score is right."""
    auroc: Interval | None
    brier: Interval | None
    """Mean squared error of p_pass; None where the strategy gives no probability."""
    pass_rate: float | None
    """Share of sides scored 1; half of them should be."""


class Halo(_Frozen):
    """The same pairs, asked about indicators that they are not about. A judge that only hears which message is the
    better one orders them as well by any of these: the halo error of raters (Thorndike 1920)."""

    pairs: int
    """Pairs with both sides scored on their own indicator and on another; the figures are over these."""
    asked: int
    """Other indicators that they were asked about, all pairs together."""
    own: Interval
    """Pair accuracy, asked about a pair's own indicator."""
    another: Interval
    """The same, asked about the others, each pair counting once; 0.5 for a judge that hears no difference there."""
    told_apart: Interval
    """Chance that a pair's sides lie further apart on its own indicator than on another, the failing one below; ties
    count half. 0.5: the judge does not hear which indicator is failed."""


class ExamResult(_Frozen):
    """An exam taken."""

    overall: ExamScore
    indicators: dict[str, ExamScore]
    """Keyed `task_type indicator`."""
    answers: dict[str, tuple[float | None, float | None]]
    """pair_id -> rank of the passing and of the failing side: the margin where there is one, else the score."""
    halo: Halo | None = None
    """None where pairs were asked about their own indicators alone."""


class _Side(NamedTuple):
    score: int
    rank: float
    probability: float | None


class _Graded(NamedTuple):
    passing: _Side
    failing: _Side


def packaged_exam() -> Path:
    """The development exam that comes with the package."""
    return Path(str(resources.files("localjudge") / "exams" / "dev.jsonl"))


def packaged_training() -> Path:
    """The pairs to calibrate on that come with the package: none of them is in the exam."""
    return Path(str(resources.files("localjudge") / "exams" / "train.jsonl"))


def read_pairs(path: Path, rubrics: Mapping[TaskType, Rubric]) -> list[Pair]:
    """Reads a pair file. Raises InputError naming file, line and pair for the first fault."""
    pairs: list[Pair] = []
    seen: set[str] = set()
    try:
        # Not splitlines: a message may hold a line separator that ends no line of the file.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise unreadable(str(path), error) from error
    except UnicodeDecodeError as error:
        fault, number = not_utf8(error), error.object.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{number}: {fault.problem}", hint=fault.hint) from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            pairs.append(_read_pair(line, f"{path}:{number}", rubrics, seen))
    if not pairs:
        raise InputError(f"{path}: no pairs.")
    return pairs


def _read_pair(line: str, where: str, rubrics: Mapping[TaskType, Rubric], seen: set[str]) -> Pair:
    try:
        pair = Pair.model_validate(json.loads(line))
        pair.records()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        told = first["msg"].removeprefix("Value error, ")
        raise InputError(": ".join([where, *map(str, first["loc"]), told]) + ".") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON.") from error
    except InputError as error:
        raise InputError(f"{where}: {error.problem}", hint=error.hint) from error
    if pair.pair_id in seen:
        raise InputError(f"{where}: pair_id {pair.pair_id!r} stands twice.")
    seen.add(pair.pair_id)
    rubric = rubrics.get(pair.task_type)
    if rubric is None or pair.indicator not in {entry.id for entry in rubric.indicators}:
        raise InputError(f"{where}: pair {pair.pair_id!r}: no {pair.task_type} indicator {pair.indicator!r}.")
    return pair


def grade_exam(pairs: Sequence[Pair], verdicts: Iterable[Verdict], *, seed: int = 0) -> ExamResult:
    """Holds verdicts on the pairs' records against the pairs. Verdicts on anything else are ignored."""
    grades: dict[str, dict[str, Grade]] = {f"{pair.pair_id}:{side}": {} for pair in pairs for side in ("pass", "fail")}
    for verdict in verdicts:
        if verdict.id in grades:
            grades[verdict.id].update((grade.id, grade) for grade in verdict.detail)
    graded = {pair.pair_id: _graded(pair, pair.indicator, grades) for pair in pairs}
    groups: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        groups[f"{pair.task_type} {pair.indicator}"].append(pair)
    return ExamResult(
        overall=_score([graded[pair.pair_id] for pair in pairs], seed),
        indicators={name: _score([graded[pair.pair_id] for pair in group], seed) for name, group in groups.items()},
        answers={
            pair_id: (both.passing.rank, both.failing.rank) if both else (None, None)
            for pair_id, both in graded.items()
        },
        halo=_halo(pairs, graded, grades, seed),
    )


def compare(pairs: Sequence[Pair], first: ExamResult, second: ExamResult) -> dict[str, float | int]:
    """Paired comparison over the pairs that both covered: pairs only one got right, and the exact sign-test p-value."""

    def right(result: ExamResult, pair_id: str) -> bool | None:
        passing, failing = result.answers[pair_id]
        return None if passing is None or failing is None else passing > failing

    only_first = only_second = both = 0
    for pair in pairs:
        a, b = right(first, pair.pair_id), right(second, pair.pair_id)
        if a is None or b is None:
            continue
        both += 1
        only_first += a and not b
        only_second += b and not a
    return {
        "pairs": both,
        "only_first": only_first,
        "only_second": only_second,
        "p_value": sign_test(only_first, only_second),
    }


def _graded(pair: Pair, indicator: str, grades: Mapping[str, Mapping[str, Grade]]) -> _Graded | None:
    sides = []
    for side in ("pass", "fail"):
        grade = grades[f"{pair.pair_id}:{side}"].get(indicator)
        if grade is None or grade.score is None:
            return None
        sides.append(_side(grade, grade.score))
    return _Graded(sides[0], sides[1])


def _side(grade: Grade, score: int) -> _Side:
    if grade.source == "rule":
        return _Side(score, RULED if score else -RULED, float(score))
    # The margin, because p_pass rounds to 0 or 1 long before two margins are equal.
    return _Side(score, float(score) if grade.margin is None else grade.margin, grade.p_pass)


def _score(entries: Sequence[_Graded | None], seed: int) -> ExamScore:
    covered = [entry for entry in entries if entry is not None]
    sides = [side for entry in covered for side in entry]
    has_probability = bool(sides) and all(side.probability is not None for side in sides)
    return ExamScore(
        pairs=len(entries),
        covered=len(covered),
        pair_accuracy=bootstrap(covered, _pair_accuracy, seed),
        ties=sum(entry.passing.rank == entry.failing.rank for entry in covered),
        accuracy=bootstrap(covered, _accuracy, seed),
        auroc=bootstrap(covered, _auroc, seed),
        brier=bootstrap(covered, _brier, seed) if has_probability else None,
        pass_rate=sum(side.score for side in sides) / len(sides) if sides else None,
    )


def _pair_accuracy(entries: Sequence[_Graded]) -> float:
    return sum(_above(entry.passing.rank, entry.failing.rank) for entry in entries) / len(entries)


def _accuracy(entries: Sequence[_Graded]) -> float:
    return sum(entry.passing.score + 1 - entry.failing.score for entry in entries) / (2 * len(entries))


def _auroc(entries: Sequence[_Graded]) -> float:
    return auroc([entry.passing.rank for entry in entries], [entry.failing.rank for entry in entries]) or 0.0


def _brier(entries: Sequence[_Graded]) -> float:
    errors = [
        (1 - (entry.passing.probability or 0.0)) ** 2 + (entry.failing.probability or 0.0) ** 2 for entry in entries
    ]
    return sum(errors) / (2 * len(entries))


class _Beside(NamedTuple):
    """A pair on its own indicator, and on others."""

    own: _Graded
    others: list[_Graded]


def _halo(
    pairs: Sequence[Pair], graded: Mapping[str, _Graded | None], grades: Mapping[str, Mapping[str, Grade]], seed: int
) -> Halo | None:
    entries = []
    for pair in pairs:
        own = graded[pair.pair_id]
        ids = [each for each in grades[f"{pair.pair_id}:pass"] if each != pair.indicator]
        others = [both for each in ids if (both := _graded(pair, each, grades)) is not None]
        if own is not None and others:
            entries.append(_Beside(own, others))
    by_own, another, told_apart = (bootstrap(entries, each, seed) for each in (_by_own, _by_another, _told_apart))
    if by_own is None or another is None or told_apart is None:
        return None
    asked = sum(len(each.others) for each in entries)
    return Halo(pairs=len(entries), asked=asked, own=by_own, another=another, told_apart=told_apart)


def _by_own(entries: Sequence[_Beside]) -> float:
    return _pair_accuracy([each.own for each in entries])


def _by_another(entries: Sequence[_Beside]) -> float:
    return sum(_pair_accuracy(each.others) for each in entries) / len(entries)


def _told_apart(entries: Sequence[_Beside]) -> float:
    shares = [sum(_above(_gap(each.own), _gap(other)) for other in each.others) / len(each.others) for each in entries]
    return sum(shares) / len(shares)


def _gap(both: _Graded) -> float:
    return both.passing.rank - both.failing.rank


def _above(value: float, other: float) -> float:
    """1 where it is larger; a tie counts half."""
    return 0.5 if value == other else float(value > other)
