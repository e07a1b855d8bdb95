"""Who decides, and what a reason says: pure functions over what the stages said."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localjudge.decisions import (
    DEFAULT_BAND,
    Band,
    contradicts,
    decide,
    failure,
    redecide,
    regrade,
    says_fault,
    wants_reason,
    wants_thinking,
)
from localjudge.rubric import load_rubric
from localjudge.verdicts import NOT_APPLICABLE, Grade, Stage, Unscored, Usage, Verdict

Score = Literal[0, 1]


def read(p_pass: float, *, applicable: bool = True, name: Any = "read") -> Stage:
    score: Score = 1 if p_pass >= 0.5 else 0
    figures = {"p_pass": p_pass, "label_mass": 0.9, "margin": 8 * (p_pass - 0.5)}
    return Stage(stage=name, score=score, applicable=applicable or not score, **figures)


def said(score: Score, reason: str = "", *, name: Any = "explain") -> Stage:
    reason = reason or f"理由{score}"
    return Stage(stage=name, score=score, applicable=not reason.startswith(NOT_APPLICABLE), reason=reason)


def thought(score: Score, reason: str = "") -> Stage:
    return said(score, reason or f"想过{score}", name="thinking")


def lost(name: Any, why: Unscored, reason: str = "") -> Stage:
    return failure(why, name, reason)


def graded(*stages: Stage, band: Band | None = DEFAULT_BAND) -> Grade:
    blank = Grade(
        id="1.1", indicator="情绪", score=None, applicable=None, reason="", unscored=Unscored.UNPARSEABLE, stages=stages
    )
    return regrade(blank, band)


# The band


def test_the_band_is_open_and_a_missing_probability_is_uncertain() -> None:
    band = Band(0.3, 0.7)
    assert [band.holds(p) for p in (0.0, 0.3, 0.300001, 0.5, 0.7, 1.0, None)] == [
        False,
        False,
        True,
        True,
        False,
        False,
        True,
    ]
    assert not Band(0.5, 0.5).holds(0.5)


@pytest.mark.parametrize(
    ("stage", "all_reasons", "failed_only"),
    [
        (read(0.95), True, False),
        (read(0.05), True, True),
        (read(0.6), True, True),
        (read(0.4), True, True),
        (lost("read", Unscored.OFF_LABEL), True, True),
    ],
)
def test_a_reason_is_asked_for_everywhere_or_where_the_read_is_no_certain_pass(
    stage: Stage, all_reasons: bool, failed_only: bool
) -> None:
    assert wants_reason(stage, DEFAULT_BAND, "all") is all_reasons
    assert wants_reason(stage, DEFAULT_BAND, "failed") is failed_only


def test_without_a_band_a_calibrated_read_decides_whatever_its_probability() -> None:
    for p_pass, score in ((0.45, 0), (0.5, 1), (0.55, 1), (0.95, 1)):
        calibrated = read(p_pass).model_copy(update={"calibrated": True})
        against = said(1 - score)  # type: ignore[arg-type]
        grade = graded(calibrated, against, band=None)
        assert (grade.decided_by, grade.score) == ("read", score)
        assert wants_reason(calibrated, None, "failed") is (score == 0)
        told = graded(calibrated, against, band=Band(0.4, 0.6))
        assert told.decided_by == ("explain" if 0.4 < p_pass < 0.6 else "read")


def test_without_a_band_an_uncalibrated_read_has_the_default_one() -> None:
    for p_pass in (0.1, 0.3, 0.45, 0.5, 0.69, 0.7, 0.9):
        stages = (read(p_pass), said(0))
        assert graded(*stages, band=None) == graded(*stages, band=DEFAULT_BAND)
        assert wants_reason(stages[0], None, "failed") is wants_reason(stages[0], DEFAULT_BAND, "failed")


@pytest.mark.parametrize("calibrated", [True, False])
def test_without_a_band_reads_near_one_half_are_worth_thinking_about_calibrated_or_not(calibrated: bool) -> None:
    for p_pass, doubt in ((0.6, True), (0.69, True), (0.7, False), (0.95, False)):
        stage = read(p_pass).model_copy(update={"calibrated": calibrated})
        assert wants_thinking(stage, said(1), None) is doubt


@pytest.mark.parametrize(
    ("first", "second", "doubt"),
    [
        (read(0.95), said(1), False),
        (read(0.05), said(0), False),
        (read(0.95), said(0), True),
        (read(0.05), said(1), True),
        (read(0.6), said(1), True),
        (read(0.95), lost("explain", Unscored.TRUNCATED), True),
        (lost("read", Unscored.OFF_LABEL), said(1), True),
        (lost("read", Unscored.OFF_LABEL), lost("explain", Unscored.TRUNCATED), True),
    ],
)
def test_doubt_is_disagreement_or_an_uncertain_read(first: Stage, second: Stage, doubt: bool) -> None:
    assert wants_thinking(first, second, DEFAULT_BAND) is doubt


# Who decides

OFF = lost("read", Unscored.OFF_LABEL)
CUT = lost("explain", Unscored.TRUNCATED)
DECISIONS: dict[str, tuple[tuple[Stage, ...], str | None, int | None, str]] = {
    # name: stages, who decides, the score, the reason shown
    "a certain pass alone": ((read(0.9),), "read", 1, ""),
    "a certain fail alone": ((read(0.1),), "read", 0, ""),
    "an uncertain read alone": ((read(0.6),), "read", 1, ""),
    "a certain read that explain agrees with": ((read(0.9), said(1)), "read", 1, "理由1"),
    "a certain pass against explain": ((read(0.9), said(0)), "read", 1, ""),
    "a certain fail against explain": ((read(0.1), said(1)), "read", 0, ""),
    "an uncertain read against explain": ((read(0.6), said(0)), "explain", 0, "理由0"),
    "an uncertain read that explain agrees with": ((read(0.4), said(0)), "explain", 0, "理由0"),
    "a read on the edge is certain": ((read(0.7), said(0)), "read", 1, ""),
    "no read": ((OFF, said(0)), "explain", 0, "理由0"),
    "no explain": ((read(0.6), CUT), "read", 1, ""),
    "thinking against both": ((read(0.9), said(1), thought(0)), "thinking", 0, "想过0"),
    "thinking with the read against explain": ((read(0.9), said(0), thought(1)), "thinking", 1, "想过1"),
    "thinking after nothing": ((OFF, CUT, thought(1)), "thinking", 1, "想过1"),
    "thinking lost, certain read": (
        (read(0.9), said(0), lost("thinking", Unscored.TRUNCATED)),
        "read",
        1,
        "",
    ),
    "thinking lost, uncertain read": (
        (read(0.6), said(0), lost("thinking", Unscored.TRUNCATED)),
        "explain",
        0,
        "理由0",
    ),
    "polarity decides nothing": ((read(0.6), said(1), read(0.01, name="polarity")), "explain", 1, "理由1"),
    "nothing at all": ((OFF, CUT), None, None, ""),
}


@pytest.mark.parametrize(("stages", "by", "score", "reason"), DECISIONS.values(), ids=DECISIONS)
def test_who_decides(stages: tuple[Stage, ...], by: str | None, score: int | None, reason: str) -> None:
    decided = decide(stages, DEFAULT_BAND)
    assert (decided[0] if decided else None) == by
    grade = graded(*stages)
    assert (grade.decided_by, grade.score, grade.reason) == (by, score, reason)
    assert grade.source == ("thinking" if by == "thinking" else "model")
    assert (grade.unscored is None) == (score is not None)


@pytest.mark.parametrize("why", list(Unscored))
def test_nothing_scored_stays_unscored_with_the_last_cause(why: Unscored) -> None:
    grade = graded(OFF, lost("explain", why, "told"))
    assert (grade.score, grade.applicable, grade.decided_by) == (None, None, None)
    assert (grade.unscored, grade.reason) == (why, "told")


def test_a_read_off_the_labels_shows_its_mass_in_the_grade() -> None:
    off = OFF.model_copy(update={"label_mass": 0.2})
    assert (graded(off, said(1)).label_mass, graded(off, said(1)).p_pass) == (0.2, None)


@pytest.mark.parametrize(
    ("stages", "applicable", "reason"),
    [
        ((read(0.9, applicable=False),), False, NOT_APPLICABLE),
        ((read(0.9), said(1, "无需评估，没有历史")), False, NOT_APPLICABLE),
        ((read(0.9, applicable=False), said(1, "称呼合适")), True, "称呼合适"),
        ((read(0.9, applicable=False), said(0, "称呼不当")), False, NOT_APPLICABLE),
        ((OFF, said(1, "无需评估")), False, NOT_APPLICABLE),
    ],
)
def test_a_grade_that_does_not_apply_says_so_and_no_other_does(
    stages: tuple[Stage, ...], applicable: bool, reason: str
) -> None:
    grade = graded(*stages)
    assert (grade.score, grade.applicable, grade.reason) == (1, applicable, reason)


def test_a_grade_of_one_stage_strategies_stays_as_it_is() -> None:
    grade = Grade(id="1.1", indicator="情绪", score=0, applicable=True, reason="语气不当")
    assert regrade(grade, Band(0, 1)) is grade


# Properties

PROBABILITY = st.one_of(st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]), st.floats(0, 1))
READS = st.one_of(st.builds(read, PROBABILITY, applicable=st.booleans()), st.just(OFF))
REASONS = st.sampled_from(["", "无需评估"])
ANSWERS = st.one_of(st.builds(said, st.just(1), REASONS), st.builds(said, st.just(0)), st.just(CUT))
THOUGHTS = st.one_of(st.builds(thought, st.just(1), REASONS), st.builds(thought, st.just(0)), st.just(CUT))


@st.composite
def some_stages(draw: st.DrawFn) -> tuple[Stage, ...]:
    stages = [draw(READS)]
    for later in (ANSWERS, THOUGHTS.map(lambda stage: stage.model_copy(update={"stage": "thinking"}))):
        if draw(st.booleans()):
            stages.append(draw(later))
        else:
            break
    if any(stage.reason for stage in stages) and draw(st.booleans()):
        stages.append(read(draw(PROBABILITY), name="polarity"))
    return tuple(stages)


BANDS = st.lists(PROBABILITY, min_size=2, max_size=2).map(lambda ends: Band(*sorted(ends)))


@given(some_stages(), BANDS)
def test_a_grade_is_always_sound(stages: tuple[Stage, ...], band: Band) -> None:
    grade = graded(*stages, band=band)
    assert Grade.model_validate(grade.model_dump()) == grade
    assert (grade.decided_by is None) == (grade.score is None)
    assert (grade.score is None) == all(stage.score is None for stage in stages)
    if grade.score is not None:
        assert (grade.reason == NOT_APPLICABLE) == (grade.applicable is False)
        assert not (grade.applicable is False and grade.score == 0)


@given(some_stages(), BANDS)
def test_a_reason_never_argues_the_other_way(stages: tuple[Stage, ...], band: Band) -> None:
    grade = graded(*stages, band=band)
    if grade.score is not None and grade.reason and grade.reason != NOT_APPLICABLE:
        assert grade.reason in {stage.reason for stage in stages if stage.score == grade.score}


@given(some_stages(), BANDS, BANDS)
def test_deciding_again_changes_nothing_and_the_way_there_does_not_matter(
    stages: tuple[Stage, ...], band: Band, other: Band
) -> None:
    once = graded(*stages, band=band)
    assert regrade(once, band) == once
    assert regrade(graded(*stages, band=other), band) == once
    assert once.stages == stages


def test_totals_follow_the_grades() -> None:
    rubric = load_rubric("push").select(("1.1", "2.1", "5.5"))
    detail = (graded(read(0.6), said(0)), graded(read(0.9, applicable=False)), graded(OFF, CUT))
    whole = Verdict.of(id="r", rubric=rubric, detail=detail, usage=Usage(requests=5), extra={"来源": "工单"})
    assert redecide(whole, DEFAULT_BAND, thinks=False) == whole
    moved = redecide(whole, Band(0.5, 0.55), thinks=False)
    assert [grade.score for grade in moved.detail] == [1, 1, None]
    assert (whole.total_score, moved.total_score) == (1, 2)
    assert (moved.scored, moved.not_applicable, moved.max_score) == (2, 1, 3)
    assert (moved.usage, moved.extra) == (whole.usage, whole.extra)


# Reasons that argue against their score

FAULT = """
违反了称呼要求
不符合客服人设
语气不当
用词不妥，显得生硬
未能体现关怀
缺乏共情
缺少对用户问题的回应
忽视了用户的怒气
忽略用户刚说的过敏史
承诺越权
超出客服职责
与前文矛盾
重复询问尺码
答非所问
没有违反人设，但缺乏共情
未违反但忽略了需求
不但缺乏关怀还催促下单
称呼合适，却与前文矛盾
""".split()
FINE = """
没有违反要求
未违反任何要求
并未违反称呼规范
没有任何明显违反
并无不妥
无不当之处
不存在越权承诺
没有重复询问
避免重复询问，直接给方案
并非答非所问
没有忽视用户情绪
未超出职责范围
没有缺乏关怀
不违反发送时间要求
称呼得体，语气亲切
符合客服人设
回应了用户的担心
无需评估
""".split()
PRAISE = """
符合客服人设
完全符合要求
回复得体
语气恰当
称呼合适，语气亲切
没有违反要求
没有任何问题
并无不妥
未违反称呼规范
""".split()
NO_PRAISE = """
语气生硬
符合人设但语气生硬
称呼合适，不过催促下单
没有回应用户的问题
没有违反人设，却答非所问
用户问的是退款
""".split()


@pytest.mark.parametrize("reason", FAULT)
def test_a_fault_named_contradicts_a_pass_and_backs_a_fail(reason: str) -> None:
    assert says_fault(reason)
    assert contradicts(reason, 1, None)
    assert not contradicts(reason, 0, None)


@pytest.mark.parametrize("reason", FINE)
def test_a_fault_denied_is_no_fault(reason: str) -> None:
    assert not says_fault(reason)
    assert not contradicts(reason, 1, None)


@pytest.mark.parametrize("reason", PRAISE)
def test_praise_contradicts_a_fail(reason: str) -> None:
    assert contradicts(reason, 0, None)
    assert not contradicts(reason, 1, None)


@pytest.mark.parametrize("reason", NO_PRAISE)
def test_what_is_no_plain_praise_contradicts_no_fail(reason: str) -> None:
    assert not contradicts(reason, 0, None)


@pytest.mark.parametrize(
    ("p_pass", "score", "against"),
    [(0.05, 1, True), (0.95, 0, True), (0.05, 0, False), (0.95, 1, False), (0.4, 1, False), (0.6, 0, False)],
)
def test_a_certain_read_of_the_reason_alone_counts_too(p_pass: float, score: int, against: bool) -> None:
    assert contradicts("说到了周末的安排", score, read(p_pass, name="polarity")) is against


def test_an_uncertain_or_lost_read_of_the_reason_leaves_it_to_its_words() -> None:
    for polarity in (read(0.4, name="polarity"), read(0.6, name="polarity"), lost("polarity", Unscored.OFF_LABEL)):
        assert contradicts("语气不当", 1, polarity)
        assert not contradicts("语气亲切", 1, polarity)
