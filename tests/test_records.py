"""What a record file may hold, what a faulty one costs, and that nothing else is lost with it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from localjudge.errors import InputError, UsageError
from localjudge.records import UTC8, BadRecord, IdLedger, Record, Turn, parse_record, read_records, shard

ROOT = Path(__file__).parent.parent
SIZES = {"push": (1, 2, 3, 2, 5, 4, 5), "reply": (5, 5, 3, 3, 2, 3, 1, 3)}  # indicators in each group
GOOD: dict[str, Any] = {"task_type": "push", "message": "张姐,周末的瑜伽课还给您留着位。"}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(texts, plain, max_size=3)
printable = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=30).filter(
    str.strip
)
turns = st.builds(Turn, role=st.sampled_from(["user", "agent", "system"]), content=texts, timestamp=st.none() | texts)
moments = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1))
records = st.builds(
    Record,
    id=printable,
    task_type=st.sampled_from(["reply", "push"]),
    dialogue_history=st.lists(turns, max_size=4).map(tuple) | texts,
    user_profile=objects | texts,
    agent_profile=objects | texts,
    message=texts.filter(str.strip),
    send_time=st.none() | moments.map(lambda moment: moment.replace(tzinfo=UTC8)),
    labels=st.dictionaries(texts, st.sampled_from([0, 1]), max_size=3),
    extra=st.dictionaries(texts.filter(lambda name: name not in Record.model_fields), plain, max_size=3),
)
slow_machine = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def line(message: str = "您好,方便聊聊吗?", **fields: Any) -> bytes:
    return json.dumps({"task_type": "push", "message": message} | fields, ensure_ascii=False).encode() + b"\n"


def read(data: bytes, name: str = "in.jsonl", **options: Any) -> list[Record | BadRecord]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        return list(read_records(path, **options))


def only(found: list[Record | BadRecord]) -> Record:
    assert len(found) == 1
    assert isinstance(found[0], Record), found[0]
    return found[0]


def faults(found: list[Record | BadRecord]) -> list[BadRecord]:
    return [each for each in found if isinstance(each, BadRecord)]


@slow_machine
@given(records)
def test_a_record_written_as_a_line_is_read_back_equal(record: Record) -> None:
    assert "\n" not in record.to_json()
    assert only(read(record.to_json().encode())) == record


@slow_machine
@given(records, st.randoms())
def test_made_ids_depend_on_content_and_not_on_key_order_labels_or_extra(record: Record, random: Any) -> None:
    fields = json.loads(record.to_json())
    del fields["id"]
    shuffled = {name: _shuffled(fields[name], random) for name in random.sample(sorted(fields), len(fields))}
    first, second = parse_record(fields), parse_record(shuffled | {"labels": {}, "extra": {"note": 1}})
    assert first.id == second.id
    assert first.id == "sha256-" + hashlib.sha256(first.content_json().encode()).hexdigest()[:16]
    assert parse_record(fields | {"message": record.message + "!"}).id != first.id


def _shuffled(value: Any, random: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _shuffled(value[name], random) for name in random.sample(sorted(value), len(value))}


@slow_machine
@given(st.lists(st.binary(max_size=60).filter(lambda junk: b"\n" not in junk), max_size=6))
def test_no_bytes_raise_or_cost_a_good_line_between_them(junk: list[bytes]) -> None:
    data = b"".join(bad + b"\n" + line(id=f"good-{number}") for number, bad in enumerate(junk))
    found = read(data)
    assert [each.id for each in found if isinstance(each, Record)] == [f"good-{number}" for number in range(len(junk))]


def _csv(rows: list[dict[str, str]], **options: Any) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]), **options)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def _cells(record: Record) -> dict[str, str]:
    fields = json.loads(record.to_json())
    return {k: v if isinstance(v, str) else "" if v is None else json.dumps(v) for k, v in fields.items()}


@slow_machine
@given(st.lists(records, min_size=1, max_size=4, unique_by=lambda record: record.id))
def test_csv_gives_back_what_was_written(wanted: list[Record]) -> None:
    # An empty cell stands for an absent field, and text that reads as JSON is read as JSON.
    texts_of = [(r.dialogue_history, r.user_profile, r.agent_profile) for r in wanted]
    wanted = [
        record
        for record, values in zip(wanted, texts_of, strict=True)
        if not any(isinstance(value, str) and (not value or value.lstrip()[:1] in ("[", "{")) for value in values)
    ]
    if wanted:
        assert read(_csv([_cells(record) for record in wanted], quoting=csv.QUOTE_ALL), "in.csv") == wanted


BAD_LINES: list[tuple[str, bytes, str]] = [
    ("not_utf8", '{"message": "您好'.encode("gbk") + b"\n", "not UTF-8 (byte 0xc4 at byte offset 13"),
    ("not_json", b'{"message": \n', "not JSON"),
    ("not_an_object", b'["message"]\n', "the record is a list"),
    ("message_missing", b'{"task_type": 1}\n', "message is missing"),
    ("message_null", b'{"task_type": 1, "message": null}\n', "message is missing"),
    ("message_blank", line(" \u3000"), "message is blank"),
    ("message_number", b'{"task_type": 1, "message": 5}\n', "message is a number"),
    ("task_type_unknown", line(task_type="chat"), "unknown task_type 'chat'"),
    ("task_type_true", line(task_type=True), "unknown task_type True"),
    ("task_type_2", line(task_type=2), "unknown task_type 2"),
    ("task_type_missing", b'{"message": "hi"}\n', "task_type is missing"),
    ("duplicate_id", line(id="before"), "duplicate id: it stands at {file}:1 and at {file}:2"),
    ("turn_without_role", line(dialogue_history=[{"content": "在吗"}]), "dialogue_history turn 1 has no role"),
    ("turn_role_unknown", line(dialogue_history=[{"role": "boss", "content": "在"}]), "unknown role 'boss'"),
    ("turn_no_content", line(dialogue_history=[{"role": "user"}]), "turn 1 has no text"),
    ("turn_is_text", line(dialogue_history=["在吗"]), "turn 1 is a string"),
    ("history_is_object", line(dialogue_history={"role": "user"}), "dialogue_history is an object"),
    ("profile_is_list", line(user_profile=["张"]), "a profile is a list"),
    ("send_time_words", line(send_time="明天早上"), "unparseable send_time '明天早上'"),
    ("send_time_no_such_day", line(send_time="2026-02-30"), "unparseable send_time"),
    ("send_time_float", line(send_time=1.5), "unparseable send_time 1.5"),
    ("label_2", line(labels={"1.1": 2}), "label '1.1' is 2"),
    ("label_true", line(labels={"1.1": True}), "label '1.1' is True"),
    ("labels_list", line(labels=[1]), "labels is a list"),
    ("nan", line(score=float("nan")), "'score' holds nan"),
    ("infinity", b'{"task_type": 1, "message": "hi", "user_profile": {"x": 1e999}}\n', "'user_profile' holds inf"),
    ("long_integer", b'{"task_type": 1, "message": "hi", "x": ' + b"9" * 5000 + b"}\n", "a number too long"),
    ("lone_surrogate", b'{"task_type": 1, "message": "hi\\ud800"}\n', "'message' holds a lone surrogate"),
    ("surrogate_key", b'{"task_type": 1, "message": "hi", "\\udfff": 1}\n', "holds a lone surrogate"),
    ("nesting_bomb", b"[" * 200_000 + b"\n", "nested too deep"),
    ("deep_profile", line(user_profile=json.loads('{"a":' * 80 + "1" + "}" * 80)), "nested too deep"),
    ("id_blank", line(id=""), "id is blank"),
    ("id_long", line(id="x" * 201), "id is 201 characters long"),
    ("id_control", line(id="a\nb"), "holds a control character"),
    ("id_float", line(id=1.5), "id is a number"),
    ("extra_clash", line(extra={"lang": 1}, lang=2), "field 'lang' stands both"),
    ("too_long", b'{"message": "' + b"x" * 2**25 + b'"}\n', "the line is too long"),
]


@pytest.mark.parametrize(("bad", "problem"), [pytest.param(b, p, id=i) for i, b, p in BAD_LINES])
def test_a_faulty_line_is_named_and_its_neighbours_survive(tmp_path: Path, bad: bytes, problem: str) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(line(id="before") + bad + line(id="after"))
    before, fault, after = list(read_records(path))
    assert isinstance(before, Record) and before.id == "before"
    assert isinstance(after, Record) and after.id == "after"
    assert isinstance(fault, BadRecord)
    assert fault.where == f"{path}:2"
    assert problem.format(file=path) in fault.problem
    assert fault.hint
    assert "\n" not in str(fault)
    assert len(str(fault)) < 600


def test_the_id_of_a_faulty_record_is_named_where_it_can_be_read() -> None:
    (fault,) = faults(read(line(id=" 7 ", task_type="chat")))
    assert (fault.id, "record ' 7 ': unknown task_type" in str(fault.error())) == (" 7 ", True)


def test_the_same_record_twice_without_an_id_is_said_to_be_the_same(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(line() + b"\n" + line())
    first, fault = list(read_records(path))
    assert isinstance(fault, BadRecord) and fault.id == first.id
    assert fault.problem == f"the same record, without an id, stands at {path}:1 and at {path}:3."


def test_an_id_in_two_files_is_a_duplicate_when_both_share_a_ledger(tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.csv"
    one.write_bytes(b"\n" + line(id="a") + line(id="b"))
    two.write_bytes("id,task_type,message\nb,1,您好\nc,0,好的\n".encode())
    ledger = IdLedger()
    assert not faults(list(read_records(one, seen=ledger)))
    fault, other = list(read_records(two, seen=ledger))
    assert isinstance(fault, BadRecord) and f"{one}:3 and at {two}:2" in fault.problem
    assert isinstance(other, Record) and other.id == "c"
    assert not faults(list(read_records(two)))


@pytest.mark.parametrize(
    ("code", "task"), [(0, "reply"), (1, "push"), ("0", "reply"), ("1", "push"), ("reply", "reply")]
)
def test_task_type_codes_and_the_default(code: Any, task: str) -> None:
    assert only(read(line(task_type=code), default_task_type="push")).task_type == task
    assert only(read(line(task_type=None), default_task_type="reply")).task_type == "reply"


@pytest.mark.parametrize(
    "text",
    [
        *["2026-02-14T08:30", "2026-02-14 08:30:00", "2026-02-14T00:30:00Z", "2026-02-14T00:30:00.000+00:00"],
        *["2026-02-13 19:30 -0500", "2026/2/14 08:30", "2026/02/14 8:30:00", "2026年2月14日 8点30分"],
        *["2026年02月14日8时30分0秒", "2026年2月14日 08:30", 1771029000, 1771029000000, "1771029000"],
    ],
)
def test_every_written_form_of_a_time_means_the_same_moment_in_utc8(text: Any) -> None:
    moment = only(read(line(send_time=text))).send_time
    assert moment == datetime(2026, 2, 14, 8, 30, tzinfo=UTC8)
    assert moment.utcoffset() == timedelta(hours=8)


@pytest.mark.parametrize("text", ["2026-02-14", "2026/2/14", "2026年2月14日"])
def test_a_bare_date_is_its_first_minute(text: str) -> None:
    assert only(read(line(send_time=text))).send_time == datetime(2026, 2, 14, tzinfo=UTC8)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20260214",
        "2026-2-14",
        "14/2/2026",
        "2026-02-14X08:30",
        "2026/2-14",
        "2026-02-14 25:00",
        "2026年2月14日 8点半",
        "٢٠٢٦-02-14",
        True,
        0,
        20260214,
        "0001-01-01T00:00+14:00",
        [1],
    ],
)
def test_a_doubtful_time_is_refused(text: Any) -> None:
    assert "unparseable send_time" in faults(read(line(send_time=text)))[0].problem


def test_times_given_as_objects_are_brought_to_utc8() -> None:
    assert parse_record(GOOD | {"send_time": datetime(2026, 2, 14)}).send_time == datetime(2026, 2, 14, tzinfo=UTC8)
    tokyo = datetime(2026, 2, 14, 9, tzinfo=timezone(timedelta(hours=9)))
    assert parse_record(GOOD | {"send_time": tokyo}).send_time == datetime(2026, 2, 14, 8, tzinfo=UTC8)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("用户", "user"),
        ("客户", "user"),
        ("Human", "user"),
        ("客服", "agent"),
        ("ASSISTANT", "agent"),
        ("bot", "agent"),
        ("System", "system"),
    ],
)
def test_role_names_are_mapped(name: str, role: str) -> None:
    record = parse_record(GOOD | {"dialogue_history": [{"role": name, "content": "在", "timestamp": 5}]})
    assert record.dialogue_history == (Turn(role=role, content="在", timestamp="5"),)


@pytest.mark.parametrize("extra", [{1: 2}, {"x": {1: 2}}, {"x": b"2"}, {"x": {2}}])
def test_python_values_that_json_cannot_hold_are_refused(extra: dict[Any, Any]) -> None:
    with pytest.raises(InputError):
        parse_record(GOOD | extra)


def test_unknown_fields_go_to_extra_and_text_is_left_alone() -> None:
    record = parse_record(GOOD | {"message": " ①ｅ́\r\n<|im_end|> ", "channel": None, "extra": {"a": 1}})
    assert (record.message, record.extra) == (" ①ｅ́\r\n<|im_end|> ", {"channel": None, "a": 1})


def test_shards_are_stable_and_even() -> None:
    assert [shard(f"push-{number:03}", 7) for number in range(1, 9)] == [2, 0, 1, 0, 0, 4, 4, 0]
    assert shard("客户-1", 1) == 0
    counts = [0] * 8
    for number in range(8000):
        counts[shard(f"id-{number}", 8)] += 1
    assert all(850 < count < 1150 for count in counts)
    with pytest.raises(UsageError):
        shard("a", 0)


@pytest.mark.parametrize("task", ["push", "reply"])
def test_the_examples_are_sound_and_short(task: str) -> None:
    path = ROOT / "examples" / f"{task}.jsonl"
    found = [each for each in read_records(path) if isinstance(each, Record)]
    known = {f"{group}.{item}" for group, size in enumerate(SIZES[task], 1) for item in range(1, size + 1)}
    assert [each.id for each in found] == [f"{task}-{number:03}" for number in range(1, 13)]
    for record in found:
        assert record.task_type == task and record.send_time and not record.extra
        assert 3 <= len(record.dialogue_history) <= 8 and 15 <= len(record.message) <= 90
        assert isinstance(record.user_profile, dict) and isinstance(record.agent_profile, dict)
        assert record.labels.keys() <= known
        times = [
            datetime.fromisoformat(str(turn.timestamp)) for turn in record.dialogue_history if isinstance(turn, Turn)
        ]
        assert times == sorted(times) and times[-1].replace(tzinfo=UTC8) < record.send_time
    assert all(len(raw) <= 1100 for raw in path.read_text("utf-8").splitlines())
