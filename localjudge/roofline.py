"""How fast a workload could run on a card, from peak figures alone: an estimate, never a measurement.

    prefill  compute-bound   computed tokens x 2 x active parameters + attention, over the operations a second
    decode   memory-bound    each step reads the weights once and the cached keys and values of every sequence, and
                             gives each one token; where the batch is large, its operations take longer than its bytes
    batch    what the cache has room for after the weights, at most max_num_seqs

Both phases are added, since they share the card. Left out: communication between cards, the host, sampling, the
automaton of a constraint, and whatever a kernel fails to reach, for which `efficiency` stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from localjudge.errors import ConfigError
from localjudge.gpus import GpuSpec
from localjudge.registry import Architecture, ModelSpec
from localjudge.workload import Workload

MEMORY_SHARE = 0.9
"""Of a card's memory; vLLM's own default."""
RUNTIME_BYTES = 2e9
"""For each card: the CUDA context, activations, graphs."""
MAX_NUM_SEQS = 256
"""vLLM's default on most cards."""
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "auto": 2}


@dataclass(frozen=True, slots=True)
class Served:
    """A model as it would be served: its shape, over how many cards, how long a request may be."""

    spec: ModelSpec
    architecture: Architecture
    cards: int
    max_model_len: int
    max_num_seqs: int

    @classmethod
    def of(cls, spec: ModelSpec, architecture: Architecture, cards: int) -> Served:
        """With the options of the model's entry."""
        options = spec.engine_options
        length = int(str(options.get("max_model_len", spec.context_length)))
        return cls(spec, architecture, cards, length, int(str(options.get("max_num_seqs", MAX_NUM_SEQS))))

    @property
    def weight_bytes(self) -> float:
        """Bytes of all weights. A mixture of experts keeps every expert in memory."""
        return self.spec.parameters * 1e9 * _BYTES[self.spec.dtype]

    @property
    def cache_bytes_per_token(self) -> float:
        """Bytes of one token's keys and values over all layers and cards: 2 x layers x kv_heads x head_dim x bytes.
        With more cards than kv_heads, each card keeps a copy of one head."""
        shape = self.architecture
        return 2 * shape.layers * max(shape.kv_heads, self.cards) * shape.head_dim * _BYTES[self.spec.dtype]

    @property
    def flops_per_token(self) -> float:
        """Operations of one token outside attention: 2 for each active parameter."""
        return 2e9 * (self.spec.active_parameters or self.spec.parameters)

    @property
    def flops_per_attended_token(self) -> float:
        """Operations of one token for each token it looks back at: 2 products of 2 operations, over all heads."""
        shape = self.architecture
        return 4.0 * shape.layers * shape.attention_heads * shape.head_dim


@dataclass(frozen=True, slots=True)
class Estimate:
    """One strategy on one kind of card. Seconds are for one record, at the efficiency asked for."""

    gpu: str
    cards: int
    strategy: str
    sequences: int
    """Written answers decoded together; 0 where nothing is written."""
    prefill_seconds: float
    decode_seconds: float

    @property
    def records_per_second(self) -> float:
        """One over the seconds of a record."""
        return 1 / (self.prefill_seconds + self.decode_seconds)


def architecture_of(config: Mapping[str, Any]) -> Architecture | None:
    """The shape that a config.json tells, or None where it does not tell all of it."""
    inner = config.get("text_config")
    text = inner if isinstance(inner, dict) else config
    layers, heads = text.get("num_hidden_layers"), text.get("num_attention_heads")
    kv_heads, head_dim, width = (text.get(name) for name in ("num_key_value_heads", "head_dim", "hidden_size"))
    if head_dim is None and isinstance(width, int) and isinstance(heads, int) and heads > 0:
        head_dim = width // heads
    shape = {"layers": layers, "attention_heads": heads, "kv_heads": kv_heads or heads, "head_dim": head_dim}
    try:
        return Architecture.model_validate(shape, strict=True)
    except ValidationError:
        return None


def room_for_cache(served: Served, gpu: GpuSpec) -> float:
    """Bytes left for the cache. Raises ConfigError, in one line, where weights or a single request do not fit."""
    usable = served.cards * (gpu.memory_gb * 1e9 * MEMORY_SHARE - RUNTIME_BYTES)
    room = usable - served.weight_bytes
    request = served.max_model_len * served.cache_bytes_per_token
    if room >= request:
        return room
    cards = f"{served.cards} x {gpu.title}" if served.cards > 1 else f"one {gpu.title}"
    raise ConfigError(
        f"{served.spec.name} does not fit on {cards}: weights {served.weight_bytes / 1e9:.1f} GB and one request of "
        f"{served.max_model_len} tokens {request / 1e9:.1f} GB, of {usable / 1e9:.1f} GB usable.",
        hint="Give more cards (--tensor-parallel-size), a larger card or a smaller model.",
    )


def estimate(work: Workload, served: Served, gpu: GpuSpec, efficiency: float) -> Estimate:
    """Seconds for a mean record of `work`. Raises ConfigError as `room_for_cache` does."""
    room = room_for_cache(served, gpu)
    flops = served.cards * gpu.bf16_tflops * 1e12 * efficiency
    bandwidth = served.cards * gpu.bandwidth_gb_s * 1e9 * efficiency
    operations = work.computed_tokens * served.flops_per_token + work.attended_tokens * served.flops_per_attended_token
    sequences, decode = 0, 0.0
    if work.output_tokens:
        sequences = _together(work, served, room)
        context = work.context_tokens / work.output_tokens
        per_sequence = served.flops_per_token + context * served.flops_per_attended_token
        read = served.weight_bytes + sequences * context * served.cache_bytes_per_token
        step = max(read / bandwidth, sequences * per_sequence / flops)
        decode = work.output_tokens / sequences * step
    return Estimate(
        gpu=gpu.name,
        cards=served.cards,
        strategy=work.strategy,
        sequences=sequences,
        prefill_seconds=operations / flops / work.records,
        decode_seconds=decode / work.records,
    )


def _together(work: Workload, served: Served, room: float) -> int:
    """Answers written at once: those of as many records as the cache holds, a shared prefix counted once."""
    records = room / (work.held_tokens / work.records * served.cache_bytes_per_token)
    return max(1, min(served.max_num_seqs, int(records * work.written_requests / work.records)))
