"""`localjudge exam`: how good is this judge, with this model and this strategy?"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from localjudge.cli_options import (
    STRATEGIES,
    asking_options,
    check_effect,
    engine_choice,
    engine_options,
    indicator_ids,
    rubric_option,
    rubrics,
    settings,
)
from localjudge.errors import ConfigError, UsageError
from localjudge.exam import Pair, compare, packaged_exam, read_pairs
from localjudge.examine import take_exam, take_rules_exam
from localjudge.offline import go_offline
from localjudge.records import TaskType
from localjudge.report import render_comparison, render_exam
from localjudge.rubric import Rubric
from localjudge.strategies import Strategy

PROGRESS_SECONDS = 15.0


@click.command()
@click.argument("pairs_file", metavar="[PAIRS.jsonl]", type=click.Path(path_type=Path), required=False)
@click.option("--model", "model_name", help="Name in models.yaml, or a folder.")
@click.option(
    "--compare", "compared", type=STRATEGIES, nargs=2, help="Two strategies side by side, with a paired test."
)
@rubric_option
@click.option("--indicators", default="", help="Only pairs on these indicator ids, comma-separated.")
@click.option("--limit", type=click.IntRange(min=1), help="At most this many pairs.")
@click.option(
    "--others",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Ask each pair about this many other indicators too: does the judge hear which one is failed?",
)
@click.option("--rules-only", is_flag=True, help="Examine the deciding checks alone, without a model.")
@asking_options
@engine_options
@click.option("--json", "as_json", is_flag=True)
def exam(
    pairs_file: Path | None,
    model_name: str | None,
    strategy: Strategy,
    compared: tuple[Strategy, Strategy] | None,
    rubric_names: tuple[str, ...],
    rules_only: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Examine a model on minimal pairs (the packaged development exam unless PAIRS.jsonl is given)."""
    go_offline()
    check_effect(options, compared or (strategy,))
    packs = rubrics(rubric_names, "")
    pairs = _wanted(read_pairs(pairs_file or packaged_exam(), packs), options["indicators"])[: options["limit"]]
    if rules_only:
        if model_name or compared or options["others"] or options["rules"] != "on":
            raise UsageError("--rules-only asks no model.", hint="Leave out --model, --compare, --others and --rules.")
        _examine_rules(packs, pairs, as_json=as_json)
        return
    choice = engine_choice(options)
    model = choice.find_model(model_name)
    asked = {name: settings(options, name, model, packs) for name in dict.fromkeys(compared or (strategy,))}
    results = {}
    with choice.open(model) as opened:
        for name, chosen in asked.items():
            clock = time.monotonic()
            result, usage = take_exam(opened, packs, pairs, chosen, Progress(), others=options["others"])
            results[name] = result
            if not as_json:
                click.echo(render_exam(result, title=f"{opened.info.model}, {name}"))
                computed = usage.prompt_tokens - usage.cached_tokens
                click.echo(
                    f"{time.monotonic() - clock:.0f} s; per message: {computed / 2 / len(pairs):.0f} prompt tokens "
                    f"computed, {usage.output_tokens / 2 / len(pairs):.0f} output\n"
                )
    comparison = compare(pairs, results[compared[0]], results[compared[1]]) if compared else None
    if as_json:
        report = {name: result.model_dump(mode="json") for name, result in results.items()}
        click.echo(json.dumps({"strategies": report, "comparison": comparison}, ensure_ascii=False, indent=1))
    elif compared and comparison:
        click.echo(render_comparison(comparison, *compared))


def _examine_rules(packs: dict[TaskType, Rubric], pairs: list[Pair], *, as_json: bool) -> None:
    result, left_out = take_rules_exam(packs, pairs)
    if as_json:
        report = {"strategies": {"rules": result.model_dump(mode="json")}, "comparison": None, "left_out": left_out}
        click.echo(json.dumps(report, ensure_ascii=False, indent=1))
        return
    click.echo(render_exam(result, title="rules alone"))
    click.echo(f"{sum(left_out.values())} pairs left out: no check decides their {len(left_out)} indicators")


def _wanted(pairs: list[Pair], indicators: str) -> list[Pair]:
    """The pairs on the indicators asked for. Raises ConfigError for one that no pair is about."""
    wanted = set(indicator_ids(indicators))
    unknown = sorted(wanted - {pair.indicator for pair in pairs})
    if unknown:
        raise ConfigError(f"no pair is about {', '.join(unknown)}.", hint="Check --indicators.")
    return [pair for pair in pairs if not wanted or pair.indicator in wanted]


class Progress:
    """A line on stderr now and then."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if done == total or time.monotonic() - self._last >= PROGRESS_SECONDS:
            self._last = time.monotonic()
            click.echo(f"{done}/{total} messages judged", err=True)
