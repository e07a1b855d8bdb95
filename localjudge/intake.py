"""What a run is asked, and its input, checked against each other before anything is loaded or written."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from localjudge.checks import lists_digest
from localjudge.engine_choice import EngineChoice
from localjudge.errors import InputError, ResumeError, UsageError
from localjudge.manifest import NEUTRAL_OPTIONS, ModelPlan, Plan, RubricPlan, digest_of, own_version
from localjudge.prompts import Prompts
from localjudge.records import BadRecord, IdLedger, Record, TaskType, input_digest, read_records
from localjudge.rubric import Rubric
from localjudge.shards import Shard
from localjudge.stop import GRACE
from localjudge.store import RunStore
from localjudge.stored import Stored
from localjudge.strategies import Settings
from localjudge.unread import Unread
from localjudge.verdicts import answer_schema, joint_schema
from localjudge.weights import LocalModel

BAD_RECORDS_SHOWN = 20


def _untold(_: str) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a run was asked to do. `model` may be None for the fake engine alone, which then counts characters."""

    inputs: tuple[Path, ...]
    out: Path
    rubrics: dict[TaskType, Rubric]
    model: LocalModel | None
    engine: EngineChoice = field(default_factory=EngineChoice)
    settings: Settings = field(default_factory=Settings)
    limit: int | None = None
    on_bad_input: Literal["skip", "fail"] = "fail"
    default_task_type: TaskType | None = None
    labels: Mapping[Path, str] = field(default_factory=dict)
    """How faults name an input, where its path would mean nothing to the reader."""
    shard: Shard = field(default_factory=Shard)
    grace: float = GRACE
    time_limit: float | None = None
    """Seconds, as `Stop` takes them."""
    probes: Path | None = None
    """Where probes lie; a band found for the setting that is opened goes into the manifest."""
    command: Mapping[str, Any] | None = None
    """How the command line asked for this, kept in the run folder for `retry`."""
    tell: Callable[[str], None] = _untold
    """Is given a line on the input that is no fault, before anything is loaded."""

    @property
    def input_names(self) -> tuple[str, ...]:
        """The inputs as messages name them."""
        return tuple(self.labels.get(path, str(path)) for path in self.inputs)


@dataclass(frozen=True, slots=True)
class CheckedInput:
    """The input after its first reading."""

    good: int
    refused: tuple[BadRecord, ...]
    digest: str
    share: int = 0
    """Those of the good ones that are this shard's."""
    before: int = 0
    """Those of the share that have a verdict."""


def check_input(request: RunRequest, stored: Stored | frozenset[str] = frozenset()) -> CheckedInput:
    """Reads the whole input once, before any model loads. `stored`: ids of the shard's records that have a verdict.

    Raises InputError, naming every place up to a bound, for faulty records under `on_bad_input="fail"`; and when no
    record is left to judge. Raises UsageError for a file that is given twice.
    """
    _insist_on_each_once(request)
    ledger = IdLedger()
    present: set[TaskType] = set()
    good, share, before, refused, unread = 0, 0, 0, [], Unread()
    for entry in _entries(request, ledger):
        if isinstance(entry, BadRecord):
            refused.append(entry)
        elif entry.task_type not in request.rubrics:
            # The ledger has met this id, so that it answers with its place.
            raise _without_rubric(request, entry, ledger.claim(entry.id, "", 0))
        elif request.limit is None or good < request.limit:
            good += 1
            present.add(entry.task_type)
            unread.note(entry)
            share += request.shard.holds(entry.id)
            before += entry.id in stored
    if refused and request.on_bad_input == "fail":
        lines = [str(bad.error()) for bad in refused[:BAD_RECORDS_SHOWN]]
        if len(refused) > BAD_RECORDS_SHOWN:
            lines.append(f"... and {len(refused) - BAD_RECORDS_SHOWN} more.")
        lines.append(
            f"{len(refused)} faulty, {good} good; nothing was judged. --on-bad-input skip judges the good ones."
        )
        raise InputError("\n".join(lines))
    if not good:
        raise InputError(f"no record to judge in {', '.join(request.input_names)}.")
    _note_unasked(request, present)
    if line := unread.told():
        request.tell(line)
    return CheckedInput(good, tuple(refused), input_digest(request.inputs), share, before)


def check_unchanged(request: RunRequest, checked: CheckedInput, hint: str) -> None:
    """Raises InputError, with the hint, when the input is no longer what `check_input` read: it is read again for the
    judging, minutes later."""
    if input_digest(request.inputs) != checked.digest:
        raise InputError(f"{', '.join(request.input_names)} changed since it was checked.", hint=hint)


def prepare(request: RunRequest) -> tuple[CheckedInput, Plan, Stored]:
    """Checks folder, input and options against each other; also returns what the folder holds of the shard.

    Raises InputError, ResumeError, UsageError or StoreError.
    """
    held = RunStore.check_folder(request.out)
    if not (held and RunStore.open(request.out).complete):
        RunStore.check_writable(request.out)
    stored = RunStore(request.out).stored(request.shard)
    checked = check_input(request, stored)
    _check_thinking(request)
    plan = make_plan(request, checked)
    if held:
        RunStore.open(request.out).check_plan(plan)
    if strangers := len(stored) - checked.before:
        raise ResumeError(
            f"{request.out} holds verdicts on records that are not in the input ({strangers}).",
            hint="The input was changed while it was judged, or --task-type was another one. Give another --out.",
        )
    return checked, plan, stored


def records_of(request: RunRequest) -> Iterator[Record]:
    """The shard's records, streamed."""
    good = (entry for entry in _entries(request) if isinstance(entry, Record))
    return (record for record in itertools.islice(good, request.limit) if request.shard.holds(record.id))


def make_plan(request: RunRequest, checked: CheckedInput) -> Plan:
    """The plan of a run, before any of it is done."""
    settings = request.settings
    options = request.engine.all_options(request.model)
    schemas = {rubric.ref: [answer_schema(), joint_schema(rubric)] for rubric in request.rubrics.values()}
    return Plan(
        localjudge=own_version(),
        rubrics={
            task_type: RubricPlan(
                ref=rubric.ref,
                digest=rubric.digest,
                indicators=tuple(entry.id for entry in rubric.indicators),
                pack=rubric.pack.digest,
            )
            for task_type, rubric in request.rubrics.items()
        },
        model=ModelPlan(
            name=request.model.spec.name if request.model else "fake",
            digest=request.model.digest if request.model else "",
        ),
        engine=request.engine.engine,
        engine_options={name: value for name, value in options.items() if name not in NEUTRAL_OPTIONS},
        strategy=settings.strategy,
        thinking_budget=settings.thinking_budget,
        doubt_budget=settings.doubt_budget,
        reasons=settings.reasons,
        orders=settings.orders,
        band=settings.band,
        calibration=settings.calibration.digest if settings.calibration else "",
        keep_thinking=settings.keep_thinking,
        rules=settings.rules,
        defences=settings.defences,
        lists_digest=lists_digest(),
        seed=settings.seed,
        prompt_digest=Prompts(settings.defences).digest,
        schema_digest=digest_of(schemas),
        input_digest=checked.digest,
        limit=request.limit,
        on_bad_input=request.on_bad_input,
        default_task_type=request.default_task_type,
    )


def _insist_on_each_once(request: RunRequest) -> None:
    met: set[Path] = set()
    for path, name in zip(request.inputs, request.input_names, strict=True):
        if path.resolve() in met:
            raise UsageError(f"{name} is given twice.", hint="Name each input once.")
        met.add(path.resolve())


def _without_rubric(request: RunRequest, record: Record, where: str | None) -> InputError:
    task = record.task_type
    problem = f"{where}: record {record.id!r}: no rubric for task type {task}"
    if any(rubric.pack is not rubric for rubric in request.rubrics.values()):
        hint = f"Name one of its indicators too; where --rubric is given, add a pack for {task}."
        return InputError(f"{problem} has one of --indicators.", hint=hint)
    return InputError(f"{problem}.", hint=f"Add --rubric with a pack for {task}.")


def _note_unasked(request: RunRequest, present: set[TaskType]) -> None:
    """Notes indicators that were chosen by their ids, and that no record of the input is asked about."""
    packs = [request.rubrics[task] for task in sorted(present)]
    asked = {indicator.id for rubric in packs for indicator in rubric.indicators}
    chosen = [rubric for rubric in request.rubrics.values() if rubric.pack is not rubric]
    unasked = dict.fromkeys(each.id for rubric in chosen for each in rubric.indicators if each.id not in asked)
    if unasked:
        refs = " or ".join(rubric.ref for rubric in packs)
        request.tell(f"no record is asked about {', '.join(unasked)}: not in {refs}.")


def _entries(request: RunRequest, seen: IdLedger | None = None) -> Iterator[Record | BadRecord]:
    seen = IdLedger() if seen is None else seen
    for path in request.inputs:
        label = request.labels.get(path)
        yield from read_records(path, default_task_type=request.default_task_type, seen=seen, label=label)


def _check_thinking(request: RunRequest) -> None:
    settings = request.settings
    asked = settings.thinking_budget is not None or settings.doubt_budget is not None
    if not asked or request.model is None:
        return
    if not request.model.spec.thinking:
        raise UsageError(
            f"model {request.model.spec.name} has no thinking mode.", hint="Use --thinking off, or a Qwen3 model."
        )
