"""`localjudge probe`: how far do the margins of a model move when nothing but the company of a read changes?"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import click

from localjudge.cli_options import (
    calibration,
    defences_option,
    engine_choice,
    engine_options,
    probes,
    rubric_option,
    rubrics,
)
from localjudge.cli_run import demo_file
from localjudge.disk import write_whole
from localjudge.engine_choice import EngineChoice
from localjudge.errors import InputError, StoreError, UsageError
from localjudge.nvidia import least_capability
from localjudge.offline import go_offline
from localjudge.probe import (
    CACHED_WAYS,
    PLAIN_WAYS,
    STRICT_WAYS,
    Answers,
    Probe,
    Question,
    Way,
    WayFigures,
    ask_apart,
    compare,
    inside,
    noise_band,
    off_label,
    questions,
    setting_of,
)
from localjudge.prompts import Defences, Prompts
from localjudge.records import BadRecord, Record, TaskType, input_digest, read_records
from localjudge.report import render_probes
from localjudge.rubric import Rubric
from localjudge.strategies import Settings
from localjudge.strictness import strictest, with_strictness
from localjudge.weights import LocalModel

SETTINGS = ("as-run", "no-prefix-cache", "reproducible")


class _Setting(NamedTuple):
    name: str
    options: dict[str, Any]
    ways: tuple[Way, ...]


@click.command()
@click.option("--model", "model_name", help="Name in models.yaml, or a folder.")
@click.option("--records", type=click.Path(path_type=Path), help="Records to read, instead of the packaged examples.")
@click.option("--limit", type=click.IntRange(min=1), default=4, help="At most this many records, each read in full.")
@click.option(
    "--setting",
    "wanted",
    type=click.Choice(SETTINGS),
    multiple=True,
    help="Only this one; repeatable. Each opens the model once.",
)
@rubric_option
@click.option("--orders", type=click.IntRange(1, 2), default=Settings().orders, help="As the runs will have it.")
@click.option("--calibration", "calibration_name", default="auto", help="auto, off, or a file made by calibrate.")
@defences_option
@engine_options
@click.option("--json", "as_json", is_flag=True)
def probe(
    model_name: str | None,
    records: Path | None,
    limit: int,
    wanted: tuple[str, ...],
    rubric_names: tuple[str, ...],
    orders: Literal[1, 2],
    calibration_name: str,
    defences: Defences,
    as_json: bool,
    **options: Any,
) -> None:
    """Ask the same reads in many ways, and keep how far their margins move: the noise band of runs of this setting."""
    go_offline()
    choice = engine_choice(options)
    model = choice.find_model(model_name)
    if model is None:
        raise UsageError("the fake engine has no margins to probe.", hint="Give --engine vllm, hf or server.")
    packs = rubrics(rubric_names, "")
    source = records or demo_file()
    known, prompts = calibration(calibration_name, model, orders, defences, packs), Prompts(defences)
    asked = questions(_read(source, packs, limit), packs, orders, known, prompts)
    settings, notes = _settings(choice, choice.all_options(model), wanted)
    found: list[Probe] = []
    first: Answers | None = None
    for setting in settings:
        click.echo(f"{setting.name}: {len(asked)} reads in {len(setting.ways)} ways", err=True)
        chosen = replace(choice, options={**choice.options, **setting.options})
        info, answers = ask_apart(chosen, model, asked, setting.ways, _tell)
        first = first or answers[0]
        head = {
            "name": setting.name,
            "orders": orders,
            "verbalizer": known.verbalizer_digest if known else "",
            "setting": setting_of(info),
            "input_digest": input_digest((source,)),
            "prompt_digest": prompts.digest,
        }
        found.append(_found(head, model, asked, setting.ways, answers, first))
        _keep(probes() / found[-1].file_name, found[-1])
    if as_json:
        report = {"probes": [entry.model_dump(mode="json") for entry in found], "notes": notes}
        click.echo(json.dumps(report, ensure_ascii=False, indent=1))
        return
    click.echo(render_probes(found), nl=False)
    for note in notes:
        click.echo(note)


def _settings(
    choice: EngineChoice, options: dict[str, Any], wanted: tuple[str, ...]
) -> tuple[list[_Setting], list[str]]:
    """What to open, one engine each, and what cannot be probed here and why. Raises UsageError when nothing is left."""
    caches = choice.engine == "vllm" and options.get("enable_prefix_caching", True)
    found = [_Setting("as-run", {}, CACHED_WAYS if caches else PLAIN_WAYS)]
    notes = []
    if caches:
        found.append(_Setting("no-prefix-cache", {"enable_prefix_caching": False}, PLAIN_WAYS))
    try:
        strict = strictest(choice.engine, least_capability())
        with_strictness(options, strict)
    except UsageError as error:
        notes.append(f"not probed: reproducible. {error}")
    else:
        found.append(_Setting("reproducible", strict.options, STRICT_WAYS))
        if choice.engine == "vllm" and "batch_invariant" not in strict.options:
            notes.append("not probed: batch-invariant mode. vLLM has it on NVIDIA cards of capability 8.0 and up.")
    chosen = [setting for setting in found if not wanted or setting.name in wanted]
    if not chosen:
        raise UsageError(f"--setting {wanted[0]} cannot be probed with these options.", hint=" ".join(notes))
    return chosen, notes


def _read(source: Path, packs: dict[TaskType, Rubric], limit: int) -> list[Record]:
    found: list[Record] = []
    for entry in read_records(source):
        if isinstance(entry, BadRecord):
            raise entry.error()
        if entry.task_type in packs:
            found.append(entry)
        if len(found) == limit:
            break
    if not found:
        raise InputError(f"{source}: no record for {', '.join(pack.ref for pack in packs.values())}.")
    return found


def _found(
    head: dict[str, Any],
    model: LocalModel,
    asked: list[Question],
    ways: tuple[Way, ...],
    answers: list[Answers],
    first: Answers,
) -> Probe:
    own = answers[0].logprobs
    band = noise_band([each.logprobs for each in answers], asked)
    return Probe(
        **head,
        model=model.spec.name,
        model_digest=model.digest,
        reads=len(own),
        off_label=off_label(own),
        ways=tuple(
            WayFigures(
                way=way.name,
                against_first=compare(first.logprobs, each.logprobs, asked),
                cached_tokens=each.cached_tokens,
                prompt_tokens=each.prompt_tokens,
            )
            for way, each in zip(ways, answers, strict=True)
        ),
        noise_band=band,
        inside=inside(own, asked, band),
    )


def _keep(path: Path, found: Probe) -> None:
    text = json.dumps(found.model_dump(mode="json"), ensure_ascii=False, indent=1) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode("utf-8"))
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}.") from error
    click.echo(f"probe: {path}", err=True)


def _tell(way: str) -> None:
    click.echo(f"  {way}", err=True)
