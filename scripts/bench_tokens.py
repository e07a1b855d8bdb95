"""Tokens per record for each strategy: prompt, computed (not taken from the prefix cache), output. Counts do not
depend on how busy the machine is.

    python scripts/bench_tokens.py [--model NAME|FOLDER] [--records N] [--strategy explain --strategy joint]

For `explain`, `computed_over_bound` compares the computed prompt tokens with what sharing the prefix perfectly would
cost: the record once, plus every indicator's tail rounded up to whole cache blocks. Every finished answer is validated
against the published JSON schema; `valid` must equal `finished`. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import jsonschema
from bench_setting import (
    block_size,
    example_records,
    forget,
    open_bench_engine,
    per_record,
    print_figures,
    shared_floor,
)

from localjudge.engines.base import Completion, Engine, Message, Request
from localjudge.engines.driver import TokenEngine
from localjudge.judge import Judge
from localjudge.records import Record
from localjudge.rubric import builtin_rubrics
from localjudge.strategies import Settings


def main() -> None:
    """Measures, and prints the counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    parser.add_argument("--records", type=int, default=4)
    parser.add_argument("--strategy", action="append", choices=["explain", "joint"])
    options = parser.parse_args()
    records = example_records(options.records)
    figures: dict[str, Any] = {}
    with open_bench_engine(options.model) as engine:
        for strategy in options.strategy or ["explain", "joint"]:
            figures[strategy] = _measure(engine, records, strategy)
            print(f"{strategy}: {figures[strategy]}", flush=True)
        print_figures(
            benchmark="tokens",
            model=engine.info.model,
            records=len(records),
            block_size=block_size(engine),
            **figures,
        )


def _measure(engine: TokenEngine, records: list[Record], strategy: Any) -> dict[str, Any]:
    forget(engine)
    watched = _Watched(engine)
    settings = Settings(strategy=strategy, rules="off")
    verdicts = list(Judge(watched, builtin_rubrics(), settings).judge(records))
    figures: dict[str, Any] = per_record(verdicts) | {"finished": watched.finished, "valid": watched.valid}
    if strategy == "explain":
        computed = sum(verdict.usage.prompt_tokens - verdict.usage.cached_tokens for verdict in verdicts)
        figures["computed_over_bound"] = round(computed / shared_floor(engine, records, "explain"), 3)
    return figures


class _Watched(Engine):
    """Passes everything through, and validates every finished answer against the schema it was asked under."""

    def __init__(self, engine: Engine) -> None:
        self.info = engine.info
        self._engine = engine
        self._schemas: dict[str, str] = {}
        self.finished = 0
        self.valid = 0

    @property
    def capacity(self) -> int:
        return self._engine.capacity

    @property
    def in_flight(self) -> int:
        return self._engine.in_flight

    def submit(self, request: Request) -> None:
        self._schemas[request.id] = request.schema or "{}"
        self._engine.submit(request)

    def poll(self) -> list[Completion]:
        completions = self._engine.poll()
        for completion in completions:
            if completion.finish_reason == "stop":
                self.finished += 1
                try:
                    jsonschema.validate(json.loads(completion.text), json.loads(self._schemas[completion.request_id]))
                except (ValueError, jsonschema.ValidationError) as error:
                    print(f"invalid: {completion.request_id}: {type(error).__name__}")
                else:
                    self.valid += 1
        return completions

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        return self._engine.count_tokens(messages)


if __name__ == "__main__":
    main()
