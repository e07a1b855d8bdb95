"""`read` against other ways to ask one model the same questions: vLLM's own structured decisions (`/v1/systemone`; as
`systemone_pack` with the pack and its examples in their instructions, and short questions); and one HTTP chat
completion for each indicator, that answers in one token (`chat`) or with a reason and a score, as graders are
commonly asked (`chat_answer`), 64 at a time or one after another (`one_by_one`), as a plain script asks; all on a
`vllm serve` on this machine.

    python scripts/bench_peers.py [--model FOLDER] [--records N] [--rounds N]

Needs a Qwen3, the only text family that `/v1/systemone` takes. Without --model, one with the shape of Qwen3-0.6B and
random weights is made: right for speed, meaningless for verdicts. The peers get what their users would send: the
same record text and the same criterion texts, 8 records at a time or 64 completions at a time. Each words its prompt
in its own way, so the token counts differ, and are shown. Random weights end no answer: one with a reason stops at
26 tokens, what `explain` was measured to take on average. `read` shows the pack's examples, and `systemone_pack` the
same text; `read_bare` is `read` without them: the same words to judge by as the other peers. Both ask each indicator
once (`orders` 1), as the peers do, and run in this process while no server is up; every side has the machine to
itself and starts with an empty prefix cache. The last line is JSON; the ratios are records per second over the
peer's.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from bench_setting import example_records, forget, open_bench_engine, print_figures

from localjudge.judge import Judge
from localjudge.prompts import Prompts
from localjudge.records import Record
from localjudge.rubric import Indicator, Rubric, builtin_rubrics
from localjudge.strategies import Settings
from localjudge.verdicts import Usage

RUBRICS = builtin_rubrics()
PROMPTS = Prompts()
PORT = 8471
PEERS = ("systemone", "systemone_pack", "chat", "chat_answer", "one_by_one")
OWN = ("read", "read_bare")
ANSWER_TOKENS = 26
OPTIONS = {"max_num_seqs": 64, "max_model_len": 8192, "kv_cache_memory_bytes": 2 << 30}


def main() -> None:
    """Measures the three sides, and prints the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    parser.add_argument("--records", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or _random_model(Path(folder) / "qwen3-0.6b-random")
        records = example_records(options.records)
        sides = _reads(model, records, options.rounds)
        with _server(model, Path(folder)) as client:
            for name, ask, width in ASKS:
                if name in options.peers:
                    sides[name] = asyncio.run(_peer(client, ask, width, records, options.rounds))
    for name, (seconds, tokens) in sides.items():
        print(f"{name}: {[round(one, 1) for one in seconds]} s, {tokens / len(records):.0f} prompt tokens a record")
    rate = {name: len(records) / statistics.median(seconds) for name, (seconds, _) in sides.items()}
    print_figures(
        benchmark="peers",
        model=Path(model).name,
        records=len(records),
        rounds=options.rounds,
        **{f"{own}_vs_{peer}": round(rate[own] / rate[peer], 2) for peer in options.peers for own in OWN},
        records_per_second={name: round(value, 4) for name, value in rate.items()},
        prompt_tokens_per_record={name: round(tokens / len(records)) for name, (_, tokens) in sides.items()},
    )


Side = tuple[list[float], int]
"""Seconds of each round, and prompt tokens of one round."""
Client = tuple[str, str]
"""Address and key."""
Ask = Callable[[httpx.AsyncClient, Record], list[Callable[[], Awaitable[int]]]]
"""The calls that a record needs; each returns the prompt tokens it was charged."""


def _random_model(folder: Path) -> str:
    script = Path(__file__).with_name("make_tiny_model.py")
    subprocess.run([sys.executable, str(script), str(folder), "0.6b"], check=True, stdout=sys.stderr)
    return str(folder)


def _reads(model: str, records: list[Record], rounds: int) -> dict[str, Side]:
    settings = Settings(strategy="read", orders=1, rules="off")
    sides: dict[str, Side] = {}
    # Random weights put no mass on any label, so every grade is unscored; what is asked and computed is the same.
    with open_bench_engine(model, **OPTIONS) as engine:
        for name, rubrics in zip(OWN, (RUBRICS, {key: _bare(rubric) for key, rubric in RUBRICS.items()}), strict=True):
            judge = Judge(engine, rubrics, settings)
            list(judge.judge(records[:1]))
            seconds, tokens = [], 0
            for _ in range(rounds):
                forget(engine)
                start = time.perf_counter()
                usage = Usage()
                for verdict in judge.judge(records):
                    usage += verdict.usage
                seconds.append(time.perf_counter() - start)
                tokens = usage.prompt_tokens
            sides[name] = seconds, tokens
    return sides


def _bare(rubric: Rubric) -> Rubric:
    """The rubric without its examples."""
    groups = tuple(
        group.model_copy(
            update={"indicators": tuple(one.model_copy(update={"examples": ()}) for one in group.indicators)}
        )
        for group in rubric.groups
    )
    # Made anew and not copied: a copy keeps the list of indicators that the original had worked out.
    return Rubric.model_construct(**dict(rubric) | {"groups": groups})


async def _peer(client: Client, ask: Ask, width: int, records: list[Record], rounds: int) -> Side:
    seconds, tokens = [], 0
    address, key = client
    limits = httpx.Limits(max_connections=width)
    async with httpx.AsyncClient(
        base_url=address, headers={"Authorization": f"Bearer {key}"}, timeout=3600, limits=limits
    ) as http:
        for number in range(rounds + 1):
            (await http.post("/reset_prefix_cache")).raise_for_status()
            calls = [call for record in (records if number else records[:1]) for call in ask(http, record)]
            gate = asyncio.Semaphore(width)
            start = time.perf_counter()
            charged = await asyncio.gather(*(_gated(gate, call) for call in calls))
            if number:  # the first round only warms up
                seconds.append(time.perf_counter() - start)
                tokens = sum(charged)
    return seconds, tokens


async def _gated(gate: asyncio.Semaphore, call: Callable[[], Awaitable[int]]) -> int:
    async with gate:
        return await call()


def _decide(http: httpx.AsyncClient, record: Record) -> list[Callable[[], Awaitable[int]]]:
    """One call for the whole record."""
    questions = {
        indicator.id: _choice(
            indicator.criterion,
            indicator.pass_when,
            indicator.fail_when,
            indicator.not_applicable_when or "不适用",
        )
        for indicator in RUBRICS[record.task_type].indicators
    }
    return [_decision(http, record, _system(record), questions)]


def _decide_by_pack(http: httpx.AsyncClient, record: Record) -> list[Callable[[], Awaitable[int]]]:
    """The same behind what stands before the record in a read, so that the questions need not repeat it."""
    rubric = RUBRICS[record.task_type]
    (pack,) = PROMPTS.packs(rubric, 1)
    questions = {one.id: _choice(one.criterion, "合格", "不合格", "不适用") for one in rubric.indicators}
    return [_decision(http, record, pack.parts[0].text, questions)]


def _choice(criterion: str, met: str, not_met: str, not_applicable: str) -> dict[str, Any]:
    criteria = {"符合": met, "违反": not_met, "无关": not_applicable}
    return {"type": "choice", "instructions": criterion, "criteria": criteria}


def _decision(
    http: httpx.AsyncClient, record: Record, instructions: str, questions: dict[str, Any]
) -> Callable[[], Awaitable[int]]:
    async def call() -> int:
        body = {"instructions": instructions, "state": _state(record), "questions": questions}
        response = await http.post("/v1/systemone", json=body)
        response.raise_for_status()
        return int(response.json()["usage"]["input_tokens"])

    return call


def _word(http: httpx.AsyncClient, record: Record) -> list[Callable[[], Awaitable[int]]]:
    """One call for each indicator, answered in one token."""
    rubric = RUBRICS[record.task_type]
    asked = {"max_tokens": 1, "logprobs": True, "top_logprobs": 20}
    return [_completion(http, record, _question(rubric, one), asked) for one in rubric.indicators]


def _question(rubric: Rubric, indicator: Indicator) -> str:
    """The question of a read with both sides of its indicator next to it: no pack stands before the record."""
    sides = f"合格：{indicator.pass_when}\n不合格：{indicator.fail_when}\n"
    if indicator.not_applicable_when:
        sides += f"不适用：{indicator.not_applicable_when}\n"
    criterion, _, ask = PROMPTS.read(rubric, indicator).text.rpartition("\n")
    return f"{criterion}\n{sides}{ask}"


def _answer(http: httpx.AsyncClient, record: Record) -> list[Callable[[], Awaitable[int]]]:
    """One call for each indicator, answered with a reason and a score."""
    rubric = RUBRICS[record.task_type]
    asked = {"max_tokens": ANSWER_TOKENS, "ignore_eos": True}
    return [_completion(http, record, PROMPTS.explain(rubric, one).text, asked) for one in rubric.indicators]


def _completion(
    http: httpx.AsyncClient, record: Record, question: str, asked: dict[str, Any]
) -> Callable[[], Awaitable[int]]:
    async def call() -> int:
        body = asked | {
            "messages": [
                {"role": "system", "content": _system(record)},
                {"role": "user", "content": _state(record) + question},
            ],
            "temperature": 0,
            "chat_template_kwargs": {"enable_thinking": False},
        }
        response = await http.post("/v1/chat/completions", json=body)
        response.raise_for_status()
        return int(response.json()["usage"]["prompt_tokens"])

    return call


def _system(record: Record) -> str:
    return PROMPTS.opening(record)[0].parts[0].text


def _state(record: Record) -> str:
    return "".join(part.text for part in PROMPTS.opening(record)[1])


@contextmanager
def _server(model: str, folder: Path) -> Iterator[Client]:
    environment = os.environ | {"LOCALJUDGE_HOME": str(folder / "home"), "VLLM_SERVER_DEV_MODE": "1"}
    command = [sys.executable, "-m", "localjudge", "serve", model, "--port", str(PORT)]
    for name, value in OPTIONS.items():
        command += ["--engine-arg", f"{name}={value}"]
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{PORT}"
    try:
        for _ in range(600):
            if process.poll() is not None:
                raise SystemExit((folder / "serve.log").read_text(encoding="utf-8", errors="replace")[-2000:])
            try:
                if httpx.get(f"{address}/health", timeout=2).status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(1)
        yield address, (folder / "home" / "serve" / f"{PORT}.key").read_text(encoding="utf-8").strip()
    finally:
        process.terminate()
        process.wait(timeout=120)


ASKS: tuple[tuple[str, Ask, int], ...] = (
    ("systemone", _decide, 8),
    ("systemone_pack", _decide_by_pack, 8),
    ("chat", _word, 64),
    ("chat_answer", _answer, 64),
    ("one_by_one", _answer, 1),
)
"""Peer, its calls for a record, and how many of them are under way at a time."""


if __name__ == "__main__":
    main()
