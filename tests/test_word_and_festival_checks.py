"""Forbidden words and festival greetings on messages that were written after the rules, and where a word stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from localjudge.checks import CHECKS, read_checks
from localjudge.checks.base import Opinion
from localjudge.checks.festivals import FestivalGreeting
from localjudge.checks.lexicon import packaged_lexicon
from localjudge.checks.words import ForbiddenWords
from localjudge.records import Record, parse_record

DATA = Path(__file__).parent / "data"
MAN = {"性别": "男", "年龄": 30}
OLD_WOMAN = {"性别": "女", "年龄": 50}


def words(message: str, persona: dict[str, Any] = MAN) -> Opinion:
    return ForbiddenWords().look(
        parse_record({"id": "r", "task_type": "push", "message": message, "agent_profile": persona})
    )


def festival(message: str, sent: str) -> Opinion:
    return FestivalGreeting().look(
        parse_record({"id": "r", "task_type": "push", "message": message, "send_time": f"{sent}T09:00"})
    )


@pytest.mark.parametrize(("name", "left"), [("checks_words", 6), ("checks_festivals", 12)])
def test_messages_of_other_authors_are_never_decided_wrongly_and_seldom_left(name: str, left: int) -> None:
    entries = [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len({entry["id"] for entry in entries}) == len(entries)
    wrong, undecided = [], []
    for entry in entries:
        fields = {field: entry[field] for field in Record.model_fields if field in entry}
        score = CHECKS[entry["check"]]().look(parse_record({"task_type": "push"} | fields)).score
        if score is None:
            undecided.append(entry["id"])
        elif score != entry["score"]:
            wrong.append(entry["message"])
    assert wrong == []
    assert len(undecided) <= left, undecided


def test_unseen_messages_are_decided_as_the_page_says() -> None:
    """`unseen.jsonl` was looked at once, for the page on rules; its admissions were developed on afterwards."""
    entries = [json.loads(line) for line in (DATA / "unseen.jsonl").read_text(encoding="utf-8").splitlines()]
    wrong = {"forbidden_words": 0, "festival_greeting": 0, "ai_admission": 0}
    for entry in entries:
        fields = {field: entry[field] for field in Record.model_fields if field in entry}
        said = CHECKS[entry["check"]]().look(parse_record({"task_type": "push"} | fields))
        wrong[entry["check"]] += said.score not in (None, entry["score"])
        assert not (entry["check"] == "ai_admission" and said.score == 0 and entry["score"] == 1), entry["id"]
    assert wrong == {"forbidden_words": 0, "festival_greeting": 0, "ai_admission": 0}


@pytest.mark.parametrize(
    ("message", "score"),
    [
        ("明天到货呀", 0),
        ("天还没黑呢，慢慢走", 0),
        ("处理好啦您放心", 0),
        ("粗呢大衣到货", 1),
        ("燕语呢喃", 1),
        ("语气词呢、啦、呀怎么用", None),
        ("去呀里小镇两天", None),
        ("啦啦，报告到了", None),
    ],
)
def test_a_particle_counts_at_the_end_of_a_clause_and_is_left_in_the_middle_of_one(message: str, score: Any) -> None:
    assert words(message).score == score


@pytest.mark.parametrize(
    "word", [w for group in packaged_lexicon("forbidden_words").legitimate.values() for w in group]
)
def test_a_longer_word_of_the_list_is_no_forbidden_word(word: str) -> None:
    assert words(f"您要的{word}到了").score != 0
    assert words(f"您要的{word}到了", OLD_WOMAN).score != 0


@pytest.mark.parametrize(
    ("message", "score"),
    [
        ("宝子，到货了", 0),
        ("珠宝子公司搬家", 1),
        ("支付宝子账户已开通", 1),
        ("球队突破防线", 1),
        ("真破防了", 0),
        ("集美，来试衣服", 0),
        ("集美大学的夏令营", 1),
        ("种草了吗", None),
    ],
)
def test_slang_that_only_straddles_ordinary_words_is_none(message: str, score: Any) -> None:
    assert words(message, {"性别": "女", "年龄": 47}).score == score


@pytest.mark.parametrize("age", [44, 45])
def test_slang_of_the_young_counts_from_45_on(age: int) -> None:
    assert words("u1s1，这茶不错", {"性别": "女", "年龄": age}).score == (0 if age == 45 else 1)


def test_a_picture_hides_no_violation_and_holds_up_nobody_whom_it_cannot_offend() -> None:
    assert words("好呀😊").score == 0
    assert words("好的😊").score is None
    assert words("好的😊", {"性别": "女", "年龄": 25}).score == 1
    assert words("好的😊", OLD_WOMAN).score is None


def test_a_pack_says_where_its_words_count() -> None:
    (check,) = read_checks({"forbidden_words": {"lists": [{"name": "尾", "at": "clause_end", "words": ["得劲"]}]}})
    for message, score in (("真得劲！", 0), ("得劲的很", 1)):
        record = parse_record({"id": "r", "task_type": "push", "message": message, "agent_profile": MAN})
        assert check.look(record).score == score


@pytest.mark.parametrize(
    ("message", "score"),
    [
        ("明天中秋，月圆人圆，祝您阖家幸福", 0),
        ("重阳敬老，祝您健康长寿", 0),
        ("中秋将至，祝您购物愉快", None),
        ("中秋礼盒到店，祝您生活愉快", 1),
        ("中秋前下的单已寄，祝您一切顺利", 1),
        ("“中秋将至，祝您安康”四个字写好了", None),
    ],
)
def test_a_wish_in_the_next_clause_greets_the_festival_that_is_announced(message: str, score: Any) -> None:
    assert festival(message, "2026-11-11").score == score


def test_a_doubtful_mention_beside_a_greeting_of_the_same_festival_says_nothing_more() -> None:
    assert festival("您问的端午假期，祝您端午安康", "2026-06-18").score == 1
    assert festival("您问的端午假期，祝您端午安康", "2026-06-28").score == 0


@pytest.mark.parametrize(
    "unit", ["鸭", "宝子公司", "呢呢", "～3", "祝您中秋", "中秋将至，", "祝", "九九今天是", "啦您"]
)
def test_a_hostile_row_is_read_to_its_end(unit: str) -> None:
    record = parse_record(
        {"id": "r", "task_type": "push", "message": unit * 2000, "agent_profile": {"性别": "男", "年龄": 50}}
        | {"send_time": "2026-09-01"}
    )
    for check in (ForbiddenWords(), FestivalGreeting()):
        check.look(record)
