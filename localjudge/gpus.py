"""Graphics cards by name, with the vendor's public peak figures: `gpus.yaml` in, frozen `GpuSpec`s out. Refuses to know
what is in this machine.
"""

from __future__ import annotations

import difflib
from importlib import resources
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from localjudge.errors import ConfigError
from localjudge.strict_yaml import load_yaml

_Positive = Annotated[float, Field(gt=0)]


class GpuSpec(BaseModel):
    """Peaks of one card."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    name: str
    title: str
    memory_gb: _Positive
    """10^9 bytes."""
    bandwidth_gb_s: _Positive
    """10^9 bytes a second."""
    bf16_tflops: _Positive
    """10^12 dense operations a second; a multiplication and an addition count as two."""


def load_gpus() -> dict[str, GpuSpec]:
    """Every card of gpus.yaml by name, in file order. Raises ConfigError for a file that is not sound."""
    text = (resources.files("localjudge") / "gpus.yaml").read_text(encoding="utf-8")
    data: Any = load_yaml(text, "gpus.yaml")
    try:
        return {name: GpuSpec.model_validate({"name": name, **body}) for name, body in data["gpus"].items()}
    except (ValidationError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"gpus.yaml: {str(error).splitlines()[0]}.") from error


def find_gpu(name: str, gpus: dict[str, GpuSpec]) -> GpuSpec:
    """The card called `name`, in any case. Raises ConfigError with the nearest names when there is none."""
    found = gpus.get(name.casefold())
    if found is None:
        near = difflib.get_close_matches(name.casefold(), gpus, n=2, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        raise ConfigError(f"no GPU named {name!r} in the table.", hint=f"{hint}Known: {', '.join(gpus)}.")
    return found
