"""Answers as text to grades: what the schema allows is read, what is cut is kept in part, all else is unscored."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError as SchemaViolation
from pydantic import ValidationError

from localjudge.cli import main
from localjudge.engines.constraint import regex_of
from localjudge.rubric import Rubric, load_rubric
from localjudge.verdicts import (
    NOT_APPLICABLE,
    REASON_MAX,
    Answer,
    Grade,
    Unscored,
    Usage,
    Verdict,
    answer_schema,
    joint_schema,
    parse_answer,
    parse_cut_joint,
    parse_joint,
    schema_text,
)

slow_machine = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
any_text = st.text(st.characters(exclude_categories=()))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)
IDS = ("1.1", "2.1", "5.4")


@cache
def pack() -> Rubric:
    return load_rubric("push").select(IDS)


@cache
def published(strategy: str) -> Draft202012Validator:
    """The schema as `rubrics schema` prints it."""
    printed = CliRunner().invoke(main, ["rubrics", "schema", "push", "--strategy", strategy])
    schema = json.loads(printed.stdout)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def allowed(schema: dict[str, Any]) -> re.Pattern[str]:
    """The regular expression that engines decode under."""
    return re.compile(regex_of(schema_text(schema)))


def grade(score: Any = 1, **fields: Any) -> Grade:
    return Grade(**{"id": "1.1", "indicator": "题", "score": score, "applicable": True, "reason": "好"} | fields)


def unscored(why: Unscored) -> Grade:
    return grade(None, applicable=None, reason="", unscored=why)


# What may be decoded


@settings(slow_machine, max_examples=400)
@given(st.from_regex(allowed(answer_schema()), fullmatch=True))
def test_every_answer_the_constraint_allows_is_valid_and_read(text: str) -> None:
    data = json.loads(text)
    published("explain").validate(data)
    answer = parse_answer(text)
    if data["reason"].strip().startswith(NOT_APPLICABLE) and data["score"] == 0:
        assert answer is Unscored.CONTRADICTORY
    else:
        assert answer == Answer(reason=data["reason"], score=data["score"])


@settings(slow_machine, max_examples=150)
@given(st.from_regex(allowed(joint_schema(pack())), fullmatch=True))
def test_every_joint_answer_the_constraint_allows_is_valid_and_read(text: str) -> None:
    data = json.loads(text)
    Draft202012Validator(joint_schema(pack())).validate(data)
    answers = parse_joint(text, IDS)
    assert list(data) == list(answers) == list(IDS)
    assert Unscored.UNPARSEABLE not in answers.values()
    assert answers == parse_cut_joint(text, IDS)


@pytest.mark.parametrize("name", ["push", "reply"])
def test_a_joint_answer_for_a_whole_pack_is_allowed_valid_and_read(name: str) -> None:
    rubric = load_rubric(name)
    ids = tuple(indicator.id for indicator in rubric.indicators)
    entries = {
        wanted: {"reason": f"第{wanted}条：没有问题 😀", "score": number % 2} for number, wanted in enumerate(ids)
    }
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":"))
    assert allowed(joint_schema(rubric)).fullmatch(text)
    Draft202012Validator(joint_schema(rubric)).validate(entries)
    assert [answer.score for answer in parse_joint(text, ids).values() if isinstance(answer, Answer)] == [
        number % 2 for number in range(len(ids))
    ]


@pytest.mark.parametrize(
    "text",
    [
        '{"score":1,"reason":"先分后理由"}',
        '{"reason": "多了空格","score":1}',
        '{"reason":"分数不是零一","score":2}',
        '{"reason":"分数是真假","score":true}',
        '{"reason":"一","score":1}',
        '{"reason":"' + "长" * (REASON_MAX + 1) + '","score":1}',
        '{"reason":"转义\\n换行","score":1}',
        '{"reason":"多一个字段","score":1,"x":1}',
        '{"reason":"零宽\u200b字符","score":1}',
        '{"reason":"换\u202e向","score":1}',
    ],
)
def test_the_constraint_allows_nothing_else(text: str) -> None:
    assert allowed(answer_schema()).fullmatch(text) is None


def test_the_reason_stands_before_the_score_in_schema_and_pack_order_rules_joint_answers() -> None:
    assert list(answer_schema()["properties"]) == answer_schema()["required"] == ["reason", "score"]
    assert list(joint_schema(pack())["properties"]) == joint_schema(pack())["required"] == list(IDS)


def test_the_published_schema_refuses_missing_and_foreign_fields() -> None:
    for data in ({}, {"reason": "好好"}, {"reason": "好好", "score": 1, "more": 1}, {"reason": "好好", "score": True}):
        with pytest.raises(SchemaViolation):
            published("explain").validate(data)
    with pytest.raises(SchemaViolation):
        published("joint").validate({"1.1": {"reason": "只有一条", "score": 1}})


# Reading one answer


@pytest.mark.parametrize("reason", [NOT_APPLICABLE, "无需评估。", "无需评估，没有历史", "  无需评估"])
def test_not_applicable_is_a_pass_that_says_so(reason: str) -> None:
    answer = parse_answer(json.dumps({"reason": reason, "score": 1}))
    assert isinstance(answer, Answer)
    assert (answer.score, answer.applicable) == (1, False)


def test_not_applicable_with_zero_contradicts_itself() -> None:
    assert parse_answer('{"reason":"无需评估","score":0}') is Unscored.CONTRADICTORY


def test_a_reason_that_only_mentions_not_applicable_applies() -> None:
    answer = parse_answer('{"reason":"不能写无需评估","score":0}')
    assert isinstance(answer, Answer)
    assert answer.applicable


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "[]",
        "null",
        "{}",
        '{"reason":"","score":1}',
        '{"reason":"好","score":"1"}',
        '{"reason":"好","score":true}',
        '{"reason":"好","score":1.0}',
        '{"reason":"好","score":2}',
        '{"reason":"好","score":null}',
        '{"reason":1,"score":1}',
        '{"reason":"好"}',
        '{"reason":"好","score":1,"extra":0}',
        '{"reason":"好","score":1',
        '{"reason":"好","score":1}}',
        "好的，1分",
        "\ud800",
    ],
)
def test_anything_but_an_answer_is_unparseable(text: str) -> None:
    assert parse_answer(text) is Unscored.UNPARSEABLE


@settings(slow_machine, max_examples=600)
@given(any_text | json_values.map(json.dumps))
@example('{"1.1":' + "[" * 100_000)
@example('{"1.1":' + '{"a":' * 990 + "1" + "}" * 991)
@example('{"1.1":' + "9" * 5000 + "}")
@example('{"1.1":NaN,"2.1":{"reason":"\\ud800","score":1}}')
def test_no_text_makes_a_parser_raise_or_lose_an_id(text: str) -> None:
    assert isinstance(parse_answer(text), Answer | Unscored)
    for answers in (parse_joint(text, IDS), parse_cut_joint(text, IDS)):
        assert tuple(answers) == IDS
        assert all(isinstance(answer, Answer | Unscored) for answer in answers.values())


@settings(slow_machine, max_examples=200)
@given(st.dictionaries(st.sampled_from(IDS) | any_text, json_values, max_size=4))
def test_only_sound_entries_of_an_odd_joint_answer_are_read(entries: dict[str, Any]) -> None:
    whole = entries | {"2.1": {"reason": "这条是好的", "score": 1}}
    answers = parse_joint(json.dumps(whole), IDS)
    assert answers["2.1"] == Answer(reason="这条是好的", score=1)
    assert all(answers[missing] is Unscored.UNPARSEABLE for missing in IDS if missing not in whole)


# An answer cut off


def test_a_joint_answer_cut_at_any_byte_keeps_exactly_the_complete_indicators() -> None:
    entries = [
        ("1.1", '{"reason":"察觉到😭，先安慰","score":1}', Answer(reason="察觉到😭，先安慰", score=1)),
        ("2.1", '{"reason":"无需评估","score":0}', Unscored.CONTRADICTORY),
        ("5.4", '{"reason":"像{score:1}的\'文字\'，共30字","score":0}', None),
    ]
    text, ends = "{", []
    for number, (name, body, _) in enumerate(entries):
        text += ("," if number else "") + f'"{name}":{body}'
        ends.append(len(text.encode()))
    text += "}"
    whole = parse_joint(text, IDS)
    assert [whole[name] for name, _, known in entries if known is not None] == [
        k for _, _, k in entries if k is not None
    ]
    data = text.encode()
    for cut in range(len(data) + 1):
        answers = parse_cut_joint(data[:cut].decode("utf-8", "replace"), IDS)
        expected = [whole[name] if cut >= end else Unscored.TRUNCATED for name, end in zip(IDS, ends, strict=True)]
        assert list(answers.values()) == expected, f"cut after byte {cut}"


def test_ids_of_other_packs_in_a_cut_answer_are_passed_over() -> None:
    text = '{"9.9":{"reason":"别处的","score":1},"1.1":{"reason":"这里的","score":1},"2.1":{"rea'
    assert parse_cut_joint(text, IDS) == {
        "1.1": Answer(reason="这里的", score=1),
        "2.1": Unscored.TRUNCATED,
        "5.4": Unscored.TRUNCATED,
    }


# Grades and totals


@pytest.mark.parametrize("fields", [{"score": None}, {"score": 1, "unscored": Unscored.TRUNCATED}])
def test_a_grade_has_a_score_or_a_reason_for_having_none(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        grade(**fields)


def test_totals_count_scored_indicators_alone() -> None:
    detail = (
        grade(1),
        grade(0),
        grade(1, applicable=False, reason=NOT_APPLICABLE),
        *(unscored(why) for why in Unscored),
    )
    verdict = Verdict.of(id="r", rubric=pack(), detail=detail, usage=Usage(requests=8))
    assert (verdict.total_score, verdict.scored, verdict.max_score) == (2, 3, 3 + len(Unscored))
    assert (verdict.not_applicable, verdict.rubric, verdict.task_type) == (1, pack().ref, "push")


def test_a_verdict_is_read_back_equal_from_its_line() -> None:
    verdict = Verdict.of(
        id="甲", rubric=pack(), detail=(grade(), unscored(Unscored.TOO_LONG)), usage=Usage(), extra={"来源": [1, None]}
    )
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict


def test_usage_adds_up_field_by_field() -> None:
    one = Usage(requests=1, prompt_tokens=2, cached_tokens=3, output_tokens=4, thinking_tokens=5)
    assert one + one == Usage(requests=2, prompt_tokens=4, cached_tokens=6, output_tokens=8, thinking_tokens=10)
