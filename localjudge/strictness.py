"""`--reproducible`: the engine options under which an answer depends on its own question alone, as far as the device
can. Pure: is told the device, opens nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from localjudge.errors import UsageError

LEAST_CAPABILITY = 8.0
"""CUDA compute capability from which on vLLM has batch-invariant kernels (its documentation of 0.32)."""


class Strictness(NamedTuple):
    """The strictest setting of an engine on a device."""

    options: dict[str, Any]
    told: str
    """What is turned off or on, in one line."""


def strictest(engine: str, capability: float | None) -> Strictness:
    """For an engine of this process. `capability`: CUDA compute capability of the weakest card; None without a card.

    Raises UsageError for a server, whose options are its own.
    """
    if engine == "server":
        raise UsageError(
            "--reproducible cannot set the options of a server.",
            hint="Use --engine vllm, or start the server with VLLM_BATCH_INVARIANT=1 where its card has that.",
        )
    if engine == "fake":
        return Strictness({}, "nothing to turn off: no model is asked")
    if engine == "hf":
        return Strictness({"batch_size": 1}, "batching off (one request at a time)")
    if capability is not None and capability >= LEAST_CAPABILITY:
        return Strictness({"batch_invariant": True}, "vLLM's batch-invariant kernels on")
    return Strictness(
        {"enable_prefix_caching": False, "max_num_seqs": 1},
        "prefix cache off, batching off (one request at a time); this device has no batch-invariant kernels",
    )


def with_strictness(options: Mapping[str, Any], strict: Strictness) -> dict[str, Any]:
    """The options asked for, and the strict ones. Raises UsageError where the two contradict."""
    for name, value in strict.options.items():
        if name in options and options[name] != value:
            raise UsageError(
                f"--reproducible needs {name}={value}, and {name}={options[name]} was asked for.",
                hint="Leave out one of the two.",
            )
    return {**options, **strict.options}
