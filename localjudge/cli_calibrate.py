"""`localjudge calibrate`: probabilities that mean something, for one model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import click

from localjudge.calibrate import apart, fit, read_points
from localjudge.calibration import file_name
from localjudge.cli_options import (
    PLACE,
    calibrations,
    defences_option,
    engine_choice,
    engine_options,
    force_option,
    rubric_option,
    rubrics,
)
from localjudge.disk import write_whole
from localjudge.errors import StoreError, UsageError
from localjudge.exam import packaged_training
from localjudge.labelled import read_labelled
from localjudge.offline import go_offline
from localjudge.prompts import Defences, Prompts
from localjudge.records import input_digest
from localjudge.report import render_calibration
from localjudge.strategies import Settings
from localjudge.targets import STDOUT, writable_target
from localjudge.verbalizer import WORDS


@click.command()
@click.argument("labelled_file", metavar="[LABELLED]", type=click.Path(path_type=Path), required=False)
@click.option("--model", "model_name", help="Name in models.yaml, or a folder.")
@rubric_option
@click.option(
    "--base-rate",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of messages that pass where you judge, if not that of the labels.",
)
@click.option("--orders", type=click.IntRange(1, 2), default=Settings().orders, help="As the runs will have it.")
@defences_option
@click.option("--out", type=PLACE, help="Write it here, instead of where runs find it.")
@force_option
@engine_options
@click.option("--json", "as_json", is_flag=True)
def calibrate(
    labelled_file: Path | None,
    model_name: str | None,
    rubric_names: tuple[str, ...],
    base_rate: float | None,
    orders: Literal[1, 2],
    defences: Defences,
    out: Path | None,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Fit probabilities and thresholds for a model on records with labels, or on minimal pairs.

    Without LABELLED, on the packaged training pairs.
    """
    go_offline()
    if out == STDOUT:
        raise UsageError("--json prints the calibration on standard output.", hint="Give --out a file.")
    chosen = None if out is None else writable_target(out, force=force)
    source = labelled_file or packaged_training()
    packs = rubrics(rubric_names, "")
    labelled = read_labelled(source, packs)
    choice = engine_choice(options)
    model = choice.find_model(model_name)
    if model is None:
        raise UsageError("the fake engine has no margins to calibrate.", hint="Give --engine vllm, hf or server.")
    with choice.open(model) as engine:
        asked = Settings(strategy="read", orders=orders, rules="off", defences=defences)
        words = apart(engine, WORDS)
        points, lost = read_points(engine, packs, labelled, asked, words)
    if lost:
        click.echo(f"warning: {lost} of {lost + len(points)} reads came to nothing and are left out.", err=True)
    fitted = fit(
        points,
        packs,
        model=model.spec.name,
        model_digest=model.digest,
        prompt_digest=Prompts(defences).digest,
        orders=orders,
        labels_digest=input_digest((source,)),
        words=words,
        base_rate=base_rate,
    )
    target = chosen or calibrations() / file_name(model.digest, fitted.prompt_digest, orders)
    text = json.dumps(fitted.model_dump(mode="json"), ensure_ascii=False, indent=1) + "\n"
    _write(target, text)
    click.echo(text if as_json else render_calibration(fitted), nl=False)
    click.echo(f"calibration: {target}", err=True)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode("utf-8"))
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}.") from error
