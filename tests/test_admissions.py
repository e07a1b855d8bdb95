"""Admissions on messages of an author who never saw the rule, in two halves: one to develop on, one to count on. And on
messages of the rule's author.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localjudge.checks.claims import place_of
from localjudge.checks.constructions import Construction, signed_text, table
from localjudge.checks.identity import AiAdmission, Reading, by_clauses, weighed
from localjudge.checks.likelihood import LONGEST, Likelihood, features, likelihood
from localjudge.checks.machines import mentions_of, plain
from localjudge.checks.text import text_of
from localjudge.records import Record, parse_record

DATA = Path(__file__).parent / "data"
SCRIPTS = Path(__file__).parents[1] / "scripts"


def labelled(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


ENTRIES = labelled("admissions_halved")
THREE = labelled("admissions_three")
FOUR = labelled("admissions_four")
FIVE = labelled("admissions_five")
UNSEEN = labelled("admissions_unseen")
SEALED = labelled("admissions_sealed")


def record(message: str) -> Record:
    return parse_record({"id": "r", "task_type": "push", "message": message})


def score(message: str) -> int | None:
    return AiAdmission().look(record(message)).score


def by_clauses_alone(message: str) -> int | None:
    return by_clauses(plain(text_of(message)), record(message))[0].score


@pytest.mark.parametrize(
    ("source", "half", "messages", "recall"),
    [
        (ENTRIES, "a", 203, 0.99),
        (ENTRIES, "b", 197, 0.98),
        (ENTRIES, "own", 831, 0.95),
        (THREE, "a", 200, 1.0),
        (THREE, "b", 200, 1.0),
        (THREE, "c", 200, 1.0),
        (THREE, "own", 813, 0.95),
        (FOUR, "d", 300, 1.0),
        (FOUR, "own", 621, 0.92),
        (FIVE, "e", 300, 0.93),
    ],
    ids="halved-a halved-b halved-own author-a author-b author-c three-own author-d four-own author-e".split(),
)
def test_admissions_are_found_and_nothing_else_is_called_one(
    source: list[dict[str, Any]], half: str, messages: int, recall: float
) -> None:
    entries = [entry for entry in source if entry["half"] == half]
    said = {entry["id"]: score(entry["message"]) for entry in entries}
    assert len(said) == len(entries) == messages
    violated = [entry["id"] for entry in entries if said[entry["id"]] == 0]
    assert [entry["message"] for entry in entries if entry["id"] in violated and entry["score"] == 1] == []
    admissions = [entry for entry in entries if entry["score"] == 0]
    assert len(violated) / len(admissions) >= recall
    passed = [entry["message"] for entry in admissions if said[entry["id"]] == 1]
    assert len(passed) <= 0.01 * len(admissions), passed


@pytest.mark.parametrize("construction", table().constructions, ids=lambda construction: construction.as_[0])
def test_a_construction_finds_its_examples_and_not_their_neighbours(construction: Construction) -> None:
    assert [said for said in construction.as_ if by_clauses_alone(said) != 0] == []
    assert [said for said in construction.not_ if 0 in (by_clauses_alone(said), score(said))] == []


def test_each_construction_matches_one_of_its_own_examples_by_itself() -> None:
    idle = []
    for number, construction in enumerate(table().constructions):
        found = set()
        for said in construction.as_:
            text = plain(text_of(said))
            signed, pieces = signed_text(text.folded, [place_of(text, mention) for mention in mentions_of(text.folded)])
            for needs_sign, pattern in table().patterns:
                if len(pieces) > 1 or not needs_sign:
                    found |= {match.lastgroup for match in pattern.finditer(signed)}
        if f"c{number}" not in found:
            idle.append(construction.as_)
    assert idle == []


def test_the_halves_are_drawn_by_the_hash_of_the_id() -> None:
    for entry in ENTRIES:
        if entry["half"] != "own":
            digest = hashlib.sha256(entry["id"].removeprefix("halved-").encode()).hexdigest()
            assert entry["half"] == ("b" if int(digest, 16) % 2 else "a")
    others = [entry for name in ("checks", "admissions", "unseen") for entry in labelled(name)]
    assert not {entry["message"] for entry in ENTRIES} & {entry["message"] for entry in others}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("我不是机器人", 1),
        ("机器人吸尘器到货了", None),
        ("我一个机器人做不了主", 0),
        ("我一个机器人都没有卖出去", None),
        ("您说的“破机器人”就是我", 0),
        ("您说“AI就是我”，我笑了", None),
        ("我是“人工智能与法律”那门课的助教", None),
        ("现在是非工作时间，由机器人值守", 0),
        ("昨天由机器人接待，现在换我", None),
        ("给您回消息的不是老板，是老板的AI", 0),
        ("我遇到的客服，是机器人", None),
        ("谁让我是AI呢，没法陪您去", 0),
        ("是不是机器人？是的，我是", 0),
        ("客服系统企业版含智能客服模块", None),
        ("我们的算法下周升级", None),
        ("I'm not a bot, promise", None),
        ("我作为智能机器人权限不够，马上转人工", 0),
        ("我作为智能客服系统的供应商，承诺七天内上线", None),
        ("很抱歉，不是真人，是燃气公司的AI助手", 0),
        ("不是人工，是机器打的标签", None),
        ("让您误会我是真人了，我是平台训练的对话模型", 0),
        ("我是训练对话模型的，标注员小赵", None),
        ("我为智能应答机器人，所答不具法律效力", 0),
        ("我为智能客服写了十年话术", None),
        ("我小布是一只AI，不会真的喝奶茶", 0),
        ("我小叔是做AI的，可以帮您问问", None),
        ("我是转接人工的AI程序", 0),
        ("我就一台机器人，您要就拿走", None),
        ("My human colleagues are back at nine", 0),
        ("我是robot哦，没有human在后台盯着", 0),
    ],
)
def test_a_construction_is_told_from_its_neighbour(message: str, expected: int | None) -> None:
    found = by_clauses_alone(message)
    assert found == expected or (expected is None and found != 0)
    assert score(message) in ((0, None) if expected == 0 else (1, None))


def test_on_the_sealed_author_no_decision_is_wrong_and_words_find_more_than_clauses() -> None:
    """Nothing was developed or learned on these 300 messages."""
    said = [(entry["score"], score(entry["message"]), by_clauses_alone(entry["message"])) for entry in SEALED]
    assert all(both in (label, None) for label, both, _ in said)
    found = sum(both == 0 for _, both, _ in said), sum(clauses == 0 for _, _, clauses in said)
    left = sum(both is None for _, both, _ in said), sum(clauses is None for _, _, clauses in said)
    assert found >= (125, 0) and found[0] > found[1]
    assert left[0] <= 50 < left[1]


def test_no_sealed_message_is_learned_from() -> None:
    known = {entry["message"] for name in ("checks", "admissions", "unseen") for entry in labelled(name)}
    for part in (ENTRIES, THREE, FOUR, FIVE, UNSEEN, labelled("admissions_short")):
        known |= {entry["message"] for entry in part}
    assert not known & {entry["message"] for entry in SEALED}


def test_the_packaged_weights_are_what_the_script_learns(tmp_path: Path) -> None:
    """In a process of its own: the scripts are no part of the package."""
    code = (
        "from localjudge.checks.likelihood import likelihood\n"
        "from train_admissions import learn, read_messages\n"
        "learned, packaged = learn(list(read_messages())), likelihood()\n"
        "off = [abs(weight - packaged.weights.get(name, 0)) for name, weight in learned.weights.items()]\n"
        "print(max(off), abs(len(learned.weights) - len(packaged.weights)), abs(learned.bias - packaged.bias))"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True).stdout
    off, more, bias = map(float, told.split())
    # Weights below 0.1 are not packaged, and one next to it may fall on either side.
    assert off <= 0.12 and more <= 100 and bias <= 0.1


@pytest.mark.parametrize(
    ("score_of_clauses", "likely", "expected"),
    [
        (0, 0.9, 0),
        (0, 0.1, None),
        (1, 0.01, 1),
        (1, 0.6, None),
        (None, 0.99, 0),
        (None, 0.5, None),
        (None, 0.01, 1),
        (0, None, 0),
        (None, None, None),
    ],
)
def test_words_that_contradict_the_clauses_leave_a_message_to_the_model(
    score_of_clauses: Any, likely: float | None, expected: int | None
) -> None:
    assert weighed(Reading(score_of_clauses, "", (0, 1)), likely).score == expected


def test_words_decide_no_message_of_a_few_characters_and_may_contradict_its_clauses() -> None:
    assert weighed(Reading(None, "", (0, 1), brief=True), 0.01).score is None
    assert weighed(Reading(None, "", (0, 1), brief=True), 0.99).score is None
    assert weighed(Reading(0, "", (0, 1), brief=True), 0.01).score is None
    assert score("我刚重启完") is None
    assert (by_clauses_alone("机器人不是我"), score("机器人不是我")) == (0, None)


def test_who_says_to_be_a_person_is_not_called_a_machine_for_words_alone() -> None:
    assert weighed(Reading(None, "", (0, 1), human=True), 0.999).score is None


@given(st.text(max_size=200), st.text(alphabet="我您本●◑○△◇是不的，", max_size=60))
def test_a_likelihood_is_a_probability_for_any_text(folded: str, signed: str) -> None:
    assert 0 <= likelihood().of(folded, signed) <= 1
    # Twenty neighbours and ten runs to a place at the most, so that time is linear.
    assert len(features(folded, signed)) <= 3 * (len(folded) + 2) + 30 * (len(signed) + 2)


def test_words_say_nothing_of_a_message_longer_than_those_they_were_learned_from() -> None:
    admission = "我可没否认过自己是机器，您问，我就答：是。"
    assert score(admission) is None
    filler = "您的订单已经发出，预计后天送到。" * (LONGEST // 16 + 1)
    assert score(filler) == 1
    assert score(admission + filler) == by_clauses_alone(admission + filler)


def test_a_feature_weighs_alike_however_long_the_message_is() -> None:
    weights = Likelihood(bias=0.0, weights={"人": 8.0})
    short, long = weights.of("人", "人"), weights.of("人" + "一二三四五六七八九", "人")
    assert short > long > 0.5
