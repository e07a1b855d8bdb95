"""The backend without a model: everything but the answers is real, so its runs count real tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from localjudge.engine_choice import EngineChoice
from localjudge.engines import open_engine
from localjudge.engines.base import Message, Part, Request
from localjudge.engines.encode import ChatEncoder
from localjudge.intake import RunRequest
from localjudge.judge import Judge
from localjudge.records import Record, TaskType, read_records
from localjudge.rubric import Rubric, load_rubric
from localjudge.run import execute
from localjudge.store import RunStore
from localjudge.strategies import Settings, Strategy
from localjudge.weights import resolve

EXAMPLES = Path(__file__).parents[1] / "examples"
RUBRICS: dict[TaskType, Rubric] = {pack.task_type: pack for pack in (load_rubric("reply"), load_rubric("push"))}


def records(limit: int) -> list[Record]:
    return [entry for entry in read_records(EXAMPLES / "push.jsonl") if isinstance(entry, Record)][:limit]


@pytest.mark.parametrize("strategy", ["read", "cascade", "explain", "joint"])
def test_every_strategy_comes_to_whole_verdicts_with_real_token_counts(tiny_model: Path, strategy: Strategy) -> None:
    engine = open_engine("fake", tiny_model, name="tiny")
    asked = records(3)
    verdicts = list(Judge(engine, RUBRICS, Settings(strategy=strategy)).judge(asked))
    assert {verdict.id for verdict in verdicts} == {record.id for record in asked}
    for verdict in verdicts:
        assert verdict.scored == verdict.max_score == 22
        assert {grade.score for grade in verdict.detail} <= {0, 1}
    again = list(Judge(engine, RUBRICS, Settings(strategy=strategy)).judge(asked))
    assert sorted(again, key=lambda v: v.id) == sorted(verdicts, key=lambda v: v.id)


def test_prompt_tokens_are_those_of_the_folders_own_tokenizer(tiny_model: Path) -> None:
    engine, encoder = open_engine("fake", tiny_model, name="tiny"), ChatEncoder(tiny_model)
    messages = (Message("user", (Part("您好，订单 #42 已发货 🚚", data=True), Part("对吗？"))),)
    (done,) = engine.generate([Request("a", messages, choices=("符合", "违反", "无关"))])
    assert done.prompt_tokens == len(encoder.encode(messages))
    assert len(done.choice_logprobs) == 3


def test_thinking_is_played_in_two_phases(tiny_model: Path) -> None:
    engine = open_engine("fake", tiny_model, name="tiny")
    message = (Message("user", (Part("好"),)),)
    (done,) = engine.generate([Request("a", message, schema='{"enum":[0,1]}', thinking_budget=64)])
    assert done.text in ("0", "1")
    assert done.thinking
    assert done.thinking_tokens < done.output_tokens


def test_a_fake_run_with_a_model_stores_real_token_counts_and_its_digest(
    tiny_model: Path, tmp_path: Path, own_home: None
) -> None:
    out, with_model = tmp_path / "run", resolve(str(tiny_model), {})
    request = RunRequest(
        inputs=(EXAMPLES / "push.jsonl",),
        out=out,
        rubrics=RUBRICS,
        model=with_model,
        engine=EngineChoice("fake"),
        limit=2,
    )
    result = execute(request)
    stored = list(RunStore.open(out).verdicts())
    plan = json.loads((out / "plan.json").read_text(encoding="utf-8"))
    assert plan["model"]["digest"] == with_model.digest
    assert result.summary.records == len(stored) == 2
    assert result.manifest.engine["engine"] == "fake"
    assert result.summary.usage.prompt_tokens == sum(verdict.usage.prompt_tokens for verdict in stored) > 2 * 22 * 200


def test_an_answer_that_outgrows_its_limit_is_cut(tiny_model: Path) -> None:
    engine = open_engine("fake", tiny_model, name="tiny")
    schema = '{"type":"object","properties":{"reason":{"type":"string"}}}'
    (done,) = engine.generate([Request("a", (Message("user", (Part("好"),)),), schema=schema, max_tokens=2)])
    assert (done.finish_reason, done.output_tokens) == ("length", 2)
