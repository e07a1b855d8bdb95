"""The cascade: what it asks, when it asks again, what every grade keeps of its stages, and deciding a run anew."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import call, line
from hypothesis import given, settings
from hypothesis import strategies as st

from localjudge.decisions import Band, redecide
from localjudge.engines.base import Completion, Request
from localjudge.engines.fake import FakeEngine
from localjudge.judge import Judge
from localjudge.prompts import Prompts
from localjudge.reads import POLARITY_LABELS, READ_LABELS
from localjudge.records import parse_record
from localjudge.rubric import load_rubric
from localjudge.store import RunStore
from localjudge.strategies import Settings
from localjudge.verdicts import NOT_APPLICABLE, Grade, Unscored, Verdict

Said = Callable[[Request], Completion]
SMALL = load_rubric("push").select(("1.1", "2.1", "5.5"))
ONE = SMALL.select(("1.1",))
PASS, FAIL, LIKELY, UNLIKELY = (0.9, 0.05, 0.05), (0.05, 0.9, 0.05), (0.55, 0.4, 0.05), (0.35, 0.6, 0.05)
OFF_LABEL = (0.1, 0.1, 0.1)
PROMPT: Any = {"prompt_tokens": 10, "cached_tokens": 8}


def chooses(*shares: float) -> Said:
    logprobs = tuple(map(math.log, shares))
    return lambda request: Completion(request.id, "", "length", choice_logprobs=logprobs, output_tokens=1, **PROMPT)


def says(score: int, reason: str = "语气亲切", finish: Any = "stop", **fields: Any) -> Said:
    text = json.dumps({"reason": reason, "score": score}, ensure_ascii=False, separators=(",", ":"))
    return lambda request: Completion(request.id, text, finish, output_tokens=5, **PROMPT, **fields)


def fails(finish: Any, error: str = "") -> Said:
    return lambda request: Completion(request.id, "", finish, error=error)


def stage_of(request: Request) -> str:
    return request.id.rpartition("/")[2].removesuffix("+")


CERTAIN, FINE, THOUGHT, UNDECIDED = chooses(*PASS), says(1), says(1, "想过了"), chooses(*LIKELY)


def cascade(
    read: Said = CERTAIN,
    explain: Said = FINE,
    thinking: Said = THOUGHT,
    polarity: Said = UNDECIDED,
    rubric: Any = ONE,
    **options: Any,
) -> tuple[Verdict, list[Request]]:
    """Judges one record with an engine that answers each stage as told."""
    stages = {"read": read, "explain": explain, "thinking": thinking, "polarity": polarity}
    engine = FakeEngine(lambda request: stages[stage_of(request)](request))
    judge = Judge(engine, {"push": rubric}, Settings(strategy="cascade", **options))
    (verdict,) = judge.judge([parse_record({"id": "r", "task_type": "push", "message": "粥还热着"})])
    return verdict, engine.seen


def only_grade(verdict: Verdict) -> Grade:
    (grade,) = verdict.detail
    return grade


def asked(requests: list[Request]) -> list[str]:
    return [stage_of(request) for request in requests]


# What is asked


def test_with_reasons_for_all_every_indicator_is_read_explained_and_its_reason_read() -> None:
    verdict, requests = cascade(rubric=SMALL)
    assert Counter(asked(requests)) == {"read": 3, "explain": 3, "polarity": 3}
    assert asked(requests)[:3] == ["read"] * 3
    assert [grade.id for grade in verdict.detail] == ["1.1", "2.1", "5.5"]
    assert {(grade.score, grade.reason, grade.decided_by) for grade in verdict.detail} == {(1, "语气亲切", "read")}


def test_with_reasons_for_failed_a_certain_pass_costs_one_request() -> None:
    def read(request: Request) -> Completion:
        return chooses(*(FAIL if "/2.1/" in request.id else PASS))(request)

    verdict, requests = cascade(read, says(0, "只顾推销"), rubric=SMALL, reasons="failed")
    assert Counter(asked(requests)) == {"read": 3, "explain": 1, "polarity": 1}
    assert [(grade.score, grade.reason) for grade in verdict.detail] == [(1, ""), (0, "只顾推销"), (1, "")]


@pytest.mark.parametrize("shares", [LIKELY, UNLIKELY, FAIL, OFF_LABEL])
def test_with_reasons_for_failed_everything_but_a_certain_pass_is_explained(shares: tuple[float, ...]) -> None:
    assert "explain" in asked(cascade(chooses(*shares), reasons="failed")[1])


def test_requests_are_reads_of_the_labels_and_answers_under_the_schema() -> None:
    _, requests = cascade(chooses(*LIKELY), doubt_budget=64, seed=7)
    first, second, third, last = requests
    assert [first.choices, second.choices, third.choices, last.choices] == [READ_LABELS, (), (), POLARITY_LABELS]
    assert first.messages[0] == Prompts().packs(ONE, 1)[0]
    assert second.messages[0] == third.messages[0] != first.messages[0]
    assert first.messages[-1].parts[:-1] == second.messages[-1].parts[:-1]
    assert second.schema == third.schema is not None
    assert [request.thinking_budget for request in requests] == [None, None, 64, None]
    assert {request.seed for request in requests} == {7}


def test_a_reason_is_read_without_the_record_and_as_data() -> None:
    _, requests = cascade(explain=says(1, "提到粥还热"))
    texts = [(part.text, part.data) for message in requests[-1].messages for part in message.parts]
    assert ("提到粥还热", True) in texts
    assert not any("粥还热着" in text or ONE.indicators[0].title in text for text, _ in texts)


def test_thinking_is_asked_for_only_where_there_is_doubt() -> None:
    certain = [cascade(chooses(*PASS), says(1)), cascade(chooses(*FAIL), says(0))]
    doubtful = [
        cascade(chooses(*PASS), says(0), doubt_budget=64),
        cascade(chooses(*FAIL), says(1), doubt_budget=64),
        cascade(chooses(*LIKELY), says(1), doubt_budget=64),
        cascade(chooses(*OFF_LABEL), says(1), doubt_budget=64),
    ]
    assert all("thinking" not in asked(requests) for _, requests in certain)
    assert all(asked(requests) == ["read", "explain", "thinking", "polarity"] for _, requests in doubtful)
    assert {(only_grade(v).decided_by, only_grade(v).source) for v, _ in doubtful} == {("thinking", "thinking")}
    assert asked(cascade(chooses(*PASS), says(1), doubt_budget=64)[1]) == ["read", "explain", "polarity"]


def test_doubt_is_left_alone_without_a_budget() -> None:
    verdict, requests = cascade(chooses(*LIKELY), says(0, "语气生硬"))
    assert asked(requests) == ["read", "explain", "polarity"]
    assert (only_grade(verdict).score, only_grade(verdict).decided_by) == (0, "explain")


def test_the_band_is_that_of_the_settings() -> None:
    narrow, _ = cascade(chooses(*LIKELY), says(0), band=Band(0.5, 0.5))
    wide, _ = cascade(chooses(*PASS), says(0), band=Band(0.0, 1.0))
    assert [only_grade(verdict).decided_by for verdict in (narrow, wide)] == ["read", "explain"]


# What may go wrong


def test_an_answer_cut_off_is_asked_once_more_then_the_read_decides() -> None:
    verdict, requests = cascade(chooses(*LIKELY), fails("length"))
    assert asked(requests) == ["read", "explain", "explain"]
    assert requests[2].max_tokens == 2 * requests[1].max_tokens
    grade = only_grade(verdict)
    assert (grade.score, grade.decided_by, grade.reason) == (1, "read", "")
    assert [(stage.stage, stage.unscored) for stage in grade.stages] == [
        ("read", None),
        ("explain", Unscored.TRUNCATED),
    ]


def test_an_answer_whole_on_the_second_try_counts() -> None:
    def explain(request: Request) -> Completion:
        return says(0, "语气生硬", "stop" if request.id.endswith("+") else "length")(request)

    verdict, requests = cascade(chooses(*LIKELY), explain)
    assert asked(requests) == ["read", "explain", "explain", "polarity"]
    assert (only_grade(verdict).score, len(only_grade(verdict).stages)) == (0, 3)


def test_a_read_off_the_labels_falls_to_the_answer() -> None:
    grade = only_grade(cascade(chooses(*OFF_LABEL), says(0, "语气生硬"))[0])
    assert (grade.score, grade.decided_by, grade.reason, grade.p_pass) == (0, "explain", "语气生硬", None)
    assert grade.label_mass == grade.stages[0].label_mass == pytest.approx(0.3)
    assert grade.stages[0].unscored is Unscored.OFF_LABEL


@pytest.mark.parametrize("finish", ["error", "too_long"])
def test_when_no_stage_comes_to_a_score_the_grade_says_why(finish: Any) -> None:
    why = {"error": Unscored.ENGINE_ERROR, "too_long": Unscored.TOO_LONG}[finish]
    verdict, requests = cascade(fails(finish, "told"), fails(finish, "told"))
    grade = only_grade(verdict)
    assert asked(requests) == ["read", "explain"]
    assert (grade.score, grade.unscored, grade.reason, grade.decided_by) == (None, why, "told", None)
    assert (verdict.scored, verdict.total_score, verdict.max_score) == (0, 0, 1)


def test_one_indicator_lost_costs_the_others_nothing() -> None:
    def lost(said: Said) -> Said:
        return lambda request: (fails("error", "gone") if "/2.1/" in request.id else said)(request)

    verdict, _ = cascade(lost(chooses(*PASS)), lost(says(1)), rubric=SMALL)
    assert [grade.score for grade in verdict.detail] == [1, None, 1]


@pytest.mark.parametrize(
    ("explain", "why"),
    [(says(0, NOT_APPLICABLE), Unscored.CONTRADICTORY), (says(3), Unscored.UNPARSEABLE)],
)
def test_an_answer_that_is_none_leaves_it_to_the_read(explain: Said, why: Unscored) -> None:
    grade = only_grade(cascade(chooses(*UNLIKELY), explain)[0])
    assert (grade.score, grade.decided_by, grade.stages[1].unscored) == (0, "read", why)


def test_a_lost_read_of_the_reason_harms_nothing() -> None:
    grade = only_grade(cascade(polarity=fails("error", "gone"))[0])
    assert (grade.score, grade.reason, grade.contradiction) == (1, "语气亲切", False)
    assert grade.stages[-1].unscored is Unscored.ENGINE_ERROR


def test_lost_thinking_leaves_the_two_stages_and_their_reason() -> None:
    verdict, requests = cascade(chooses(*LIKELY), says(1, "语气不当"), fails("length"), doubt_budget=8)
    assert asked(requests) == ["read", "explain", "thinking", "thinking", "polarity"]
    grade = only_grade(verdict)
    assert (grade.score, grade.decided_by, grade.reason, grade.source) == (1, "explain", "语气不当", "model")
    assert grade.contradiction


# What is kept


def test_every_stage_is_kept_in_order_with_what_it_said() -> None:
    verdict, _ = cascade(chooses(*LIKELY), says(0, "语气生硬"), says(1, "其实亲切"), chooses(*PASS), doubt_budget=8)
    grade = only_grade(verdict)
    assert [(stage.stage, stage.score, stage.reason) for stage in grade.stages] == [
        ("read", 1, ""),
        ("explain", 0, "语气生硬"),
        ("thinking", 1, "其实亲切"),
        ("polarity", 1, ""),
    ]
    first = grade.stages[0]
    assert (grade.p_pass, grade.label_mass, grade.margin) == (first.p_pass, first.label_mass, first.margin)
    assert first.p_pass == pytest.approx(0.6)
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict


@pytest.mark.parametrize("keep", [False, True])
def test_thinking_text_is_kept_only_where_asked_for(keep: bool) -> None:
    thinking = says(0, "想过了", thinking="先看称呼", thinking_tokens=4)
    verdict, _ = cascade(chooses(*LIKELY), thinking=thinking, doubt_budget=8, keep_thinking=keep)
    assert only_grade(verdict).thinking == ("先看称呼" if keep else None)
    assert verdict.usage.thinking_tokens == 4


def test_usage_counts_every_request_of_every_stage() -> None:
    verdict, requests = cascade(rubric=SMALL)
    # 3 reads and 3 reads of a reason at 1 token, 3 answers at 5
    assert verdict.usage.model_dump() == {
        "requests": len(requests),
        "prompt_tokens": 90,
        "cached_tokens": 72,
        "output_tokens": 21,
        "thinking_tokens": 0,
    }


@pytest.mark.parametrize(
    ("explain", "polarity", "against"),
    [
        (says(1, "语气不当"), chooses(*LIKELY), True),
        (says(1, "说到周末"), chooses(*FAIL), True),
        (says(0, "符合人设"), chooses(*UNLIKELY), True),
        (says(1, "没有违反要求"), chooses(*PASS), False),
    ],
)
def test_a_contradiction_is_counted_and_changes_no_score(explain: Said, polarity: Said, against: bool) -> None:
    grade = only_grade(cascade(chooses(*LIKELY), explain, polarity=polarity)[0])
    assert grade.contradiction is against
    assert grade.score == grade.stages[1].score


# Deciding anew


def test_a_grade_that_came_after_thinking_says_so_when_it_is_decided_anew(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(line("r"))
    options = ("--engine", "fake", "--thinking", "on", "--band", "0", "1", "--indicators", "1.1")
    assert call("run", tmp_path / "in.jsonl", *options, "--out", tmp_path / "run").exit_code == 0
    assert call("replay", tmp_path / "run", "--band", "0", "1", "--out", tmp_path / "anew.jsonl").exit_code == 0
    (stored,) = RunStore.open(tmp_path / "run").verdicts()
    assert stored.detail[0].source == "thinking"
    assert Verdict.model_validate_json((tmp_path / "anew.jsonl").read_bytes()) == stored


SHARES = st.sampled_from([PASS, FAIL, LIKELY, UNLIKELY, OFF_LABEL, (0.2, 0.1, 0.6)])
READ = st.one_of(SHARES.map(lambda shares: chooses(*shares)), st.just(fails("error", "gone")))
ANSWER = st.sampled_from(
    [
        says(1),
        says(0, "语气不当"),
        says(1, "语气不当"),
        says(1, NOT_APPLICABLE),
        says(0, NOT_APPLICABLE),
        says(1, "cut", "length"),
        fails("too_long", "9 tokens do not fit 8"),
    ]
)
BAND = st.lists(st.floats(0, 1), min_size=2, max_size=2).map(lambda ends: Band(*sorted(ends)))


@settings(deadline=None, max_examples=60)
@given(
    READ,
    ANSWER,
    ANSWER,
    READ,
    BAND,
    BAND,
    st.sampled_from(["all", "failed"]),
    st.fixed_dictionaries({}, optional={"thinking_budget": st.integers(1, 9), "doubt_budget": st.integers(0, 9)}),
)
def test_the_runs_own_band_reproduces_every_grade(
    read: Said,
    explain: Said,
    thinking: Said,
    polarity: Said,
    band: Band,
    other: Band,
    reasons: str,
    budgets: dict[str, int],
) -> None:
    verdict, requests = cascade(read, explain, thinking, polarity, band=band, reasons=reasons, **budgets)
    stored, thinks = Verdict.model_validate_json(verdict.model_dump_json()), "thinking_budget" in budgets
    assert redecide(stored, band, thinks=thinks) == verdict
    assert redecide(redecide(stored, other, thinks=thinks), band, thinks=thinks) == verdict
    assert verdict.usage.requests == len(requests)
    assert Counter(asked(requests)).keys() == {stage.stage for stage in only_grade(verdict).stages}


pytestmark = pytest.mark.usefixtures("own_home")


@pytest.fixture
def records(tmp_path: Path) -> Path:
    path = tmp_path / "records.jsonl"
    lines = [{"id": f"r{n}", "task_type": "push", "message": f"第{n}条消息"} for n in range(4)]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def judged(tmp_path: Path, records: Path) -> Path:
    out = tmp_path / "run"
    done = call(
        "run",
        records,
        "--engine",
        "fake",
        "--strategy",
        "cascade",
        "--rules",
        "off",
        "--out",
        out,
        "--progress",
        "none",
    )
    assert done.exit_code == 0, done.output
    return out


def verdicts(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def stored(folder: Path) -> list[Any]:
    return [verdict.model_dump(mode="json") for verdict in RunStore.open(folder).verdicts()]


def test_replay_with_the_runs_own_band_prints_and_writes_the_same(tmp_path: Path, judged: Path) -> None:
    own, again = call("summary", judged), call("replay", judged, "--band", 0.3, 0.7, "--out", tmp_path / "again.jsonl")
    assert (again.exit_code, again.stdout) == (0, own.stdout)
    assert "push@" in again.stdout
    assert verdicts(tmp_path / "again.jsonl") == stored(judged)
    as_json = call("replay", judged, "--band", 0.3, 0.7, "--json").stdout
    held = json.loads((judged / "summary.json").read_text(encoding="utf-8"))
    assert json.loads(as_json) == {"engine": "fake"} | held


def test_replay_with_another_band_lets_others_decide_and_leaves_the_run_alone(tmp_path: Path, judged: Path) -> None:
    (file,) = (judged / "verdicts").iterdir()
    before = file.read_bytes()
    assert call("replay", judged, "--band", 0, 1, "--out", tmp_path / "anew.jsonl").exit_code == 0
    grades = [grade for verdict in verdicts(tmp_path / "anew.jsonl") for grade in verdict["detail"]]
    # The fake engine's reads are certain at the default band; here none is.
    assert {grade["decided_by"] for verdict in stored(judged) for grade in verdict["detail"]} == {"read"}
    assert {grade["decided_by"] for grade in grades} == {"explain"}
    assert all(grade["score"] == grade["stages"][1]["score"] for grade in grades)
    assert file.read_bytes() == before


def test_replay_refuses_a_run_without_stages(tmp_path: Path, records: Path) -> None:
    out = tmp_path / "plain"
    assert call("run", records, "--engine", "fake", "--strategy", "explain", "--out", out).exit_code == 0
    done = call("replay", out, "--band", 0.3, 0.7)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "was judged with --strategy explain" in done.stderr


@pytest.mark.parametrize("band", [("0.7", "0.3"), ("-0.1", "0.5"), ("0.5", "1.1"), ("nan", "nan")])
def test_a_band_that_is_no_range_is_refused(judged: Path, records: Path, tmp_path: Path, band: tuple[str, str]) -> None:
    again = call("replay", judged, "--band", *band)
    assert (again.exit_code, again.stdout) == (2, "")
    assert "--band" in again.stderr
    first = call("run", records, "--engine", "fake", "--strategy", "cascade", "--band", *band, "--out", tmp_path / "x")
    assert first.exit_code == 2
    assert not (tmp_path / "x").exists()


def test_replay_of_no_run_and_to_nowhere_is_refused(tmp_path: Path, judged: Path) -> None:
    assert call("replay", tmp_path, "--band", 0.3, 0.7).exit_code == 1
    assert call("replay", judged).exit_code == 2
    nowhere = call("replay", judged, "--band", 0.3, 0.7, "--out", tmp_path / "absent" / "file.jsonl")
    assert nowhere.exit_code == 1
    assert "cannot write" in nowhere.stderr


def test_the_fast_setting_asks_less(tmp_path: Path, records: Path) -> None:
    requests = {}
    for reasons in ("all", "failed"):
        out = tmp_path / reasons
        options = ("--engine", "fake", "--strategy", "cascade", "--reasons", reasons, "--rules", "off")
        assert call("run", records, *options, "--out", out).exit_code == 0
        requests[reasons] = json.loads((out / "summary.json").read_text(encoding="utf-8"))["usage"]["requests"]
    # 4 records of 22 indicators: a read, an answer and a read of its reason each
    assert requests["all"] == 4 * 22 * 3
    assert 4 * 22 < requests["failed"] < requests["all"]


def test_thinking_on_doubt_needs_the_cascade(tmp_path: Path, records: Path) -> None:
    done = call("run", records, "--engine", "fake", "--strategy", "read", "--thinking", "auto", "--out", tmp_path / "x")
    assert done.exit_code == 2
    assert "--strategy cascade" in done.stderr
