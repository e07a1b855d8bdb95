"""Tamperings with a finished run, each caught at its level: the table of docs/reproducibility.md is this one."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from command_line import ROOT, call, line
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from localjudge.decisions import DEFAULT_BAND, settle
from localjudge.engine_choice import EngineChoice
from localjudge.errors import StoreError
from localjudge.findings import LEVELS, Level
from localjudge.intake import RunRequest
from localjudge.manifest import digest_of
from localjudge.recount import Source
from localjudge.rejudge import Means
from localjudge.rubric import load_rubric
from localjudge.run import execute
from localjudge.segments import read_segment, seal
from localjudge.shards import Shard
from localjudge.stats import summarize
from localjudge.store import RunStore
from localjudge.strategies import Settings
from localjudge.verdicts import Grade, Unscored, Verdict
from localjudge.verify import Verification, verify

RUBRIC = load_rubric("push").select(("1.1", "2.1", "5.5"))
"""5.5 is decided by a rule."""
SIGNED = "a signature alone"
HARMLESS = "nothing: the verdicts are the same"


@dataclass
class Run:
    """A finished run of two shards on the fake engine, to be tampered with."""

    folder: Path
    input: Path

    @property
    def segments(self) -> list[Path]:
        return sorted((self.folder / "verdicts").glob("*.jsonl"))

    def lines(self, segment: Path) -> list[bytes]:
        return segment.read_bytes().splitlines(keepends=True)

    def edit(self, path: str, change: Callable[[Any], None]) -> None:
        data = json.loads((self.folder / path).read_bytes())
        change(data)
        (self.folder / path).write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")

    def rewrite(self, change: Callable[[Verdict], Verdict], record_id: str | None = None) -> None:
        """Changes the verdict on one record, or on all, with checksums that fit."""
        for segment in self.segments:
            verdicts = [Verdict.model_validate_json(entry.payload) for entry in read_segment(segment)]  # type: ignore[union-attr]
            changed = [change(each) if record_id in (None, each.id) else each for each in verdicts]
            segment.write_bytes(b"".join(seal(each.model_dump_json().encode()) for each in changed))

    def count_again(self) -> None:
        """A summary that fits the verdicts, and manifests that count as many."""
        store = RunStore.open(self.folder)
        summary = summarize(store.verdicts())
        (self.folder / "summary.json").write_text(summary.model_dump_json(), encoding="utf-8")

    def seal_again(self) -> None:
        with suppress(StoreError):  # a plan that cannot be read cannot be sealed either
            RunStore.open(self.folder).write_seal()

    def plan_changed(self, name: str, value: Any) -> None:
        """Another plan, with manifests that belong to it."""
        self.edit("plan.json", lambda plan: plan.update({name: value}))
        digest = RunStore.open(self.folder).plan().digest
        for path in self.folder.glob("manifest*.json"):
            self.edit(path.name, lambda manifest: manifest.update(plan_digest=digest))

    def verify(self, last: Level = "replay", **means: Any) -> Verification:
        def at_hand(evidence: Any) -> Any:
            return Source((self.input,), rubrics={"push": RUBRIC}), Means(**means)

        return verify(self.folder, last=last, at_hand=at_hand)


def finished(folder: Path, *names: str, shards: int = 2) -> Run:
    records = folder / "records.jsonl"
    records.parent.mkdir(parents=True, exist_ok=True)
    texts = [line(name, send_time="2026-02-17T09:00", message=f"消息{name}，新年快乐") for name in names]
    records.write_bytes(b"".join([*texts, b"{}\n"]))
    for shard in Shard(0, 2).all()[:shards]:
        request = RunRequest(
            inputs=(records,),
            out=folder / "run",
            rubrics={"push": RUBRIC},
            model=None,
            engine=EngineChoice("fake"),
            settings=Settings(),
            on_bad_input="skip",
            shard=shard,
        )
        execute(request)
    return Run(folder / "run", records)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return finished(tmp_path_factory.mktemp("made"), *(f"r{number}" for number in range(8)))


@pytest.fixture
def run(made: Run, tmp_path: Path) -> Run:
    """A copy, elsewhere than it was made."""
    shutil.copytree(made.folder.parent, tmp_path / "copy")
    return Run(tmp_path / "copy" / "run", tmp_path / "copy" / "records.jsonl")


# The tamperings


def graded(
    verdict: Verdict, change: Callable[[Grade], Grade], indicator: str = "1.1", *, totals: bool = True
) -> Verdict:
    detail = tuple(change(grade) if grade.id == indicator else grade for grade in verdict.detail)
    changed = verdict.model_copy(update={"detail": detail})
    if not totals:
        return changed
    passed = sum(grade.score or 0 for grade in detail)
    away = sum(grade.applicable is False for grade in detail)
    return changed.model_copy(update={"total_score": passed, "not_applicable": away})


def flipped(grade: Grade) -> Grade:
    return grade.model_copy(update={"score": 1 - (grade.score or 0), "applicable": True})


def flipped_read(grade: Grade) -> Grade:
    """Another score, with a read that says so: everything follows from everything."""
    read, *rest = grade.stages
    assert read.p_pass is not None and read.margin is not None
    turned = {"score": 1 - (read.score or 0), "p_pass": 1 - read.p_pass, "margin": -read.margin, "applicable": True}
    stages = (read.model_copy(update=turned), *rest)
    return settle(grade.model_copy(update={"stages": stages}), DEFAULT_BAND, thinks=False)


def byte_changed(run: Run) -> None:
    segment = run.segments[0]
    segment.write_bytes(segment.read_bytes().replace(b'"score":0', b'"score":1', 1))


def score_flipped(run: Run) -> None:
    run.rewrite(lambda verdict: graded(verdict, flipped, totals=False), "r1")


def score_and_totals(run: Run) -> None:
    run.rewrite(lambda verdict: graded(verdict, flipped), "r1")
    run.count_again()


def score_and_stages(run: Run) -> None:
    run.rewrite(lambda verdict: graded(verdict, flipped_read), "r1")
    run.count_again()


def rule_flipped(run: Run) -> None:
    run.rewrite(lambda verdict: graded(verdict, flipped, "5.5"), "r1")
    run.count_again()


def reason_edited(run: Run) -> None:
    def spoken(grade: Grade) -> Grade:
        stages = tuple(
            stage.model_copy(update={"reason": "语气得体周到"}) if stage.reason else stage for stage in grade.stages
        )
        return settle(grade.model_copy(update={"stages": stages}), DEFAULT_BAND, thinks=False)

    run.rewrite(lambda verdict: graded(verdict, spoken), "r1")
    run.count_again()


def p_pass_edited(run: Run) -> None:
    run.rewrite(lambda verdict: graded(verdict, lambda grade: grade.model_copy(update={"p_pass": 0.31})), "r1")


def stage_removed(run: Run) -> None:
    run.rewrite(lambda verdict: graded(verdict, lambda grade: grade.model_copy(update={"stages": ()})), "r1")


def indicator_removed(run: Run) -> None:
    run.rewrite(lambda verdict: verdict.model_copy(update={"detail": verdict.detail[1:]}), "r1")


def line_dropped(run: Run) -> None:
    run.segments[0].write_bytes(b"".join(run.lines(run.segments[0])[1:]))
    run.count_again()


def line_doubled(run: Run) -> None:
    run.segments[0].write_bytes(b"".join([*run.lines(run.segments[0]), run.lines(run.segments[0])[0]]))


def lines_reordered(run: Run) -> None:
    run.segments[0].write_bytes(b"".join(reversed(run.lines(run.segments[0]))))


def segment_removed(run: Run) -> None:
    run.segments[0].unlink()
    run.count_again()


def segment_truncated(run: Run) -> None:
    run.segments[0].write_bytes(run.segments[0].read_bytes()[:-40])
    run.count_again()


def usage_edited(run: Run) -> None:
    def cheaper(verdict: Verdict) -> Verdict:
        return verdict.model_copy(update={"usage": verdict.usage.model_copy(update={"prompt_tokens": 1})})

    run.rewrite(cheaper)
    run.count_again()


def errors_emptied(run: Run) -> None:
    (run.folder / "errors.jsonl").write_bytes(b"")


def link_planted(run: Run) -> None:
    segment, elsewhere = run.segments[0], run.folder.parent / "elsewhere.jsonl"
    segment.rename(elsewhere)
    segment.symlink_to(elsewhere)


def segment_copied_in(run: Run) -> None:
    other = finished(run.folder.parent / "other", "x1", "x2", "x3")
    for number, segment in enumerate(other.segments):
        shutil.copy(segment, run.folder / "verdicts" / f"0000{number}-of-00002.0002.jsonl")
    run.count_again()


def marker_forged(run: Run) -> None:
    """On a run of which one shard of two is done."""
    for path in run.folder.rglob("*00001-of-00002*"):
        path.unlink()
    (run.folder / "seal.json").unlink()
    run.count_again()
    (run.folder / "done" / "00001-of-00002").touch()


def summary_edited(run: Run) -> None:
    run.edit("summary.json", lambda summary: summary["tasks"][0].update(total_score=40))


def times_edited(run: Run) -> None:
    for path in run.folder.glob("manifest*.json"):
        run.edit(path.name, lambda manifest: manifest.update(started="2020-01-01T00:00:00+00:00"))


def count_edited(run: Run) -> None:
    run.edit("manifest-00000-of-00002.json", lambda manifest: manifest.update(records_judged=1))


def tokens_edited(run: Run) -> None:
    run.edit("manifest-00000-of-00002.json", lambda manifest: manifest["tokens"].update(requests=1))


def field_added(run: Run) -> None:
    run.edit("plan.json", lambda plan: plan.update(approved=True))


def plan_edited(name: str, value: Any) -> Callable[[Run], None]:
    return lambda run: run.edit("plan.json", lambda plan: plan.update({name: value}))


def plan_and_manifests(name: str, value: Any) -> Callable[[Run], None]:
    return lambda run: run.plan_changed(name, value)


def record_added(run: Run) -> None:
    run.input.write_bytes(run.input.read_bytes() + line("r99"))


def message_edited(run: Run) -> None:
    run.input.write_bytes(run.input.read_bytes().replace("消息r3".encode(), "消息r4".encode()))


class Tampering(NamedTuple):
    """What was done, where it is caught, and where once whoever did it has sealed the run again."""

    what: str
    do: Callable[[Run], None]
    caught: str
    sealed_again: str


OTHER = "0" * 64
TAMPERINGS = [
    Tampering("a score flipped in the file", byte_changed, "integrity", "integrity"),
    Tampering("a score flipped, with the line's checksum", score_flipped, "integrity", "numbers"),
    Tampering("a score flipped, with checksum, totals and summary", score_and_totals, "integrity", "numbers"),
    Tampering("the same, with a read that says so", score_and_stages, "integrity", "replay"),
    Tampering("a score of a rule flipped, with totals and summary", rule_flipped, "integrity", "numbers"),
    Tampering("a probability edited", p_pass_edited, "integrity", "numbers"),
    Tampering("the stages of a score removed", stage_removed, "integrity", "numbers"),
    Tampering("a reason edited, in its stages too", reason_edited, "integrity", "replay --strict"),
    Tampering("an indicator removed", indicator_removed, "shape", "shape"),
    Tampering("a line dropped, the summary counted again", line_dropped, "integrity", "completeness"),
    Tampering("a line doubled", line_doubled, "integrity", "completeness"),
    Tampering("the lines of a segment in another order", lines_reordered, "integrity", HARMLESS),
    Tampering("a segment removed, the summary counted again", segment_removed, "integrity", "completeness"),
    Tampering("a segment cut off, the summary counted again", segment_truncated, "integrity", "completeness"),
    Tampering("segments of another run copied in", segment_copied_in, "integrity", "completeness"),
    Tampering("a segment replaced by a link", link_planted, "shape", "shape"),
    Tampering("a shard's files removed and its done marker forged", marker_forged, "shape", "completeness"),
    Tampering("the summary edited", summary_edited, "integrity", "numbers"),
    Tampering("token counts edited, in the summary too", usage_edited, "integrity", "numbers"),
    Tampering("token counts of a manifest edited", tokens_edited, "integrity", "numbers"),
    Tampering("the record count of a manifest edited", count_edited, "integrity", "completeness"),
    Tampering("the times of the manifests edited", times_edited, "integrity", SIGNED),
    Tampering("the list of refused records emptied", errors_emptied, "integrity", "completeness"),
    Tampering("a field added to the plan", field_added, "shape", "shape"),
    Tampering(
        "another model in the plan", plan_edited("model", {"name": "fake", "digest": OTHER}), "integrity", "integrity"
    ),
    Tampering(
        "another model in plan and manifests",
        plan_and_manifests("model", {"name": "fake", "digest": OTHER}),
        "integrity",
        "replay",
    ),
    Tampering(
        "another template in plan and manifests", plan_and_manifests("prompt_digest", OTHER), "integrity", "replay"
    ),
    Tampering("another seed in plan and manifests", plan_and_manifests("seed", 7), "integrity", SIGNED),
    Tampering(
        "another task type in plan and manifests",
        plan_and_manifests("default_task_type", "reply"),
        "integrity",
        "replay",
    ),
    Tampering("a message of the input edited", message_edited, "completeness", "completeness"),
    Tampering("a record added to the input", record_added, "completeness", "completeness"),
]


def caught_at(run: Run) -> str:
    """The first level that fails; `replay --strict` where only that does."""
    failed = run.verify().failed
    if failed:
        return failed[0]
    return "replay --strict" if run.verify(strict=True).failed else ""


def table() -> str:
    """The rows of docs/reproducibility.md."""
    rows = [f"| {entry.what} | {entry.caught} | {entry.sealed_again} |" for entry in TAMPERINGS]
    return "\n".join(["| tampering | caught at | once it is sealed again |", "|---|---|---|", *rows])


def test_an_untouched_run_passes_every_level(run: Run) -> None:
    found = run.verify(strict=True)
    assert [(entry.level, entry.outcome) for entry in found.levels] == [(level, "passed") for level in LEVELS]
    assert found.replay is not None
    assert (found.replay.records, found.replay.flips, found.replay.largest_shift) == (8, (), 0.0)


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=lambda entry: entry.what)
def test_a_tampering_is_caught_at_its_level(run: Run, tampering: Tampering) -> None:
    tampering.do(run)
    assert caught_at(run) == tampering.caught
    run.seal_again()
    assert caught_at(run) == ("" if tampering.sealed_again in (SIGNED, HARMLESS) else tampering.sealed_again)


# Signatures


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private key and its public half, as openssl writes them."""
    private = ed25519.Ed25519PrivateKey.generate()
    text = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "key.pem").write_bytes(text)
    (tmp_path / "public.pem").write_bytes(public)
    return tmp_path / "key.pem", tmp_path / "public.pem"


def test_whoever_seals_again_has_no_signature(run: Run, keys: tuple[Path, Path]) -> None:
    assert call("seal", run.folder, "--sign", keys[0]).exit_code == 0
    assert not verify(run.folder, public_key=keys[1]).failed
    signature = (run.folder / "seal.sig").read_bytes()
    times_edited(run)
    assert verify(run.folder, public_key=keys[1]).failed == ("integrity",)
    run.seal_again()
    assert not verify(run.folder).failed
    for forged in (b"", b"0" * 64, signature):
        (run.folder / "seal.sig").write_bytes(forged)
        assert verify(run.folder, public_key=keys[1]).failed == ("integrity",)


def test_a_signature_of_another_key_and_none_at_all_are_told_apart(run: Run, keys: tuple[Path, Path]) -> None:
    assert "the seal is not signed" in call("verify", run.folder, "--public-key", keys[1]).stdout
    call("seal", run.folder, "--sign", keys[0])
    other = ed25519.Ed25519PrivateKey.generate().public_key()
    keys[1].write_bytes(other.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    assert "not a signature of this seal by the key" in call("verify", run.folder, "--public-key", keys[1]).stdout


def test_what_is_not_what_was_sealed_is_not_signed(run: Run, keys: tuple[Path, Path]) -> None:
    score_flipped(run)
    refused = call("seal", run.folder, "--sign", keys[0])
    assert (refused.exit_code, (run.folder / "seal.sig").exists()) == (4, False)
    assert "is not what was sealed, and is not signed" in refused.stderr


@pytest.mark.parametrize("text", ["", "-----BEGIN PRIVATE KEY-----", "key"])
def test_a_file_that_is_no_key_is_bad_configuration(run: Run, keys: tuple[Path, Path], text: str) -> None:
    for key, arguments in (
        (keys[0], ("seal", run.folder, "--sign")),
        (keys[1], ("verify", run.folder, "--public-key")),  # also where there is no signature to hold it against
    ):
        key.write_text(text, encoding="utf-8")
        told = call(*arguments, key)
        assert (told.exit_code, "Ed25519 key in PEM" in told.stderr) == (3, True)


# The command


def test_every_fault_is_a_line_that_says_where(run: Run) -> None:
    score_and_totals(run)
    run.seal_again()
    told = call("verify", run.folder, "--input", run.input)
    place = next(
        f"verdicts/{s.name}:{n}" for s in run.segments for n, text in enumerate(run.lines(s), 1) if b'"r1"' in text
    )
    lines = told.stdout.splitlines()
    assert [entry.split()[:2] for entry in lines[:5]] == [
        ["shape", "passed"],
        ["integrity", "passed"],
        ["completeness", "passed"],
        ["numbers", "failed"],
        ["environment", "passed"],
    ]
    assert lines[5].startswith(f"numbers: {place}: record 'r1': indicator 1.1: score is ")
    assert (told.exit_code, told.stderr) == (4, f"error: {run.folder} does not verify: numbers.\n")


def test_a_program_reads_the_same_as_json(run: Run) -> None:
    told = call("verify", run.folder, "--input", run.input, "--level", "replay", "--sample", "3", "--json")
    found = json.loads(told.stdout)
    assert (told.exit_code, found["passed"]) == (0, True)
    assert [level["level"] for level in found["levels"]] == list(LEVELS)
    assert (found["replay"]["records"], found["replay"]["flip_rate"][0]) == (3, 0.0)


def test_without_the_input_completeness_counts_and_says_so(run: Run) -> None:
    found = verify(run.folder)
    assert [entry.outcome for entry in found.levels] == ["passed", "passed", "skipped", "passed", "passed"]
    assert "needs --input" in found.levels[2].detail


def test_the_sample_of_a_replay_is_drawn_by_its_seed(run: Run) -> None:
    reason_edited(run)
    found = [bool(run.verify(sample=4, seed=seed, strict=True).levels[-1].faults) for seed in (0, 0, 1, 2, 3)]
    assert found[0] == found[1]
    assert set(found) == {True, False}


def given_up(verdict: Verdict) -> Verdict:
    """As runs from before judged a record that their engine died of."""
    detail = tuple(Grade.without_score(entry, Unscored.ENGINE_ERROR, reason="gone") for entry in RUBRIC.indicators)
    return Verdict.of(id=verdict.id, rubric=RUBRIC, detail=detail, usage=verdict.usage, flags=verdict.flags)


def test_a_record_that_the_engine_died_of_is_no_fault_of_a_run(run: Run) -> None:
    run.rewrite(given_up, "r1")
    run.count_again()
    run.seal_again()
    found = run.verify()
    assert (found.failed, [entry.faults for entry in found.levels]) == ((), [[]] * len(LEVELS))


def test_a_run_that_is_not_finished_does_not_verify(tmp_path: Path) -> None:
    half = finished(tmp_path / "half", "r1", "r2", "r3", "r4", shards=1)
    found = half.verify("completeness")
    assert found.failed == ("integrity", "completeness")
    assert "the run is not finished" in found.levels[1].faults[0]
    assert call("seal", half.folder).exit_code == 1


def test_a_run_killed_before_its_first_manifest_is_told_unfinished_and_no_more(tmp_path: Path) -> None:
    half = finished(tmp_path / "half", "r1", "r2", "r3", "r4", shards=1)
    for path in [*half.folder.glob("manifest*.json"), *half.folder.glob("done/*")]:
        path.unlink()
    found = {findings.level: findings.faults for findings in half.verify("numbers").levels}
    assert sum("the run is not finished" in fault for fault in found["completeness"]) == 1
    assert found["numbers"] == []


def test_damage_that_the_run_repaired_is_a_note(run: Run) -> None:
    byte_changed(run)
    finished_again = RunRequest(
        inputs=(run.input,),
        out=run.folder,
        rubrics={"push": RUBRIC},
        model=None,
        engine=EngineChoice("fake"),
        on_bad_input="skip",
    )
    execute(finished_again)
    found = run.verify()
    assert not found.failed
    assert any("set aside by the run" in note for note in found.levels[1].notes)


def test_what_another_system_keeps_beside_a_copied_file_is_no_part_of_a_run(run: Run) -> None:
    beside = run.folder / "verdicts" / f"._{run.segments[0].name}"
    beside.write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X")
    (run.folder / "._manifest-00000-of-00002.json").write_bytes(b"\x00\x05\x16\x07")
    assert len(list(RunStore.open(run.folder).verdicts())) == 8
    assert not RunStore.open(run.folder).stored().damage
    found = run.verify()
    assert not found.failed
    assert f"verdicts/{beside.name}: hidden, and no part of the run" in found.levels[0].notes
    assert call("seal", run.folder).exit_code == 0
    assert not run.verify().failed


def test_a_replay_needs_an_input_and_a_model(run: Run) -> None:
    assert "--input FILE" in call("verify", run.folder, "--level", "replay").stderr
    run.edit("plan.json", lambda plan: plan.update(engine="vllm"))
    told = call("verify", run.folder, "--level", "replay", "--input", run.input)
    assert (told.exit_code, "Give --model" in told.stderr) == (2, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("strategy", "best"),
        ("rules", "no"),
        ("orders", 3),
        ("reasons", "some"),
        ("defences", "none"),
        ("engine", "gpt"),
        ("engine", "auto"),
    ],
)
def test_a_plan_that_asks_for_what_nobody_knows_is_misshapen(run: Run, name: str, value: Any) -> None:
    run.edit("plan.json", lambda plan: plan.update({name: value}))
    found = run.verify("environment")
    assert (found.failed, found.levels[0].count) == (("shape",), 1)
    assert found.levels[0].faults[0].startswith(f"plan.json: {name} is {value}; known are ")


@pytest.mark.parametrize("limit", [0, -3])
def test_a_plan_with_a_limit_of_nothing_is_misshapen(run: Run, limit: int) -> None:
    run.edit("plan.json", lambda plan: plan.update(limit=limit))
    told = call("verify", run.folder, "--input", run.input)
    assert (told.exit_code, f"plan.json: limit is {limit}; it is 1 or more" in told.stdout) == (4, True)


def test_a_plan_whose_rubric_has_no_indicators_is_misshapen(run: Run) -> None:
    run.edit("plan.json", lambda plan: plan["rubrics"]["push"].update(indicators=[]))
    told = call("verify", run.folder, "--input", run.input)
    assert (told.exit_code, "plan.json: rubrics.push has no indicators" in told.stdout) == (4, True)


@pytest.mark.parametrize("name", ["00000-of-00000", "00002-of-00002", "00000-of-99999999999999"])
def test_a_marker_of_no_world_finishes_no_run(tmp_path: Path, name: str) -> None:
    half = finished(tmp_path / "half", "r1", "r2", "r3", "r4", shards=1)
    (half.folder / "done" / name).touch()
    found = half.verify("completeness")
    assert found.failed == ("integrity", "completeness")
    assert any("the run is not finished" in fault for fault in found.levels[2].faults)


def test_a_plan_from_before_it_told_the_task_type_still_verifies(run: Run) -> None:
    told = RunStore.open(run.folder).plan().digest
    run.edit("plan.json", lambda plan: plan.pop("default_task_type"))
    plan = json.loads((run.folder / "plan.json").read_bytes())
    assert RunStore.open(run.folder).plan().digest == digest_of(plan) != told
    for path in run.folder.glob("manifest*.json"):
        run.edit(path.name, lambda manifest: manifest.update(plan_digest=digest_of(plan)))
    run.seal_again()
    found = run.verify(strict=True)
    assert (found.failed, found.levels[4].notes) == ((), [])


def test_a_run_is_verified_and_judged_again_under_its_own_task_type(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(line(None, task=...))
    run = ("run", tmp_path / "in.jsonl", "--engine", "fake", "--task-type", "push", "--out", tmp_path / "run")
    assert call(*run).exit_code == 0
    (tmp_path / "run" / "command.json").unlink()
    asked = ("verify", tmp_path / "run", "--input", tmp_path / "in.jsonl", "--level", "replay")
    assert call(*asked).exit_code == 0
    other = call(*asked, "--task-type", "reply")
    assert (other.exit_code, "default_task_type is push, here reply: not the same question" in other.stdout) == (
        4,
        True,
    )


def test_a_figure_that_is_no_number_is_a_fault(run: Run) -> None:
    for segment in run.segments:
        verdicts = [entry.payload for entry in read_segment(segment)]
        changed = [re.sub(rb'"margin":-?[\d.]+', b'"margin":NaN', payload, count=1) for payload in verdicts]
        segment.write_bytes(b"".join(map(seal, changed)))
    run.seal_again()
    assert run.verify("numbers").failed in (("numbers",), ("shape",))


def test_a_folder_without_a_plan_and_one_with_a_broken_plan(run: Run, tmp_path: Path) -> None:
    assert call("verify", tmp_path).exit_code == 1
    (run.folder / "plan.json").write_text("{", encoding="utf-8")
    found = run.verify("environment")
    assert (found.failed, found.levels[1].detail) == (("shape",), "the shape does not hold")


def test_the_table_of_the_page_is_the_one_that_is_asserted() -> None:
    assert table() in (ROOT / "docs" / "reproducibility.md").read_text(encoding="utf-8")
