"""Numbers to text for a terminal, which must not obey it. Is handed summaries; opens no run."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from localjudge.calibration import Calibration
from localjudge.characters import spelled_out
from localjudge.estimates import Interval
from localjudge.exam import ExamResult, Halo
from localjudge.probe import Probe
from localjudge.resistance import Resistance
from localjudge.stats import IndicatorSummary, Summary, TaskSummary
from localjudge.status import RunStatus

TITLE_CELLS = 56
"""Width of an indicator's title in a table; a Chinese character takes two cells. It gives way to the others."""
REASONS_CELLS = 36
"""Width from which reasons for no score go on in the next line."""


def render_summary(summary: Summary, *, width: int | None = None) -> str:
    """The closing table of a run: pass rates per indicator, each with its coverage."""
    target = io.StringIO()
    columns = width or 120
    console = Console(file=target, width=columns, color_system=None, highlight=False, markup=False, emoji=False)
    for task in summary.tasks:
        console.print(_task_table(task, columns))
        console.print(_task_line(task))
        for line in (*_rule_lines(task), *_flag_lines(task)):
            console.print(line)
        console.print()
    console.print(_usage_line(summary))
    if line := _noise_line(summary):
        console.print(line)
    return spelled_out(target.getvalue())


def _task_table(task: TaskSummary, columns: int) -> Table:
    rows = task.indicators
    figures = {
        "pass rate": [percent(row.pass_rate) for row in rows],
        "coverage": [f"{row.scored}/{row.asked}" for row in rows],
        "n/a": [str(row.not_applicable) for row in rows],
        "failed": [str(row.scored - row.passed) for row in rows],
    }
    # A column that would be all zeros is left out.
    if any(row.contradictions for row in rows):
        figures["contradictions"] = [str(row.contradictions) for row in rows]
    if any(row.numerically_undecided for row in rows):
        figures["undecided"] = [str(row.numerically_undecided) for row in rows]
    unscored = [_reasons(row) for row in rows]
    ids = [row.id for row in rows]
    beside = [max(4, _width("id", ids)), min(_width("unscored", unscored), REASONS_CELLS)]
    beside += [_width(heading, cells) for heading, cells in figures.items()]
    left = columns - sum(beside) - 2 * len(beside)  # two blanks between columns
    table = Table(title=f"{task.rubric}: {task.records} records", title_justify="left", box=None, pad_edge=False)
    table.add_column("id", no_wrap=True, min_width=4)
    table.add_column("indicator", overflow="ellipsis", no_wrap=True, max_width=max(16, min(TITLE_CELLS, left)))
    for heading in figures:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("unscored")
    for name, row, *cells in zip(ids, rows, *figures.values(), unscored, strict=True):
        table.add_row(name, spelled_out(row.indicator), *cells)  # spelled out before the table measures it
    return table


def _width(heading: str, cells: Sequence[str]) -> int:
    return max(map(len, (heading, *cells)))


def _task_line(task: TaskSummary) -> str:
    contradictions = sum(row.contradictions for row in task.indicators)
    contradicting = f" {contradictions} reasons argue against their own score." if contradictions else ""
    coverage = percent(task.scored / task.max_score if task.max_score else None)
    return (
        f"{task.rubric}: {task.total_score} of {task.scored} scored indicators pass ({percent(task.pass_rate)}), "
        f"{task.not_applicable} of them because they do not apply; "
        f"coverage {task.scored}/{task.max_score} ({coverage}).{contradicting}"
    )


def _rule_lines(task: TaskSummary) -> list[str]:
    lines = []
    by_rule = sum(row.by_rule for row in task.indicators)
    if by_rule:
        each = by_rule / max(task.records, 1)
        lines.append(f"{task.rubric}: rules decided {by_rule} grades, {each:.1f} questions per record not asked.")
    witnessed = [
        f"{row.id} {row.disagreements}/{row.witnessed}" for row in task.indicators if row.disagreement_rate is not None
    ]
    if witnessed:
        lines.append(f"{task.rubric}: witnesses disagree with the model on {', '.join(witnessed)}")
    return lines


def _flag_lines(task: TaskSummary) -> list[str]:
    if not task.flagged:
        return []
    counts = ", ".join(f"{flag} {count}" for flag, count in task.flags.items())
    return [f"{task.rubric}: {task.flagged} records are flagged, look at them before you trust their scores: {counts}"]


def _usage_line(summary: Summary) -> str:
    usage = summary.usage
    each = max(summary.records, 1)
    computed = (usage.prompt_tokens - usage.cached_tokens) / each
    return (
        f"tokens per record: prompt {usage.prompt_tokens / each:.0f} (computed {computed:.0f}), "
        f"output {usage.output_tokens / each:.0f}; requests per record: {usage.requests / each:.1f}"
    )


def _noise_line(summary: Summary) -> str:
    rows = [row for task in summary.tasks for row in task.indicators]
    reads = sum(row.reads for row in rows)
    if not reads:
        return ""
    if summary.noise_band is None:
        return "numerical noise: not probed."
    marked = sum(row.numerically_undecided for row in rows)
    return (
        f"numerical noise: margins move by up to {summary.noise_band:.3g}; {marked} of {reads} grades with a read "
        f"({percent(marked / reads)}) could turn within that."
    )


def render_probes(found: Sequence[Probe], *, width: int = 120) -> str:
    """Each setting's ways against the first way of the first setting, and the noise band of each setting."""
    target = io.StringIO()
    console = Console(file=target, width=width, color_system=None, highlight=False, markup=False, emoji=False)
    console.print(f"{found[0].model}: differences of margins, against the first line")
    table = Table(box=None, pad_edge=False)
    for heading in ("setting", "way"):
        table.add_column(heading, no_wrap=True)
    for heading in ("reads", "largest", "99 %", "identical", "flipped", "cached"):
        table.add_column(heading, justify="right", no_wrap=True)
    for probe in found:
        for way in probe.ways:
            told = way.against_first
            table.add_row(
                probe.name,
                way.way,
                str(told.reads),
                f"{told.largest:.3g}",
                f"{told.quantile_99:.3g}",
                percent(told.identical / told.reads),
                str(told.flipped),
                percent(way.cached_tokens / way.prompt_tokens if way.prompt_tokens else None),
            )
    console.print(table)
    for probe in found:
        aside = f"; {probe.off_label} reads are off the labels" if probe.off_label else ""
        console.print(
            f"{probe.name}: noise band {probe.noise_band:.3g}; {probe.inside} of {probe.reads} reads "
            f"({percent(probe.inside / probe.reads)}) lie inside it{aside}"
        )
    return target.getvalue()


def render_status(status: RunStatus, *, width: int = 120) -> str:
    """How far a run is: in all, then a line for each shard."""
    target = io.StringIO()
    console = Console(file=target, width=width, color_system=None, highlight=False, markup=False, emoji=False)
    share = f" of {status.total} ({percent(status.stored / status.total)})" if status.total else ""
    console.print(f"{'complete' if status.complete else 'not complete'}: {status.stored}{share} records judged")
    if status.rate is not None:
        left = "unknown" if status.seconds_left is None else _duration(status.seconds_left)
        console.print(f"rate: {status.rate:.2f} records/s, time left: {left}")
    for name, count in (("refused records", status.refused), ("unfinished last lines", status.unfinished_lines)):
        if count:
            console.print(f"{name}: {count}")
    for reason, count in status.unscored.items():
        console.print(f"unscored grades, {reason}: {count}")
    if status.duplicates:
        console.print(f"records judged more than once: {status.duplicates}, otherwise: {status.conflicts}")
    for problem in status.damage:
        # One line however long the path is: it names a place to go to.
        console.print(f"damage: {problem}", soft_wrap=True)
    console.print(_shard_table(status))
    return spelled_out(target.getvalue())


def _shard_table(status: RunStatus) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("shard", "state", "judged", "records/s", "last note"):
        table.add_column(heading, justify="left" if heading in ("shard", "state") else "right", no_wrap=True)
    for shard in status.shards:
        progress = shard.progress
        silent = progress.state == "judging" and not shard.working
        state = "done" if shard.done else "silent; was it killed?" if silent else progress.state
        table.add_row(
            f"{progress.rank} of {progress.world_size}",
            state,
            f"{progress.before + progress.judged}/{progress.share}",
            "-" if progress.rate is None else f"{progress.rate:.2f}",
            f"{_duration(shard.quiet_seconds)} ago",
        )
    return table


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def percent(rate: float | None) -> str:
    """A rate as people read it; a dash when there is none."""
    return "-" if rate is None else f"{100 * rate:.1f} %"


def _reasons(row: IndicatorSummary) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in row.unscored.items())


def render_exam(result: ExamResult, *, title: str, width: int = 120) -> str:
    """An exam's figures overall and for each indicator; intervals only overall, where there are pairs enough."""
    target = io.StringIO()
    console = Console(file=target, width=width, color_system=None, highlight=False, markup=False, emoji=False)
    overall = result.overall
    console.print(f"{title}: {overall.pairs} pairs, {overall.covered} with both sides scored, {overall.ties} ties")
    for name, figure in (
        ("pair accuracy", overall.pair_accuracy),
        ("accuracy", overall.accuracy),
        ("AUROC", overall.auroc),
        ("Brier score", overall.brier),
    ):
        text = "-" if figure is None else f"{figure.value:.3f}  [{figure.low:.3f}, {figure.high:.3f}]"
        console.print(f"  {name:<14} {text}")
    if overall.pass_rate is not None:
        console.print(f"  {'pass rate':<14} {overall.pass_rate:.3f}  (half of the messages should pass)")
    if result.halo is not None:
        _print_halo(console, result.halo)
    table = Table(box=None, pad_edge=False)
    table.add_column("indicator", no_wrap=True)
    for heading in ("pairs", "covered", "pair accuracy", "accuracy"):
        table.add_column(heading, justify="right")
    for name, score in result.indicators.items():
        table.add_row(name, str(score.pairs), str(score.covered), _value(score.pair_accuracy), _value(score.accuracy))
    console.print(table)
    return spelled_out(target.getvalue())


def _print_halo(console: Console, halo: Halo) -> None:
    console.print(f"  halo: {halo.pairs} pairs, also asked about {halo.asked} indicators that they are not about")
    for name, (value, low, high), meaning in (
        ("own", halo.own, "pair accuracy by the pair's own indicator"),
        ("another", halo.another, "pair accuracy by another; 0.5 if nothing is heard there"),
        ("told apart", halo.told_apart, "the sides lie further apart on their own indicator; 0.5 if it does not tell"),
    ):
        console.print(f"    {name:<12} {value:.3f}  [{low:.3f}, {high:.3f}]  {meaning}")


def render_calibration(calibration: Calibration) -> str:
    """A calibration's figures, before and after, and the threshold of each indicator."""
    target = io.StringIO()
    console = Console(file=target, width=100, color_system=None, highlight=False, markup=False, emoji=False)
    console.print(
        f"{calibration.model}: {calibration.labels} labels, assumed share of passes {percent(calibration.base_rate)}"
    )
    weighed = f"the labels and {len(calibration.words)} words" if calibration.verbalizer else "the labels alone"
    console.print(f"the margin weighs {weighed}")
    figures = Table(box=None, pad_edge=False)
    figures.add_column("on labels not fitted on", no_wrap=True)
    for heading in ("uncalibrated", "calibrated"):
        figures.add_column(heading, justify="right")
    for name in calibration.before._fields:
        before, after = getattr(calibration.before, name), getattr(calibration.after, name)
        figures.add_row(name.replace("_", " "), f"{before:.3f}", f"{after:.3f}")
    console.print(figures)
    console.print()
    table = Table(box=None, pad_edge=False)
    table.add_column("indicator", no_wrap=True)
    for heading in ("labels", "passes from margin", "slope"):
        table.add_column(heading, justify="right")
    for name, fitted in calibration.maps.items():
        threshold = "-" if fitted.threshold is None else f"{fitted.threshold:+.2f}"
        table.add_row(name, str(fitted.labels), threshold, f"{fitted.slope:.3f}")
    console.print(table)
    return spelled_out(target.getvalue())


def render_comparison(comparison: Mapping[str, float | int], first: str, second: str) -> str:
    """Two strategies on the same pairs, in one line."""
    return (
        f"{first} against {second} on {comparison['pairs']} pairs: only {first} right on {comparison['only_first']}, "
        f"only {second} on {comparison['only_second']}; exact sign test p = {comparison['p_value']:.3f}"
    )


def render_resistance(result: Resistance, *, title: str, width: int = 120) -> str:
    """An attack's figures, mutation by mutation, without defences beside with."""
    target = io.StringIO()
    console = Console(file=target, width=width, color_system=None, highlight=False, markup=False, emoji=False)
    console.print(f"{title}: {result.messages} of {result.pairs} failing messages are judged 0 and attacked")
    for way, threshold in result.thresholds.items():
        console.print(f"  defences {way}: passes " + ("by score" if threshold is None else f"from {threshold:+.2f}"))
    figures = (("defences off", result.off), ("defences on", result.on), ("off - on", result.difference))
    shifts = (("shift off", result.shift_off), ("shift on", result.shift_on))
    for name, figure in (*figures, *shifts):
        text = "-" if figure is None else f"{figure.value:.3f}  [{figure.low:.3f}, {figure.high:.3f}]"
        console.print(f"  {name:<14} {text}")
    if result.ratio is not None:
        console.print(f"  {'on / off':<14} {result.ratio:.3f}")
    table = Table(box=None, pad_edge=False)
    table.add_column("mutation", no_wrap=True)
    for heading in ("messages", "passed off", "passed on", "p", "shift off", "shift on"):
        table.add_column(heading, justify="right")
    for name, outcome in result.mutations.items():
        table.add_row(
            name,
            str(outcome.messages),
            percent(outcome.off.rate),
            percent(outcome.on.rate),
            f"{outcome.p_value:.3f}",
            *("-" if each.shift is None else f"{each.shift:+.2f}" for each in (outcome.off, outcome.on)),
        )
    console.print(table)
    return spelled_out(target.getvalue())


def _value(figure: Interval | None) -> str:
    return "-" if figure is None else f"{figure.value:.2f}"
