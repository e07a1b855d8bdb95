"""`retry` and `status`: a run that has begun, judged again where it failed, or looked at while it works."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from localjudge.cli_progress import shown
from localjudge.cli_results import echo_summary, warn_of_made_up
from localjudge.cli_run import STDIN, build_request, limit_options
from localjudge.errors import ResumeError, UsageError
from localjudge.offline import go_offline
from localjudge.records import input_digest
from localjudge.report import render_status
from localjudge.retry import retry as retry_run
from localjudge.status import run_status
from localjudge.stop import Stop
from localjudge.store import RunStore


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1)
@click.option("--server-url", default="", help="Where the server is now, if it moved.")
@limit_options
@click.option("--progress", type=click.Choice(["auto", "plain", "none"]), default="auto")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def retry(folder: Path, inputs: tuple[str, ...], server_url: str, progress: str, as_json: bool, **limits: Any) -> None:
    """Ask again what has no score in the run at FOLDER (INPUTS only if they have moved)."""
    with Stop(limits["grace"]):
        go_offline()
        store = RunStore.open(folder)
        store.check_writable(folder)
        command = store.command()
        if not inputs and "-" in command["inputs"]:
            hint = "Give the same records as a file after the folder."
            raise UsageError(f"the run was judged from {STDIN}.", hint=hint)
        paths = tuple(Path(text) for text in inputs or command["inputs"])
        if input_digest(paths) != store.plan().input_digest:
            named, hint = ", ".join(map(str, paths)), "Give the same files in the same order."
            raise ResumeError(f"{named}: not what {folder} was judged from.", hint=hint)
        asked = command | ({"server_url": server_url} if server_url else {})
        request = build_request(paths, folder, asked, **limits)
    result = shown(request, progress, retry_run)
    click.echo(f"{result.judged} records gained scores.", err=True)
    if not store.complete:
        hint = "the same `localjudge run` goes on with the rest"
        click.echo(f"note: {folder} is not finished, and only what it holds was asked again; {hint}.", err=True)
    warn_of_made_up(result.plan.engine)
    if result.summary:
        echo_summary(result.summary, result.plan.engine, as_json=as_json, folder=folder)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True)
def status(folder: Path, as_json: bool) -> None:
    """Show how far the run at FOLDER is: shards, rates, failures, time left."""
    found = run_status(RunStore.open(folder))
    if as_json:
        click.echo(json.dumps(found.model_dump(mode="json"), ensure_ascii=False, indent=1))
    else:
        click.echo(render_status(found), nl=False)
