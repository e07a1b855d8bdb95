"""`localjudge plan`: what it prints, what it says of its own sureness, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import UNENDING, call, line

ROOT = Path(__file__).parents[1]
EXAMPLES = (ROOT / "examples" / "push.jsonl", ROOT / "examples" / "reply.jsonl")

pytestmark = pytest.mark.usefixtures("own_home")


def plan(*arguments: str | Path) -> dict[str, Any]:
    result = call("plan", *arguments, "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_a_model_that_is_not_here_is_planned_from_characters_and_says_so() -> None:
    found = plan(*EXAMPLES, "--model", "qwen3-8b", "--rules", "off")
    assert (found["estimate"], found["records"], found["tokens"]) == (True, 24, "guessed from characters")
    assert found["architecture"] == {"layers": 36, "attention_heads": 32, "kv_heads": 8, "head_dim": 128}
    assert set(found["per_record"]) == {"read", "cascade", "explain", "joint"}
    assert found["per_record"]["explain"]["requests"] == 23.5
    rates = {(row["gpu"], row["strategy"]): row["records_per_s"] for row in found["gpus"]}
    assert rates["h100-sxm", "read"] > rates["a100-80gb", "read"] > rates["l4", "read"] > 0
    assert rates["h100-sxm", "read"] > rates["h100-sxm", "cascade"]
    for row in found["gpus"]:
        assert row["seconds"] == pytest.approx(24 / row["records_per_s"], rel=0.02)
        assert row["records_per_s_at_peak"] == pytest.approx(2 * row["records_per_s"], rel=0.02)


def test_a_model_that_is_here_is_counted_with_its_own_tokenizer_and_the_guess_is_near(tiny_model: Path) -> None:
    counted = plan(*EXAMPLES, "--model", tiny_model)
    assert counted["tokens"] == "counted"
    assert counted["architecture"]["layers"] == 2  # its own config.json
    guessed = plan(*EXAMPLES, "--model", "qwen3-8b")
    for strategy, row in counted["per_record"].items():
        assert guessed["per_record"][strategy]["prompt_tokens"] == pytest.approx(row["prompt_tokens"], rel=0.1)


def test_the_table_is_marked_as_an_estimate_and_names_what_does_not_fit() -> None:
    result = call("plan", EXAMPLES[0], "--model", "qwen3-14b", "--strategy", "read")
    assert result.exit_code == 0
    assert "ESTIMATE" in result.stdout
    assert "qwen3-14b does not fit on one NVIDIA L4" in result.stdout
    assert "h100-sxm" in result.stdout


def test_a_card_that_was_asked_for_must_hold_the_model() -> None:
    refused = call("plan", EXAMPLES[0], "--model", "qwen3-14b", "--gpu", "l4")
    assert refused.exit_code == 3
    assert refused.stderr.count("\n") == 1
    assert "does not fit on one NVIDIA L4" in refused.stderr
    assert "--tensor-parallel-size" in refused.stderr
    more = plan(EXAMPLES[0], "--model", "qwen3-14b", "--gpu", "L4", "--tensor-parallel-size", "4")
    assert {(row["gpu"], row["cards"]) for row in more["gpus"]} == {("l4", 4)}


def test_assumptions_move_the_figures_and_stand_beside_them() -> None:
    base = plan(EXAMPLES[0], "--model", "qwen3-8b", "--gpu", "l40s", "--strategy", "explain")
    longer = plan(
        *(EXAMPLES[0], "--model", "qwen3-8b", "--gpu", "l40s", "--strategy", "explain", "--answer-tokens", "52")
    )
    assert longer["assumed"]["answer_tokens"] == 52
    output = [found["per_record"]["explain"]["output_tokens"] for found in (base, longer)]
    assert output[1] == pytest.approx(2 * output[0], abs=0.2)
    assert longer["gpus"][0]["records_per_s"] < base["gpus"][0]["records_per_s"]
    fast = ("--strategy", "cascade", "--reasons", "failed", "--failed-share", "0.1")
    few = plan(EXAMPLES[0], "--model", "qwen3-8b", "--gpu", "l40s", *fast)
    assert few["gpus"][0]["records_per_s"] > base["gpus"][0]["records_per_s"]


def test_a_sample_counts_all_records_and_the_tokens_of_the_first(tmp_path: Path) -> None:
    found = plan(*EXAMPLES, "--model", "qwen3-8b", "--gpu", "l40s", "--strategy", "read", "--sample", "3")
    assert (found["records"], found["sampled"]) == (24, 3)


@pytest.mark.parametrize(
    ("content", "arguments", "code", "said"),
    [
        (line("a"), ("--model", "qwen3-8b", "--gpu", "h1000"), 3, "h100-sxm"),
        (line("a"), ("--model", "qwen3-80b"), 3, "qwen3-8b"),
        (b"", ("--model", "qwen3-8b"), 3, "in.jsonl."),
        (line("a") + b"{\n", ("--model", "qwen3-8b"), 3, "in.jsonl:2: not JSON"),
        (line("a", message=UNENDING), ("--model", "qwen3-8b"), 2, "16384"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_one_line(
    tmp_path: Path, content: bytes, arguments: tuple[str, ...], code: int, said: str
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(content)
    refused = call("plan", path, *arguments)
    assert refused.exit_code == code
    assert refused.stderr.count("\n") == 1
    assert said in refused.stderr


def test_a_model_whose_shape_is_unknown_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = "models:\n  m:\n    title: M\n    licence: x\n    parameters: 1.0\n    context_length: 4096\n"
    entry += "    thinking: false\n    min_gpu_memory_gb: 4\n    sources: [{path: /nowhere}]\n"
    (tmp_path / "models.yaml").write_text(entry, encoding="utf-8")
    monkeypatch.setenv("LOCALJUDGE_MODELS_FILE", str(tmp_path / "models.yaml"))
    refused = call("plan", EXAMPLES[0], "--model", "m")
    assert refused.exit_code == 3
    assert "numbers of layers and heads are not known" in refused.stderr
