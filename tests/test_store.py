"""The run folder: written once, append-only, and read back without losing or inventing a verdict."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest

from localjudge.errors import ResumeError, StoreError
from localjudge.manifest import Manifest, ModelPlan, Plan, RubricPlan
from localjudge.segments import seal
from localjudge.shards import Shard
from localjudge.stats import summarize
from localjudge.store import RunStore
from localjudge.verdicts import Grade, Unscored, Verdict

PLAN = Plan(
    localjudge="0",
    rubrics={"push": RubricPlan(ref="p@1.0.0", digest="d", indicators=("1.1",))},
    model=ModelPlan(name="fake", digest=""),
    engine="fake",
    engine_options={},
    strategy="explain",
    thinking_budget=None,
    doubt_budget=None,
    reasons="all",
    orders=2,
    band=(0.3, 0.7),
    calibration="",
    keep_thinking=False,
    defences="clean",
    rules="on",
    lists_digest="l",
    seed=0,
    prompt_digest="p",
    schema_digest="s",
    input_digest="i",
    limit=None,
    on_bad_input="fail",
)
MANIFEST = Manifest(
    plan_digest=PLAN.digest,
    started="2026-01-01T00:00:00+00:00",
    finished="2026-01-01T00:00:01+00:00",
    load_seconds=0,
    judge_seconds=1,
    engine={},
    packages={},
    hardware={},
    environment={},
    records_judged=1,
    records_refused=0,
)


def verdict(name: str = "r1", **fields: Any) -> Verdict:
    passed = Grade(id="1.1", indicator="题", score=1, applicable=True, reason="好\u2028🚚")
    failed = Grade(id="1.2", indicator="目", score=None, applicable=None, reason="", unscored=Unscored.TRUNCATED)
    values: dict[str, Any] = {
        "id": name,
        "task_type": "push",
        "rubric": "p@1.0.0",
        "total_score": 1,
        "max_score": 2,
        "scored": 1,
        "not_applicable": 0,
        "detail": (passed, failed),
    }
    return Verdict(**values | fields)


def segment(folder: Path, name: str = "00000-of-00001.0001") -> Path:
    return folder / "verdicts" / f"{name}.jsonl"


def test_a_whole_run_is_written_and_read_back(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "deep" / "run", PLAN)
    written = [verdict("一"), verdict("二", extra={"来源": [1.5, None]})]
    for each in written:
        store.append(each)
    store.write_errors([{"where": "in.jsonl:3", "id": None, "problem": "not JSON"}])
    assert not store.complete
    store.finish_shard(MANIFEST, summarize)

    read = RunStore.open(tmp_path / "deep" / "run")
    assert read.complete
    assert list(read.verdicts()) == written
    assert read.plan() == PLAN
    names = sorted(path.relative_to(read.folder).as_posix() for path in read.folder.rglob("*") if path.is_file())
    assert names == [
        "done/00000-of-00001",
        "errors.jsonl",
        "manifest.json",
        "plan.json",
        "seal.json",
        "summary.json",
        "verdicts/00000-of-00001.0001.jsonl",
    ]
    assert json.loads((read.folder / "errors.jsonl").read_text(encoding="utf-8")) == {
        "where": "in.jsonl:3",
        "id": None,
        "problem": "not JSON",
    }
    assert json.loads((read.folder / "manifest.json").read_text(encoding="utf-8"))["plan_digest"] == PLAN.digest
    assert json.loads((read.folder / "summary.json").read_text(encoding="utf-8"))["records"] == 2


def test_a_verdict_can_be_read_as_soon_as_append_returns(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path, PLAN)
    for number in range(3):
        store.append(verdict(f"r{number}"))
        assert [each.id for each in RunStore.open(tmp_path).verdicts()] == [f"r{n}" for n in range(number + 1)]
    store.close()
    store.close()


def test_each_verdict_is_one_line_of_readable_utf8(tmp_path: Path) -> None:
    with_breaks = verdict("r1", extra={"备注": "一\n二\u2028三"})
    store = RunStore.create(tmp_path, PLAN)
    store.append(with_breaks)
    store.close()
    data = segment(tmp_path).read_bytes()
    assert data.count(b"\n") == 1
    assert "题".encode() in data
    assert list(RunStore.open(tmp_path).verdicts()) == [with_breaks]


def test_an_option_that_one_of_two_plans_has_is_told_in_one_line() -> None:
    more = PLAN.model_copy(update={"engine_options": {"a": 1, "b": {"c": 2}}})
    assert PLAN.model_copy(update={"engine_options": {}}).differences(more) == [
        ("engine_options.a", "nothing", "1"),
        ("engine_options.b.c", "nothing", "2"),
    ]


def test_a_folder_that_holds_another_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    RunStore.create(tmp_path, PLAN).close()
    before = (tmp_path / "plan.json").read_bytes()
    other = {"seed": 1, "model": ModelPlan(name="fake", digest="a" * 64), "rubrics": {}}
    with pytest.raises(ResumeError, match="already holds a run") as caught:
        RunStore.create(tmp_path, PLAN.model_copy(update=other))
    for told in (
        "seed: 0 there, 1 here",
        "model.digest:  there, aaaaaaaaaaaa... here",
        "rubrics.push.ref: p@1.0.0 there",
    ):
        assert told in str(caught.value)
    assert (tmp_path / "plan.json").read_bytes() == before


def test_the_same_plan_goes_on_in_a_segment_of_its_own(tmp_path: Path) -> None:
    for name in ("r1", "r2"):
        store = RunStore.create(tmp_path, PLAN)
        store.append(verdict(name))
        store.close()
    assert len(list((tmp_path / "verdicts").iterdir())) == 2
    assert [each.id for each in RunStore.open(tmp_path).verdicts()] == ["r1", "r2"]


def test_what_a_killed_beginning_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / ".plan.json.0123456789ab.unfinished").write_bytes(b'{"half')
    RunStore.create(tmp_path, PLAN).close()
    assert RunStore.open(tmp_path).plan() == PLAN


@pytest.mark.parametrize("name", ["notes.txt", ".hidden"])
def test_a_folder_that_holds_anything_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine", encoding="utf-8")
    with pytest.raises(ResumeError, match="not an empty folder"):
        RunStore.create(tmp_path, PLAN)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "run"
    file.write_text("mine", encoding="utf-8")
    with pytest.raises(ResumeError):
        RunStore.check_folder(file)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_cannot_be_written_is_an_error_of_the_store(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="cannot write"):
        RunStore.create(tmp_path / "run", PLAN)


def test_a_file_where_a_parent_folder_should_be_is_an_error_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match=r"cannot write.*the same command goes on from there\."):
        RunStore.create(tmp_path / "file" / "run", PLAN)


def test_a_folder_without_a_run_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no plan\.json"):
        RunStore.open(tmp_path)


def test_a_run_opened_to_read_cannot_be_written(tmp_path: Path) -> None:
    RunStore.create(tmp_path, PLAN).close()
    with pytest.raises(StoreError, match="read only"):
        RunStore.open(tmp_path).append(verdict())


@pytest.mark.parametrize("line", [b"{}\n", b"garbage\n", b"\xff\n", b"\n"])
def test_a_damaged_line_is_named_set_aside_and_hides_no_other(tmp_path: Path, line: bytes) -> None:
    store = RunStore.create(tmp_path, PLAN)
    store.append(verdict("r1"))
    store.close()
    whole = segment(tmp_path).read_bytes()
    other = RunStore.create(tmp_path, PLAN)
    other.append(verdict("r2"))
    other.close()
    segment(tmp_path).write_bytes(whole + line + whole[:40])
    stored = RunStore.open(tmp_path).stored()
    assert [each.id for each in stored] == ["r1", "r2"]
    assert [(entry.line, entry.torn) for entry in stored.damage] == [(2, False), (3, True)]
    assert str(stored.damage[0]).endswith("00000-of-00001.0001.jsonl:2: damaged")
    assert [entry.line for entry in store.quarantine(stored.damage)] == [2]
    assert store.quarantine(stored.damage) == []
    assert (tmp_path / "quarantine" / "00000-of-00001.0001.2").read_bytes() == line[:-1]


def test_of_two_verdicts_on_a_record_the_fuller_one_stays_whatever_their_order(tmp_path: Path) -> None:
    poor = verdict("r1", detail=verdict().detail[1:], scored=0, total_score=0)
    fair, same = verdict("r1"), verdict("r1", extra={"b": 1})
    kept = set()
    for number, order in enumerate(itertools.permutations([poor, fair, same])):
        folder = tmp_path / str(number)
        for each in order:
            store = RunStore.create(folder, PLAN)
            store.append(each)
            store.close()
        stored = RunStore.open(folder).stored()
        (only,) = stored
        kept.add(only.model_dump_json())
        assert (len(stored), stored.duplicates) == (1, 2)
    assert len(kept) == 1
    assert kept <= {fair.model_dump_json(), same.model_dump_json()}


def test_a_verdict_of_another_version_is_named(tmp_path: Path) -> None:
    RunStore.create(tmp_path, PLAN).close()
    segment(tmp_path).write_bytes(seal(b'{"id":"r1","score":3}'))
    with pytest.raises(StoreError, match=r"0001\.jsonl: record 'r1': not a verdict"):
        list(RunStore.open(tmp_path).verdicts())


def test_a_run_is_complete_once_every_shard_of_one_world_is(tmp_path: Path) -> None:
    for rank, complete in ((1, False), (0, True)):
        store = RunStore.create(tmp_path, PLAN, Shard(rank, 2))
        store.append(verdict(f"r{rank}"))
        assert not (tmp_path / "summary.json").exists()
        store.finish_shard(MANIFEST, summarize)
        assert store.complete is complete
    assert json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))["records"] == 2
    RunStore.create(tmp_path, PLAN, Shard(2, 3)).reopen_shard()
    assert RunStore.open(tmp_path).complete


def test_a_shard_reads_what_other_worlds_left_and_skips_its_fellows(tmp_path: Path) -> None:
    shards = [Shard(0, 2), Shard(1, 2), Shard(0, 3)]
    for shard in shards:
        store = RunStore.create(tmp_path, PLAN, shard)
        for number in range(20):
            if shard.holds(f"r{number}"):
                store.append(verdict(f"r{number}"))
        store.close()
    whole = RunStore.open(tmp_path).stored()
    assert len(whole) == 20
    own = RunStore.open(tmp_path).stored(Shard(0, 2))
    assert {each.id for each in own} == {f"r{number}" for number in range(20) if Shard(0, 2).holds(f"r{number}")}
    assert {path.name[:14] for path in own.lines} == {"00000-of-00002", "00000-of-00003"}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"engine":"fake"}'])
def test_a_damaged_plan_is_an_error_of_the_store(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "plan.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"plan\.json cannot be read"):
        RunStore.open(tmp_path).plan()


def test_the_plans_digest_follows_every_field() -> None:
    other: dict[str, Any] = {"seed": 1, "strategy": "joint", "limit": 5, "prompt_digest": "q", "keep_thinking": True}
    digests = {PLAN.digest, *(PLAN.model_copy(update={name: value}).digest for name, value in other.items())}
    assert len(digests) == len(other) + 1
    assert Plan.model_validate_json(PLAN.model_dump_json()).digest == PLAN.digest


def test_verdicts_are_forced_to_disk_in_groups_and_the_last_ones_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    fsync = os.fsync
    store = RunStore.create(tmp_path, PLAN)

    def counting(handle: int) -> None:
        synced.append(os.fstat(handle).st_size)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", counting)
    for number in range(200):
        store.append(verdict(f"r{number}"))
    assert len(synced) < 100  # two files a group; alone, 200 verdicts would take 200
    store.close()
    assert segment(tmp_path).stat().st_size in synced[-2:]
    before = len(synced)
    store.close()
    assert len(synced) == before
