"""`verify` and `seal`: whether a run is what it says it is, and the hash that says what it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from localjudge.calibration import Calibration, choose_calibration
from localjudge.cli_options import calibrations, engine_choice, engine_options, rubric_option
from localjudge.engine_choice import EngineChoice
from localjudge.errors import ConfigError, GateError, StoreError, UsageError
from localjudge.evidence import Evidence
from localjudge.findings import LEVELS, Findings, Level
from localjudge.manifest import Plan
from localjudge.offline import go_offline
from localjudge.recount import Source
from localjudge.rejudge import SAMPLE, Means
from localjudge.signature import load_public_key, signed
from localjudge.store import RunStore
from localjudge.verify import Verification, source_of
from localjudge.verify import verify as verify_run

FAULTS_SHOWN = 20


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--level", type=click.Choice(LEVELS), help="The last level to check; environment, with --model replay.")
@click.option("--input", "inputs", multiple=True, type=click.Path(path_type=Path), help="What was judged; repeatable.")
@click.option("--task-type", type=click.Choice(["reply", "push"]), help="For records that do not say, as in the run.")
@click.option("--model", "model_name", help="Replay: name in models.yaml, or a folder.")
@click.option("--sample", type=click.IntRange(min=1), default=SAMPLE, help="Replay: judge so many records again.")
@click.option("--seed", type=int, default=0, help="Replay: which records those are.")
@click.option("--strict", is_flag=True, help="What is not the same fails: machine, versions, any figure of a replay.")
@rubric_option
@click.option("--calibration", default="auto", help="auto, or the file that the run used.")
@engine_options
@click.option("--public-key", type=click.Path(path_type=Path), help="Whose signature the seal must have (PEM).")
@click.option("--json", "as_json", is_flag=True)
def verify(
    folder: Path, level: Level | None, public_key: Path | None, as_json: bool, model_name: str | None, **options: Any
) -> None:
    """Check that the run at FOLDER is whole, unchanged and rightly counted; with --model, judge a sample again."""
    go_offline()
    if public_key is not None:
        load_public_key(public_key)  # a wrong one is told before anything is read, signed or not
    last: Level = level or ("replay" if model_name else "environment")

    def at_hand(evidence: Evidence) -> tuple[Source, Means]:
        return _source(evidence, options), _means(evidence.plan, model_name, last, options)

    found = verify_run(folder, last=last, public_key=public_key, at_hand=at_hand, on_record=_noted())
    if as_json:
        click.echo(json.dumps(found.as_dict(), ensure_ascii=False, indent=1))
    else:
        _echo(found)
    if found.failed:
        raise GateError(f"{folder} does not verify: {', '.join(found.failed)}.")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--sign", "private_key", type=click.Path(path_type=Path), help="Sign the seal with this key (PEM).")
def seal(folder: Path, private_key: Path | None) -> None:
    """Seal the finished run at FOLDER as it is now, in place of its seal; with a key, sign the seal that it has."""
    store = RunStore.open(folder)
    if not store.complete:
        raise StoreError(f"{folder} is not finished.", hint="The same `localjudge run` goes on with it, and seals it.")
    if private_key is None or not (folder / "seal.json").is_file():
        made = store.write_seal()
        click.echo(f"{made.verdicts} verdicts, root {made.merkle_root}")
    if private_key is not None:
        if verify_run(folder, last="integrity").failed:
            hint = f"See localjudge verify {folder}; `seal` without a key seals what is there now."
            raise GateError(f"{folder} is not what was sealed, and is not signed.", hint=hint)
        store.write_signature(lambda data: signed(data, private_key))
        click.echo("signed: seal.sig")


def _source(evidence: Evidence, options: dict[str, Any]) -> Source:
    task_type = options["task_type"]
    if task_type is None and not evidence.plan.tells_task_type and (evidence.folder / "command.json").is_file():
        task_type = evidence.store.command().get("task_type")
    return source_of(
        evidence.plan,
        inputs=options["inputs"],
        task_type=task_type,
        rubrics=options["rubric_names"],
        calibration=_calibration(evidence.plan, options["calibration"]),
    )


def _calibration(plan: Plan, wanted: str) -> Calibration | None:
    """That of the run; None for an uncalibrated one, or when it is not here."""
    if not plan.calibration:
        return None
    try:
        found = choose_calibration(
            wanted,
            calibrations(),
            model_digest=plan.model.digest,
            prompt_digest=plan.prompt_digest,
            orders=plan.orders,
        )
    except ConfigError:
        if wanted != "auto":
            raise
        return None
    return found if found is None or wanted != "auto" or found.digest == plan.calibration else None


def _means(plan: Plan, model_name: str | None, last: Level, options: dict[str, Any]) -> Means:
    engine = engine_choice(options)
    means = Means(engine=engine, sample=options["sample"], seed=options["seed"], strict=options["strict"])
    if last != "replay" or plan.engine == "fake":
        return means
    if not model_name:
        raise UsageError("a replay asks a model.", hint=f"Give --model {plan.model.name}, or the folder of its files.")
    model = EngineChoice(plan.engine).find_model(model_name)
    return Means(model, engine, means.sample, means.seed, means.strict)


def _noted() -> Callable[[int, int], None]:
    def note(done: int, total: int) -> None:
        if done % 10 == 0 or done == total:
            click.echo(f"judged again: {done} of {total}", err=True)

    return note


def _echo(found: Verification) -> None:
    for findings in found.levels:
        click.echo(f"{findings.level:<13} {findings.outcome:<8} {findings.detail}".rstrip())
    for findings in found.levels:
        _echo_lines(findings)


def _echo_lines(findings: Findings) -> None:
    for fault in findings.faults[:FAULTS_SHOWN]:
        click.echo(f"{findings.level}: {fault}")
    if findings.count > FAULTS_SHOWN:
        click.echo(f"{findings.level}: ... and {findings.count - FAULTS_SHOWN} more")
    for note in findings.notes[:FAULTS_SHOWN]:
        click.echo(f"{findings.level}: note: {note}")
