"""The `models` verbs of the command line: list, show, pull, verify, lock. Data on stdout, progress on stderr.

Parses, calls, echoes. What went wrong leaves as a LocalJudgeError, for the main command to print.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import click

from localjudge import weights
from localjudge.errors import ConfigError
from localjudge.registry import ModelSpec, find_model, load_models

_AS_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.group()
@click.option(
    "--models-file", type=click.Path(path_type=Path), help="Another models.yaml than the one that comes along."
)
@click.pass_context
def models(context: click.Context, models_file: Path | None) -> None:
    """Models: which are known, where they come from, which are here."""
    context.obj = load_models(models_file)


@models.command("list")
@_AS_JSON
@click.pass_obj
def list_models(known: dict[str, ModelSpec], as_json: bool) -> None:
    """All models of models.yaml, and whether each is on this machine."""
    if as_json:
        click.echo(json.dumps([_as_data(spec) for spec in known.values()], ensure_ascii=False, indent=2))
        return
    rows: list[tuple[str, ...]] = [("NAME", "PARAMETERS", "CONTEXT", "THINKING", "GPU MEMORY", "HERE")]
    for spec in known.values():
        rows.append(
            (
                spec.name,
                _parameters(spec),
                f"{spec.context_length:,}",
                "yes" if spec.thinking else "no",
                _gpus(spec),
                "yes" if weights.pulled(spec) else "no",
            )
        )
    _echo_table(rows)


@models.command("show")
@click.argument("name")
@_AS_JSON
@click.pass_obj
def show_model(known: dict[str, ModelSpec], name: str, as_json: bool) -> None:
    """Everything that models.yaml says of one model."""
    spec = find_model(name, known)
    if as_json:
        click.echo(json.dumps(_as_data(spec), ensure_ascii=False, indent=2))
        return
    here = weights.pulled(spec)
    rows: list[tuple[str, ...]] = [
        ("name", spec.name),
        ("title", spec.title),
        ("licence", spec.licence),
        ("parameters", _parameters(spec)),
        ("context length", f"{spec.context_length:,} tokens"),
        ("thinking", "yes" if spec.thinking else "no"),
        ("dtype", spec.dtype),
        ("GPU memory", _gpus(spec)),
        ("sampling", f"temperature {spec.sampling.temperature:g}, seed {spec.sampling.seed}"),
        ("engine options", json.dumps(spec.engine_options)),
    ]
    for number, source in enumerate(spec.sources, 1):
        revision = getattr(source, "revision", None)
        rows.append((f"source {number}", source.label + (f" at {revision}" if revision else "")))
    rows += [("sha256", f"{pin}  {file}") for file, pin in spec.sha256.items()]
    rows.append(("here", str(here) if here else f"no; localjudge models pull {spec.name}"))
    if spec.note:
        rows.append(("note", spec.note))
    _echo_table(rows)


@models.command("pull")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Fetch again what is already here.")
@click.pass_obj
def pull_models(known: dict[str, ModelSpec], names: tuple[str, ...], force: bool) -> None:
    """Fetch models into the cache folder (LOCALJUDGE_HOME). Prints the folder of each."""
    for spec in [find_model(name, known) for name in names]:
        click.echo(weights.pull(spec, report=lambda line: click.echo(line, err=True), force=force))


@models.command("verify")
@click.argument("name_or_path", metavar="NAME|FOLDER")
@_AS_JSON
@click.pass_obj
def verify_model(known: dict[str, ModelSpec], name_or_path: str, as_json: bool) -> None:
    """Read every file of a model again and compare it with what was pulled. Exit code 3 when one differs."""
    folder, spec = _folder(name_or_path, known)
    checks = weights.verify(folder, spec)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(check) for check in checks], ensure_ascii=False, indent=2))
    else:
        _echo_table([("ok" if check.ok else "BAD", check.file, check.problem) for check in checks])
    bad = [check for check in checks if not check.ok]
    if bad:
        raise ConfigError(
            f"{folder / bad[0].file}: {bad[0].problem}" + (f" (and {len(bad) - 1} more)." if bad[1:] else "."),
            hint=f"Run: localjudge models pull --force {spec.name}" if spec else "",
        )


@models.command("lock")
@click.argument("names_or_paths", metavar="NAME|FOLDER...", nargs=-1, required=True)
@click.pass_obj
def lock_models(known: dict[str, ModelSpec], names_or_paths: tuple[str, ...]) -> None:
    """Write the sha256 of every file of these models to models.lock; from then on a run refuses anything else."""
    path, digests = weights.lock_models(names_or_paths, known)
    _echo_table(list(digests.items()))
    click.echo(f"locked in {path}", err=True)


def _folder(name_or_path: str, known: dict[str, ModelSpec]) -> tuple[Path, ModelSpec | None]:
    looks_like_path = os.sep in name_or_path or name_or_path.startswith((".", "~"))
    if name_or_path not in known and (looks_like_path or Path(name_or_path).is_dir()):
        return Path(name_or_path).expanduser().absolute(), None
    spec = find_model(name_or_path, known)
    folder = weights.home() / "models" / spec.name
    # A model with a damaged card or a missing file is here, too: that is what verify is for.
    if not folder.is_dir():
        raise ConfigError(f"model {spec.name} is not on this machine.", hint=f"Run: localjudge models pull {spec.name}")
    return folder, spec


def _as_data(spec: ModelSpec) -> dict[str, Any]:
    here = weights.pulled(spec)
    return spec.model_dump(mode="json") | {"path": str(here) if here else None}


def _parameters(spec: ModelSpec) -> str:
    active = f" ({spec.active_parameters:g}B active)" if spec.active_parameters else ""
    return f"{spec.parameters:g}B{active}"


def _gpus(spec: ModelSpec) -> str:
    cards = f" ({spec.tensor_parallel_size} x 80 GB)" if spec.tensor_parallel_size > 1 else ""
    return f"{spec.min_gpu_memory_gb:g} GB{cards}"


def _echo_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
