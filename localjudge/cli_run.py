"""`run` and `demo`: judge files of records into a run folder."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import click

from localjudge.characters import spelled_out
from localjudge.cli_options import (
    PLACE,
    Command,
    asking_options,
    check_effect,
    engine_choice,
    engine_options,
    probes,
    rubric_options,
    rubrics,
    settings,
)
from localjudge.cli_progress import shown
from localjudge.cli_results import echo_summary, warn_of_made_up
from localjudge.engine_choice import EngineChoice
from localjudge.engines import choose_engine
from localjudge.errors import ConfigError, UsageError
from localjudge.intake import RunRequest
from localjudge.nvidia import least_capability
from localjudge.offline import go_offline
from localjudge.ray_executor import RayChoice
from localjudge.registry import demo_models, find_model, load_models
from localjudge.run import LocalExecutor, OpenExecutor, RunResult, execute
from localjudge.shards import Shard
from localjudge.stop import GRACE, Stop
from localjudge.strictness import strictest, with_strictness
from localjudge.weights import pull_any

STDIN = "standard input"
SPOOL = "localjudge-standard-input.jsonl"


def _judging_options(command: Command) -> Command:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON."),
        click.option("--progress", type=click.Choice(["auto", "plain", "none"]), default="auto"),
        engine_options,
        asking_options,
        click.option("--limit", type=click.IntRange(min=1), help="Judge at most this many records."),
        rubric_options,
    ):
        command = option(command)
    return command


_TIME = re.compile(r"(?:(\d+)-(?=\d+:\d+:))?(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)")


def seconds(text: str) -> float:
    """Seconds, or minutes and more as Slurm writes them: `90`, `30:00`, `4:00:00`, `1-12:00:00`."""
    found = _TIME.fullmatch(str(text))
    if found is None:
        raise click.BadParameter(f"{text!r} is no time; write seconds, MM:SS, HH:MM:SS or D-HH:MM:SS.")
    days, hours, minutes, rest = (float(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest


def limit_options(command: Command) -> Command:
    """When to end early."""
    for option in (
        click.option("--time-limit", type=seconds, help="End, resumable, before this: seconds or HH:MM:SS."),
        click.option("--grace", type=seconds, default=GRACE, help="Seconds to finish what was begun when stopped."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("inputs", nargs=-1, required=True)
@click.option("--model", "model_name", help="Name in models.yaml, or a folder.")
@click.option("--out", type=PLACE, help="Run folder: a new one, or that of the same run.")
@click.option("--task-type", type=click.Choice(["reply", "push"]), help="For records that do not say.")
@click.option("--on-bad-input", type=click.Choice(["fail", "skip"]), default="fail")
@click.option("--reproducible", is_flag=True, help="Strictest engine settings of this device; see determinism.")
@click.option("--dry-run", is_flag=True, help="Check everything with made-up scores; no model, nothing kept.")
@click.option("--rank", type=click.IntRange(min=0), help="Which shard this is, from 0; default: the Slurm array's.")
@click.option("--world-size", type=click.IntRange(min=1), help="How many shards share the run.")
@click.option("--executor", type=click.Choice(["local", "ray"]), default="local", help="What runs the engines.")
@click.option("--workers", type=click.IntRange(min=1), help="Ray: how many engines; default: what fits.")
@click.option("--ray-address", default="", metavar="HOST:PORT", help="Ray: a cluster that runs already.")
@limit_options
@_judging_options
def run(inputs: tuple[str, ...], model_name: str | None, out: Path | None, dry_run: bool, **options: Any) -> None:
    """Judge the records in INPUTS (.jsonl .json .csv .parquet, or - for stdin)."""
    check_effect(options, [options["strategy"]])
    if dry_run:
        _check_names(options["engine"], model_name)
        options["engine"] = "fake"
        if out is not None:
            raise UsageError("a dry run keeps nothing.", hint="Leave out --out.")
    elif out is None:
        raise UsageError("where to?", hint="Give --out DIR.")
    _judge_files(inputs, model_name=model_name, out=out, dry_run=dry_run, **options)


def _check_names(engine: str, model_name: str | None) -> None:
    """A dry run opens neither; a misspelled name is told all the same. Raises UsageError, ConfigError."""
    if engine != "auto":
        choose_engine(engine)
    if model_name and not Path(model_name).expanduser().is_dir():
        find_model(model_name, load_models())


@click.command(context_settings={"default_map": {"reasons": "failed"}})
@click.option("--model", "model_name", help="Instead of the demo model.")
@click.option("--out", type=PLACE, default=Path("runs/demo"))
@_judging_options
def demo(model_name: str | None, out: Path, **options: Any) -> None:
    """Judge four packaged examples with a small model, fetching it first if it is not here yet."""
    check_effect(options, [options["strategy"]])
    inputs = (str(demo_file()),)
    if options["engine"] != "fake":
        models = (find_model(model_name, load_models()),) if model_name else demo_models()
        model_name = pull_any(models, report=lambda line: click.echo(line, err=True)).name
    _judge_files(inputs, model_name=model_name, out=_free_name(out), **options)


def demo_file() -> Path:
    """The packaged records of the demo: two of each task type, out of the example files beside it."""
    for folder in (Path(str(resources.files("localjudge"))) / "examples", Path(__file__).parents[1] / "examples"):
        if (folder / "demo.jsonl").is_file():
            return folder / "demo.jsonl"
    raise ConfigError("the example records are not in this installation.", hint="Reinstall localjudge.")


def _judge_files(
    inputs: tuple[str, ...],
    *,
    out: Path | None,
    dry_run: bool = False,
    progress: str,
    as_json: bool,
    rank: int | None = None,
    world_size: int | None = None,
    grace: float = GRACE,
    time_limit: float | None = None,
    executor: str = "local",
    workers: int | None = None,
    ray_address: str = "",
    **asked: Any,
) -> None:
    with ExitStack() as kept:
        # Hashing a large model takes minutes, and standard input as long as who writes it.
        with Stop(grace):
            go_offline()
            open_executor = _executor(executor, workers, ray_address, asked["allowed_hosts"])
            shard = Shard.of(rank, world_size, {} if dry_run else os.environ)
            paths, folder = kept.enter_context(_spooled(inputs)), kept.enter_context(_output(out))
            request = build_request(paths, folder, asked, grace=grace, time_limit=time_limit, shard=shard, given=inputs)
        result = shown(request, progress, partial(execute, open_executor=open_executor))
        _echo(result, shard, dry_run=dry_run, kept=out is not None, as_json=as_json)


def build_request(
    paths: tuple[Path, ...], folder: Path, asked: Mapping[str, Any], *, given: tuple[str, ...] = (), **limits: Any
) -> RunRequest:
    """A run from the options of the command line, or from those that a run folder kept."""
    options = {"task_type": None, "on_bad_input": "fail", **asked}
    choice = engine_choice(options)
    model = choice.find_model(options["model_name"])
    if options.get("reproducible"):
        choice = _strict(choice)
    packs = rubrics(tuple(options["rubric_names"]), options["indicators"])
    return RunRequest(
        inputs=paths,
        out=folder,
        rubrics=packs,
        model=model,
        engine=choice,
        settings=settings(options, options["strategy"], model, packs),
        limit=options["limit"],
        on_bad_input=options["on_bad_input"],
        default_task_type=options["task_type"],
        labels={path: STDIN for path in paths if path.name == SPOOL},
        probes=probes() if model else None,
        command={"inputs": list(given), **options},
        tell=_note,
        **limits,
    )


def _note(line: str) -> None:
    click.echo(spelled_out(f"note: {line}"), err=True)


def _strict(choice: EngineChoice) -> EngineChoice:
    strict = strictest(choice.engine, least_capability())
    options = with_strictness(choice.options, strict)
    click.echo(f"reproducible: {strict.told}.", err=True)
    return replace(choice, options=options)


def _executor(name: str, workers: int | None, address: str, allowed_hosts: tuple[str, ...]) -> OpenExecutor:
    if name == "ray":
        return RayChoice.of(address, workers, tuple(allowed_hosts)).open
    if workers or address:
        raise UsageError("--workers and --ray-address belong to --executor ray.")
    return LocalExecutor


@contextmanager
def _spooled(inputs: tuple[str, ...]) -> Iterator[tuple[Path, ...]]:
    """Standard input is read twice, so it waits in a private file that is deleted afterwards."""
    if "-" not in inputs:
        yield tuple(Path(text) for text in inputs)
        return
    with tempfile.TemporaryDirectory(prefix="localjudge-") as folder:
        spool = Path(folder) / SPOOL
        with spool.open("wb") as file:
            while chunk := sys.stdin.buffer.read(1 << 20):
                file.write(chunk)
        yield tuple(spool if text == "-" else Path(text) for text in inputs)


@contextmanager
def _output(out: Path | None) -> Iterator[Path]:
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="localjudge-") as folder:
        yield Path(folder) / "run"


def _free_name(out: Path) -> Path:
    """`out`, or `out-2`, `out-3` ... when it is taken: a demo can be run again."""
    number, free = 1, out
    while free.exists() and (not free.is_dir() or any(free.iterdir())):
        number += 1
        free = out.with_name(f"{out.name}-{number}")
    return free


def _echo(result: RunResult, shard: Shard, *, dry_run: bool, kept: bool, as_json: bool) -> None:
    for bad in result.refused:
        click.echo(spelled_out(f"skipped: {bad}"), err=True)
    for entry in result.damage:
        click.echo(f"warning: {entry}; its record was judged again.", err=True)
    warn_of_made_up(result.plan.engine)
    if result.manifest is None:
        whole = f"{result.folder}" if shard.world_size == 1 else f"{result.folder}: {shard}"
        click.echo(f"{whole} is finished: {result.before} records, nothing left to judge.", err=True)
    if result.summary is None:
        click.echo(f"{shard} is done; others are not. See: localjudge status {result.folder}", err=True)
        if as_json:
            click.echo(json.dumps({"complete": False, "before": result.before, "judged": result.judged}))
        return
    echo_summary(result.summary, result.plan.engine, as_json=as_json, folder=result.folder if kept else None)
    if kept:
        click.echo(f"verdicts: {result.folder / 'verdicts'}", err=True)
    elif not dry_run:
        click.echo("nothing was kept.", err=True)
    unscored = sum(task.max_score - task.scored for task in result.summary.tasks)
    if unscored:
        click.echo(f"warning: {unscored} grades are unscored and count neither as 0 nor as 1.", err=True)
