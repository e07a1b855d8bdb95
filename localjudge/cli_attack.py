"""`localjudge attack`: can a message talk this judge round, and how much do the defences help?"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import click

from localjudge.attack import attack as attack_judge
from localjudge.cli_exam import Progress
from localjudge.cli_options import STRATEGIES, calibration, engine_choice, engine_options, rubric_option, rubrics
from localjudge.errors import UsageError
from localjudge.exam import packaged_exam, read_pairs
from localjudge.mutations import MUTATIONS, read_mutations
from localjudge.offline import go_offline
from localjudge.prompts import Defences
from localjudge.report import render_resistance
from localjudge.resistance import Way
from localjudge.strategies import Settings, Strategy


@click.command()
@click.option("--model", "model_name", help="Name in models.yaml, or a folder.")
@click.option("--pairs", "pairs_file", type=click.Path(path_type=Path), help="Pairs of your own.")
@click.option("--strategy", type=STRATEGIES, default="read")
@click.option("--threshold", default="auto", help="Margin that passes: auto, or a number.")
@click.option("--limit", type=click.IntRange(min=1), help="At most this many pairs, drawn by --seed.")
@click.option("--seed", type=int, default=0)
@click.option("--calibration", "wanted", default="auto", help="auto or off.")
@click.option(
    "--defences", type=click.Choice(["clean", "fence"]), default="clean", help="What is held against no defences."
)
@click.option(
    "--mutations", "mutations_file", type=click.Path(path_type=Path), help="Mutations of your own, for the 44."
)
@rubric_option
@engine_options
@click.option("--json", "as_json", is_flag=True)
def attack(
    model_name: str | None,
    pairs_file: Path | None,
    strategy: Strategy,
    threshold: str,
    limit: int | None,
    seed: int,
    wanted: str,
    defences: Defences,
    mutations_file: Path | None,
    rubric_names: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Attack a judge with failing messages that ask to pass, with and without its defences."""
    go_offline()
    margin = _margin(threshold, strategy)
    packs = rubrics(rubric_names, "")
    mutations = read_mutations(mutations_file) if mutations_file else MUTATIONS
    pairs = read_pairs(pairs_file or packaged_exam(), packs)
    random.Random(seed).shuffle(pairs)
    choice = engine_choice(options)
    model = choice.find_model(model_name)
    levels: dict[Way, Defences] = {"off": "off", "on": defences}
    settings = {
        way: Settings(
            strategy=strategy,
            rules="off",
            seed=seed,
            defences=level,
            calibration=calibration(wanted, model, Settings().orders, level, packs),
        )
        for way, level in levels.items()
    }
    with choice.open(model) as engine:
        result = attack_judge(engine, packs, pairs[:limit], settings, margin, Progress(), mutations)
        name = engine.info.model
    if as_json:
        click.echo(json.dumps(result.model_dump(mode="json"), ensure_ascii=False, indent=1))
    else:
        click.echo(render_resistance(result, title=f"{name}, {strategy}"))


def _margin(text: str, strategy: Strategy) -> float | None:
    if text == "auto":
        return None
    try:
        margin = float(text)
    except ValueError:
        raise UsageError(f"--threshold {text!r} is neither auto nor a number.") from None
    if strategy != "read":
        raise UsageError("--threshold is a margin of reads.", hint="Give --strategy read, or leave it out.")
    return margin
