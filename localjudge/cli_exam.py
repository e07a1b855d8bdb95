"""`localjudge exam`: how good is this judge, with this model and this strategy?"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import click

from localjudge.engines import choose_engine, open_engine
from localjudge.errors import UsageError
from localjudge.exam import Pair, compare, packaged_exam, read_pairs
from localjudge.examine import take_exam, take_rules_exam
from localjudge.offline import check_local, go_offline
from localjudge.records import TaskType
from localjudge.registry import load_models
from localjudge.report import render_comparison, render_exam
from localjudge.rubric import Rubric, load_rubric
from localjudge.rules import Rules
from localjudge.strategies import Settings, Strategy
from localjudge.weights import resolve

STRATEGIES = click.Choice(["cascade", "explain", "joint", "read"])
PROGRESS_SECONDS = 15.0


@click.command()
@click.argument("pairs_file", metavar="[PAIRS.jsonl]", type=click.Path(path_type=Path), required=False)
@click.option("--model", "model_name", help="Name in models.yaml, or a folder.")
@click.option("--engine", default="auto", help="auto, vllm, server, hf or fake.")
@click.option("--strategy", type=STRATEGIES, default="explain")
@click.option(
    "--compare", "compared", type=STRATEGIES, nargs=2, help="Two strategies side by side, with a paired test."
)
@click.option("--rules", type=click.Choice(["off", "witness", "on"]), default="on", help="What the packs' checks do.")
@click.option("--rules-only", is_flag=True, help="Examine the deciding checks alone, without a model.")
@click.option("--indicators", default="", help="Only pairs on these indicator ids, comma-separated.")
@click.option("--limit", type=click.IntRange(min=1), help="At most this many pairs.")
@click.option("--max-model-len", type=click.IntRange(min=256), help="Context length in tokens.")
@click.option("--server-url", default="", help="Address of a self-hosted vllm serve.")
@click.option("--allow-host", "allowed_hosts", multiple=True, help="A server host of yours off this machine.")
@click.option("--json", "as_json", is_flag=True)
def exam(
    pairs_file: Path | None,
    model_name: str | None,
    engine: str,
    strategy: Strategy,
    compared: tuple[Strategy, Strategy] | None,
    rules: Rules,
    rules_only: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Examine a model on minimal pairs (the packaged development exam unless PAIRS.jsonl is given)."""
    go_offline()
    rubrics = {pack.task_type: pack for pack in (load_rubric("reply"), load_rubric("push"))}
    wanted = {part.strip() for part in options["indicators"].split(",") if part.strip()}
    pairs = [
        pair for pair in read_pairs(pairs_file or packaged_exam(), rubrics) if not wanted or pair.indicator in wanted
    ][: options["limit"]]
    if not pairs:
        raise UsageError("no pair is about the indicators asked for.", hint="Check --indicators.")
    if rules_only:
        if model_name or compared or rules != "on":
            raise UsageError("--rules-only asks no model.", hint="Leave out --model, --compare and --rules.")
        _examine_rules(rubrics, pairs, as_json=as_json)
        return
    results = {}
    with _engine(model_name, engine, options) as opened:
        for name in dict.fromkeys(compared or (strategy,)):
            clock = time.monotonic()
            result, usage = take_exam(opened, rubrics, pairs, Settings(strategy=name, rules=rules), _Progress())
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


def _examine_rules(rubrics: dict[TaskType, Rubric], pairs: list[Pair], *, as_json: bool) -> None:
    result, left_out = take_rules_exam(rubrics, pairs)
    if as_json:
        report = {"strategies": {"rules": result.model_dump(mode="json")}, "comparison": None, "left_out": left_out}
        click.echo(json.dumps(report, ensure_ascii=False, indent=1))
        return
    click.echo(render_exam(result, title="rules alone"))
    click.echo(f"{sum(left_out.values())} pairs left out: no check decides their {len(left_out)} indicators")


def _engine(model_name: str | None, engine: str, options: dict[str, Any]) -> Any:
    kind = choose_engine("server" if options["server_url"] and engine == "auto" else engine)
    if kind == "fake":
        return open_engine("fake", None, name="fake")
    if model_name is None:
        raise UsageError("which model?", hint="Give --model NAME or --model FOLDER.")
    if options["server_url"]:
        check_local(options["server_url"], options["allowed_hosts"])
    model = resolve(model_name, load_models())
    chosen: dict[str, Any] = dict(model.spec.vllm_options) if kind == "vllm" else {}
    if options["max_model_len"] and kind != "server":
        chosen["max_model_len"] = options["max_model_len"]
    return open_engine(
        kind,
        model.path,
        name=model.spec.name,
        options=chosen,
        server_url=options["server_url"],
        api_key=os.environ.get("LOCALJUDGE_API_KEY", ""),
    )


class _Progress:
    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if done == total or time.monotonic() - self._last >= PROGRESS_SECONDS:
            self._last = time.monotonic()
            click.echo(f"{done}/{total} messages judged", err=True)
