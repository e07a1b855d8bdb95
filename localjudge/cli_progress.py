"""How a run shows on a terminal while it works: a bar, or plain lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from localjudge.intake import RunRequest
from localjudge.run import RunResult, execute
from localjudge.work import Progress

PLAIN_SECONDS = 10.0
"""Between two progress lines where there is no terminal."""


Executor = Callable[[RunRequest, Callable[[Progress], None]], RunResult]


def shown(request: RunRequest, style: str, do: Executor = execute) -> RunResult:
    """Does a run, or what else is given; `style` is auto, plain or none."""
    if style == "none":
        return do(request, lambda _: None)
    if style == "auto" and sys.stderr.isatty():
        with _bar() as draw:
            return do(request, draw)
    return do(request, _PlainProgress())


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
        elif not progress.done:
            click.echo(f"judging {progress.total} records", err=True)
        else:
            left = (progress.total - progress.done) * progress.seconds / progress.done
            click.echo(f"{progress.done}/{progress.total} records, {_rates(progress)}, {left:.0f} s left", err=True)


def _rates(progress: Progress) -> str:
    seconds = max(progress.seconds, 1e-9)
    tokens = progress.usage.prompt_tokens + progress.usage.output_tokens
    return f"{progress.done / seconds:.2f} records/s, {tokens / seconds:.0f} tokens/s"
