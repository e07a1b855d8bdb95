"""The packaged examples on a real 0.5B model, through the command line, as `make demo` does it. Slow: it fetches the
model the first time. A model of this size judges badly; what is tested is that every answer is whole and honest.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from localjudge.registry import load_models
from localjudge.store import RunStore
from localjudge.verdicts import NOT_APPLICABLE, Unscored, answer_schema
from localjudge.weights import resolve, verify

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.engine]
NAME = "qwen2.5-coder-0.5b"
EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def pulled(online: dict[str, str]) -> str:
    command = [sys.executable, "-m", "localjudge", "models", "pull", NAME]
    done = subprocess.run(command, capture_output=True, text=True, env=online, check=False, encoding="utf-8")
    assert done.returncode == 0, done.stderr[-3000:]
    model = resolve(NAME, load_models())
    assert all(check.ok for check in verify(model.path, model.spec))
    return NAME


def judge(tmp_path: Path, *options: str) -> tuple[list[dict[str, object]], dict[str, object], str]:
    out = tmp_path / "run"
    inputs = [str(EXAMPLES / "push.jsonl"), str(EXAMPLES / "reply.jsonl")]
    command = [sys.executable, "-m", "localjudge", "run", *inputs, "--model", NAME, "--out", str(out), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550, check=False, encoding="utf-8")
    assert done.returncode == 0, done.stderr[-3000:]
    verdicts = [verdict.model_dump(mode="json") for verdict in RunStore.open(out).verdicts()]
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    return verdicts, summary, done.stderr


def test_explain_judges_real_conversations_with_valid_answers(pulled: str, tmp_path: Path) -> None:
    asked = ["1.1", "2.1", "3.2", "5.4", "6.4", "7.4"]
    options = ("--limit", "1", "--strategy", "explain", "--rules", "off", "--indicators", ",".join(asked))
    verdicts, summary, _ = judge(tmp_path, *options)
    assert len(verdicts) == summary["records"] == 1
    schema = answer_schema()
    for verdict in verdicts:
        assert [grade["id"] for grade in verdict["detail"]] == asked
        for grade in verdict["detail"]:
            if grade["score"] is None:
                assert grade["unscored"] == Unscored.CONTRADICTORY
            elif grade["reason"] != NOT_APPLICABLE:
                jsonschema.validate({"reason": grade["reason"], "score": grade["score"]}, schema)
    # All of a record share one prefix, so most prompt tokens come from the cache.
    usage = summary["usage"]
    assert usage["cached_tokens"] > 0.5 * usage["prompt_tokens"]


def test_the_default_cascade_judges_with_probabilities_and_keeps_its_stages(pulled: str, tmp_path: Path) -> None:
    verdicts, _, _ = judge(tmp_path, "--limit", "1", "--reasons", "failed", "--indicators", "1.1,2.1,5.4")
    (verdict,) = verdicts
    for grade in verdict["detail"]:  # type: ignore[attr-defined]
        if grade["source"] == "rule":
            continue
        read = grade["stages"][0]
        assert read["stage"] == "read"
        assert read["unscored"] == Unscored.OFF_LABEL or 0 <= read["p_pass"] <= 1
        assert grade["decided_by"] or grade["unscored"]


def test_joint_judges_several_indicators_in_one_answer(pulled: str, tmp_path: Path) -> None:
    verdicts, _, _ = judge(tmp_path, "--limit", "1", "--strategy", "joint", "--indicators", "1.1,2.1,5.4")
    (verdict,) = verdicts
    assert all(grade["unscored"] != Unscored.ENGINE_ERROR for grade in verdict["detail"])
    assert verdict["scored"] > 0
