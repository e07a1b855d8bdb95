"""Options that several commands share, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from localjudge.calibration import Calibration, choose_calibration
from localjudge.decisions import Band
from localjudge.engine_choice import EngineChoice
from localjudge.errors import ConfigError, UsageError
from localjudge.isolation import isolate
from localjudge.prompts import Defences, Prompts
from localjudge.records import TaskType
from localjudge.registry import FORBIDDEN_ENGINE_OPTIONS
from localjudge.rubric import Rubric, builtin_names, load_rubric
from localjudge.strategies import Settings, Strategy
from localjudge.strict_yaml import load_yaml
from localjudge.weights import LocalModel, home

STRATEGIES = click.Choice(["cascade", "explain", "joint", "read"])
_EFFECT: Mapping[str, tuple[Strategy, ...]] = {
    "reasons": ("cascade",),
    "band": ("cascade",),
    "orders": ("cascade", "read"),
    "calibration": ("cascade", "read"),
    "thinking": ("cascade", "explain", "joint"),
}
"""The strategies under which an option does anything, where those are not all."""

Command = Callable[..., Any]


class _Place(click.Path):
    """A path that is not empty: what an unset variable of a shell leaves is not the working folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            name = max(param.opts, key=len) if param else "the path"
            raise UsageError(f"{name} is empty.", hint="Name a place; is a variable of your shell unset?")
        return super().convert(value, param, ctx)


PLACE = _Place(path_type=Path)


defences_option = click.option(
    "--defences",
    type=click.Choice(["off", "clean", "fence"]),
    default="clean",
    help="What guards prompts against the text of records.",
)
force_option = click.option("--force", is_flag=True, help="Replace the file that --out names.")
rubric_option = click.option("--rubric", "rubric_names", multiple=True, help="Pack name or YAML path; repeatable.")


def engine_options(command: Command) -> Command:
    """Which engine, and how it runs."""
    return _with(
        command,
        click.option("--engine", default="auto", help="auto, vllm, server, hf or fake."),
        click.option(
            "--engine-arg", "engine_args", multiple=True, metavar="KEY=VALUE", help="Engine option; repeatable."
        ),
        click.option("--max-model-len", type=click.IntRange(min=256), help="Context length in tokens."),
        click.option("--tensor-parallel-size", type=click.IntRange(min=1)),
        click.option("--gpu-memory-utilization", type=click.FloatRange(0.05, 1.0)),
        click.option("--server-url", default="", help="Address of a self-hosted vllm serve."),
        click.option("--allow-host", "allowed_hosts", multiple=True, help="A server host of yours off this machine."),
        click.option("--isolate", is_flag=True, help="Judge without any network but loopback (Linux)."),
    )


def asking_options(command: Command) -> Command:
    """How the indicators are asked about."""
    return _with(
        command,
        click.option("--strategy", type=STRATEGIES, default=Settings().strategy),
        click.option(
            "--reasons", type=click.Choice(["all", "failed"]), default="all", help="Cascade: what to ask why."
        ),
        click.option(
            "--band",
            type=float,
            nargs=2,
            help="Cascade: the uncertain range of p_pass; unless given, 0.3 0.7, and none for calibrated reads.",
        ),
        click.option(
            "--orders",
            type=click.IntRange(1, 2),
            default=Settings().orders,
            help="Reads of an indicator: its examples in one order, or in both.",
        ),
        click.option("--calibration", default="auto", help="auto, off, or a file made by calibrate."),
        click.option("--thinking", type=click.Choice(["off", "on", "auto"]), default="off", help="Qwen3's thinking."),
        click.option("--thinking-budget", type=click.IntRange(min=0), default=1024, help="Thinking tokens an answer."),
        click.option("--keep-thinking", is_flag=True, help="Store the thinking text with each grade."),
        click.option(
            "--rules", type=click.Choice(["off", "witness", "on"]), default="on", help="What the packs' checks do."
        ),
        defences_option,
        click.option("--seed", type=int, default=0),
    )


def rubric_options(command: Command) -> Command:
    """Which rubric packs, and which of their indicators."""
    return _with(
        command,
        rubric_option,
        click.option("--indicators", default="", help="Only these indicator ids, comma-separated."),
    )


def engine_choice(options: dict[str, Any]) -> EngineChoice:
    """What `engine_options` say; under --isolate, in a process that has no network from here on. Raises UsageError."""
    if options.get("isolate"):
        if options["server_url"]:
            raise UsageError("an isolated process reaches no server.", hint="Leave out --isolate or --server-url.")
        isolate()
    chosen = engine_arguments(options["engine_args"])
    for name in ("max_model_len", "tensor_parallel_size", "gpu_memory_utilization"):
        if options[name] is not None:
            chosen[name] = options[name]
    return EngineChoice.of(options["engine"], chosen, options["server_url"], tuple(options["allowed_hosts"]))


def check_effect(options: Mapping[str, Any], strategies: Collection[Strategy]) -> None:
    """Raises UsageError for an option of `asking_options` that the command line gives and no strategy heeds. What the
    environment says is for every run, and is passed over where it does not apply."""
    context = click.get_current_context()

    def given(name: str) -> bool:
        return context.get_parameter_source(name) is ParameterSource.COMMANDLINE

    for name, heeding in _EFFECT.items():
        if given(name) and options[name] not in ("off", "auto") and not set(heeding) & set(strategies):
            hint = f"It is for {' and '.join(heeding)}; leave it out, or give another --strategy."
            raise UsageError(f"--{name} does nothing under --strategy {' and '.join(strategies)}.", hint=hint)
    for name in ("thinking_budget", "keep_thinking"):
        if given(name) and options["thinking"] == "off":
            problem = f"--{name.replace('_', '-')} does nothing without thinking."
            raise UsageError(problem, hint="Add --thinking on or auto, or leave it out.")


def settings(
    options: dict[str, Any], strategy: Strategy, model: LocalModel | None, packs: Mapping[TaskType, Rubric]
) -> Settings:
    """What `asking_options` say, for one strategy, model and set of packs. Raises UsageError, ConfigError."""
    if options["thinking"] == "auto" and strategy != "cascade":
        raise UsageError("--thinking auto needs --strategy cascade.", hint="Or give --thinking on.")
    budget = options["thinking_budget"]
    return Settings(
        strategy=strategy,
        thinking_budget=budget if options["thinking"] == "on" else None,
        doubt_budget=budget if options["thinking"] == "auto" else None,
        reasons=options["reasons"],
        band=band_of(options["band"]) if options["band"] else None,
        orders=options["orders"],
        keep_thinking=options["keep_thinking"],
        rules=options["rules"],
        defences=options["defences"],
        seed=options["seed"],
        calibration=calibration(options["calibration"], model, options["orders"], options["defences"], packs),
    )


def calibration(
    wanted: str, model: LocalModel | None, orders: int, defences: Defences, packs: Mapping[TaskType, Rubric]
) -> Calibration | None:
    """The calibration for a model and packs, see `choose_calibration`; the fake engine has none."""
    if model is None:
        return None
    digest = Prompts(defences).digest
    return choose_calibration(
        wanted,
        calibrations(),
        model_digest=model.digest,
        prompt_digest=digest,
        orders=orders,
        rubrics=packs.values(),
    )


def calibrations() -> Path:
    """Where calibrations made on this machine are kept."""
    return home() / "calibrations"


def probes() -> Path:
    """Where the noise bands measured on this machine are kept."""
    return home() / "probes"


def band_of(values: tuple[float, float]) -> Band:
    """Two ends as a band. Raises UsageError when they are no range within 0 and 1."""
    low, high = values
    if not 0 <= low <= high <= 1:
        raise UsageError(f"--band {low:g} {high:g} is not a range within 0 and 1.")
    return Band(low, high)


def rubrics(names: tuple[str, ...], indicators: str) -> dict[TaskType, Rubric]:
    """What `rubric_options` say: one pack for each task type, the built-in ones by default.

    Raises UsageError for two packs for one task type, ConfigError for an unknown pack or indicator.
    """
    rubrics: dict[TaskType, Rubric] = {}
    for name in names or builtin_names():
        rubric = load_rubric(name)
        if rubric.task_type in rubrics:
            raise UsageError(
                f"two rubrics for task type {rubric.task_type}: {rubrics[rubric.task_type].ref} and {rubric.ref}.",
                hint="Give one pack for each task type.",
            )
        rubrics[rubric.task_type] = rubric
    wanted = indicator_ids(indicators)
    return _selected(rubrics, wanted) if wanted else rubrics


def indicator_ids(text: str) -> tuple[str, ...]:
    """The ids of a comma-separated list, which may be a full-width one. Raises UsageError for a list without ids."""
    ids = tuple(part.strip() for part in text.replace("，", ",").split(",") if part.strip())
    if text and not ids:
        raise UsageError("--indicators names none.", hint="Give ids such as 1.1,2.1, or leave it out for all.")
    return ids


def _selected(rubrics: dict[TaskType, Rubric], wanted: tuple[str, ...]) -> dict[TaskType, Rubric]:
    """Each pack with those of the wanted indicators that it has; a pack that has none of them is left out."""
    held = {task: {indicator.id for indicator in rubric.indicators} for task, rubric in rubrics.items()}
    for indicator_id in wanted:
        if not any(indicator_id in ids for ids in held.values()):
            refs = " or ".join(rubric.ref for rubric in rubrics.values())
            raise ConfigError(f"no indicator {indicator_id!r} in {refs}.", hint="`localjudge rubrics show` lists them.")
    own = {task: tuple(indicator_id for indicator_id in wanted if indicator_id in held[task]) for task in rubrics}
    return {task: rubric.select(own[task]) for task, rubric in rubrics.items() if own[task]}


def engine_arguments(texts: Iterable[str]) -> dict[str, Any]:
    """`KEY=VALUE` options, values read as YAML scalars. Raises UsageError for any other shape, or a key not allowed."""
    chosen: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        name = key.strip().replace("-", "_")
        if not equals or not name:
            raise UsageError(f"--engine-arg {text!r} is not KEY=VALUE.")
        if name in FORBIDDEN_ENGINE_OPTIONS:
            raise UsageError(f"--engine-arg {name} cannot be set.", hint="localjudge sets it, so that runs stay safe.")
        chosen[name] = load_yaml(value, f"--engine-arg {name}")
    return chosen


def _with(command: Command, *options: Callable[[Command], Command]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
