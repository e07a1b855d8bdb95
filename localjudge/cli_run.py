"""What `run` and `demo` do with their options: build the request, draw progress, echo the result."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import click

from localjudge.cli_options import engine_arguments
from localjudge.decisions import Band, redecide
from localjudge.errors import ConfigError, UsageError
from localjudge.offline import check_local, go_offline
from localjudge.records import TaskType
from localjudge.registry import demo_models, find_model, load_models
from localjudge.report import render_summary
from localjudge.rubric import Rubric, builtin_names, load_rubric
from localjudge.run import Progress, RunRequest, RunResult, execute
from localjudge.stats import Summary, summarize
from localjudge.store import RunStore, write_verdicts
from localjudge.strategies import Settings
from localjudge.weights import LocalModel, pull_any, resolve

STDIN = "standard input"
SPOOL = "localjudge-standard-input.jsonl"

PLAIN_SECONDS = 10.0
"""Between two progress lines where there is no terminal."""


def judge_files(
    inputs: tuple[str, ...],
    *,
    model_name: str | None,
    out: Path | None,
    dry_run: bool = False,
    task_type: TaskType | None = None,
    on_bad_input: str = "fail",
    **options: Any,
) -> None:
    """`localjudge run`."""
    go_offline()
    engine = options["engine"]
    if engine == "fake":
        model = None
    elif model_name is None:
        raise UsageError(
            "which model?", hint="Give --model NAME or --model FOLDER; `localjudge models list` shows names."
        )
    else:
        model = resolve(model_name, load_models())
    with _spooled(inputs) as paths, _output(out) as folder:
        request = _request(paths, folder, model, options, task_type=task_type, on_bad_input=on_bad_input)
        result = _execute(request, options["progress"])
        _echo(result, dry_run=dry_run, kept=out is not None, as_json=options["as_json"])


def judge_examples(*, model_name: str | None, out: Path, **options: Any) -> None:
    """`localjudge demo`."""
    inputs = tuple(str(path) for path in example_files())
    if options["engine"] != "fake":
        models = (find_model(model_name, load_models()),) if model_name else demo_models()
        model_name = pull_any(models, report=lambda line: click.echo(line, err=True)).name
    judge_files(inputs, model_name=model_name, out=_free_name(out), **options)


def example_files() -> list[Path]:
    """The packaged example records."""
    for folder in (Path(str(resources.files("localjudge"))) / "examples", Path(__file__).parents[1] / "examples"):
        if folder.is_dir():
            return sorted(folder.glob("*.jsonl"))
    raise ConfigError("the example records are not in this installation.", hint="Reinstall localjudge.")


def _request(
    paths: tuple[Path, ...],
    folder: Path,
    model: LocalModel | None,
    options: dict[str, Any],
    *,
    task_type: TaskType | None,
    on_bad_input: Any,
) -> RunRequest:
    band = _band(options["band"])
    if options["thinking"] == "auto" and options["strategy"] != "cascade":
        raise UsageError("--thinking auto needs --strategy cascade.", hint="Or give --thinking on.")
    budget = options["thinking_budget"]
    if options["server_url"]:
        check_local(options["server_url"], options["allowed_hosts"])
    return RunRequest(
        inputs=paths,
        out=folder,
        rubrics=_rubrics(options["rubric_names"], options["indicators"]),
        model=model,
        engine="server" if options["server_url"] and options["engine"] == "auto" else options["engine"],
        engine_options=_engine_options(options),
        server_url=options["server_url"],
        api_key=os.environ.get("LOCALJUDGE_API_KEY", ""),
        settings=Settings(
            strategy=options["strategy"],
            thinking_budget=budget if options["thinking"] == "on" else None,
            doubt_budget=budget if options["thinking"] == "auto" else None,
            reasons=options["reasons"],
            band=band,
            keep_thinking=options["keep_thinking"],
            rules=options["rules"],
            seed=options["seed"],
        ),
        limit=options["limit"],
        on_bad_input=on_bad_input,
        default_task_type=task_type,
        labels={path: STDIN for path in paths if path.name == SPOOL},
    )


def _band(values: tuple[float, float]) -> Band:
    low, high = values
    if not 0 <= low <= high <= 1:
        raise UsageError(f"--band {low:g} {high:g} is not a range within 0 and 1.")
    return Band(low, high)


def _rubrics(names: tuple[str, ...], indicators: str) -> dict[TaskType, Rubric]:
    rubrics: dict[TaskType, Rubric] = {}
    for name in names or builtin_names():
        rubric = load_rubric(name)
        if rubric.task_type in rubrics:
            raise UsageError(
                f"two rubrics for task type {rubric.task_type}: {rubrics[rubric.task_type].ref} and {rubric.ref}.",
                hint="Give one pack for each task type.",
            )
        rubrics[rubric.task_type] = rubric
    wanted = tuple(part.strip() for part in indicators.split(",") if part.strip())
    return _selected(rubrics, wanted) if wanted else rubrics


def _selected(rubrics: dict[TaskType, Rubric], wanted: tuple[str, ...]) -> dict[TaskType, Rubric]:
    """Each pack with those of the wanted indicators that it has; a pack that has none of them is left out."""
    held = {task: {indicator.id for indicator in rubric.indicators} for task, rubric in rubrics.items()}
    for indicator_id in wanted:
        if not any(indicator_id in ids for ids in held.values()):
            refs = " or ".join(rubric.ref for rubric in rubrics.values())
            raise ConfigError(f"no indicator {indicator_id!r} in {refs}.", hint="`localjudge rubrics show` lists them.")
    own = {task: tuple(indicator_id for indicator_id in wanted if indicator_id in held[task]) for task in rubrics}
    return {task: rubric.select(own[task]) for task, rubric in rubrics.items() if own[task]}


def _engine_options(options: dict[str, Any]) -> dict[str, Any]:
    chosen = engine_arguments(options["engine_args"])
    for name in ("max_model_len", "tensor_parallel_size", "gpu_memory_utilization"):
        if options[name] is not None:
            chosen[name] = options[name]
    return chosen


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


def _execute(request: RunRequest, style: str) -> RunResult:
    if style == "none":
        return execute(request)
    if style == "auto" and sys.stderr.isatty():
        with _bar() as draw:
            return execute(request, draw)
    return execute(request, _PlainProgress())


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rates]}"))
    with Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("loading the model", total=None, rates="")

        def draw(progress: Progress) -> None:
            judging = progress.stage == "judging"
            bar.update(
                task,
                description="judging" if judging else "loading the model",
                total=progress.total if judging else None,
                completed=progress.done,
                rates=_rates(progress) if progress.done else "",
            )

        yield draw


class _PlainProgress:
    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        edge = progress.done in (0, progress.total)
        if not edge and now - self._last < PLAIN_SECONDS:
            return
        self._last = now
        if progress.stage == "loading":
            click.echo(f"loading the model for {progress.total} records", err=True)
        elif progress.done:
            left = (progress.total - progress.done) * progress.seconds / progress.done
            click.echo(f"{progress.done}/{progress.total} records, {_rates(progress)}, {left:.0f} s left", err=True)


def _rates(progress: Progress) -> str:
    seconds = max(progress.seconds, 1e-9)
    tokens = progress.usage.prompt_tokens + progress.usage.output_tokens
    return f"{progress.done / seconds:.2f} records/s, {tokens / seconds:.0f} tokens/s"


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


def echo_summary(summary: Summary, *, as_json: bool) -> None:
    """Prints a summary as a table or as JSON."""
    if as_json:
        click.echo(json.dumps(summary.model_dump(mode="json"), ensure_ascii=False, indent=1))
    else:
        click.echo(render_summary(summary), nl=False)


def replay_run(folder: Path, band: tuple[float, float], out: Path | None, *, as_json: bool) -> None:
    """`localjudge replay`."""
    chosen = _band(band)
    store = RunStore.open(folder)
    if store.plan().strategy != "cascade":
        raise UsageError(
            f"{folder} was judged with --strategy {store.plan().strategy}: it has no stages to decide from."
        )
    verdicts = [redecide(verdict, chosen) for verdict in store.verdicts()]
    if out is not None:
        write_verdicts(out, verdicts)
    echo_summary(summarize(verdicts), as_json=as_json)
