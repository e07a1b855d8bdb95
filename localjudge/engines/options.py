"""The numbers among an engine's options: read, or refused before anything is loaded. Other options are the engine's own
to judge.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from localjudge.errors import UsageError

_NUMBERS: dict[str, dict[str, tuple[type[int] | type[float], float]]] = {
    "vllm": {"max_num_seqs": (int, 1), "tensor_parallel_size": (int, 1), "pipeline_parallel_size": (int, 1)},
    "server": {"concurrency": (int, 1), "timeout": (float, 0.1), "tries": (int, 1)},
    "hf": {"batch_size": (int, 1), "max_model_len": (int, 1)},
    "fake": {"delay": (float, 0)},
}
"""By engine and option: the kind of number, and the least that makes sense."""


def read_numbers(engine: str, options: Mapping[str, object]) -> dict[str, object]:
    """The options, with numbers where the engine takes numbers. Raises UsageError for what is none, or too small."""
    known = _NUMBERS.get(engine, {})
    return {name: _number(name, value, *known[name]) if name in known else value for name, value in options.items()}


def _number(name: str, value: object, kind: type[int] | type[float], least: float) -> int | float:
    wanted = f"a {'whole ' if kind is int else ''}number of at least {least:g}"
    try:
        number = kind(str(value))
        if least <= number < math.inf:
            return number
    except ValueError:
        pass
    raise UsageError(f"engine option {name} is {value!r}.", hint=f"Give {wanted}: --engine-arg {name}=N.")
