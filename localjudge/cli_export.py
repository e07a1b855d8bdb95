"""`merge` and `export`: a run's verdicts as one file, for people and for other programs. No model is asked."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from localjudge.cli_options import PLACE, force_option
from localjudge.cli_results import engine_of, opened, printing
from localjudge.export import SUFFIXES, WRITERS, write_merged
from localjudge.marking import noise_of
from localjudge.noise import marked
from localjudge.output import written_to
from localjudge.redact import own_key, redacted
from localjudge.targets import STDOUT, writable_target
from localjudge.weights import home

_redact_option = click.option("--redact", is_flag=True, help="For other eyes: hashed ids, no words about any record.")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=PLACE, help="File to write, - for stdout; FOLDER/merged.jsonl if not given.")
@force_option
@_redact_option
def merge(folder: Path, out: Path | None, force: bool, redact: bool) -> None:
    """Write one file of all verdicts, by id; its bytes depend on the verdicts alone."""
    target = _target(out, folder / "merged.jsonl", force=force)
    _write(folder, target, None, redact=redact)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--to", "kind", type=click.Choice(sorted(WRITERS)), required=True)
@click.option("--out", type=PLACE, help="File to write, - for stdout; FOLDER/export.* if not given.")
@force_option
@_redact_option
def export(folder: Path, kind: str, out: Path | None, force: bool, redact: bool) -> None:
    """Write the grades of a run as a table, or its verdicts as an OpenAI batch result."""
    target = _target(out, folder / f"export.{SUFFIXES[kind]}", force=force)
    _write(folder, target, kind, redact=redact)


def _target(out: Path | None, own: Path, *, force: bool) -> Path:
    """What was made before under the name that stands for no --out is replaced unasked."""
    return STDOUT if out == STDOUT else writable_target(out or own, force=force or out is None)


def _write(folder: Path, out: Path, kind: str | None, *, redact: bool) -> None:
    store, stored = opened(folder)
    verdicts = redacted(stored, own_key(home() / "redaction.key")) if redact else stored.by_id()
    with _opened_to_write(out) as file:
        if kind is None:
            write_merged(file, verdicts)
        else:
            WRITERS[kind](file, marked(verdicts, noise_of(store)), engine_of(store))
    click.echo(f"{len(stored)} records: {'standard output' if out == STDOUT else out}", err=True)


@contextmanager
def _opened_to_write(target: Path) -> Iterator[BinaryIO]:
    if target == STDOUT:
        with printing():
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        return
    with written_to(target) as file:
        yield file
