"""The command line: parse, call, echo. Progress and logs go to stderr, data to stdout."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, NamedTuple

import click

from localjudge.characters import spelled_out
from localjudge.errors import LocalJudgeError
from localjudge.quoting import without_text

CONTEXT = {"auto_envvar_prefix": "LOCALJUDGE", "show_default": True, "help_option_names": ["-h", "--help"]}


class _OneLineErrors(click.Group):
    """Turns every error raised on purpose into its text and its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LocalJudgeError as error:
            click.echo(spelled_out(f"error: {error}"), err=True)
            ctx.exit(error.exit_code)


class _Lazy(NamedTuple):
    """Where a command lives, and what `--help` says of it without importing it."""

    module: str
    attribute: str
    help: str


_LAZY = {
    "attack": _Lazy("localjudge.cli_attack", "attack", "Attack a judge with messages that ask to pass."),
    "calibrate": _Lazy("localjudge.cli_calibrate", "calibrate", "Fit probabilities and thresholds for a model."),
    "demo": _Lazy("localjudge.cli_run", "demo", "Judge four examples with a small model, fetched if need be."),
    "doctor": _Lazy("localjudge.cli_machine", "doctor", "Say what this machine can run, and what to install."),
    "exam": _Lazy("localjudge.cli_exam", "exam", "Examine a model on minimal pairs."),
    "export": _Lazy("localjudge.cli_export", "export", "Write a run's grades as Parquet, CSV or JSON lines."),
    "merge": _Lazy("localjudge.cli_export", "merge", "Write one file of all verdicts of a run."),
    "models": _Lazy("localjudge.cli_models", "models", "Models: list, show, pull, verify, lock."),
    "plan": _Lazy("localjudge.cli_plan", "plan", "Estimate tokens, and time on a GPU, of judging a file."),
    "probe": _Lazy("localjudge.cli_probe", "probe", "Measure how far margins move with what shares the batch."),
    "replay": _Lazy("localjudge.cli_results", "replay", "Decide a cascade run anew with another --band; no model."),
    "retry": _Lazy("localjudge.cli_resume", "retry", "Ask again what has no score in a run."),
    "rubrics": _Lazy("localjudge.cli_rubrics", "rubrics", "Rubric packs: list, show, check, schema."),
    "run": _Lazy(
        "localjudge.cli_run", "run", "Judge the records in INPUTS (.jsonl .json .csv .parquet, or - for stdin)."
    ),
    "seal": _Lazy("localjudge.cli_verify", "seal", "Seal a finished run as it is now."),
    "serve": _Lazy("localjudge.cli_machine", "serve", "Serve a model with vLLM on this machine, behind a key."),
    "status": _Lazy("localjudge.cli_resume", "status", "Show how far a run is, also while others write."),
    "summary": _Lazy("localjudge.cli_results", "summary", "Print the pass rates of a run again, from its verdicts."),
    "verify": _Lazy("localjudge.cli_verify", "verify", "Check a run that somebody else made, level by level."),
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
        _listen(command, f"{CONTEXT['auto_envvar_prefix']}_{cmd_name.upper()}")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [
            (name, _LAZY[name].help if name in _LAZY else self.commands[name].get_short_help_str(100))
            for name in self.list_commands(ctx)
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _listen(command: click.Command, prefix: str) -> None:
    """Lets each option be set by the variable of its own name; click takes the name of the parameter that it fills."""
    for option in command.params:
        if isinstance(option, click.Option) and option.envvar is None:
            option.envvar = f"{prefix}_{max(option.opts, key=len).lstrip('-').replace('-', '_').upper()}"
            option.allow_from_autoenv = False
    for name, inner in command.commands.items() if isinstance(command, click.Group) else ():
        _listen(inner, f"{prefix}_{name.upper()}")


@click.group(cls=_LazyGroup, context_settings=CONTEXT)
@click.version_option(package_name="localjudge")
@click.option("--log-text", is_flag=True, help="Let messages about faulty records quote what stands in them.")
@click.pass_context
def main(context: click.Context, log_text: bool) -> None:
    """Judge Chinese customer-service messages with a model of your own, offline."""
    if not log_text:
        context.with_resource(without_text())


def utf8_streams() -> None:
    """Makes output independent of the locale."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


if os.environ.get("PYTHONUTF8") != "1":
    utf8_streams()
