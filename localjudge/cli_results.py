"""`summary` and `replay`: what a run folder holds, counted again or decided anew. No model is asked."""

from __future__ import annotations

import errno
import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from localjudge.cli_options import PLACE, band_of, force_option
from localjudge.decisions import redecide
from localjudge.errors import StoreError, UsageError
from localjudge.marking import noise_of, summed
from localjudge.noise import marked
from localjudge.output import write_verdicts
from localjudge.report import render_summary
from localjudge.stats import Summary
from localjudge.store import RunStore
from localjudge.stored import Stored
from localjudge.targets import STDOUT, writable_target


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True)
def summary(folder: Path, as_json: bool) -> None:
    """Print the pass rates of a run again, from its verdicts."""
    store, stored = opened(folder)
    echo_summary(summed(store, stored), engine_of(store), as_json=as_json, folder=folder)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--band", type=float, nargs=2, required=True, help="The uncertain range of p_pass.")
@click.option("--out", type=PLACE, help="Also write the verdicts decided anew here.")
@force_option
@click.option("--json", "as_json", is_flag=True)
def replay(folder: Path, band: tuple[float, float], out: Path | None, force: bool, as_json: bool) -> None:
    """Decide a cascade run anew with another --band, from its stored stages: no model is asked."""
    chosen = band_of(band)
    if out == STDOUT:
        raise UsageError("the figures go to standard output.", hint="Give --out a file.")
    target = None if out is None else writable_target(out, force=force)
    store, stored = opened(folder)
    plan = store.plan()
    if plan.strategy != "cascade":
        raise UsageError(f"{folder} was judged with --strategy {plan.strategy}: it has no stages to decide from.")
    verdicts = [redecide(verdict, chosen, thinks=plan.thinking_budget is not None) for verdict in stored]
    if target is not None:
        write_verdicts(target, marked(verdicts, noise_of(store, chosen)))
    echo_summary(summed(store, verdicts, chosen), plan.engine, as_json=as_json, folder=None)


def opened(folder: Path) -> tuple[RunStore, Stored]:
    """A run's verdicts, with a word on stderr where they are made up or not all there. Raises StoreError."""
    store = RunStore.open(folder)
    stored = store.stored()
    warn_of_made_up(engine_of(store))
    if not store.complete:
        click.echo(f"note: {folder} is not finished; this is what it holds so far.", err=True)
    for entry in stored.damage:
        if not entry.torn and not store.is_quarantined(entry):
            click.echo(f"warning: {entry}; the run's own command judges what stood there again.", err=True)
    return store, stored


def engine_of(store: RunStore) -> str:
    """The engine that a run asked; empty where its plan cannot be read, which `verify` tells."""
    with suppress(StoreError):
        return store.plan().engine
    return ""


def warn_of_made_up(engine: str) -> None:
    """Says on stderr when no model was asked."""
    if engine == "fake":
        click.echo("DRY RUN: no model was asked; every score of the model is made up.", err=True)


def echo_summary(summary: Summary, engine: str, *, as_json: bool, folder: Path | None) -> None:
    """Prints a summary as a table, or as JSON with the engine; `folder` is where it is stored, if it is. Raises
    StoreError when that fails."""
    with printing(f"What was judged is stored: localjudge summary {folder}" if folder else ""):
        if as_json:
            document = {"engine": engine} | summary.model_dump(mode="json")
            click.echo(json.dumps(document, ensure_ascii=False, indent=1))
        else:
            click.echo(render_summary(summary), nl=False)


@contextmanager
def printing(hint: str = "") -> Iterator[None]:
    """Raises StoreError when standard output takes no more. A reader that has gone is left to click, as it is usual."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        # What waits in the stream would fail once more when the process ends, with an exit code of its own.
        sys.stdout = io.StringIO()
        raise StoreError(f"cannot write to standard output: {error.strerror or error}.", hint=hint) from error
