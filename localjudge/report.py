"""Numbers to text for a terminal. Is handed summaries; opens no run."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table

from localjudge.stats import IndicatorSummary, Summary, TaskSummary

TITLE_CELLS = 56
"""Width of an indicator's title in a table; a Chinese character takes two cells."""


def render_summary(summary: Summary, *, width: int | None = None) -> str:
    """The closing table of a run: pass rates per indicator, each with its coverage."""
    target = io.StringIO()
    console = Console(file=target, width=width or 120, color_system=None, highlight=False, markup=False)
    for task in summary.tasks:
        console.print(_task_table(task))
        console.print(_task_line(task))
        console.print()
    console.print(_usage_line(summary))
    return target.getvalue()


def _task_table(task: TaskSummary) -> Table:
    table = Table(title=f"{task.rubric}: {task.records} records", title_justify="left", box=None, pad_edge=False)
    table.add_column("id", no_wrap=True, min_width=4)
    table.add_column("indicator", overflow="ellipsis", no_wrap=True, max_width=TITLE_CELLS)
    for heading in ("pass rate", "coverage", "n/a", "failed"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("unscored", no_wrap=True)
    for row in task.indicators:
        table.add_row(
            row.id,
            row.indicator,
            percent(row.pass_rate),
            f"{row.scored}/{row.asked}",
            str(row.not_applicable),
            str(row.scored - row.passed),
            _reasons(row),
        )
    return table


def _task_line(task: TaskSummary) -> str:
    coverage = percent(task.scored / task.max_score if task.max_score else None)
    return (
        f"{task.rubric}: {task.total_score} of {task.scored} scored indicators pass ({percent(task.pass_rate)}), "
        f"{task.not_applicable} of them because they do not apply; "
        f"coverage {task.scored}/{task.max_score} ({coverage})."
    )


def _usage_line(summary: Summary) -> str:
    usage = summary.usage
    each = max(summary.records, 1)
    computed = (usage.prompt_tokens - usage.cached_tokens) / each
    return (
        f"tokens per record: prompt {usage.prompt_tokens / each:.0f} (computed {computed:.0f}), "
        f"output {usage.output_tokens / each:.0f}; requests per record: {usage.requests / each:.1f}"
    )


def percent(rate: float | None) -> str:
    """A rate as people read it; a dash when there is none."""
    return "-" if rate is None else f"{100 * rate:.1f} %"


def _reasons(row: IndicatorSummary) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in row.unscored.items())
