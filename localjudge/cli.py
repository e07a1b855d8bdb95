"""The command line: parse, call, echo. Progress and logs go to stderr, data to stdout."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import click

from localjudge.errors import LocalJudgeError, UsageError

CONTEXT = {"auto_envvar_prefix": "LOCALJUDGE", "show_default": True, "help_option_names": ["-h", "--help"]}


class _OneLineErrors(click.Group):
    """Turns every error raised on purpose into its text and its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LocalJudgeError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(error.exit_code)


class _Lazy(NamedTuple):
    """Where a command lives, and what `--help` says of it without importing it."""

    module: str
    attribute: str
    help: str


_LAZY = {
    "doctor": _Lazy("localjudge.cli_machine", "doctor", "Say what this machine can run, and what to install."),
    "exam": _Lazy("localjudge.cli_exam", "exam", "Examine a model on minimal pairs."),
    "models": _Lazy("localjudge.cli_models", "models", "Models: list, show, pull, verify."),
    "rubrics": _Lazy("localjudge.cli_rubrics", "rubrics", "Rubric packs: list, show, check, schema."),
    "serve": _Lazy("localjudge.cli_machine", "serve", "Serve a model with vLLM on this machine, behind a key."),
}


class _LazyGroup(_OneLineErrors):
    """Imports a command's module only when that command is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_LAZY})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _LAZY:
            return super().get_command(ctx, cmd_name)
        place = _LAZY[cmd_name]
        command: click.Command = getattr(importlib.import_module(place.module), place.attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [
            (name, _LAZY[name].help if name in _LAZY else self.commands[name].get_short_help_str(100))
            for name in self.list_commands(ctx)
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=_LazyGroup, context_settings=CONTEXT)
@click.version_option(package_name="localjudge")
def main() -> None:
    """Judge Chinese customer-service messages with a model of your own, offline."""


def _judging_options(command: Any) -> Any:
    options = [
        click.option("--engine", default="auto", help="auto, vllm, server, hf or fake."),
        click.option("--strategy", type=click.Choice(["explain", "cascade", "read", "joint"]), default="explain"),
        click.option(
            "--reasons", type=click.Choice(["all", "failed"]), default="all", help="Cascade: what to ask why."
        ),
        click.option("--band", type=float, nargs=2, default=(0.3, 0.7), help="Cascade: the uncertain range of p_pass."),
        click.option("--rubric", "rubric_names", multiple=True, help="Pack name or YAML path; repeatable."),
        click.option("--indicators", default="", help="Only these indicator ids, comma-separated."),
        click.option("--limit", type=click.IntRange(min=1), help="Judge at most this many records."),
        click.option("--thinking", type=click.Choice(["off", "on", "auto"]), default="off", help="Qwen3's thinking."),
        click.option("--thinking-budget", type=click.IntRange(min=0), default=1024, help="Thinking tokens an answer."),
        click.option("--keep-thinking", is_flag=True, help="Store the thinking text with each grade."),
        click.option("--seed", type=int, default=0),
        click.option(
            "--rules", type=click.Choice(["off", "witness", "on"]), default="on", help="What the packs' checks do."
        ),
        click.option(
            "--engine-arg", "engine_args", multiple=True, metavar="KEY=VALUE", help="Engine option; repeatable."
        ),
        click.option("--max-model-len", type=click.IntRange(min=256), help="Context length in tokens."),
        click.option("--tensor-parallel-size", type=click.IntRange(min=1)),
        click.option("--gpu-memory-utilization", type=click.FloatRange(0.05, 1.0)),
        click.option("--server-url", default="", help="Address of a self-hosted vllm serve."),
        click.option("--allow-host", "allowed_hosts", multiple=True, help="A server host of yours off this machine."),
        click.option("--progress", type=click.Choice(["auto", "plain", "none"]), default="auto"),
        click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@main.command()
@click.argument("inputs", nargs=-1, required=True)
@click.option("--model", "model_name", help="Name in models.yaml, or a folder.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; must be new or empty.")
@click.option("--task-type", type=click.Choice(["reply", "push"]), help="For records that do not say.")
@click.option("--on-bad-input", type=click.Choice(["fail", "skip"]), default="fail")
@click.option("--dry-run", is_flag=True, help="Check everything with made-up scores; no model, nothing kept.")
@_judging_options
def run(inputs: tuple[str, ...], model_name: str | None, out: Path | None, dry_run: bool, **options: Any) -> None:
    """Judge the records in INPUTS (.jsonl .json .csv .parquet, or - for stdin)."""
    from localjudge.cli_run import judge_files

    if dry_run:
        options["engine"] = "fake"
        if out is not None:
            raise UsageError("a dry run keeps nothing.", hint="Leave out --out.")
    elif out is None:
        raise UsageError("where to?", hint="Give --out DIR.")
    judge_files(inputs, model_name=model_name, out=out, dry_run=dry_run, **options)


@main.command()
@click.option("--model", "model_name", help="Instead of the demo model.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/demo"))
@_judging_options
def demo(model_name: str | None, out: Path, **options: Any) -> None:
    """Judge the packaged examples with a small model, fetching it first if it is not here yet."""
    from localjudge.cli_run import judge_examples

    judge_examples(model_name=model_name, out=out, **options)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True)
def summary(folder: Path, as_json: bool) -> None:
    """Print the pass rates of a run again, from its verdicts."""
    from localjudge.cli_run import echo_summary
    from localjudge.stats import summarize
    from localjudge.store import RunStore

    store = RunStore.open(folder)
    if not store.complete:
        click.echo(f"note: {folder} is not finished; this is what it holds so far.", err=True)
    echo_summary(summarize(store.verdicts()), as_json=as_json)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--band", type=float, nargs=2, required=True, help="The uncertain range of p_pass.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the verdicts decided anew here.")
@click.option("--json", "as_json", is_flag=True)
def replay(folder: Path, band: tuple[float, float], out: Path | None, as_json: bool) -> None:
    """Decide a cascade run anew with another --band, from its stored stages: no model is asked."""
    from localjudge.cli_run import replay_run

    replay_run(folder, band, out, as_json=as_json)


def utf8_streams() -> None:
    """Makes output independent of the locale."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


if os.environ.get("PYTHONUTF8") != "1":
    utf8_streams()
