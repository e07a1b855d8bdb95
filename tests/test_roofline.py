"""The estimate, worked by hand on a model and a card with round numbers."""

from __future__ import annotations

from typing import Any

import pytest

from localjudge.errors import ConfigError
from localjudge.gpus import GpuSpec, find_gpu, load_gpus
from localjudge.registry import Architecture, ModelSpec, load_models
from localjudge.roofline import Served, architecture_of, estimate, room_for_cache
from localjudge.workload import Workload

CARD = GpuSpec(name="card", title="Card", memory_gb=20.0, bandwidth_gb_s=1000.0, bf16_tflops=100.0)
SHAPE = Architecture(layers=10, attention_heads=8, kv_heads=2, head_dim=50)


def spec(**fields: Any) -> ModelSpec:
    values: dict[str, Any] = {
        "name": "m",
        "title": "M",
        "licence": "x",
        "parameters": 5.0,
        "context_length": 4096,
        "thinking": False,
        "min_gpu_memory_gb": 12.0,
        "sources": [{"path": "/m"}],
        "engine_options": {"max_model_len": 1000, "max_num_seqs": 100},
    }
    return ModelSpec.model_validate(values | fields)


def served(cards: int = 1, **fields: Any) -> Served:
    return Served.of(spec(**fields), SHAPE, cards)


def test_bytes_and_operations_of_a_token() -> None:
    model = served()
    assert model.weight_bytes == 10e9  # 5 billion at 2 bytes
    assert model.cache_bytes_per_token == 2 * 10 * 2 * 50 * 2  # keys and values, layers, kv heads, head dim, bytes
    assert model.flops_per_token == 10e9
    assert model.flops_per_attended_token == 4 * 10 * 8 * 50


def test_a_mixture_of_experts_keeps_all_weights_and_computes_with_the_active_ones() -> None:
    model = served(active_parameters=1.0)
    assert (model.weight_bytes, model.flops_per_token) == (10e9, 2e9)


def test_more_cards_than_kv_heads_keep_copies_of_a_head() -> None:
    assert served(2).cache_bytes_per_token == served(1).cache_bytes_per_token
    assert served(4).cache_bytes_per_token == 2 * served(1).cache_bytes_per_token


def test_reads_cost_their_computed_tokens_and_no_decoding() -> None:
    work = Workload("read", records=10, computed_tokens=20_000, attended_tokens=5e6, held_tokens=10_000)
    found = estimate(work, served(), CARD, 1.0)
    # (20,000 x 10e9 + 5e6 x 16,000) operations / 1e14 a second / 10 records
    assert found.prefill_seconds == pytest.approx((2e14 + 8e10) / 1e14 / 10)
    assert (found.sequences, found.decode_seconds) == (0, 0.0)
    assert found.records_per_second == pytest.approx(1 / found.prefill_seconds)


def test_written_answers_read_the_weights_once_a_step_for_all_sequences() -> None:
    work = Workload(
        "explain", records=10, computed_tokens=0, written_requests=200, output_tokens=4000, context_tokens=4000 * 500
    )
    work.held_tokens = 10 * 1000
    found = estimate(work, served(), CARD, 1.0)
    # Room: 20e9 x 0.9 - 2e9 - 10e9 = 6e9 bytes = 1.5 million tokens: 1500 records of 1000, so max_num_seqs bounds.
    assert found.sequences == 100
    step = (10e9 + 100 * 500 * 4000) / 1e12
    assert step > 100 * (10e9 + 500 * 16_000) / 1e14  # bytes take longer than operations
    assert found.decode_seconds == pytest.approx(4000 / 100 * step / 10)


def test_a_small_cache_bounds_the_sequences() -> None:
    work = Workload("explain", records=1, written_requests=20, output_tokens=400, context_tokens=400 * 500)
    work.held_tokens = 750_000  # two such records fill 1.5 million tokens
    assert estimate(work, served(), CARD, 1.0).sequences == 40


def test_time_is_inverse_to_the_efficiency_and_nearly_to_the_cards() -> None:
    work = Workload("read", records=1, computed_tokens=1000, held_tokens=1000)
    full = estimate(work, served(), CARD, 1.0)
    assert estimate(work, served(), CARD, 0.5).prefill_seconds == pytest.approx(2 * full.prefill_seconds)
    assert estimate(work, served(2), CARD, 1.0).prefill_seconds == pytest.approx(full.prefill_seconds / 2)


@pytest.mark.parametrize("fields", [{"parameters": 8.1}, {"engine_options": {"max_model_len": 1_600_000}}])
def test_what_does_not_fit_is_refused_in_one_line_with_the_sizes(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as refused:
        room_for_cache(served(**fields), CARD)
    assert "\n" not in str(refused.value)
    assert "m does not fit on one Card" in refused.value.problem
    assert "16.0 GB usable" in refused.value.problem
    assert room_for_cache(served(2, **fields), CARD) > 0


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        (
            {"num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128},
            Architecture(layers=36, attention_heads=32, kv_heads=8, head_dim=128),
        ),
        (
            {"num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "hidden_size": 896},
            Architecture(layers=24, attention_heads=14, kv_heads=2, head_dim=64),
        ),
        (
            {"text_config": {"num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 8}},
            Architecture(layers=2, attention_heads=4, kv_heads=4, head_dim=8),
        ),
        ({"num_hidden_layers": 36}, None),
        ({"num_hidden_layers": "36", "num_attention_heads": 32, "head_dim": 128}, None),
        ({"num_hidden_layers": 36, "num_attention_heads": 0, "hidden_size": 64}, None),
    ],
)
def test_the_shape_is_read_from_a_config_or_not_guessed(config: dict[str, Any], shape: Architecture | None) -> None:
    assert architecture_of(config) == shape


def test_every_model_of_the_list_fits_its_own_cards_of_80_gb() -> None:
    card = load_gpus()["a100-80gb"]
    for model in load_models().values():
        assert model.architecture is not None
        assert room_for_cache(Served.of(model, model.architecture, model.tensor_parallel_size), card) > 0


def test_a_card_is_found_in_any_case_and_a_wrong_name_gets_the_nearest() -> None:
    gpus = load_gpus()
    assert find_gpu("H100-SXM", gpus) is gpus["h100-sxm"]
    with pytest.raises(ConfigError, match="h100-sxm"):
        find_gpu("h100", gpus)
