"""`merge` and `export`: a run's verdicts as one file, for people and for other programs. No model is asked."""

from __future__ import annotations

from pathlib import Path

import click

from localjudge.cli_results import opened
from localjudge.export import SUFFIXES, WRITERS, Writer, write_merged
from localjudge.redact import own_key, redacted
from localjudge.store import written_to
from localjudge.weights import home

_redact_option = click.option("--redact", is_flag=True, help="For other eyes: hashed ids, no words about any record.")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="File to write; FOLDER/merged.jsonl if not given.")
@_redact_option
def merge(folder: Path, out: Path | None, redact: bool) -> None:
    """Write one file of all verdicts, by id; its bytes depend on the verdicts alone."""
    _write(folder, out or folder / "merged.jsonl", write_merged, redact=redact)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--to", "kind", type=click.Choice(sorted(WRITERS)), required=True)
@click.option("--out", type=click.Path(path_type=Path), help="File to write; FOLDER/export.* if not given.")
@_redact_option
def export(folder: Path, kind: str, out: Path | None, redact: bool) -> None:
    """Write the grades of a run as a table, or its verdicts as an OpenAI batch result."""
    _write(folder, out or folder / f"export.{SUFFIXES[kind]}", WRITERS[kind], redact=redact)


def _write(folder: Path, out: Path, write: Writer, *, redact: bool) -> None:
    _, stored = opened(folder)
    verdicts = redacted(stored, own_key(home() / "redaction.key")) if redact else stored.by_id()
    with written_to(out) as file:
        write(file, verdicts)
    click.echo(f"{len(stored)} records: {out}", err=True)
