"""The server client against a small HTTP server that misbehaves on purpose: what it retries, what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from command_line import ROOT, line

from localjudge.engine_choice import EngineChoice
from localjudge.engines import open_engine
from localjudge.engines.base import Engine, Message, Part, Request
from localjudge.engines.driver import TokenRequest
from localjudge.engines.encode import ChatEncoder
from localjudge.engines.vllm_server import ServerSettings, VLLMServer
from localjudge.errors import EngineError, UsageError
from localjudge.records import parse_record
from localjudge.recovery import SteadyJudge
from localjudge.rubric import load_rubric
from localjudge.strategies import Settings
from localjudge.verdicts import answer_schema, schema_text

GOOD = '{"reason":"语气得体","score":1}'


class Misbehaving(ThreadingHTTPServer):
    """Answers as vLLM does, except for the statuses queued in `troubles` and where it ignores the constraint."""

    def __init__(self, encoder: ChatEncoder, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.encoder = encoder
        self.troubles: list[int] = []
        self.obeys = True
        self.awake = threading.Event()
        self.completions = 0
        self.hangs = 0
        """So many completions that come next are never answered."""
        self.foreign: dict[str, tuple[int, object]] = {}
        """Statuses and bodies that no vLLM answers with, by path."""
        self.pause = ""
        """What a busy answer says of when to come back."""


class Handler(BaseHTTPRequestHandler):
    server: Misbehaving

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path in self.server.foreign:
            self.answer(*self.server.foreign[self.path])
        elif self.path == "/v1/models":
            self.answer(200, {"data": [{"id": "judge", "max_model_len": 4096}]})
        elif self.path == "/version":
            self.answer(200, {"version": "0.32.0"})
        else:
            self.answer(404, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path in self.server.foreign:
            self.answer(*self.server.foreign[self.path])
            return
        if self.path != "/v1/completions":
            self.answer(404, {})
            return
        self.server.completions += 1
        if self.server.hangs:
            self.server.hangs -= 1
            self.server.awake.wait(60)
            return
        if self.server.troubles:
            status = self.server.troubles.pop(0)
            if status == 0:
                self.connection.close()
            else:
                self.answer(status, {"error": {"message": "try later"}})
            return
        regex = body.get("structured_outputs", {}).get("regex", "")
        text = GOOD if "reason" in regex else '"qxz71"' if self.server.obeys else "我是助手"
        ids = list(self.server.encoder.encode_text(text))
        choice = {"text": text, "token_ids": ids, "finish_reason": "stop"}
        self.answer(200, {"choices": [choice], "usage": {"prompt_tokens": len(body["prompt"])}})

    def answer(self, status: int, data: object) -> None:
        payload = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(payload)))
        if self.server.pause and status in (429, 503):
            self.send_header("retry-after", self.server.pause)
        self.end_headers()
        self.wfile.write(payload)


@pytest.fixture
def server(tiny_model: Path) -> Iterator[Misbehaving]:
    misbehaving = Misbehaving(ChatEncoder(tiny_model))
    thread = threading.Thread(target=misbehaving.serve_forever, daemon=True)
    thread.start()
    yield misbehaving
    misbehaving.awake.set()
    misbehaving.shutdown()
    misbehaving.server_close()


def url(server: Misbehaving) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def question(name: str) -> Request:
    return Request(name, (Message("user", (Part("评"),)),), schema_text(answer_schema()), 96)


def test_busy_and_broken_answers_are_tried_again(server: Misbehaving, tiny_model: Path) -> None:
    with open_engine("server", tiny_model, name="judge", server_url=url(server)) as engine:
        server.troubles = [503, 429, 0, 500]
        (completion,) = engine.generate([question("a")])
        assert completion.text == GOOD
        assert server.completions == 1 + 5


def test_a_refused_request_is_an_error_value_and_not_tried_again(server: Misbehaving, tiny_model: Path) -> None:
    with open_engine("server", tiny_model, name="judge", server_url=url(server), options={"concurrency": 1}) as engine:
        server.troubles = [400]
        bad, good = engine.generate([question("a"), question("b")])
        assert bad.finish_reason == "error" and "try later" in bad.error
        assert good.text == GOOD
        assert server.completions == 1 + 2


def test_a_server_that_stays_away_ends_in_one_clear_error(server: Misbehaving, tiny_model: Path) -> None:
    with open_engine("server", tiny_model, name="judge", server_url=url(server), options={"tries": 2}) as engine:
        server.troubles = [503, 503, 503]
        with pytest.raises(EngineError, match="did not answer in 2 tries"):
            engine.generate([question("a")])


def test_a_server_that_ignores_the_constraint_is_refused_at_the_start(server: Misbehaving, tiny_model: Path) -> None:
    server.obeys = False
    with pytest.raises(EngineError, match="ignores the answer constraint"):
        open_engine("server", tiny_model, name="judge", server_url=url(server))


PAGE = b"<html>busy</html>"


FOREIGN: list[tuple[str, int, object]] = [
    ("/v1/models", 200, PAGE),
    ("/v1/models", 200, []),
    ("/v1/models", 404, []),
    ("/v1/models", 200, {"data": ["judge"]}),
    ("/tokenize", 200, {"tokens": 7}),
    ("/version", 200, PAGE),
    ("/v1/completions", 200, {"choices": []}),
]


def test_what_is_no_vllm_server_is_refused_with_one_clear_error(server: Misbehaving) -> None:
    for path, status, body in FOREIGN:
        server.foreign = {path: (status, body)}
        told = "names no model" if status == 404 else f"does not answer {path} as a vLLM server does"
        with pytest.raises(EngineError, match=told):
            VLLMServer(ServerSettings(url(server)), server.encoder, name="judge")


def test_a_server_that_stops_answering_as_vllm_does_is_an_engine_that_is_gone(server: Misbehaving) -> None:
    wrong_tokens = {"choices": [{"token_ids": ["a"], "finish_reason": "stop"}]}
    backend = VLLMServer(ServerSettings(url(server), concurrency=1), server.encoder, name="judge")
    for body in (PAGE, {"choices": []}, wrong_tokens):
        server.foreign["/v1/completions"] = (200, body)
        backend.add(TokenRequest("a", [1], 4, None, (), 0))
        with pytest.raises(EngineError, match="does not answer /v1/completions as a vLLM server does"):
            backend.step()
    backend.close()


def test_one_answer_that_is_not_vllms_costs_no_record(server: Misbehaving, tiny_model: Path) -> None:
    def opened() -> Engine:
        return open_engine("server", tiny_model, name="judge", server_url=url(server), options={"concurrency": 2})

    records = [parse_record({"id": name, "task_type": "push", "message": "您好"}) for name in "ab"]
    small = load_rubric("push").select(("1.1", "2.1"))
    judge = SteadyJudge(opened, {"push": small}, Settings(strategy="explain"))
    server.troubles = [200]
    assert {verdict.id: verdict.scored for verdict in judge.judge(records)} == {"a": 2, "b": 2}
    assert judge.reopened == 1
    judge.close()


@pytest.mark.parametrize(
    ("engine", "name", "value"),
    [
        ("server", "concurrency", "abc"),
        ("server", "concurrency", 0),
        ("server", "timeout", float("nan")),
        ("server", "tries", True),
        ("hf", "batch_size", "abc"),
        ("hf", "batch_size", 0),
        ("vllm", "max_num_seqs", None),
        ("fake", "delay", "abc"),
        ("fake", "delay", -1),
    ],
)
def test_an_engine_option_that_is_no_sensible_number_is_refused_before_anything_is_loaded(
    tmp_path: Path, engine: str, name: str, value: object
) -> None:
    with pytest.raises(UsageError, match=f"engine option {name} is {value!r}. Give a .*number of at least"):
        open_engine(engine, tmp_path, name="judge", server_url="http://127.0.0.1:9", options={name: value})


def test_a_number_of_cards_that_is_none_is_refused_before_a_place_is_sought_for_them() -> None:
    assert EngineChoice("vllm", {"tensor_parallel_size": 2, "pipeline_parallel_size": 3}).cards(None) == 6
    with pytest.raises(UsageError, match="engine option tensor_parallel_size is 'two'"):
        EngineChoice("vllm", {"tensor_parallel_size": "two"}).cards(None)


def test_nothing_listening_is_one_clear_error(tiny_model: Path) -> None:
    with pytest.raises(EngineError, match="did not answer"):
        open_engine("server", tiny_model, name="judge", server_url="http://127.0.0.1:9", options={"tries": 2})


def test_a_server_that_is_gone_and_comes_back_loses_nothing(tiny_model: Path) -> None:
    first = Misbehaving(ChatEncoder(tiny_model))
    threading.Thread(target=first.serve_forever, daemon=True).start()
    with open_engine("server", tiny_model, name="judge", server_url=url(first)) as engine:
        first.troubles = [0] * 40
        for number in range(8):
            engine.submit(question(str(number)))
        time.sleep(0.2)
        first.shutdown()
        first.server_close()
        time.sleep(2)
        second = Misbehaving(first.encoder, first.server_address[1])
        threading.Thread(target=second.serve_forever, daemon=True).start()
        found: list[str] = []
        while engine.in_flight:
            found += [completion.text for completion in engine.poll()]
        assert found == [GOOD] * 8
        second.shutdown()
        second.server_close()


def test_a_busy_server_is_left_alone_for_as_long_as_it_asks(server: Misbehaving, tiny_model: Path) -> None:
    with open_engine("server", tiny_model, name="judge", server_url=url(server)) as engine:
        server.troubles, server.pause = [429], "2"
        start = time.monotonic()
        (completion,) = engine.generate([question("a")])
        assert completion.text == GOOD
        assert time.monotonic() - start >= 2


def test_a_hung_request_times_out_and_is_tried_again(server: Misbehaving, tiny_model: Path) -> None:
    with open_engine("server", tiny_model, name="judge", server_url=url(server), options={"timeout": 1}) as engine:
        server.hangs = 2
        assert [completion.text for completion in engine.generate([question("a")])] == [GOOD]
        server.hangs = 3
        with pytest.raises(EngineError, match="did not answer in 3 tries"):
            engine.generate([question("b")])


def test_a_process_told_to_stop_does_not_wait_for_a_server_that_hangs(
    server: Misbehaving, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "in.jsonl").write_bytes(line("甲"))
    arguments = ["run", "in.jsonl", "--out", "out", "--model", str(tiny_model), "--grace", "1"]
    command = [sys.executable, "-m", "localjudge", *arguments, "--engine", "server", "--server-url", url(server)]
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    deadline = time.monotonic() + 60
    while server.completions < 1 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    server.hangs = 1000
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    start = time.monotonic()
    _, told = process.communicate(timeout=30)
    assert (process.returncode, time.monotonic() - start < 5) == (75, True), told
