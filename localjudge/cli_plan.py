"""`localjudge plan`: what a file would cost with a model, in tokens and roughly in time on cards that are not here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import click

from localjudge.cli_options import STRATEGIES, rubric_options, rubrics
from localjudge.engines.base import Message
from localjudge.engines.encode import ChatEncoder
from localjudge.errors import ConfigError, InputError, UsageError
from localjudge.gpus import GpuSpec, find_gpu, load_gpus
from localjudge.model_folder import read_json
from localjudge.records import BadRecord, IdLedger, Record, TaskType, read_records
from localjudge.registry import Architecture, ModelSpec, load_models
from localjudge.roofline import Estimate, Served, architecture_of, estimate
from localjudge.rubric import Rubric
from localjudge.strategies import Strategy
from localjudge.weights import pulled, resolve
from localjudge.workload import ANSWER_TOKENS, FAILED_SHARE, Assumptions, Counter, Workload, measure

TOKENS_PER_CHARACTER = 0.74
"""Of Qwen3's tokenizer on the example prompts."""
TEMPLATE_TOKENS = 17
"""What Qwen3's chat template adds to a prompt."""


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", "model_name", required=True, help="Name in models.yaml, or a folder.")
@click.option("--strategy", "strategies", multiple=True, type=STRATEGIES, help="Repeatable; all if none.")
@click.option("--gpu", "gpu_names", multiple=True, help="A card of the table; repeatable; all if none.")
@click.option("--tensor-parallel-size", type=click.IntRange(min=1), help="Cards to spread the model over.")
@click.option("--task-type", type=click.Choice(["reply", "push"]), help="For records that do not say.")
@rubric_options
@click.option("--rules", type=click.Choice(["off", "witness", "on"]), default="on", help="What the packs' checks do.")
@click.option("--reasons", type=click.Choice(["all", "failed"]), default="all", help="Cascade: what to ask why.")
@click.option(
    "--failed-share", type=click.FloatRange(0, 1), default=FAILED_SHARE, help="Assumed, for --reasons failed."
)
@click.option(
    "--answer-tokens", type=click.IntRange(min=2), default=ANSWER_TOKENS, help="Assumed for each written answer."
)
@click.option(
    "--efficiency",
    type=click.FloatRange(0.01, 1),
    default=0.5,
    help="Assumed share of the card's peaks that is reached.",
)
@click.option("--sample", type=click.IntRange(min=1), default=500, help="Count the tokens of this many records.")
@click.option("--json", "as_json", is_flag=True)
def plan(
    inputs: tuple[Path, ...],
    model_name: str,
    strategies: tuple[Strategy, ...],
    gpu_names: tuple[str, ...],
    tensor_parallel_size: int | None,
    task_type: TaskType | None,
    rubric_names: tuple[str, ...],
    indicators: str,
    efficiency: float,
    sample: int,
    as_json: bool,
    **assumed: Any,
) -> None:
    """Estimate tokens and time of judging the records in INPUTS, without a model and without a GPU."""
    table = load_gpus()
    gpus = [find_gpu(name, table) for name in gpu_names]
    spec, folder = _model(model_name)
    served = Served.of(spec, _architecture(spec, folder), tensor_parallel_size or spec.tensor_parallel_size)
    counter = _counter(folder)
    packs = rubrics(rubric_names, indicators)
    chosen, total = _sampled(inputs, packs, task_type, sample)
    assumptions = Assumptions(**assumed, block_size=int(str(spec.engine_options.get("block_size", 16))))
    loads = measure(chosen, packs, list(dict.fromkeys(strategies or get_args(Strategy))), counter, assumptions)
    _check_length(loads, served)
    estimates, refused = _estimates(loads, served, gpus, table, efficiency)
    document = {
        "estimate": True,
        "records": total,
        "sampled": len(chosen),
        "tokens": "counted" if folder else "guessed from characters",
        "model": spec.name,
        "cards": served.cards,
        "architecture": served.architecture.model_dump(),
        "cache_bytes_per_token": served.cache_bytes_per_token,
        "assumed": asdict(assumptions) | {"efficiency": efficiency},
        "per_record": {load.strategy: _per_record(load) for load in loads},
        "gpus": [_timing(each, total, efficiency) for each in estimates],
        "does_not_fit": refused,
    }
    click.echo(json.dumps(document, ensure_ascii=False, indent=1) if as_json else _rendered(document))


def _model(name: str) -> tuple[ModelSpec, Path | None]:
    """What the model is, and its folder where it is on this machine."""
    known = load_models()
    if name in known:
        return known[name], pulled(known[name])
    local = resolve(name, known)
    return local.spec, local.path


def _architecture(spec: ModelSpec, folder: Path | None) -> Architecture:
    found = architecture_of(read_json(folder / "config.json")) if folder else None
    shape = found or spec.architecture
    if shape is None:
        raise ConfigError(
            f"{spec.name}: the numbers of layers and heads are not known, so its cache cannot be sized.",
            hint=f"Pull it (localjudge models pull {spec.name}), or give its entry in models.yaml an architecture.",
        )
    return shape


def _counter(folder: Path | None) -> Counter:
    if folder is not None:
        return Counter(ChatEncoder(folder).encode)
    return Counter(_characters, TOKENS_PER_CHARACTER, TEMPLATE_TOKENS)


def _characters(messages: tuple[Message, ...]) -> str:
    return "".join(part.text for message in messages for part in message.parts)


def _sampled(
    inputs: Iterable[Path], packs: Mapping[TaskType, Rubric], task_type: TaskType | None, sample: int
) -> tuple[list[Record], int]:
    """The first records of the input, and how many there are in all."""
    seen, total = IdLedger(), 0
    chosen: list[Record] = []
    for path in inputs:
        for entry in read_records(path, default_task_type=task_type, seen=seen):
            if isinstance(entry, BadRecord):
                raise entry.error()
            if entry.task_type not in packs:
                where = seen.claim(entry.id, "", 0)
                raise InputError(
                    f"{where}: record {entry.id!r}: no rubric for task type {entry.task_type}.",
                    hint=f"Give --rubric a pack for {entry.task_type}, and --indicators one of its indicators.",
                )
            total += 1
            if len(chosen) < sample:
                chosen.append(entry)
    if not total:
        raise InputError("no record in " + ", ".join(map(str, inputs)) + ".")
    return chosen, total


def _check_length(loads: list[Workload], served: Served) -> None:
    longest = max(load.longest_prompt for load in loads)
    if longest > served.max_model_len:
        raise UsageError(
            f"the longest prompt has about {longest:.0f} tokens, {served.spec.name} takes {served.max_model_len}.",
            hint="Such records come out unscored (too_long); raise max_model_len in its entry, or shorten them.",
        )


def _estimates(
    loads: list[Workload], served: Served, asked: list[GpuSpec], table: dict[str, GpuSpec], efficiency: float
) -> tuple[list[Estimate], list[str]]:
    """A card that was asked for must hold the model; of the whole table, those that do not are listed."""
    if asked:
        return [estimate(load, served, gpu, efficiency) for gpu in asked for load in loads], []
    estimates, refused = [], []
    for gpu in table.values():
        try:
            estimates += [estimate(load, served, gpu, efficiency) for load in loads]
        except ConfigError as error:
            refused.append(error.problem)
    return estimates, refused


def _per_record(load: Workload) -> dict[str, float]:
    sums = {
        "requests": load.requests,
        "prompt_tokens": load.prompt_tokens,
        "computed_tokens": load.computed_tokens,
        "output_tokens": load.output_tokens,
    }
    return {name: round(value / load.records, 1) for name, value in sums.items()}


def _timing(each: Estimate, records: int, efficiency: float) -> dict[str, Any]:
    rate = each.records_per_second
    return {
        "gpu": each.gpu,
        "cards": each.cards,
        "strategy": each.strategy,
        "sequences": each.sequences,
        "prefill_s_per_record": float(f"{each.prefill_seconds:.3g}"),
        "decode_s_per_record": float(f"{each.decode_seconds:.3g}"),
        "records_per_s": float(f"{rate:.3g}"),
        "records_per_s_at_peak": float(f"{rate / efficiency:.3g}"),
        "seconds": float(f"{records / rate:.3g}"),
    }


def _rendered(document: dict[str, Any]) -> str:
    shape, assumed = document["architecture"], document["assumed"]
    cards = f"{document['cards']} cards" if document["cards"] > 1 else "1 card"
    lines = [
        f"{document['records']} records, tokens {document['tokens']} on the first {document['sampled']}",
        f"{document['model']} on {cards}: {shape['layers']} layers, {shape['kv_heads']} KV heads of "
        f"{shape['head_dim']}, {document['cache_bytes_per_token'] / 1000:.0f} kB of cache a token",
        f"assumed: {assumed['answer_tokens']} tokens an answer, efficiency {assumed['efficiency']:g}, no thinking",
        "",
        *_columns(
            ("strategy", "requests", "prompt", "computed", "output"),
            [
                (strategy, *(f"{value:.1f}" if name == "requests" else f"{value:.0f}" for name, value in row.items()))
                for strategy, row in document["per_record"].items()
            ],
        ),
        "",
        "ESTIMATE from peak figures; nothing was measured on these cards.",
    ]
    rows = [
        (
            *(row["gpu"], row["strategy"], str(row["sequences"] or "-"), f"{row['records_per_s']:g}"),
            *(f"{row['records_per_s_at_peak']:g}", _duration(row["seconds"])),
        )
        for row in document["gpus"]
    ]
    if rows:
        lines += _columns(("gpu", "strategy", "sequences", "records/s", "at peak", "time"), rows)
    return "\n".join(lines + document["does_not_fit"])


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _columns(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in (heading, *rows)) for column in range(len(heading))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (heading, *rows)
    ]
