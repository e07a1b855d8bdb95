"""Numerical noise: how far margins move, which grades that could turn, and what `--reproducible` asks of an engine."""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import call
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from localjudge.calibration import Calibration, FoldFigures, MarginMap, sigmoid
from localjudge.decisions import DEFAULT_BAND, Band, regrade, wants_thinking
from localjudge.engine_choice import EngineChoice
from localjudge.engines.base import Completion, Engine, Request
from localjudge.engines.fake import FakeEngine
from localjudge.errors import ConfigError, EngineError, UsageError
from localjudge.intake import RunRequest
from localjudge.noise import Noise
from localjudge.probe import (
    CACHED_WAYS,
    PLAIN_WAYS,
    STRICT_WAYS,
    Probe,
    Question,
    Way,
    WayFigures,
    ask,
    ask_apart,
    compare,
    find_band,
    inside,
    noise_band,
    questions,
    setting_of,
)
from localjudge.prompts import Prompts
from localjudge.reads import READ_LABELS
from localjudge.records import parse_record
from localjudge.report import render_probes, render_summary
from localjudge.rubric import load_rubric
from localjudge.run import RunResult, execute
from localjudge.stats import summarize
from localjudge.store import RunStore
from localjudge.strategies import Settings
from localjudge.strictness import strictest, with_strictness
from localjudge.verbalizer import Verbalizer
from localjudge.verdicts import Grade, Stage, Unscored, Verdict
from localjudge.weights import resolve

RUBRICS = {"push": load_rubric("push").select(("1.1", "5.5"))}
QUICK = settings(deadline=None, max_examples=60)
MARGINS = st.floats(-20, 20)
WIDTHS = st.floats(0, 5)
LOGPROBS = st.tuples(*[st.floats(-30, -0.01)] * 3)
READS = st.dictionaries(st.sampled_from("abcdefgh"), LOGPROBS, min_size=8)
ASKED = [Question(name, (), 0.0) for name in "abcdefgh"]


def read_grade(margin: float, *, calibrated: bool = False, p_pass: float | None = None, name: str = "1.1") -> Grade:
    probability = sigmoid(margin) if p_pass is None else p_pass
    score = 1 if probability >= 0.5 else 0
    return Grade(
        id=name, indicator="题", score=score, applicable=True, reason="", margin=margin, p_pass=probability,
        calibrated=calibrated,
    )  # fmt: skip


def read_stage(margin: float) -> Stage:
    probability = sigmoid(margin)
    score = 1 if probability >= 0.5 else 0
    return Stage(stage="read", score=score, applicable=True, p_pass=probability, label_mass=0.9, margin=margin)


def cascade_score(margin: float, explained: Stage, thought: Stage | None, band: Band | None) -> int | None:
    """What a cascade comes to at a margin, by the functions that judge."""
    read = read_stage(margin)
    stages = [read, explained]
    if thought and wants_thinking(read, explained, band):
        stages.append(thought)
    grade = Grade.without_score(RUBRICS["push"].indicators[0], Unscored.UNPARSEABLE, stages=tuple(stages))
    return regrade(grade, band).score


# Which grades noise could turn


@QUICK
@given(MARGINS, WIDTHS)
def test_a_read_is_undecided_where_the_noise_reaches_its_threshold(margin: float, width: float) -> None:
    turns = (sigmoid(margin - width) >= 0.5) != (sigmoid(margin + width) >= 0.5)
    assert Noise(width).undecided("push", read_grade(margin)) == turns


@QUICK
@given(MARGINS)
def test_without_noise_nothing_is_undecided(margin: float) -> None:
    assert not Noise(0.0).undecided("push", read_grade(margin))


@QUICK
@given(
    margin=st.floats(-4, 4),
    width=WIDTHS,
    explained=st.sampled_from([0, 1]),
    thought=st.sampled_from([None, 0, 1]),
    ends=st.none() | st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
@example(margin=0.0, width=2.0, explained=1, thought=None, ends=(0.0, 0.25))
@example(margin=1.0, width=0.6, explained=0, thought=None, ends=(0.65, 0.7))
def test_a_cascade_is_undecided_where_another_margin_in_the_noise_comes_to_another_score(
    margin: float, width: float, explained: int, thought: int | None, ends: tuple[float, float] | None
) -> None:
    band = Band(*sorted(ends)) if ends else None
    answer = Stage(stage="explain", score=explained, applicable=True, reason="理由")  # type: ignore[arg-type]
    thinking = None
    if thought is not None:
        # Thinking was asked only where the stages leave a doubt.
        assume(wants_thinking(read_stage(margin), answer, band))
        thinking = Stage(stage="thinking", score=thought, applicable=True, reason="理由")  # type: ignore[arg-type]
    stages = (read_stage(margin), answer, *([thinking] if thinking else []))
    blank = Grade.without_score(RUBRICS["push"].indicators[0], Unscored.UNPARSEABLE, stages=stages)
    grade = regrade(blank, band)
    # Short of the ends, which rounding may overstep.
    points = [margin + width * step / 20 for step in range(-19, 20)]
    scores = {cascade_score(point, answer, thinking, band) for point in points}
    marked = Noise(width, cascade=True, band=band).undecided("push", grade)
    if scores != {grade.score}:
        assert marked
    if not any(sigmoid(margin - width) <= bound <= sigmoid(margin + width) for bound in (0.5, *(band or DEFAULT_BAND))):
        assert not marked


def test_a_certain_pass_that_noise_would_have_sent_to_a_written_answer_is_undecided() -> None:
    stages = (read_stage(1.0),)
    blank = Grade.without_score(RUBRICS["push"].indicators[0], Unscored.UNPARSEABLE, stages=stages)
    grade = regrade(blank, Band(0.3, 0.7))
    assert grade.score == 1 and sigmoid(1.0) > 0.7
    assert Noise(0.2, cascade=True).undecided("push", grade)
    assert not Noise(0.1, cascade=True).undecided("push", grade)


def calibration(slope: float, intercept: float) -> Calibration:
    figures = FoldFigures(0, 0, 0, 0, 0)
    fitted = MarginMap(slope=slope, intercept=intercept, labels=1)
    return Calibration(
        model="m", model_digest="", prompt_digest="", orders=1, labels_digest="", labels=1, base_rate=0.5,
        packs={"push": RUBRICS["push"].pack.digest}, maps={"push 1.1": fitted}, before=figures, after=figures,
    )  # fmt: skip


@pytest.mark.parametrize(("margin", "undecided"), [(1.45, True), (1.55, True), (1.35, False), (0.05, False)])
def test_the_threshold_of_a_calibrated_read_is_the_calibration_s(margin: float, undecided: bool) -> None:
    known = calibration(2.0, -3.0)
    grade = read_grade(margin, calibrated=True, p_pass=known.maps["push 1.1"].probability(margin))
    assert Noise(0.1, calibration=known).undecided("push", grade) == undecided


def test_a_margin_that_decides_nothing_leaves_nothing_undecided() -> None:
    known = calibration(0.0, 1.0)
    grade = read_grade(0.0, calibrated=True, p_pass=sigmoid(1.0))
    assert not Noise(5.0, calibration=known).undecided("push", grade)


def test_only_grades_with_a_read_are_marked_and_no_score_moves() -> None:
    plain = Grade(id="1.2", indicator="题", score=0, applicable=True, reason="理由")
    lost = Grade.without_score(RUBRICS["push"].indicators[0], Unscored.OFF_LABEL)
    rule = Grade(id="6.4", indicator="题", score=1, applicable=True, reason="", source="rule")
    detail = (read_grade(0.1), plain, lost, rule, read_grade(3.0, name="2.1"))
    before = Verdict.of(id="a", rubric=load_rubric("push"), detail=detail, usage=Verdict.model_fields["usage"].default)
    after = Noise(0.2).mark(before)
    assert [grade.numerically_undecided for grade in after.detail] == [True, False, False, False, False]
    assert [grade.score for grade in after.detail] == [grade.score for grade in before.detail]
    assert Noise(0.05).mark(after) == before
    assert "numerically_undecided" not in before.model_dump_json()
    assert after.model_dump_json().count('"numerically_undecided":true') == 1
    assert Verdict.model_validate_json(after.model_dump_json()) == after


# Comparing ways


@QUICK
@given(READS, READS)
def test_a_comparison_is_symmetric_and_its_quantile_no_larger_than_its_largest(one: Any, two: Any) -> None:
    told, back = compare(one, two, ASKED), compare(two, one, ASKED)
    assert told == back
    assert 0 <= told.quantile_99 <= told.largest
    same = compare(one, one, ASKED)
    assert (same.largest, same.identical, same.flipped) == (0, len(ASKED), 0)


@QUICK
@given(st.lists(READS, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_the_band_covers_every_difference_and_not_the_order_of_the_ways(ways: list[Any], rng: random.Random) -> None:
    band = noise_band(ways, ASKED)
    assert all(compare(one, two, ASKED).largest <= band for one in ways for two in ways)
    assert noise_band(rng.sample(ways, len(ways)), ASKED) == band


def test_figures_of_a_case_worked_by_hand() -> None:
    # margin of (x, 0, -1e6): x. One moves from 0.05 to -0.05 and flips, one by 0.2, one not at all.
    def way(*margins: float) -> dict[str, tuple[float, ...]]:
        return {name: (margin - 5, -5.0, -1e6) for name, margin in zip("abc", margins, strict=True)}

    first, second = way(0.05, 1.0, -2.0), way(-0.05, 1.2, -2.0)
    told = compare(first, second, ASKED)
    assert (told.reads, told.identical, told.flipped) == (3, 1, 1)
    assert told.largest == pytest.approx(0.2) == told.quantile_99
    assert noise_band([first, second, way(0.05, 0.9, -2.0)], ASKED) == pytest.approx(0.3)
    assert inside(first, ASKED, 0.3) == 1
    assert inside(first, [Question("a", (), None), Question("b", (), 1.25), Question("c", (), 0.0)], 0.3) == 1


def test_ways_without_a_common_read_are_no_comparison() -> None:
    with pytest.raises(EngineError, match="no read was answered"):
        compare({}, {}, ASKED)


# Asking


def records(count: int = 2) -> list[Any]:
    return [parse_record({"id": f"p{n}", "task_type": "push", "message": f"消息{n}"}) for n in range(count)]


def drifting() -> FakeEngine:
    """An engine whose margins move with the number of requests asked before."""
    count = iter(range(10_000))

    def script(request: Request) -> Completion:
        step = 0.01 * (next(count) % 7)
        return Completion(request.id, "", "length", choice_logprobs=(math.log(0.5) + step, math.log(0.4), -50.0))

    return FakeEngine(script)


@pytest.mark.parametrize("orders", [1, 2])
def test_every_way_asks_every_question_once(orders: Any) -> None:
    asked = questions(records(), RUBRICS, orders)
    assert [question.name for question in asked] == ["0/1.1", "0/5.5", "1/1.1", "1/5.5"]
    wanted = sorted(request.id for question in asked for request in question.requests)
    assert len(wanted) == 4 * orders
    for way in (*CACHED_WAYS, *PLAIN_WAYS, *STRICT_WAYS):
        engine = drifting()
        answers = ask(engine, asked, way)
        assert sorted(request.id for request in engine.seen) == wanted
        assert set(answers.logprobs) == {question.name for question in asked}


def test_a_probe_asks_with_the_prompts_of_the_runs_it_is_for() -> None:
    asked, fenced = (questions(records(1), RUBRICS, prompts=Prompts(level)) for level in ("clean", "fence"))
    assert asked != fenced
    assert asked == questions(records(1), RUBRICS)


def test_an_engine_that_drifts_has_a_band_and_a_steady_one_has_none() -> None:
    asked = questions(records(6), RUBRICS)
    ways = [Way("as they come"), Way("again"), Way("shuffled", shuffle=1)]
    moving, steady = drifting(), FakeEngine()
    assert noise_band([ask(moving, asked, way).logprobs for way in ways], asked) == pytest.approx(0.06, abs=0.02)
    assert noise_band([ask(steady, asked, way).logprobs for way in ways], asked) == 0.0


def test_a_probe_of_a_calibration_that_weighs_words_has_the_margins_of_its_runs() -> None:
    verbalizer = Verbalizer(weights={"是": 0.5, "否": -1.0, "无": 0.0, "好": 0.5}, offset=0.1)
    fitted = MarginMap(slope=1.0, intercept=0.0, labels=1)
    known = calibration(1.0, 0.0).model_copy(update={"verbalizer": verbalizer, "maps": {"push 1.1": fitted}})
    told, untold = questions(records(1), RUBRICS, calibration=known)
    assert all(request.choices == (*READ_LABELS, "好") for each in (told, untold) for request in each.requests)
    logprobs = (-1.0, -2.0, -9.0, -8.0)
    assert told.margin(logprobs) == verbalizer.margin(logprobs) != untold.margin(logprobs)
    assert untold.margin(logprobs) == pytest.approx(1.0, abs=0.01)
    moved = {"0/1.1": (-1.0, -2.0, -9.0, -6.0)}
    assert noise_band([{"0/1.1": logprobs}, moved], [told, untold]) == pytest.approx(1.0)
    assert compare({"0/1.1": logprobs}, moved, [told]).largest == pytest.approx(1.0)


def test_the_threshold_of_a_question_is_that_of_its_calibration_in_the_same_words() -> None:
    fitted = MarginMap(slope=2.0, intercept=-3.0, labels=1)
    known = calibration(1, 0).model_copy(update={"maps": {"push 1.1": fitted}})
    assert [question.threshold for question in questions(records(1), RUBRICS, 1, known)] == [1.5, 0.0]
    reworded = known.model_copy(update={"packs": {"push": "0"}})
    assert [question.threshold for question in questions(records(1), RUBRICS, 1, reworded)] == [0.0, 0.0]


@pytest.fixture
def tiny(tiny_model: Path, own_home: None) -> Any:
    return resolve(str(tiny_model), {})


def silent(way: str) -> None:
    pass


def test_a_process_of_its_own_answers_and_tells_what_was_wrong(tiny: Any) -> None:
    asked = questions(records(1), RUBRICS)
    info, answers = ask_apart(EngineChoice("fake"), tiny, asked, STRICT_WAYS, silent)
    assert (info.engine, info.model) == ("fake", tiny.spec.name)
    assert len(answers) == 2 and answers[0].logprobs == answers[1].logprobs
    assert len(answers[0].logprobs) == 2
    with pytest.raises(EngineError, match="no option 'colour'"):
        ask_apart(EngineChoice("hf", {"colour": 1}), tiny, asked, STRICT_WAYS, silent)


@pytest.mark.engine
def test_a_real_engine_answers_in_every_way_and_forgets_when_told(vllm_engine: Engine) -> None:
    asked = questions(records(2), RUBRICS)
    found = {way.name: ask(vllm_engine, asked, way) for way in CACHED_WAYS}
    assert all(len(answers.logprobs) == len(asked) for answers in found.values())
    assert found["cold"].cached_tokens < found["warm"].cached_tokens == found["warm, one at a time"].cached_tokens
    assert found["cold, one at a time"].cached_tokens < found["warm"].cached_tokens
    # bf16: a step of a logit below 16 is at most 1/16; a wrong prompt or token would differ by whole units.
    assert noise_band([answers.logprobs for answers in found.values()], asked) < 0.5


# What is kept, and found again


def probed(info: Any, band: float, **changed: Any) -> Probe:
    told = compare({"a": (-1.0, -1.0, -1.0)}, {"a": (-1.0, -1.0, -1.0)}, ASKED)
    fields: dict[str, Any] = {
        "name": "as-run", "model": "m", "model_digest": "", "prompt_digest": Prompts().digest, "orders": 1,
        "setting": setting_of(info), "input_digest": "", "reads": 94, "off_label": 0, "noise_band": band, "inside": 3,
        "ways": (WayFigures(way="cold", against_first=told, cached_tokens=0, prompt_tokens=9),),
    }  # fmt: skip
    return Probe(**fields | changed)


def kept(folder: Path, found: Probe) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / found.file_name
    path.write_text(found.model_dump_json(), encoding="utf-8")
    return path


def test_a_band_is_found_for_its_model_prompt_and_setting_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = FakeEngine().info
    path = kept(tmp_path, made := probed(info, 0.125))
    own = {"model_digest": "", "prompt_digest": Prompts().digest, "orders": 1}
    assert find_band(tmp_path, info, **own) == made.band  # type: ignore[arg-type]
    for name, other in (("model_digest", "d"), ("prompt_digest", "d"), ("orders", 2)):
        assert find_band(tmp_path, info, **own | {name: other}) is None  # type: ignore[arg-type]
    assert find_band(tmp_path, replace(info, options={"max_num_seqs": 1}), **own) is None  # type: ignore[arg-type]
    assert find_band(tmp_path, replace(info, versions={"vllm": "9"}), **own) is None  # type: ignore[arg-type]
    assert find_band(tmp_path, replace(info, options={"timeout": 9}), **own) is not None  # type: ignore[arg-type]
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match="not a probe"):
        find_band(tmp_path, info, **own)  # type: ignore[arg-type]
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert find_band(tmp_path, info, **own) is None  # type: ignore[arg-type]


@pytest.fixture
def restored() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def judged(folder: Path, band: float | None, **changed: Any) -> RunResult:
    path = folder / "in.jsonl"
    lines = [json.dumps({"id": f"p{n}", "task_type": "push", "message": f"消息{n}"}) for n in range(8)]
    path.write_text("\n".join(lines), encoding="utf-8")
    if band is not None:
        kept(folder / "probes", probed(FakeEngine().info, band))
    request = RunRequest(
        (path,),
        folder / "run",
        RUBRICS,
        None,
        EngineChoice("fake"),
        Settings(strategy="read", rules="off", **changed),
        probes=folder / "probes",
    )
    return execute(request)


@pytest.mark.usefixtures("restored")
def test_a_probed_run_marks_what_it_shows_and_stores_what_it_judged(tmp_path: Path) -> None:
    # Made-up margins are log(0.94/0.04) = 3.16 and log(0.08/0.9) = -2.42: a band of 2.5 reaches the second alone.
    result = judged(tmp_path, 2.5)
    assert result.manifest and result.manifest.noise_band and result.manifest.noise_band.margin == 2.5
    assert result.summary and result.summary.noise_band == 2.5
    rows = result.summary.tasks[0].indicators
    failed = sum(row.scored - row.passed for row in rows)
    assert 0 < failed == sum(row.numerically_undecided for row in rows) < sum(row.reads for row in rows) == 16
    assert "numerically_undecided" not in "".join(p.read_text() for p in (tmp_path / "run" / "verdicts").iterdir())
    printed = {"engine": "fake"} | result.summary.model_dump(mode="json")
    assert call("summary", tmp_path / "run", "--json").stdout == _pretty(printed)
    assert f"{failed} of 16 grades with a read" in call("summary", tmp_path / "run").output
    assert call("export", tmp_path / "run", "--to", "jsonl").exit_code == 0
    grades = [json.loads(line) for line in (tmp_path / "run" / "export.jsonl").read_text().splitlines()]
    assert [grade["numerically_undecided"] for grade in grades] == [grade["score"] == 0 for grade in grades]


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


@pytest.mark.usefixtures("restored")
def test_a_run_that_was_not_probed_says_so_and_marks_nothing(tmp_path: Path) -> None:
    result = judged(tmp_path, None)
    assert result.manifest and result.manifest.noise_band is None
    assert result.summary and result.summary.noise_band is None
    assert "numerical noise: not probed." in render_summary(result.summary)
    assert all(not row.numerically_undecided for row in result.summary.tasks[0].indicators)


def test_a_summary_without_reads_says_nothing_of_noise() -> None:
    assert "numerical noise" not in render_summary(summarize([]))


@pytest.mark.usefixtures("restored")
def test_a_run_with_one_shard_unprobed_marks_nothing(tmp_path: Path) -> None:
    judged(tmp_path, 2.5)
    manifest = tmp_path / "run" / "manifest.json"
    other = json.loads(manifest.read_text()) | {"noise_band": None}
    (tmp_path / "run" / "manifest-00001-of-00002.json").write_text(json.dumps(other), encoding="utf-8")
    assert "not probed" in call("summary", tmp_path / "run").output
    manifest.write_text("damaged", encoding="utf-8")
    assert "not probed" in call("summary", tmp_path / "run").output


@pytest.mark.usefixtures("restored")
def test_a_run_keeps_its_calibration_and_refuses_another_in_its_place(tmp_path: Path) -> None:
    fitted = MarginMap(slope=1.0, intercept=-3.0, labels=1)
    known = calibration(1, 0).model_copy(update={"maps": {"push 1.1": fitted}})
    result = judged(tmp_path, 0.5, calibration=known)
    assert RunStore.open(tmp_path / "run").calibration() == known
    # At 3.16 the calibrated indicator is 0.16 from its threshold; the other one is far from its own.
    calibrated, other = result.summary.tasks[0].indicators  # type: ignore[union-attr]
    assert calibrated.numerically_undecided == calibrated.passed > 0
    assert other.numerically_undecided == 0
    (tmp_path / "run" / "calibration.json").write_text(calibration(1, 0).model_dump_json(), encoding="utf-8")
    refused = call("summary", tmp_path / "run")
    assert refused.exit_code == 1 and "not the calibration of this run" in refused.stderr


def test_a_probe_is_shown_with_its_band_and_what_lies_inside() -> None:
    text = render_probes([probed(FakeEngine().info, 0.125, off_label=2)])
    assert "as-run: noise band 0.125; 3 of 94 reads (3.2 %) lie inside it; 2 reads are off the labels" in text


# The strictest setting


@pytest.mark.parametrize(
    ("engine", "capability", "options"),
    [
        ("vllm", None, {"enable_prefix_caching": False, "max_num_seqs": 1}),
        ("vllm", 7.5, {"enable_prefix_caching": False, "max_num_seqs": 1}),
        ("vllm", 8.0, {"batch_invariant": True}),
        ("vllm", 9.0, {"batch_invariant": True}),
        ("hf", 9.0, {"batch_size": 1}),
        ("fake", None, {}),
    ],
)
def test_the_strictest_setting_is_what_the_device_supports(
    engine: str, capability: float | None, options: dict[str, Any]
) -> None:
    assert strictest(engine, capability).options == options
    assert with_strictness({"dtype": "float32"}, strictest(engine, capability)) == {"dtype": "float32"} | options


def test_a_server_cannot_be_made_strict_from_here() -> None:
    with pytest.raises(UsageError, match="options of a server"):
        strictest("server", 9.0)


def test_an_option_that_contradicts_reproducible_is_refused_before_anything_opens(tiny: Any, tmp_path: Path) -> None:
    asked = ("run", tmp_path / "none.jsonl", "--out", tmp_path / "out", "--model", tiny.path, "--reproducible")
    refused = call(*asked, "--engine", "hf", "--engine-arg", "batch_size=4")
    assert refused.exit_code == 2
    assert "--reproducible needs batch_size=1, and batch_size=4 was asked for" in refused.stderr
    assert not (tmp_path / "out").exists()


def test_a_dry_run_may_be_reproducible_and_says_what_that_is(tmp_path: Path, own_home: None) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"id": "a", "task_type": "push", "message": "好"}', encoding="utf-8")
    result = call("run", path, "--dry-run", "--reproducible")
    assert result.exit_code == 0
    assert "reproducible: nothing to turn off" in result.stderr


def test_the_fake_engine_has_nothing_to_probe() -> None:
    result = call("probe", "--engine", "fake")
    assert result.exit_code == 2
    assert "no margins to probe" in result.stderr
