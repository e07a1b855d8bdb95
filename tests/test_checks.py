"""The checks: what they decide, what they leave to the model, and that no record makes them raise or run away."""

from __future__ import annotations

import json
import re
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from borax.calendars.lunardate import LunarDate, TermUtils
from hypothesis import given, settings
from hypothesis import strategies as st

from localjudge.checks import CHECKS, lists_digest, read_checks
from localjudge.checks.base import Opinion
from localjudge.checks.calendar import FIRST_YEAR, LAST_YEAR, almanac
from localjudge.checks.persona import Persona, persona_of
from localjudge.checks.text import Text
from localjudge.records import Record, parse_record

LABELLED = [
    json.loads(line)
    for line in (Path(__file__).parent / "data" / "checks.jsonl").read_text(encoding="utf-8").splitlines()
]
# Messages on admissions alone: 200 by an author who never saw the rule (dev), 398 by the author of the rule (guard).
ADMISSIONS = [
    json.loads(line)
    for line in (Path(__file__).parent / "data" / "admissions.jsonl").read_text(encoding="utf-8").splitlines()
]
MAN = {"性别": "男", "年龄": 30}
# Pieces that the rules look for, so that random messages of them reach every branch.
PIECES = (
    "呢 啦 呀 哦 宝子 ＹＹＤＳ ~ ～ 3 5 天 周一 呢子 啦啦队 “ ” 「 」 《 》 \" ' ， 。 ？ 我是 我不是 AI ａｉ 机器人"
    " 的 吗 谁说 I'm a bot 作为 语言模型 中秋 春节 快乐 节 新年 祝您 安康 十一 马年 https://a.b/~c 亲 🙂"
    " \n \t ​ é 子女 怎么样 您说 yyds 没 元宵"
).split(" ")
MESSAGES = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), min_size=1, max_size=30).map("".join)
PROFILES = st.sampled_from(
    [
        {},
        "",
        MAN,
        {"性别": "女", "年龄": 50},
        {"昵称": "呀呀", "地区": "成都"},
        "男，三十出头",
        {"年龄": True, "姓名": 3},
    ]
)


def record(message: str, **fields: Any) -> Record:
    return parse_record({"id": "r", "task_type": "push", "message": message} | fields)


def look(check: str, message: str, arguments: dict[str, Any] | None = None, **fields: Any) -> Opinion:
    (opened,) = read_checks({check: arguments})
    return opened.look(record(message, **fields))


@pytest.mark.parametrize("entry", LABELLED, ids=lambda entry: entry["id"])
def test_no_labelled_message_is_decided_wrongly(entry: dict[str, Any]) -> None:
    fields = {name: entry[name] for name in Record.model_fields if name in entry}
    opinion = CHECKS[entry["check"]]().look(parse_record({"task_type": "push"} | fields))
    assert opinion.score in (entry["score"], None)
    assert opinion.confidence == "decides"


def test_the_labelled_file_has_what_it_is_said_to_have() -> None:
    assert len({entry["id"] for entry in LABELLED}) == len(LABELLED) >= 300
    assert len({(entry["check"], entry["message"], entry.get("send_time")) for entry in LABELLED}) == len(LABELLED)
    assert sum(entry["trap"] for entry in LABELLED) >= 60
    assert 0.45 < sum(entry["score"] == 0 for entry in LABELLED) / len(LABELLED) < 0.55


@pytest.mark.parametrize(("part", "recall", "decided"), [("dev", 0.90, 0.86), ("guard", 0.76, 0.70)])
def test_admissions_are_never_decided_wrongly_and_mostly_decided(part: str, recall: float, decided: float) -> None:
    entries = [entry for entry in ADMISSIONS if entry["part"] == part]
    scores = {entry["id"]: look("ai_admission", entry["message"]).score for entry in entries}
    assert [entry["id"] for entry in entries if scores[entry["id"]] not in (entry["score"], None)] == []
    admissions = [entry["id"] for entry in entries if entry["score"] == 0]
    assert sum(scores[name] == 0 for name in admissions) / len(admissions) >= recall
    assert sum(score is not None for score in scores.values()) / len(scores) >= decided


def test_the_file_of_admissions_has_what_it_is_said_to_have() -> None:
    everything = LABELLED + ADMISSIONS
    assert len({entry["message"] for entry in ADMISSIONS}) == len(ADMISSIONS) == 200 + 398
    assert not {entry["message"] for entry in ADMISSIONS} & {entry["message"] for entry in LABELLED}
    assert len({entry["id"] for entry in everything}) == len(everything)
    assert 0.45 < sum(entry["score"] == 0 for entry in ADMISSIONS) / len(ADMISSIONS) < 0.55


# Any record


@settings(max_examples=300, deadline=None)
@given(MESSAGES.filter(str.strip), PROFILES, PROFILES, st.none() | st.datetimes(), st.lists(MESSAGES, max_size=3))
def test_no_record_makes_a_check_raise_and_every_span_lies_in_the_message(
    message: str, user: Any, agent: Any, sent: Any, turns: list[str]
) -> None:
    history = [{"role": role, "content": turn} for role, turn in zip(("agent", "user", "agent"), turns, strict=False)]
    if sent is not None and not 1 < sent.year < 9998:
        sent = None
    entry = record(message, user_profile=user, agent_profile=agent, send_time=sent, dialogue_history=history)
    for check in CHECKS.values():
        opinion = check().look(entry)
        assert opinion == check().look(entry)
        assert (opinion.score is None) == (opinion.applicable is None)
        if opinion.span is not None:
            start, end = opinion.span
            assert 0 <= start < end <= len(message)


@given(st.text(max_size=60))
def test_folding_keeps_every_place_of_a_message(message: str) -> None:
    text = Text(message)
    assert len(text.folded) == len(text.visible)
    for place, character in enumerate(text.visible):
        start, end = text.span(place, place + 1)
        assert message[start:end] == character


@pytest.mark.parametrize(
    "unit",
    [
        "呢子呢",
        "“呀”",
        "我是一个",
        "中秋春节",
        "3~",
        "“「",
        "https://~",
        "亲",
        "我没有身体",
        "我是您的专属",
        "不是的我",
        "机 器 ",
        "由我",
        "我,",
    ],
)
def test_a_hostile_message_is_read_to_its_end(unit: str) -> None:
    entry = record("请看" + unit * 5000, agent_profile={"性别": "女", "年龄": 30}, send_time="2026-01-01")
    for check in CHECKS.values():
        check().look(entry)


# Forbidden words


@pytest.mark.parametrize(
    ("message", "span"),
    [
        ("好呀，周六见", (1, 2)),
        ("周六见～", (3, 4)),
        ("真是ＹＹＤＳ！", (2, 6)),
        ("y​yds，来吗", (0, 5)),
        ("宝子们，来吗", (0, 3)),
    ],
)
def test_a_violation_names_its_place_in_the_message_as_written(message: str, span: tuple[int, int]) -> None:
    opinion = look("forbidden_words", message, agent_profile=MAN)
    assert (opinion.score, opinion.span) == (0, span)
    assert "“" in opinion.evidence


@pytest.mark.parametrize(
    ("profile", "score"),
    [(MAN, 0), ({"性别": "女", "年龄": 22}, 1), ({"姓名": "阿哲"}, None), ({"性别": "未知"}, None), ("女，22岁", 1)],
)
def test_a_word_counts_for_whom_its_list_is_made(profile: Any, score: int | None) -> None:
    assert look("forbidden_words", "明天见啦，几点？", agent_profile=profile).score == score


def test_without_any_persona_the_indicator_does_not_apply() -> None:
    opinion = look("forbidden_words", "明天见啦")
    assert (opinion.score, opinion.applicable) == (1, False)


@pytest.mark.parametrize("message", ["收到👍", "哎呀，忘了告诉您", "敬请知悉", "来" + "一" * 200])
def test_what_the_lists_cannot_settle_is_left_to_the_model(message: str) -> None:
    opinion = look("forbidden_words", message, agent_profile=MAN)
    assert (opinion.score, opinion.applicable) == (None, None)
    assert opinion.evidence


def test_a_pack_brings_lists_of_its_own() -> None:
    lists = [{"name": "土话", "when": {"max_age": 40}, "words": ["得劲"]}]
    assert look("forbidden_words", "真得劲", {"lists": lists}, agent_profile=MAN).score == 0
    assert look("forbidden_words", "好呀", {"lists": lists}, agent_profile=MAN).score == 1
    assert look("forbidden_words", "真得劲", {"lists": lists}, agent_profile={"性别": "男", "年龄": 41}).score == 1
    assert look("forbidden_words", "呀哩餐厅到了", {"legitimate": ["呀哩"]}, agent_profile=MAN).score == 1


@pytest.mark.parametrize(
    ("profile", "persona"),
    [
        ({"性别": "男", "年龄": "26岁"}, Persona("male", (26, 26))),
        ({"gender": "F", "age": 31}, Persona("female", (31, 31))),
        ("26岁，男，篮球教练", Persona("male", (26, 26))),
        ("女，五十岁，开一家男装店", Persona("female", (50, 50))),
        ("三十出头的水电工", Persona(None, (30, 34))),
        ({"性别": "男/女", "年龄": 400}, Persona(None, None)),
        ({"职业": "女装店店员", "年资": "十年"}, Persona(None, None)),
        ({}, Persona(None, None)),
    ],
)
def test_a_persona_is_what_the_profile_states(profile: Any, persona: Persona) -> None:
    assert persona_of(profile) == persona


# Admissions


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("您好，我 是 机 器 人，请讲", "我 是 机 器 人"),
        ("嗨，我是A.I.客服", "我是A.I.客服"),
        ("我係機械人嚟㗎", "我係機械人嚟㗎"),
        ("我是𝗔𝗜，早", "我是𝗔𝗜"),
        ("我是ＡＩ\u200b助手，早", "我是ＡＩ\u200b助手"),
    ],
)
def test_an_admission_is_read_through_its_spelling_and_shown_as_written(message: str, shown: str) -> None:
    opinion = look("ai_admission", message)
    assert opinion.score == 0 and opinion.span is not None
    assert message[slice(*opinion.span)] in shown


@pytest.mark.parametrize(
    ("message", "profile", "score"),
    [
        ("小鹿是我们旅行社的智能助手，签证都能问小鹿", {"姓名": "小鹿"}, 0),
        ("小鹿是我们旅行社的智能助手，签证都能问小鹿", {"姓名": "阿哲"}, None),
        ("小鹿是我们旅行社的签证专员，都能问小鹿", {"姓名": "小鹿"}, 1),
        ("您好，我小鹿其实是您的智能助手", {"姓名": "小鹿"}, 0),
        ("Lisa是我们旅行社的智能助手，签证都能问Lisa", {"姓名": "Lisa"}, 0),
        ("L+sa是我们旅行社的智能助手", {"姓名": "L+sa"}, 0),
        ("Lisa是我们旅行社的智能助手", {"姓名": "L+sa"}, None),
    ],
)
def test_a_name_means_the_speaker_where_it_is_the_personas(message: str, profile: Any, score: int | None) -> None:
    assert look("ai_admission", message, agent_profile=profile).score == score


@pytest.mark.parametrize(
    "message", ["我是AI吗？", "我是AI，骗你的，我是真人", "机 器人在这儿", "我用的是大模型，回得快", "AI，" * 100]
)
def test_what_may_be_an_admission_and_may_not_is_left_to_the_model(message: str) -> None:
    opinion = look("ai_admission", message)
    assert (opinion.score, opinion.applicable) == (None, None)
    assert opinion.evidence


@pytest.mark.parametrize(
    ("user", "message", "score"),
    [("你是AI", "您说“你是AI”，我笑了", 1), ("你是AI", "您说“你是AI”，没错", None), ("", "“我是AI”印在衣服上", None)],
)
def test_quoted_words_are_not_the_speakers_unless_he_agrees(user: str, message: str, score: int | None) -> None:
    history = [{"role": "user", "content": user}] if user else []
    assert look("ai_admission", message, dialogue_history=history).score == score


# Festivals


def test_every_lunar_festival_is_where_a_second_calendar_has_it_but_for_three() -> None:
    """In 2089 and 2097 a new moon falls within three minutes of midnight: the two libraries round it differently."""
    differing = set()
    # The library computes a year at a time; scripts/compare_calendars.py compares all of them.
    for year in sorted({*range(FIRST_YEAR, LAST_YEAR, 9), 2025, 2028, 2033, 2057, 2089, 2097}):
        for festival in (festival for festival in almanac().festivals if festival.is_lunar):
            if festival.calendar == "qingming":
                other = (TermUtils.nth_term_day(year, 6),)
            elif festival.calendar == "eve":
                other = (date.fromordinal(LunarDate(year + 1, 1, 1).to_solar_date().toordinal() - 1),)
            else:
                other = tuple(LunarDate(year, month, day).to_solar_date() for month, day in festival.days)
            if festival.dates(year) != other:
                differing.add((festival.name, year))
    assert differing == {("七夕", 2097), ("中元", 2097), ("中秋", 2089)}


@pytest.mark.parametrize(
    ("sent", "score"),
    [
        ("2026-09-19T23:59", 0),
        ("2026-09-20T00:00", 1),
        ("2026-09-25T23:59", 1),
        ("2026-09-26T00:00", 0),
        ("2026-09-25T15:59Z", 1),
        ("2026-09-25T16:00Z", 0),
        (None, None),
        ("1890-09-25", None),
        ("2150-09-25", None),
    ],
)
def test_a_greeting_is_in_time_from_five_days_before_to_the_end_of_the_day(sent: str | None, score: int | None) -> None:
    opinion = look("festival_greeting", "祝您中秋节快乐！", send_time=sent)
    assert opinion.score == score
    if score is not None:
        assert "中秋是2026-09-25" in opinion.evidence


def test_a_leap_month_has_no_festivals() -> None:
    assert look("festival_greeting", "端午安康", send_time="2028-05-28").score == 1
    assert look("festival_greeting", "端午安康", send_time="2028-06-27").score == 0


@pytest.mark.parametrize(
    ("message", "lunar", "solar"),
    [
        ("国庆快乐！", (1, False), (0, True)),
        ("中秋国庆双节快乐！", (0, True), (0, True)),
        ("生日快乐！", (1, False), (1, False)),
        ("节日快乐！", (None, None), (None, None)),
    ],
)
def test_each_calendar_answers_for_its_own_festivals(message: str, lunar: Any, solar: Any) -> None:
    for calendar, expected in (("lunar", lunar), ("solar", solar)):
        opinion = look("festival_greeting", message, {"calendar": calendar}, send_time="2026-11-11")
        assert (opinion.score, opinion.applicable) == expected


def test_new_year_in_january_is_of_either_calendar_and_left_to_the_model() -> None:
    assert look("festival_greeting", "新年快乐", send_time="2026-01-03").score is None
    assert look("festival_greeting", "新年快乐", send_time="2026-02-14").score == 1
    assert look("festival_greeting", "新年快乐", send_time="2026-06-03").score == 0


# Witnesses


HISTORY = [
    {"role": "user", "content": "发票能改抬头吗"},
    {"role": "agent", "content": "我查一下，稍后回复您，您先忙别的。"},
]


@pytest.mark.parametrize(
    ("check", "message", "score", "fields"),
    [
        (
            "near_repetition",
            "周三好，新的一天从一杯燕麦奶开始。",
            0,
            {"dialogue_history": [{"role": "agent", "content": "周二好，新的一天从一杯燕麦奶开始。"}]},
        ),
        ("near_repetition", "在吗？好久不见。", 0, {}),
        ("near_repetition", "昨晚的雨把番茄苗打歪没有？", None, {}),
        ("open_promise", "夏天的海岛游开团了！", 0, {"dialogue_history": HISTORY}),
        ("open_promise", "发票抬头当月可以改。", None, {"dialogue_history": HISTORY}),
        ("open_promise", "早上好。", 1, {}),
        ("repeated_address", "亲，收到亲的问题了亲，请等等。", 0, {}),
        ("repeated_address", "亲，收到。", None, {}),
        ("outdated_words", "呼我的ＢＰ机。", 0, {}),
        ("length", "长" * 200, 0, {}),
        ("asks_or_invites", "周六几点来？", 1, {}),
        ("asks_or_invites", "您的积分已到账。", 0, {}),
        ("mentions_user", "成都的绿道修好了。", 1, {"user_profile": {"地区": "成都"}}),
        ("mentions_user", "绿道修好了。", 0, {"user_profile": {"地区": "成都"}}),
    ],
)
def test_a_witness_says_what_it_sees(check: str, message: str, score: int | None, fields: dict[str, Any]) -> None:
    opinion = look(check, message, **fields)
    assert (opinion.score, opinion.confidence) == (score, "witness")


def test_an_open_promise_is_flagged_also_where_the_model_must_say_whether_it_was_kept() -> None:
    assert "我查" in look("open_promise", "发票抬头当月可以改。", dialogue_history=HISTORY).evidence


# By name


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"forbiden_words": {}}, "did you mean forbidden_words"),
        ({"nonsense": {}}, "there are ai_admission"),
        ({"festival_greeting": {"days": 3}}, "festival_greeting: days: Extra inputs"),
        ({"festival_greeting": {"calendar": "moon"}}, "festival_greeting: calendar:"),
        ({"forbidden_words": {"lists": [{"name": "空"}]}}, "holds no words"),
        ({"length": 3}, "check length:"),
        (["length"], "mapping"),
    ],
)
def test_a_check_that_does_not_exist_or_takes_other_arguments_is_named(given: Any, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        read_checks(given)


def test_arguments_may_be_left_out_or_given_several_times() -> None:
    checks = read_checks({"length": None, "festival_greeting": [{}, {"calendar": "solar", "witness": True}]})
    assert [(check.name, check.decides) for check in checks] == [
        ("length", False),
        ("festival_greeting", True),
        ("festival_greeting", False),
    ]


def test_the_digest_of_the_lists_is_one_of_all_files() -> None:
    assert re.fullmatch("[0-9a-f]{64}", lists_digest())


def test_no_library_of_a_check_is_loaded_before_a_message_needs_it() -> None:
    import subprocess

    code = (
        "import sys; from localjudge.rubric import load_rubric; load_rubric('push');"
        "print([name for name in ('rjieba', 'lunar_python') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
