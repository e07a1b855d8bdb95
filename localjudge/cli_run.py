"""`run` and `demo`: judge files of records into a run folder."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import click

from localjudge.cli_options import (
    Command,
    asking_options,
    engine_choice,
    engine_options,
    rubric_options,
    rubrics,
    settings,
)
from localjudge.cli_progress import execute_shown
from localjudge.cli_results import echo_summary
from localjudge.errors import ConfigError, UsageError
from localjudge.offline import go_offline
from localjudge.records import TaskType
from localjudge.registry import demo_models, find_model, load_models
from localjudge.run import RunRequest, RunResult
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


@click.command()
@click.argument("inputs", nargs=-1, required=True)
@click.option("--model", "model_name", help="Name in models.yaml, or a folder.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; must be new or empty.")
@click.option("--task-type", type=click.Choice(["reply", "push"]), help="For records that do not say.")
@click.option("--on-bad-input", type=click.Choice(["fail", "skip"]), default="fail")
@click.option("--dry-run", is_flag=True, help="Check everything with made-up scores; no model, nothing kept.")
@_judging_options
def run(inputs: tuple[str, ...], model_name: str | None, out: Path | None, dry_run: bool, **options: Any) -> None:
    """Judge the records in INPUTS (.jsonl .json .csv .parquet, or - for stdin)."""
    if dry_run:
        options["engine"] = "fake"
        if out is not None:
            raise UsageError("a dry run keeps nothing.", hint="Leave out --out.")
    elif out is None:
        raise UsageError("where to?", hint="Give --out DIR.")
    _judge_files(inputs, model_name=model_name, out=out, dry_run=dry_run, **options)


@click.command()
@click.option("--model", "model_name", help="Instead of the demo model.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/demo"))
@_judging_options
def demo(model_name: str | None, out: Path, **options: Any) -> None:
    """Judge the packaged examples with a small model, fetching it first if it is not here yet."""
    inputs = tuple(str(path) for path in example_files())
    if options["engine"] != "fake":
        models = (find_model(model_name, load_models()),) if model_name else demo_models()
        model_name = pull_any(models, report=lambda line: click.echo(line, err=True)).name
    _judge_files(inputs, model_name=model_name, out=_free_name(out), **options)


def example_files() -> list[Path]:
    """The packaged example records."""
    for folder in (Path(str(resources.files("localjudge"))) / "examples", Path(__file__).parents[1] / "examples"):
        if folder.is_dir():
            return sorted(folder.glob("*.jsonl"))
    raise ConfigError("the example records are not in this installation.", hint="Reinstall localjudge.")


def _judge_files(
    inputs: tuple[str, ...],
    *,
    model_name: str | None,
    out: Path | None,
    dry_run: bool = False,
    task_type: TaskType | None = None,
    on_bad_input: str = "fail",
    **options: Any,
) -> None:
    go_offline()
    choice = engine_choice(options)
    model = choice.find_model(model_name)
    with _spooled(inputs) as paths, _output(out) as folder:
        request = RunRequest(
            inputs=paths,
            out=folder,
            rubrics=rubrics(options["rubric_names"], options["indicators"]),
            model=model,
            engine=choice,
            settings=settings(options, options["strategy"], model),
            limit=options["limit"],
            on_bad_input="skip" if on_bad_input == "skip" else "fail",
            default_task_type=task_type,
            labels={path: STDIN for path in paths if path.name == SPOOL},
        )
        result = execute_shown(request, options["progress"])
        _echo(result, dry_run=dry_run, kept=out is not None, as_json=options["as_json"])


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


def _echo(result: RunResult, *, dry_run: bool, kept: bool, as_json: bool) -> None:
    for bad in result.refused:
        click.echo(f"skipped: {bad}", err=True)
    if result.manifest.engine["engine"] == "fake":
        click.echo("DRY RUN: no model was asked; every score of the model below is made up.", err=True)
    echo_summary(result.summary, as_json=as_json)
    if kept:
        click.echo(f"verdicts: {result.folder / 'verdicts'}", err=True)
    elif not dry_run:
        click.echo("nothing was kept.", err=True)
    unscored = sum(task.max_score - task.scored for task in result.summary.tasks)
    if unscored:
        click.echo(f"warning: {unscored} grades are unscored and count neither as 0 nor as 1.", err=True)
