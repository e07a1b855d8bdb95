"""A calibration: what a read means as a probability, for one model, one prompt and one set of rubrics. Applies
it and refuses any other; `calibrate` makes it. Reads and writes its file, asks no model.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from localjudge.errors import ConfigError
from localjudge.reads import margin_of
from localjudge.records import TaskType
from localjudge.rubric import Indicator, Rubric
from localjudge.verbalizer import Verbalizer

_PACKAGED = resources.files("localjudge") / "calibrations"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MarginMap(_Frozen):
    """log-odds of passing = slope * margin + intercept."""

    slope: float = Field(ge=0)
    """Never negative: a calibration may find a margin worthless, it may not turn it round."""
    intercept: float
    labels: int
    """How many labels of this indicator it was fitted on."""

    def probability(self, margin: float) -> float:
        """Calibrated probability of passing, strictly between 0 and 1 up to rounding."""
        return sigmoid(self.slope * margin + self.intercept)

    @property
    def threshold(self) -> float | None:
        """The margin from which on a message passes; None where the margin decides nothing."""
        return -self.intercept / self.slope if self.slope else None


class FoldFigures(NamedTuple):
    """How good probabilities were on labels that they were not fitted on."""

    brier: float
    log_loss: float
    accuracy: float
    auroc: float
    calibration_error: float
    """Expected calibration error, ten bins of equal count."""


class Calibration(_Frozen):
    """Maps from margin to probability, and what they belong to."""

    schema_name: Literal["localjudge/calibration/3"] = "localjudge/calibration/3"
    model: str
    model_digest: str
    prompt_digest: str
    orders: int
    """Reads of each indicator that were averaged."""
    labels_digest: str
    """sha256 of the labelled file."""
    labels: int
    base_rate: float = Field(gt=0, lt=1)
    """Share of passing messages that the probabilities assume."""
    verbalizer: Verbalizer | None = None
    """What makes the margin; None where it is that of the labels."""
    packs: dict[TaskType, str]
    """Digests of the whole packs. A read shows its whole pack, so that a word changed anywhere in it voids all maps."""
    maps: dict[str, MarginMap]
    """By `map_key`."""
    before: FoldFigures
    """Of the raw p_pass."""
    after: FoldFigures
    """Of the calibrated one, every label predicted by a fit that had not seen its record."""

    @property
    def digest(self) -> str:
        """sha256 of its canonical JSON."""
        return _digest(self)

    @property
    def verbalizer_digest(self) -> str:
        """sha256 of the verbalizer's canonical JSON; empty without one."""
        return _digest(self.verbalizer) if self.verbalizer else ""

    @property
    def words(self) -> tuple[str, ...]:
        """What a read asks for beside the labels."""
        return self.verbalizer.words if self.verbalizer else ()

    def knows(self, rubric: Rubric) -> bool:
        """Whether it was made with this pack, word for word."""
        return self.packs.get(rubric.task_type) == rubric.pack.digest

    def map_of(self, rubric: Rubric, indicator: Indicator) -> MarginMap | None:
        """The map of an indicator; None for one of a pack that it does not know in these words."""
        return self.maps.get(map_key(rubric.task_type, indicator.id)) if self.knows(rubric) else None

    def margin(self, logprobs: tuple[float, ...]) -> float:
        """The margin that its maps take, from the log-probabilities of the labels and its words."""
        return self.verbalizer.margin(logprobs) if self.verbalizer else margin_of(logprobs)

    def probability(self, rubric: Rubric, indicator: Indicator, margin: float) -> float | None:
        """Calibrated probability of passing; None for an indicator of a pack that it does not know in these words."""
        found = self.map_of(rubric, indicator)
        return found.probability(margin) if found else None

    def check_fits(self, model_digest: str, prompt_digest: str, orders: int) -> None:
        """Raises ConfigError unless it was made with this model, these prompts and so many reads of each indicator."""
        for what, own, theirs in (
            ("model", self.model_digest[:12], model_digest[:12]),
            ("prompt", self.prompt_digest[:12], prompt_digest[:12]),
            ("number of orders", self.orders, orders),
        ):
            if own != theirs:
                raise ConfigError(
                    f"this calibration was made with another {what} ({own}, not {theirs}).",
                    hint="Run `localjudge calibrate` again, or give --calibration off.",
                )


def _digest(model: BaseModel) -> str:
    text = json.dumps(model.model_dump(mode="json"), ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def sigmoid(odds: float) -> float:
    """The probability of log-odds, without overflow."""
    return 1 / (1 + math.exp(-odds)) if odds >= 0 else math.exp(odds) / (1 + math.exp(odds))


def map_key(task_type: TaskType, indicator_id: str) -> str:
    """How maps are keyed: `push 1.1`."""
    return f"{task_type} {indicator_id}"


def file_name(model_digest: str, prompt_digest: str, orders: int) -> str:
    """Name of a calibration's file in the cache folder and in the package."""
    return f"{model_digest[:16]}-{prompt_digest[:16]}-{orders}.json"


def read_calibration(path: Path) -> Calibration:
    """Reads a calibration file. Raises ConfigError naming the file and the fault."""
    try:
        return Calibration.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the calibration ({error.strerror}).") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigError(f"{path}: not a calibration: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error


def choose_calibration(
    wanted: str,
    folder: Path,
    *,
    model_digest: str,
    prompt_digest: str,
    orders: int,
    rubrics: Iterable[Rubric] | None = None,
) -> Calibration | None:
    """`off`: none. `auto`: the one in `folder` for this model and these prompts, else the packaged one, else none; one
    that knows none of the `rubrics` is passed over. Else a file. Raises ConfigError for a file that cannot be read, or
    belongs to another model, prompt or rubric.
    """
    if wanted == "off":
        return None
    name = file_name(model_digest, prompt_digest, orders)
    places = (folder / name, Path(str(_PACKAGED)) / name) if wanted == "auto" else (Path(wanted),)
    asked = None if rubrics is None else list(rubrics)
    for place in places:
        if wanted == "auto" and not place.is_file():
            continue
        chosen = read_calibration(place)
        chosen.check_fits(model_digest, prompt_digest, orders)
        if asked is None or any(chosen.knows(rubric) for rubric in asked):
            return chosen
        if wanted != "auto":
            raise ConfigError(
                f"{place}: this calibration was made with other rubrics, or with other words in them.",
                hint="Run `localjudge calibrate` with these, or give --calibration off.",
            )
    return None
