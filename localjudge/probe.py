"""The determinism probe: one set of reads asked in many ways, and how far their margins move. Knows how to ask, to
compare, and to find again what it found; what becomes of a band is decided in `noise`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from localjudge.calibration import Calibration
from localjudge.engine_choice import EngineChoice
from localjudge.engines.base import Completion, Engine, EngineInfo, Request
from localjudge.errors import ConfigError, EngineError
from localjudge.manifest import digest_of, environment, hardware
from localjudge.noise import NoiseBand
from localjudge.prompts import Prompts
from localjudge.reads import MIN_LABEL_MASS, label_mass, margin_of, mean_logprobs
from localjudge.records import Record, TaskType
from localjudge.rubric import Rubric
from localjudge.strategies import ReadCase, Settings
from localjudge.verbalizer import Verbalizer
from localjudge.weights import LocalModel

Logprobs = tuple[float, ...]

_NUMERIC_ENVIRONMENT = (
    *("OMP_NUM_THREADS", "VLLM_BATCH_INVARIANT", "VLLM_ENABLE_V1_MULTIPROCESSING", "VLLM_CPU_ATTN_SPLIT_KV"),
    *("VLLM_CPU_OMP_THREADS_BIND", "VLLM_CPU_NUM_OF_RESERVED_CPU"),
)
"""Switches that can change the order in which numbers are added up."""
_NOT_NUMERIC = frozenset(
    "concurrency delay disable_log_stats gpu_memory_utilization kv_cache_memory_bytes timeout tries".split()
)
"""Engine options that a margin cannot depend on. Those that bound what shares a batch are not among them."""


class Question(NamedTuple):
    """One indicator of one record, asked by one read or by one for each order of its examples."""

    name: str
    requests: tuple[Request, ...]
    threshold: float | None
    """The margin from which on it passes; None where the margin decides nothing."""
    verbalizer: Verbalizer | None = None
    """What makes its margin; None where it is that of the labels."""

    def margin(self, logprobs: Logprobs) -> float:
        """As a grade would have it."""
        return self.verbalizer.margin(logprobs) if self.verbalizer else margin_of(logprobs)


class Way(NamedTuple):
    """One way of asking all questions."""

    name: str
    batch: int | None = None
    """Requests at a time, the next only when all of these are answered; None keeps the engine full, as a run does."""
    shuffle: int = 0
    """Seed of the order; 0 keeps that of the records."""
    cold: bool = False
    """Begins with an empty prefix cache."""


CACHED_WAYS = (
    Way("cold", cold=True),
    Way("warm"),
    Way("warm, one at a time", batch=1),
    Way("warm, batches of 2", batch=2),
    Way("warm, batches of 8, shuffled", batch=8, shuffle=1),
    Way("warm, batches of 32, shuffled", batch=32, shuffle=2),
    Way("cold, shuffled", shuffle=3, cold=True),
    Way("cold, one at a time", batch=1, cold=True),
)
PLAIN_WAYS = (
    Way("as they come"),
    Way("batches of 8, shuffled", batch=8, shuffle=1),
    Way("one at a time", batch=1),
)
STRICT_WAYS = (Way("as they come"), Way("shuffled", shuffle=1))


class Answers(NamedTuple):
    """What one way brought."""

    logprobs: dict[str, Logprobs]
    """Question -> log-probabilities of the labels; a question that came to nothing is missing."""
    cached_tokens: int
    prompt_tokens: int


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Comparison(_Frozen):
    """One way of asking against another, over the questions that both answered. Differences are of margins."""

    reads: int
    largest: float
    quantile_99: float
    """The smallest difference that at least 99 of 100 reads do not exceed."""
    identical: int
    """Reads whose log-probabilities are equal to the last bit."""
    flipped: int
    """Reads that pass in one and fail in the other."""


class WayFigures(_Frozen):
    """A way, against the first way of the first setting."""

    way: str
    against_first: Comparison
    cached_tokens: int
    prompt_tokens: int


class Probe(_Frozen):
    """What was found for one setting of one engine."""

    schema_name: Literal["localjudge/probe/1"] = "localjudge/probe/1"
    name: str
    model: str
    model_digest: str
    prompt_digest: str
    orders: int
    verbalizer: str = ""
    """Digest of what makes the margins; empty where they are those of the labels."""
    setting: dict[str, Any]
    """Engine, options, versions, device and switches: the band holds where all of these are the same."""
    input_digest: str
    reads: int
    off_label: int
    """Reads whose labels have less mass than a grade needs; their margins count all the same."""
    ways: tuple[WayFigures, ...]
    noise_band: float = Field(ge=0)
    """The furthest that any read's margin moved between two ways of this setting."""
    inside: int
    """Reads of the setting's first way that are no further than that from their threshold."""

    @property
    def band(self) -> NoiseBand:
        """What a run's manifest keeps of it."""
        digest = digest_of(self.model_dump(mode="json"))
        return NoiseBand(margin=self.noise_band, reads=self.reads, ways=len(self.ways), probe=digest)

    @property
    def file_name(self) -> str:
        """The name that `find_probe` looks for."""
        return _file_name(self.model_digest, self.prompt_digest, self.orders, self.verbalizer, self.setting)


def questions(
    records: Iterable[Record],
    rubrics: Mapping[TaskType, Rubric],
    orders: Literal[1, 2] = 1,
    calibration: Calibration | None = None,
    prompts: Prompts | None = None,
) -> list[Question]:
    """Every indicator of every record, as `read` asks it with these prompts; the checks are not run."""
    settings = Settings(strategy="read", orders=orders, calibration=calibration)
    prompts, asked = prompts or Prompts(), list[Question]()
    for number, record in enumerate(records):
        rubric = rubrics[record.task_type]
        case = ReadCase(str(number), record, rubric, prompts, settings)
        for indicator in rubric.indicators:
            name, own = f"{number}/{indicator.id}", tuple(case.read_requests(indicator, indicator.id))
            known = calibration.map_of(rubric, indicator) if calibration else None
            if calibration and known:
                asked.append(Question(name, own, known.threshold, calibration.verbalizer))
            else:
                asked.append(Question(name, own, 0.0))
    return asked


def ask(engine: Engine, asked: Sequence[Question], way: Way) -> Answers:
    """Asks all questions in one way. Raises EngineError when the engine is gone."""
    if way.cold:
        engine.forget()
    requests = [request for question in asked for request in question.requests]
    if way.shuffle:
        random.Random(way.shuffle).shuffle(requests)
    size = way.batch or max(len(requests), 1)
    done: dict[str, Completion] = {}
    for start in range(0, len(requests), size):
        for completion in engine.generate(requests[start : start + size]):
            done[completion.request_id] = completion
    logprobs = {}
    for question in asked:
        reads = [done[request.id].choice_logprobs for request in question.requests]
        if all(reads):
            logprobs[question.name] = mean_logprobs(reads)
    return Answers(
        logprobs,
        sum(completion.cached_tokens for completion in done.values()),
        sum(completion.prompt_tokens for completion in done.values()),
    )


def ask_apart(
    choice: EngineChoice,
    model: LocalModel,
    asked: Sequence[Question],
    ways: Sequence[Way],
    tell: Callable[[str], None],
) -> tuple[EngineInfo, list[Answers]]:
    """Opens the engine in a process of its own, so that its memory and its switches end with it, and asks in each way.

    `tell` is called there, and must be a function of a module. Raises what opening raises, EngineError when it dies.
    """
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(_ask_all, choice, model, asked, ways, tell).result()
    except BrokenProcessPool as error:
        raise EngineError("the engine's process died.", hint="Is there enough memory?") from error


def _ask_all(
    choice: EngineChoice, model: LocalModel, asked: Sequence[Question], ways: Sequence[Way], tell: Callable[[str], None]
) -> tuple[EngineInfo, list[Answers]]:
    answers = []
    with choice.open(model) as engine:
        for way in ways:
            answers.append(ask(engine, asked, way))
            tell(way.name)
        return engine.info, answers


def compare(first: Mapping[str, Logprobs], other: Mapping[str, Logprobs], asked: Sequence[Question]) -> Comparison:
    """One way against another, over the questions that both answered. Raises EngineError when there are none."""
    both = [question for question in asked if question.name in first and question.name in other]
    if not both:
        raise EngineError("no read was answered.", hint="Do the records fit --max-model-len?")
    pairs = [(question, first[question.name], other[question.name]) for question in both]
    moved = sorted(abs(question.margin(one) - question.margin(two)) for question, one, two in pairs)
    return Comparison(
        reads=len(both),
        largest=moved[-1],
        quantile_99=moved[math.ceil(0.99 * len(moved)) - 1],
        identical=sum(one == two for _, one, two in pairs),
        flipped=sum(_passes(question, one) != _passes(question, two) for question, one, two in pairs),
    )


def noise_band(ways: Sequence[Mapping[str, Logprobs]], asked: Sequence[Question]) -> float:
    """The largest difference, over all questions, between a question's highest and lowest margin in any of the ways.

    Not the largest difference from the first way: a verdict may have been made in any of them.
    """
    margins = ([each.margin(way[each.name]) for way in ways if each.name in way] for each in asked)
    return max((max(each) - min(each) for each in margins if each), default=0.0)


def inside(way: Mapping[str, Logprobs], asked: Sequence[Question], band: float) -> int:
    """How many questions have a margin no further than `band` from their threshold."""
    return sum(
        abs(question.margin(way[question.name]) - question.threshold) <= band
        for question in asked
        if question.name in way and question.threshold is not None
    )


def off_label(way: Mapping[str, Logprobs]) -> int:
    """How many reads of a way a judge would leave unscored."""
    return sum(label_mass(logprobs) < MIN_LABEL_MASS for logprobs in way.values())


def setting_of(info: EngineInfo) -> dict[str, Any]:
    """All that a noise band depends on besides model and prompts."""
    switches = environment()
    return {
        "engine": info.engine,
        "options": {name: value for name, value in sorted(info.options.items()) if name not in _NOT_NUMERIC},
        "versions": dict(info.versions),
        "device": {name: value for name, value in hardware().items() if name != "memory_gib"},
        "environment": {name: switches[name] for name in _NUMERIC_ENVIRONMENT if name in switches},
    }


def read_probe(path: Path) -> Probe:
    """Reads a probe's file. Raises ConfigError naming the file and the fault."""
    try:
        return Probe.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the probe ({error.strerror}).") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigError(
            f"{path}: not a probe: {'.'.join(map(str, first['loc']))}: {first['msg']}.", hint="Delete it, probe again."
        ) from error


def find_band(
    folder: Path, info: EngineInfo, *, model_digest: str, prompt_digest: str, orders: int, verbalizer: str = ""
) -> NoiseBand | None:
    """The band that a probe of this model, these prompts, this verbalizer and this very setting left in `folder`; None
    without one.

    Raises ConfigError for a file that cannot be read.
    """
    path = folder / _file_name(model_digest, prompt_digest, orders, verbalizer, setting_of(info))
    return read_probe(path).band if path.is_file() else None


def _file_name(model_digest: str, prompt_digest: str, orders: int, verbalizer: str, setting: Mapping[str, Any]) -> str:
    asked = f"{orders}-{verbalizer[:16]}" if verbalizer else f"{orders}"
    return f"{model_digest[:16]}-{prompt_digest[:16]}-{asked}-{digest_of(setting)[:16]}.json"


def _passes(question: Question, logprobs: Logprobs) -> bool:
    return question.threshold is None or question.margin(logprobs) >= question.threshold
