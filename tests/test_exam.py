"""The exam: figures worked by hand, whole pairs resampled, pair files that say where they are wrong, and a packaged
exam that no prompt has seen.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

import localjudge
from localjudge.cli import main
from localjudge.engines.base import Completion, Request
from localjudge.engines.fake import FakeEngine
from localjudge.errors import InputError
from localjudge.estimates import Interval, auroc, sign_test
from localjudge.exam import (
    ExamResult,
    Pair,
    compare,
    grade_exam,
    packaged_exam,
    read_pairs,
)
from localjudge.examine import take_exam
from localjudge.labelled import read_labelled
from localjudge.records import TaskType
from localjudge.report import render_comparison, render_exam
from localjudge.rubric import Rubric, load_rubric
from localjudge.strategies import Settings
from localjudge.verdicts import Grade, Unscored, Usage, Verdict

RUBRICS: dict[TaskType, Rubric] = {"push": load_rubric("push"), "reply": load_rubric("reply")}
EXPLAIN = Settings(strategy="explain", rules="off")
DEV = read_pairs(packaged_exam(), RUBRICS)
Side = tuple[int | None, float | None]
"""Score and p_pass of one side; a score of None is unscored."""


def pair(number: int = 0, **fields: Any) -> dict[str, Any]:
    whole = {
        "pair_id": f"p{number}",
        "task_type": "push",
        "indicator": "1.1",
        "dialogue_history": [],
        "message_pass": "您好，粥还热着。",
        "message_fail": "买不买随你。",
    }
    return {key: value for key, value in (whole | fields).items() if value is not ...}


def graded(*both: tuple[Side, Side]) -> tuple[list[Pair], ExamResult]:
    """An exam whose pairs were answered as given: for each pair its passing and its failing side."""
    pairs = [Pair.model_validate(pair(number)) for number in range(len(both))]
    verdicts = [
        verdict(f"p{number}:{name}", *side)
        for number, sides in enumerate(both)
        for name, side in zip(("pass", "fail"), sides, strict=True)
    ]
    return pairs, grade_exam(pairs, verdicts)


def verdict(name: str, score: int | None, p_pass: float | None = None, indicator: str = "1.1") -> Verdict:
    why = None if score is not None else Unscored.OFF_LABEL
    margin = None if p_pass is None else math.log((p_pass + 1e-9) / (1 - p_pass + 1e-9))
    fields: dict[str, Any] = {"score": score, "p_pass": p_pass, "margin": margin, "unscored": why}
    grade = Grade(id=indicator, indicator="情绪", applicable=None if why else True, reason="", **fields)
    return Verdict(
        id=name,
        task_type="push",
        rubric="push@1",
        total_score=score or 0,
        max_score=1,
        scored=int(why is None),
        not_applicable=0,
        detail=(grade,),
    )


def value(figure: Interval | None) -> float:
    assert figure is not None
    return figure.value


# Figures by hand


def test_auroc_is_the_share_of_couples_in_the_right_order() -> None:
    # positives .9 .4, negatives .5 .1: .9 beats both, .4 beats one of two: 3 of 4
    assert auroc([0.9, 0.4], [0.5, 0.1]) == 0.75
    # .5 against .5 is half a win, against .2 a whole one; .2 against .5 none, against .2 half: 2 of 4
    assert auroc([0.5, 0.2], [0.5, 0.2]) == 0.5
    # 1 against 1, 0, 0: half + 1 + 1; 1 again: the same; 0: none, half, half: 6 of 9
    assert auroc([1, 1, 0], [1, 0, 0]) == pytest.approx(6 / 9)
    assert (auroc([1.0], [0.0]), auroc([0.0], [1.0])) == (1.0, 0.0)


def test_auroc_needs_both_sides() -> None:
    assert auroc([], [0.5]) is None
    assert auroc([0.5], []) is None


FEW = st.lists(st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1)), min_size=1, max_size=12)


@settings(deadline=None)
@given(FEW, FEW)
def test_auroc_equals_the_count_over_all_couples(positives: list[float], negatives: list[float]) -> None:
    wins = sum((up > down) + (up == down) / 2 for up in positives for down in negatives)
    found = auroc(positives, negatives)
    assert found == pytest.approx(wins / (len(positives) * len(negatives)))
    assert found is not None
    assert auroc(negatives, positives) == pytest.approx(1 - found)


def test_the_sign_test_is_exact() -> None:
    # 5 of 5: 2 * (1/2)^5; 1 of 6: 2 * (1 + 6) / 64; 2 of 10: 2 * (1 + 10 + 45) / 1024
    assert sign_test(5, 0) == sign_test(0, 5) == 2 / 32
    assert sign_test(1, 5) == 14 / 64
    assert sign_test(8, 2) == 112 / 1024
    # an even split is no evidence, and neither is nothing
    assert sign_test(3, 3) == sign_test(0, 0) == 1.0


def test_the_sign_test_is_exact_for_thousands_of_pairs() -> None:
    # beyond the powers of two that a float holds; the normal approximation with continuity correction is near there
    for wins, losses in ((600, 500), (5000, 4800), (20, 1480)):
        z = (abs(wins - losses) - 1) / math.sqrt(wins + losses)
        assert sign_test(wins, losses) == sign_test(losses, wins)
        assert sign_test(wins, losses) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.01, abs=1e-12)


def test_a_tie_counts_half() -> None:
    # above, tied, below: 1 + 1/2 + 0 of 3
    _, result = graded(((1, 0.9), (0, 0.1)), ((1, 0.6), (1, 0.6)), ((0, 0.2), (1, 0.7)))
    assert value(result.overall.pair_accuracy) == 0.5
    assert result.overall.ties == 1


def test_without_probabilities_the_scores_are_compared() -> None:
    _, result = graded(((1, None), (0, None)), ((1, None), (1, None)), ((0, None), (0, None)), ((0, None), (1, None)))
    overall = result.overall
    # 1 + 1/2 + 1/2 + 0 of 4; sides right: both, pass, fail, none = 4 of 8; passed: 1 + 2 + 0 + 1 of 8
    assert (value(overall.pair_accuracy), overall.ties) == (0.5, 2)
    assert (value(overall.accuracy), overall.pass_rate) == (0.5, 0.5)
    # positives 1 1 0 0, negatives 0 1 0 1: each 1 wins 2 and ties 2, each 0 ties 2: (3 + 3 + 1 + 1) / 16
    assert value(overall.auroc) == 0.5
    assert overall.brier is None


def test_accuracy_holds_the_score_and_not_the_order_against_the_pair() -> None:
    # The order is right in both pairs, yet the first passes on both sides: 3 of 4 sides right
    _, result = graded(((1, 0.9), (1, 0.6)), ((1, 0.8), (0, 0.3)))
    assert (value(result.overall.pair_accuracy), value(result.overall.accuracy)) == (1.0, 0.75)
    assert result.overall.pass_rate == 0.75


def test_brier_is_the_mean_squared_error_over_sides() -> None:
    # (1-.9)^2 + .2^2 + (1-.5)^2 + .6^2 = .01 + .04 + .25 + .36 = .66, over 4 sides
    _, result = graded(((1, 0.9), (0, 0.2)), ((1, 0.5), (1, 0.6)))
    assert value(result.overall.brier) == pytest.approx(0.165)


def test_brier_is_absent_where_one_side_has_no_probability() -> None:
    _, result = graded(((1, 0.9), (0, 0.2)), ((1, 0.5), (0, None)))
    assert result.overall.brier is None


def test_an_unscored_side_takes_its_pair_out_and_is_counted() -> None:
    _, result = graded(((1, 0.9), (None, None)), ((None, None), (0, 0.1)), ((1, 0.8), (0, 0.3)))
    overall = result.overall
    assert (overall.pairs, overall.covered, value(overall.pair_accuracy), overall.pass_rate) == (3, 1, 1.0, 0.5)
    assert {name: answer == (None, None) for name, answer in result.answers.items()} == {
        "p0": True,
        "p1": True,
        "p2": False,
    }


def test_no_answers_are_no_figures_rather_than_zeros() -> None:
    pairs = [Pair.model_validate(pair())]
    overall = grade_exam(pairs, []).overall
    assert (overall.pairs, overall.covered, overall.ties) == (1, 0, 0)
    assert (overall.pair_accuracy, overall.accuracy, overall.auroc, overall.brier, overall.pass_rate) == (None,) * 5
    assert "pair accuracy  -" in render_exam(grade_exam(pairs, []), title="空")


def test_verdicts_on_other_records_and_indicators_are_passed_over() -> None:
    pairs = [Pair.model_validate(pair())]
    strangers = [verdict("p0:pass", 1, indicator="2.1"), verdict("p9:pass", 1), verdict("p0:fail", 0)]
    assert grade_exam(pairs, strangers).overall.covered == 0


def test_figures_are_given_for_each_indicator() -> None:
    pairs = [Pair.model_validate(pair(number, indicator=name)) for number, name in enumerate(("1.1", "2.1", "2.1"))]
    verdicts = [
        verdict(f"p{number}:{side}", score, indicator=entry.indicator)
        for number, entry in enumerate(pairs)
        for side, score in (("pass", int(number < 2)), ("fail", 0))
    ]
    result = grade_exam(pairs, verdicts)
    assert {name: (score.pairs, value(score.pair_accuracy)) for name, score in result.indicators.items()} == {
        "push 1.1": (1, 1.0),
        "push 2.1": (2, 0.75),
    }


def beside(name: str, **margins: float) -> Verdict:
    """A verdict with a margin for each indicator, `i11` for 1.1."""
    detail = tuple(
        Grade(
            id=f"{key[1]}.{key[2]}",
            indicator="",
            score=1 if margin > 0 else 0,
            applicable=True,
            reason="",
            margin=margin,
            p_pass=0.5,
        )
        for key, margin in margins.items()
    )
    return Verdict.of(id=name, rubric=RUBRICS["push"], detail=detail, usage=Usage())


def test_halo_tells_a_judge_that_hears_the_indicator_from_one_that_hears_the_better_message() -> None:
    pairs = [Pair.model_validate(pair(number)) for number in range(2)]
    heard = [
        beside("p0:pass", i11=3.0, i12=1.0, i13=1.0),
        beside("p0:fail", i11=-3.0, i12=1.0, i13=2.0),
        beside("p1:pass", i11=2.0, i12=2.0, i13=5.0),
        beside("p1:fail", i11=1.0, i12=1.0, i13=0.0),
    ]
    halo = grade_exam(pairs, heard).halo
    assert halo is not None
    assert (halo.pairs, halo.asked) == (2, 4)
    assert halo.own.value == 1.0
    # A tie and a wrong order on p0, two right ones on p1.
    assert halo.another.value == (0.25 + 1.0) / 2
    # Both others lie closer on p0; one as far and one further on p1.
    assert halo.told_apart.value == (1.0 + 0.25) / 2


def test_there_is_no_halo_where_nothing_else_was_asked() -> None:
    _, result = graded(((1, 0.9), (0, 0.1)))
    assert result.halo is None


def test_a_comparison_counts_the_pairs_that_both_covered() -> None:
    right, wrong, tied, lost = ((1, 0.9), (0, 0.1)), ((0, 0.1), (1, 0.9)), ((1, 0.5), (1, 0.5)), ((None, None), (0, 0))
    pairs, first = graded(right, right, right, wrong, right, lost)
    _, second = graded(right, wrong, tied, right, lost, right)
    # pairs 5 and 6 are out; of four the first alone has two (a tie is not right), the second alone one
    assert compare(pairs, first, second) == {"pairs": 4, "only_first": 2, "only_second": 1, "p_value": 1.0}
    line = render_comparison(compare(pairs, first, second), "explain", "read")
    assert line == "explain against read on 4 pairs: only explain right on 2, only read on 1; exact sign test p = 1.000"


# Intervals

PROBABILITIES = st.tuples(st.floats(0, 1), st.floats(0, 1))


def answered(entries: Sequence[tuple[float, float]]) -> ExamResult:
    return graded(*(((int(a >= 0.5), a), (int(b >= 0.5), b)) for a, b in entries))[1]


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    entries = [(0.05 * number, 0.9 - 0.07 * (number % 5)) for number in range(20)]
    assert answered(entries) == answered(entries)
    pairs, _ = graded(*[((1, 0.5), (0, 0.1))] * 20)
    verdicts = [
        verdict(f"p{number}:{side}", 1, score)
        for number, both in enumerate(entries)
        for side, score in zip(("pass", "fail"), both, strict=True)
    ]
    seeds = {grade_exam(pairs, verdicts, seed=seed).overall.brier for seed in range(4)}
    assert len(seeds) > 1


@settings(deadline=None, max_examples=15)
@given(st.lists(PROBABILITIES, min_size=4, max_size=20))
def test_an_interval_holds_its_value(entries: list[tuple[float, float]]) -> None:
    overall = answered(entries).overall
    for figure in (overall.pair_accuracy, overall.accuracy, overall.auroc, overall.brier):
        assert figure is not None
        assert 0 <= figure.low <= figure.value + 1e-9
        assert figure.value - 1e-9 <= figure.high <= 1
        assert all(math.isfinite(number) for number in figure)


def test_pairs_are_resampled_whole() -> None:
    # Every pair has exactly one side right. Sides drawn one by one would scatter around one half; pairs cannot.
    overall = graded(*[((1, None), (1, None)), ((0, None), (0, None))] * 10)[1].overall
    assert overall.accuracy == Interval(0.5, 0.5, 0.5)


def test_fewer_pairs_give_a_wider_interval() -> None:
    few, many = (answered([(0.9, 0.1), (0.1, 0.9)] * times).overall.pair_accuracy for times in (3, 60))
    assert few is not None
    assert many is not None
    assert few.high - few.low > 2 * (many.high - many.low) > 0


# Pair files


def write(tmp_path: Path, *entries: dict[str, Any] | str) -> Path:
    path = tmp_path / "pairs.jsonl"
    lines = (entry if isinstance(entry, str) else json.dumps(entry, ensure_ascii=False) for entry in entries)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


BY_TIME = {"message_pass": ..., "message_fail": ..., "message": "中秋快乐！"}
TIMES = {"send_time_pass": "2026-09-24 10:00", "send_time_fail": "2026-09-01 10:00"}


def test_pairs_by_message_and_by_time_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, pair(1, send_time="2026-09-24 10:00"), "", pair(2, indicator="7.5", **BY_TIME, **TIMES))
    by_message, by_time = read_pairs(path, RUBRICS)
    good, bad = by_message.records()
    assert [good.id, bad.id] == ["p1:pass", "p1:fail"]
    assert [good.message, bad.message] == ["您好，粥还热着。", "买不买随你。"]
    assert good.send_time == bad.send_time is not None
    good, bad = by_time.records()
    assert good.message == bad.message == "中秋快乐！"
    assert [side.send_time.day for side in (good, bad) if side.send_time] == [24, 1]


def test_a_pair_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = write(tmp_path, pair(1))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert [each.pair_id for each in read_pairs(path, RUBRICS)] == ["p1"]
    assert [entry.group for entry in read_labelled(path, RUBRICS)] == ["p1", "p1"]


FAULTS = {
    "not JSON": ('{"pair_id": ', r"not JSON"),
    "deeply nested": ("[" * 100_000, r"not JSON"),
    "not an object": ("[]", r"pairs.jsonl:2: \S"),
    "neither kind of sides": (pair(message_pass=..., message_fail=...), "give message_pass and message_fail"),
    "one side": (pair(message_fail=...), "give message_pass and message_fail"),
    "both kinds of sides": (pair(message="嗯", **TIMES), "give message_pass and message_fail"),
    "messages and a time of one side": (pair(send_time_pass="2026-09-24"), "give message_pass and message_fail"),
    "a message beside both messages": (pair(message="嗯"), "give message_pass and message_fail"),
    "one time": (pair(**BY_TIME, send_time_pass="2026-09-24"), "give message_pass and message_fail"),
    "equal messages": (pair(message_fail="您好，粥还热着。"), "both sides are the same"),
    "one time in two spellings": (
        pair(**BY_TIME, send_time_pass="2026-09-24 10:00", send_time_fail="2026年9月24日10点整"),
        "both sides are the same",
    ),
    "blank message": (pair(message_fail="　"), "message is blank"),
    "empty message": (pair(message_pass=""), "message is blank"),
    "unknown indicator": (pair(indicator="9.9"), r"'p0': no push indicator '9.9'"),
    "indicator of the other pack": (pair(indicator="7.5", task_type="reply"), "no reply indicator '7.5'"),
    "unknown task type": (pair(task_type="chat"), "task_type"),
    "duplicate id": (pair(1), r"'p1' stands twice"),
    "unknown field": (pair(massage_pass="您好"), "massage_pass: Extra inputs"),
    "missing field": (pair(pair_id=...), "pair_id: Field required"),
    "unknown role": (pair(dialogue_history=[{"role": "老板", "content": "嗯"}]), "unknown role"),
    "unreadable time": (pair(send_time="昨天"), "unparseable send_time"),
}


@pytest.mark.parametrize(("entry", "told"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_pair_is_refused_with_its_place(tmp_path: Path, entry: dict[str, Any] | str, told: str) -> None:
    path = write(tmp_path, pair(1), entry)
    with pytest.raises(InputError, match=told) as refused:
        read_pairs(path, RUBRICS)
    assert refused.value.problem.startswith(f"{path}:2: ")
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_utf8_absent_or_empty_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    with pytest.raises(InputError, match=r"cannot be read \(No such file or directory\)"):
        read_pairs(path, RUBRICS)
    path.write_bytes(b"\n" + json.dumps(pair(), ensure_ascii=False).encode("gb18030"))
    with pytest.raises(InputError, match=rf"{path}:2: not UTF-8 \(byte 0x.*iconv -f GB18030"):
        read_pairs(path, RUBRICS)
    path.write_bytes(b" \n\n")
    with pytest.raises(InputError, match="no pairs"):
        read_pairs(path, RUBRICS)


def test_a_line_separator_inside_a_message_ends_no_line(tmp_path: Path) -> None:
    (only,) = read_pairs(write(tmp_path, pair(message_fail="买不买\u2028随你\x85。")), RUBRICS)
    assert only.message_fail == "买不买\u2028随你\x85。"


# The packaged exam


def test_every_indicator_of_both_packs_has_its_pairs() -> None:
    counts = Counter((entry.task_type, entry.indicator) for entry in DEV)
    asked = [(task, indicator.id) for task, rubric in RUBRICS.items() for indicator in rubric.indicators]
    assert len(DEV) == 141
    assert min(counts[key] for key in asked) >= 3
    assert set(counts) == set(asked)


def test_a_third_is_subtle_and_ids_are_unique() -> None:
    kinds = Counter(entry.difficulty for entry in DEV)
    assert set(kinds) == {"plain", "subtle"}
    assert kinds["subtle"] >= len(DEV) / 3
    assert len({entry.pair_id for entry in DEV}) == len(DEV)
    assert all(entry.note for entry in DEV)


@pytest.mark.parametrize("task", ["push", "reply"])
def test_length_does_not_give_the_answer_away(task: TaskType) -> None:
    lengths = [
        (len(entry.message_pass or ""), len(entry.message_fail or ""))
        for entry in DEV
        if entry.task_type == task and entry.message is None
    ]
    longer = [bad > good for good, bad in lengths if good != bad]
    assert 0.4 <= sum(longer) / len(longer) <= 0.6
    means = [sum(column) / len(lengths) for column in zip(*lengths, strict=True)]
    assert means[0] == pytest.approx(means[1], rel=0.05)


def sentences(entry: Pair) -> Iterator[str]:
    history = entry.dialogue_history
    turns = [history] if isinstance(history, str) else [str(turn["content"]) for turn in history]
    for text in (entry.message_pass, entry.message_fail, entry.message, *turns):
        for sentence in re.split(r"[。！？!?\n]", text or ""):
            # Shorter ones ("好的", "在吗") are nobody's.
            if len(sentence.strip()) >= 6:
                yield sentence.strip()


def test_no_sentence_of_the_exam_stands_in_a_pack_or_a_prompt() -> None:
    package = Path(localjudge.__file__).parent
    files = [*package.glob("rubrics/*.yaml"), *package.glob("templates/*.j2")]
    assert len(files) >= 8
    seen = "\n".join(file.read_text(encoding="utf-8") for file in files)
    assert [(entry.pair_id, text) for entry in DEV for text in sentences(entry) if text in seen] == []


LUNAR = {"腊八": date(2026, 1, 26), "七夕": date(2026, 8, 19), "重阳": date(2025, 10, 29), "中秋": date(2025, 10, 6)}
"""From the calendar: the day of each festival that the pairs on push 7.5 wish a happy one for."""


def test_lunar_greetings_are_in_time_on_one_side_and_out_of_time_on_the_other() -> None:
    found = [entry for entry in DEV if (entry.task_type, entry.indicator) == ("push", "7.5")]
    assert len(found) >= 3
    for entry in found:
        in_time = []
        for side in entry.records():
            (festival,) = [name for name in LUNAR if name in side.message]
            assert side.send_time is not None
            early = LUNAR[festival] - side.send_time.date()
            in_time.append(timedelta(0) <= early <= timedelta(days=5))
        assert in_time == [True, False], entry.pair_id


# Taking it


def test_each_side_is_asked_about_its_own_indicator_alone() -> None:
    some = DEV[::20]
    engine, progress = FakeEngine(), []
    result, usage = take_exam(engine, RUBRICS, some, EXPLAIN, lambda done, total: progress.append((done, total)))
    assert len(engine.seen) == usage.requests == 2 * len(some)
    assert progress == [(done, 2 * len(some)) for done in range(1, 2 * len(some) + 1)]
    assert result.overall.covered == len(some)


def test_both_sides_of_a_pair_are_asked_about_the_same_others() -> None:
    engine, settings = FakeEngine(), Settings(strategy="read", rules="off")
    result, usage = take_exam(engine, RUBRICS, DEV[:4], settings, others=3)
    assert usage.requests == 4 * 2 * (1 + 3)
    assert result.halo is not None
    assert (result.halo.pairs, result.halo.asked) == (4, 4 * 3)
    assert take_exam(engine, RUBRICS, DEV[:4], settings, others=3)[0] == result


@pytest.mark.parametrize("strategy", ["read", "explain", "joint", "cascade"])
def test_a_judge_that_knows_the_answers_gets_all_of_them(strategy: Any) -> None:
    some = DEV[::9]
    good = {entry.message_pass for entry in some}

    def script(request: Request) -> Completion:
        texts = [part.text for message in request.messages for part in message.parts if part.data]
        passes = any(text in good for text in texts) or "没有问题" in texts
        if request.choices:
            shares = (0.9, 0.05, 0.05) if passes else (0.05, 0.9, 0.05)
            return Completion(request.id, "", "length", choice_logprobs=tuple(map(math.log, shares)))
        answer: dict[str, Any] = {"reason": "没有问题" if passes else "语气不当", "score": int(passes)}
        if strategy == "joint":
            answer = {key: answer for key in json.loads(request.schema)["properties"]}
        return Completion(request.id, json.dumps(answer, ensure_ascii=False, separators=(",", ":")), "stop")

    by_message = [entry for entry in some if entry.message is None]
    result, _ = take_exam(FakeEngine(script), RUBRICS, by_message, Settings(strategy=strategy))
    overall = result.overall
    assert (value(overall.pair_accuracy), value(overall.accuracy), overall.pass_rate) == (1.0, 1.0, 0.5)
    assert (overall.brier is None) == (strategy in ("explain", "joint"))


# The command


@pytest.fixture(autouse=True)
def restored_environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["exam", "--engine", "fake", *map(str, arguments)])


@pytest.mark.parametrize("strategy", ["read", "explain", "joint", "cascade"])
def test_the_command_prints_a_table(strategy: str) -> None:
    done = call("--strategy", strategy, "--limit", "4")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"fake, {strategy}: 4 pairs, 4 with both sides scored")
    assert [line.split("  ")[1] for line in lines[1:6]] == [
        "pair accuracy",
        "accuracy",
        "AUROC",
        "Brier score",
        "pass rate",
    ]
    assert ("Brier score    -" in done.stdout) == (strategy in ("explain", "joint"))
    assert re.search(r"^push 1.1 +3 +3 ", done.stdout, re.MULTILINE)
    assert re.search(r"per message: \d+ prompt tokens computed, \d+ output", done.stdout)
    assert "8/8 messages judged" in done.stderr


def test_the_command_compares_two_strategies_on_the_same_pairs() -> None:
    done = call("--compare", "explain", "read", "--indicators", "7.5")
    assert done.exit_code == 0, done.output
    assert "fake, explain: 3 pairs" in done.stdout
    assert "fake, read: 3 pairs" in done.stdout
    assert re.search(r"explain against read on 3 pairs: .* exact sign test p = \d", done.stdout)


def test_the_command_prints_one_json_document() -> None:
    document = json.loads(call("--compare", "cascade", "read", "--limit", "3", "--json").stdout)
    assert set(document) == {"strategies", "comparison"}
    assert set(document["strategies"]) == {"cascade", "read"}
    assert document["comparison"]["pairs"] == 3
    for result in document["strategies"].values():
        assert (result["overall"]["pairs"], len(result["overall"]["pair_accuracy"])) == (3, 3)
        assert set(result["indicators"]) == {"push 1.1"}
        assert all(len(sides) == 2 for sides in result["answers"].values())
    assert json.loads(call("--limit", "1", "--json").stdout)["comparison"] is None


def test_the_command_takes_a_pair_file_and_refuses_a_faulty_one(tmp_path: Path) -> None:
    path = write(tmp_path, pair(1), pair(2))
    assert "fake, cascade: 2 pairs" in call(path).stdout
    done = call(write(tmp_path, pair(1), pair(1)))
    assert (done.exit_code, done.stdout) == (3, "")
    assert f"error: {path}:2: pair_id 'p1' stands twice." in done.stderr


def test_the_command_refuses_an_exam_without_pairs_or_model() -> None:
    assert call("--indicators", "9.9").exit_code == 3
    assert CliRunner().invoke(main, ["exam", "--engine", "hf"]).exit_code == 2
