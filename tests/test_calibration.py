"""Calibration: what is fitted, what it is worth out of fold, and what it refuses to be used for."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from command_line import ROOT, call
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from localjudge.calibrate import Point, apart, figures, fit, read_points
from localjudge.calibration import Calibration, MarginMap, choose_calibration, file_name, read_calibration
from localjudge.engines import open_engine
from localjudge.engines.base import Completion, Request
from localjudge.engines.fake import FakeEngine
from localjudge.errors import ConfigError, InputError
from localjudge.exam import Pair, packaged_exam, packaged_training, read_pairs
from localjudge.judge import Judge
from localjudge.labelled import Labelled, from_pairs, read_labelled
from localjudge.prompts import Prompts
from localjudge.reads import READ_LABELS, margin_of
from localjudge.records import parse_record
from localjudge.rubric import Rubric, builtin_rubrics
from localjudge.strategies import Settings
from localjudge.verbalizer import WORDS, Verbalizer

RUBRICS = builtin_rubrics()
FINITE = st.floats(-50, 50)


def labelled_reads(*, bias: float = 6.0, noise: float = 1.0, count: int = 600, seed: int = 1) -> list[Point]:
    """Margins of a judge that lets nearly everything pass: the order is right, the zero is not."""
    rng = random.Random(seed)
    points = []
    for number in range(count):
        label = number % 2
        key = f"push {('1.1', '2.1', '5.4')[number % 3]}"
        points.append(Point(key, bias + (1.5 if label else -1.5) + rng.gauss(0, noise), label, f"g{number // 2}"))
    return points


def fitted(points: list[Point], **more: Any) -> Calibration:
    return fit(
        points,
        RUBRICS,
        model="m",
        model_digest="a" * 64,
        prompt_digest="b" * 64,
        orders=2,
        labels_digest="c" * 64,
        **more,
    )


# The fit


def test_a_judge_that_passes_everything_gets_a_threshold_that_tells_good_from_bad() -> None:
    result = fitted(labelled_reads())
    assert result.before.accuracy == pytest.approx(0.5, abs=0.02)
    assert result.after.accuracy > 0.85
    assert result.after.brier < 0.12 < result.before.brier
    threshold = result.maps["push 1.1"].threshold
    assert threshold is not None and 5 < threshold < 7


def test_probabilities_out_of_fold_mean_frequencies() -> None:
    assert fitted(labelled_reads(noise=2.0, count=900)).after.calibration_error < 0.05


def test_margins_that_tell_nothing_give_probabilities_near_the_base_rate() -> None:
    rng = random.Random(2)
    points = [Point("push 1.1", rng.gauss(8, 3), rng.randrange(2), f"g{n}") for n in range(400)]
    result = fitted(points)
    share = sum(point.label for point in points) / len(points)
    for margin in (4.0, 8.0, 12.0):
        assert result.maps["push 1.1"].probability(margin) == pytest.approx(share, abs=0.12)
    assert result.after.brier == pytest.approx(0.25, abs=0.02)


def test_an_indicator_without_labels_gets_the_map_of_the_whole() -> None:
    result = fitted(labelled_reads())
    untold = result.maps["reply 8.3"]
    assert untold.labels == 0
    assert untold.probability(9.0) > 0.8 > 0.2 > untold.probability(3.0)


def test_an_indicator_with_few_labels_stays_closer_to_the_whole_than_its_labels_alone_say() -> None:
    many = labelled_reads(bias=6.0)
    few = [Point("push 7.5", 0.0 + 3 * (n % 2), n % 2, f"few{n // 2}") for n in range(4)]
    own = fitted(many + few).maps["push 7.5"].threshold
    assert own is not None and 1.5 < own < 6.0


def test_no_slope_is_ever_negative() -> None:
    turned = [Point("push 1.1", -point.margin, point.label, point.group) for point in labelled_reads()]
    assert all(one.slope >= 0 for one in fitted(turned).maps.values())


def test_another_base_rate_moves_the_odds_by_the_difference_of_the_log_odds() -> None:
    plain, moved = fitted(labelled_reads()), fitted(labelled_reads(), base_rate=0.9)
    shift = moved.maps["push 1.1"].intercept - plain.maps["push 1.1"].intercept
    assert shift == pytest.approx(math.log(9), abs=0.01)
    assert moved.base_rate == 0.9


def test_the_order_of_the_points_changes_nothing() -> None:
    points = labelled_reads(count=120)
    assert fitted(sorted(points)) == fitted(sorted(points, reverse=True)[::-1])


@pytest.mark.parametrize("points", [[], labelled_reads(count=10), [p for p in labelled_reads() if p.label]])
def test_too_few_labels_or_one_kind_alone_are_refused(points: list[Point]) -> None:
    with pytest.raises(InputError, match="too few"):
        fitted(points)


def test_figures_of_a_case_worked_by_hand() -> None:
    told = figures([0.8, 0.4, 0.6, 0.2], [1, 0, 0, 1])
    assert told.brier == pytest.approx((0.04 + 0.16 + 0.36 + 0.64) / 4)
    assert told.accuracy == 0.5
    assert told.auroc == 0.5


def test_a_judge_that_ranks_every_couple_wrong_has_an_auroc_of_zero() -> None:
    assert figures([0.1, 0.2, 0.8, 0.9], [1, 1, 0, 0]).auroc == 0.0


@given(st.floats(0, 1), st.lists(st.integers(0, 1), min_size=1, max_size=60))
def test_one_probability_for_all_errs_by_its_distance_from_the_share_that_passes(p: float, labels: list[int]) -> None:
    error = figures([p] * len(labels), labels).calibration_error
    assert error == pytest.approx(abs(p - sum(labels) / len(labels)), abs=1e-9)


def test_probabilities_that_are_frequencies_have_no_calibration_error_wherever_a_bin_ends() -> None:
    probabilities, labels = [0.2] * 15 + [0.8] * 85, [1] * 3 + [0] * 12 + [1] * 68 + [0] * 17
    assert figures(probabilities, labels).calibration_error == pytest.approx(0, abs=1e-9)


@given(st.floats(0, 5), FINITE, FINITE, FINITE)
def test_a_map_keeps_the_order_of_margins(slope: float, intercept: float, one: float, two: float) -> None:
    fitted_map = MarginMap(slope=slope, intercept=intercept, labels=1)
    low, high = sorted((one, two))
    assert 0 <= fitted_map.probability(low) <= fitted_map.probability(high) <= 1


# The verbalizer


WORDS_ASKED = ("好", "差", "吗")


def worded_reads(*, told: float = 1.0, count: int = 600, seed: int = 3) -> list[Point]:
    """Reads whose labels tell nothing, and of whose words two do."""
    rng = random.Random(seed)
    points = []
    for number in range(count):
        label = number % 2
        side = told if label else -told
        words = (-9 + side + rng.gauss(0, 1), -9 - side + rng.gauss(0, 1), -9 + rng.gauss(0, 1))
        labels = (-0.7 + rng.gauss(0, 0.2), -0.8 + rng.gauss(0, 0.2), -5.0)
        key = f"push {('1.1', '2.1', '5.4')[number % 3]}"
        points.append(Point(key, margin_of(labels), label, f"g{number // 2}", (*labels, *words)))
    return points


def test_words_are_weighed_where_they_tell_what_the_labels_do_not() -> None:
    plain, made = fitted(worded_reads()), fitted(worded_reads(), words=WORDS_ASKED)
    assert plain.verbalizer is None and plain.after.accuracy < 0.6
    assert made.verbalizer is not None and made.words == WORDS_ASKED
    assert made.after.accuracy > 0.85
    weights = made.verbalizer.weights
    assert weights["好"] > 3 * abs(weights["吗"]) and weights["差"] < -3 * abs(weights["吗"])
    assert sum(weights.values()) == pytest.approx(0, abs=1e-9)


def test_words_that_tell_nothing_are_not_kept() -> None:
    rng = random.Random(4)
    points = [
        point._replace(logprobs=(math.log(0.5), math.log(0.4), -4.0, *(rng.gauss(-9, 1) for _ in WORDS_ASKED)))
        for point in labelled_reads()
    ]
    assert fitted(points, words=WORDS_ASKED).verbalizer is None


def test_no_words_are_weighed_on_few_labels() -> None:
    assert fitted(worded_reads(count=150), words=WORDS_ASKED).verbalizer is None


def test_figures_with_words_are_of_fits_that_did_not_see_the_label() -> None:
    rng = random.Random(5)
    points = [point._replace(label=rng.randrange(2)) for point in worded_reads(count=240)]
    assert fitted(points, words=WORDS_ASKED).after.accuracy < 0.6


LOGPROBS = st.lists(st.floats(-30, 0), min_size=6, max_size=6)
MADE = Verbalizer(weights={"是": 1.0, "否": -1.5, "无": 0.2, "好": 0.5, "差": -0.3, "吗": 0.1}, offset=0.4)


@given(LOGPROBS, st.floats(-9, 0))
def test_what_raises_all_words_alike_moves_no_margin(logprobs: list[float], by: float) -> None:
    assert MADE.margin([value + by for value in logprobs]) == pytest.approx(MADE.margin(logprobs), abs=1e-6)


@given(LOGPROBS, st.integers(0, 5))
def test_a_word_without_any_chance_leaves_the_margin_finite(logprobs: list[float], place: int) -> None:
    logprobs[place] = -math.inf
    assert math.isfinite(MADE.margin(logprobs))


def test_a_verbalizer_weighs_the_labels_and_may_be_kept_in_any_order() -> None:
    with pytest.raises(ValidationError, match="no weight"):
        Verbalizer(weights={"好": 1.0, "差": -1.0}, offset=0.0)
    turned = Verbalizer(weights=dict(sorted(MADE.weights.items())), offset=MADE.offset)
    values = dict(zip((*READ_LABELS, *MADE.words), (-0.5, -1.0, -3.0, -9.0, -8.0, -7.0), strict=True))
    assert turned.margin([values[word] for word in (*READ_LABELS, *turned.words)]) == pytest.approx(
        MADE.margin(list(values.values()))
    )


def test_labels_that_no_fold_could_be_tested_on_are_too_few() -> None:
    points = [point._replace(label=1, group=f"own{n}") for n, point in enumerate(labelled_reads(count=60))]
    with pytest.raises(InputError, match="too few"):
        fitted([*points, *(point._replace(label=0, group="one") for point in points[:20])])


def test_words_that_begin_like_another_are_not_asked_for(tiny_model: Path) -> None:
    with open_engine("hf", tiny_model, name="tiny", options={}) as engine:
        kept = apart(engine, ("好", "是", "好处", "差", "好"))
    assert kept[0] == "好" and "差" in kept and "是" not in kept and len(kept) == len(set(kept))
    assert apart(FakeEngine(), WORDS_ASKED) == ()


def test_the_packaged_words_begin_differently_in_qwens_vocabulary_and_fit_what_vllm_returns(tiny_model: Path) -> None:
    with open_engine("hf", tiny_model, name="tiny", options={}) as engine:
        assert apart(engine, WORDS) == WORDS
    assert len(READ_LABELS) + len(WORDS) <= 128


# What it belongs to


def chosen(wanted: str, folder: Path, model: str, prompt: str) -> Calibration | None:
    return choose_calibration(wanted, folder, model_digest=model, prompt_digest=prompt, orders=2)


def test_a_calibration_is_found_for_its_model_and_prompt_and_refused_for_any_other(tmp_path: Path) -> None:
    made = fitted(labelled_reads())
    path = tmp_path / file_name("a" * 64, "b" * 64, 2)
    path.write_text(made.model_dump_json(), encoding="utf-8")
    assert chosen("auto", tmp_path, "a" * 64, "b" * 64) == made == read_calibration(path)
    assert chosen("auto", tmp_path, "d" * 64, "b" * 64) is None
    assert chosen("off", tmp_path, "a" * 64, "b" * 64) is None
    for model, prompt, what in (("d" * 64, "b" * 64, "another model"), ("a" * 64, "d" * 64, "another prompt")):
        with pytest.raises(ConfigError, match=what):
            chosen(str(path), tmp_path, model, prompt)


def test_a_calibration_of_other_rubrics_is_passed_over_and_refused_when_it_is_given(tmp_path: Path) -> None:
    made = fitted(labelled_reads())
    path = tmp_path / file_name("a" * 64, "b" * 64, 2)
    path.write_text(made.model_dump_json(), encoding="utf-8")
    reworded = RUBRICS["push"].model_copy(update={"version": "9.0.0"})
    # A copy keeps what the original had worked out.
    reworded = type(reworded).model_validate(reworded.model_dump())

    def found(wanted: str, *rubrics: Rubric) -> Calibration | None:
        digests = {"model_digest": "a" * 64, "prompt_digest": "b" * 64}
        return choose_calibration(wanted, tmp_path, **digests, orders=2, rubrics=rubrics)

    assert found("auto", RUBRICS["push"]) == found("auto", reworded, RUBRICS["reply"]) == made
    assert found("auto", RUBRICS["push"].select(("1.1",))) == made
    assert found("auto", reworded) is None
    assert found(str(path), RUBRICS["reply"]) == made
    with pytest.raises(ConfigError, match="other rubrics"):
        found(str(path), reworded)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"schema_name": "localjudge/plan/1"}'])
def test_a_file_that_is_no_calibration_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"c\.json: not a calibration"):
        read_calibration(path)
    with pytest.raises(ConfigError, match="cannot read"):
        read_calibration(tmp_path / "none.json")


def read_with(settings: Settings) -> tuple[float | None, bool, int | None]:
    def answer(request: Request) -> Completion:
        return Completion(request.id, "", "stop", choice_logprobs=(math.log(0.7), math.log(0.2), math.log(0.1)))

    rubrics = {"push": RUBRICS["push"].select(("1.1",))}
    record = parse_record({"id": "a", "task_type": "push", "message": "好"})
    (verdict,) = Judge(FakeEngine(answer), rubrics, settings).judge([record])
    grade = verdict.detail[0]
    return grade.p_pass, grade.calibrated, grade.score


@pytest.mark.parametrize("strategy", ["read", "cascade"])
def test_a_grade_says_whether_its_probability_is_calibrated(strategy: str) -> None:
    made = fitted(labelled_reads())
    plain = Settings(strategy=strategy, reasons="failed")  # type: ignore[arg-type]
    assert read_with(plain) == (pytest.approx(0.8), False, 1)
    with_it = Settings(strategy=strategy, reasons="failed", calibration=made)  # type: ignore[arg-type]
    expected = made.maps["push 1.1"].probability(math.log(4))
    assert expected < 0.1
    assert read_with(with_it)[:2] == (pytest.approx(expected), True)


def worded_read(calibration: Calibration) -> tuple[float | None, float | None, bool]:
    asked: list[tuple[str, ...]] = []

    def answer(request: Request) -> Completion:
        asked.append(request.choices)
        labels = (math.log(0.7), math.log(0.2), math.log(0.1))
        return Completion(request.id, "", "stop", choice_logprobs=(*labels, -3.0, -9.0, -6.0))

    rubrics = {"push": RUBRICS["push"].select(("1.1",))}
    record = parse_record({"id": "a", "task_type": "push", "message": "好"})
    settings = Settings(strategy="read", calibration=calibration)
    (verdict,) = Judge(FakeEngine(answer), rubrics, settings).judge([record])
    assert asked == [READ_LABELS + WORDS_ASKED]
    grade = verdict.detail[0]
    assert grade.label_mass == pytest.approx(1.0)
    return grade.p_pass, grade.margin, grade.calibrated


def test_a_read_with_a_verbalizer_asks_for_its_words_and_has_its_margin() -> None:
    made = fitted(worded_reads(), words=WORDS_ASKED)
    assert made.verbalizer is not None
    margin = made.verbalizer.margin((math.log(0.7), math.log(0.2), math.log(0.1), -3.0, -9.0, -6.0))
    p_pass = made.maps["push 1.1"].probability(margin)
    assert p_pass > 0.9
    assert worded_read(made) == (pytest.approx(p_pass), pytest.approx(margin), True)


def test_an_indicator_of_a_pack_in_other_words_keeps_the_margin_of_the_labels() -> None:
    made = fitted(worded_reads(), words=WORDS_ASKED)
    changed = made.model_copy(update={"packs": made.packs | {"push": "0" * 64}})
    assert worded_read(changed) == (pytest.approx(0.8), pytest.approx(math.log(4)), False)


def test_labelled_records_are_read_with_the_words_and_lost_reads_are_counted() -> None:
    def answer(request: Request) -> Completion:
        assert request.choices == READ_LABELS + WORDS_ASKED
        if "消息1" in str(request.messages):
            return Completion(request.id, "", "too_long")
        return Completion(request.id, "", "length", choice_logprobs=(-0.5, -1.5, -3.0, -9.0, -8.0, -7.0))

    labelled = [
        Labelled(
            parse_record({"id": f"r{n}", "task_type": "push", "message": f"消息{n}"}), {"2.1": 1, "1.1": 0}, f"r{n}"
        )
        for n in range(3)
    ]
    points, lost = read_points(FakeEngine(answer), RUBRICS, labelled, Settings(strategy="read"), WORDS_ASKED)
    assert lost == 2
    assert sorted((point.group, point.key, point.label) for point in points) == [
        (f"r{n}", key, label) for n in (0, 2) for key, label in (("push 1.1", 0), ("push 2.1", 1))
    ]
    assert all(point.logprobs == (-0.5, -1.5, -3.0, -9.0, -8.0, -7.0) for point in points)
    with pytest.raises(InputError, match="one id"):
        read_points(FakeEngine(answer), RUBRICS, labelled * 2, Settings(strategy="read"))


def test_an_indicator_of_a_pack_in_other_words_stays_uncalibrated() -> None:
    made = fitted(labelled_reads())
    changed = made.model_copy(update={"packs": made.packs | {"push": "0" * 64}})
    assert read_with(Settings(strategy="read", calibration=changed)) == (pytest.approx(0.8), False, 1)


# Labels


def test_the_packaged_pairs_to_calibrate_on_cover_what_no_rule_decides_and_are_not_the_exams() -> None:
    training, exam = read_pairs(packaged_training(), RUBRICS), read_pairs(packaged_exam(), RUBRICS)
    counts = Counter((pair.task_type, pair.indicator) for pair in training)
    decided = {("push", "5.4"), ("push", "6.4"), ("push", "7.5")}
    everything = {(task, indicator.id) for task, rubric in RUBRICS.items() for indicator in rubric.indicators}
    assert set(counts) == everything - decided and set(counts.values()) == {36}

    def phrases(pair: Pair) -> set[str]:
        texts = [record.message for record in pair.records()]
        return {text[start : start + 5] for text in texts for start in range(len(text) - 4)}

    examined = [phrases(pair) for pair in exam]
    for pair in training:
        own = phrases(pair)
        assert max(len(own & other) / len(own | other) for other in examined) < 0.15, pair.pair_id


def test_the_two_sides_of_a_pair_are_one_group_with_both_labels() -> None:
    labelled = from_pairs(read_pairs(packaged_exam(), RUBRICS))
    assert len(labelled) == 282
    assert {entry.group for entry in labelled[:2]} == {labelled[0].group}
    assert [next(iter(entry.labels.values())) for entry in labelled[:2]] == [1, 0]
    assert read_labelled(packaged_exam(), RUBRICS) == labelled


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        ({"labels": {"9.9": 1}}, "no push indicator '9.9'"),
        ({"labels": {"1.1": 2}}, "labels"),
        ({"labels": {"1.1": True}}, "labels"),
        ({}, "no labels"),
    ],
)
def test_faulty_labels_are_named_with_their_place(tmp_path: Path, record: dict[str, object], fault: str) -> None:
    path = tmp_path / "labelled.jsonl"
    path.write_text(json.dumps({"id": "r7", "task_type": "push", "message": "好"} | record), encoding="utf-8")
    with pytest.raises(InputError, match=fault) as caught:
        read_labelled(path, RUBRICS)
    assert "labelled.jsonl" in str(caught.value) and "r7" in str(caught.value)


def test_where_to_write_is_settled_before_a_model_is_opened(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("{}", encoding="utf-8")
    for place, fault in (("mine.json", "exists"), (".", "is a folder"), ("-", "")):
        result = call(
            "calibrate", "--model", tmp_path / "no-model", "--out", place if place == "-" else tmp_path / place
        )
        assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
        assert fault in result.stderr and "--out" in result.stderr
    forced = call("calibrate", "--model", tmp_path / "no-model", "--out", tmp_path / "mine.json", "--force")
    assert "no-model" in forced.stderr
    assert (tmp_path / "mine.json").read_text(encoding="utf-8") == "{}"


def test_the_fake_engine_has_nothing_to_calibrate() -> None:
    result = call("calibrate", "--engine", "fake")
    assert result.exit_code == 2
    assert "no margins" in result.stderr


def test_packaged_calibrations_belong_to_the_prompts_and_packs_of_today() -> None:
    found = sorted((ROOT / "localjudge" / "calibrations").glob("*.json"))
    assert found
    for path in found:
        made = read_calibration(path)
        digests = {
            file_name(made.model_digest, Prompts(way).digest, made.orders): way for way in ("off", "clean", "fence")
        }
        made.check_fits(made.model_digest, Prompts(digests[path.name]).digest, made.orders)
        for rubric in RUBRICS.values():
            for indicator in rubric.indicators:
                assert made.probability(rubric, indicator, 0.0) is not None
        assert made.after.brier < made.before.brier
