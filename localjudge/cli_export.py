"""`merge` and `export`: a run's verdicts as one file, for people and for other programs. No model is asked."""

from __future__ import annotations

from pathlib import Path

import click

from localjudge.cli_results import opened
from localjudge.export import SUFFIXES, WRITERS, Writer, write_merged
from localjudge.store import written_to


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="File to write; FOLDER/merged.jsonl if not given.")
def merge(folder: Path, out: Path | None) -> None:
    """Write one file of all verdicts, by id; its bytes depend on the verdicts alone."""
    _write(folder, out or folder / "merged.jsonl", write_merged)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--to", "kind", type=click.Choice(sorted(WRITERS)), required=True)
@click.option("--out", type=click.Path(path_type=Path), help="File to write; FOLDER/export.* if not given.")
def export(folder: Path, kind: str, out: Path | None) -> None:
    """Write the grades of a run as a table, or its verdicts as an OpenAI batch result."""
    _write(folder, out or folder / f"export.{SUFFIXES[kind]}", WRITERS[kind])


def _write(folder: Path, out: Path, write: Writer) -> None:
    _, stored = opened(folder)
    with written_to(out) as file:
        write(file, stored.by_id())
    click.echo(f"{len(stored)} records: {out}", err=True)
