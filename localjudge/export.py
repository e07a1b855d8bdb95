"""Verdicts in other programs' formats: Parquet, CSV, JSON lines, and the shape of an OpenAI batch result."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, BinaryIO

from localjudge.characters import spelled_out
from localjudge.errors import ConfigError
from localjudge.stored import judgement
from localjudge.verdicts import Verdict

COLUMNS = (
    "id task_type rubric indicator_id indicator score applicable reason p_pass label_mass margin source decided_by "
    "contradiction unscored numerically_undecided flags engine".split()
)
"""A table has one row for each grade: each indicator of each record, with the flags of its record and the engine of the
run, `fake` where scores are made up."""
_BATCH_ROWS = 4096
_FORMULA = re.compile(r"^(?=[^\S\n]*[=+\-@＝＋－＠]|[\t\r])", re.MULTILINE)
"""Where a spreadsheet would compute a cell, or a line of one that is pasted; full-width signs count under Chinese
settings."""


def write_merged(file: BinaryIO, verdicts: Iterable[Verdict]) -> None:
    """One verdict a line, without `usage`: how much a cache saved is no part of a judgement."""
    for verdict in verdicts:
        file.write(judgement(verdict) + b"\n")


def write_jsonl(file: BinaryIO, verdicts: Iterable[Verdict], engine: str) -> None:
    """One grade a line."""
    for row in grade_rows(verdicts, engine):
        file.write(json.dumps(row, ensure_ascii=False).encode("utf-8") + b"\n")


def write_csv(file: BinaryIO, verdicts: Iterable[Verdict], engine: str) -> None:
    """One grade a row, in UTF-8 with a byte order mark; text that a spreadsheet would compute begins with '. The other
    formats are lossless; this one is for people."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    rows = csv.DictWriter(text, COLUMNS)
    rows.writeheader()
    for row in grade_rows(verdicts, engine):
        rows.writerow({name: neutral(value) for name, value in row.items()})
    text.flush()
    text.detach()


def write_parquet(file: BinaryIO, verdicts: Iterable[Verdict], engine: str) -> None:
    """One grade a row. Raises ConfigError without pyarrow."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError("writing .parquet needs pyarrow.", hint="Run: pip install 'localjudge[parquet]'") from error
    kinds = {"score": pyarrow.int8()}
    kinds |= dict.fromkeys(("applicable", "contradiction", "numerically_undecided"), pyarrow.bool_())
    kinds |= dict.fromkeys(("p_pass", "label_mass", "margin"), pyarrow.float64())
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in COLUMNS])
    rows = grade_rows(verdicts, engine)
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        while batch := list(islice(rows, _BATCH_ROWS)):
            writer.write_table(pyarrow.Table.from_pylist(batch, schema=schema))


def write_openai_batch(file: BinaryIO, verdicts: Iterable[Verdict], engine: str) -> None:
    """One response a line, as the OpenAI batch API gives them; the message is the verdict as JSON."""
    for verdict in verdicts:
        usage = verdict.usage
        body = {
            "id": f"chatcmpl-{verdict.id}",
            "object": "chat.completion",
            "model": verdict.rubric,
            "engine": engine,
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": judgement(verdict).decode("utf-8")},
                }
            ],
            "usage": {
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.output_tokens,
                "total_tokens": usage.prompt_tokens + usage.output_tokens,
            },
        }
        line = {
            "id": f"batch_req_{verdict.id}",
            "custom_id": verdict.id,
            "response": {"status_code": 200, "request_id": verdict.id, "body": body},
            "error": None,
        }
        file.write(json.dumps(line, ensure_ascii=False).encode("utf-8") + b"\n")


Writer = Callable[[BinaryIO, Iterable[Verdict], str], None]
WRITERS: dict[str, Writer] = {
    "parquet": write_parquet,
    "csv": write_csv,
    "jsonl": write_jsonl,
    "openai-batch": write_openai_batch,
}
SUFFIXES = {"parquet": "parquet", "csv": "csv", "jsonl": "jsonl", "openai-batch": "batch.jsonl"}


def grade_rows(verdicts: Iterable[Verdict], engine: str) -> Iterator[dict[str, Any]]:
    """One row for each grade, with the columns of COLUMNS."""
    for verdict in verdicts:
        head = {"id": verdict.id, "task_type": verdict.task_type, "rubric": verdict.rubric}
        tail = {"flags": " ".join(verdict.flags), "engine": engine}
        for grade in verdict.detail:
            data = grade.model_dump(mode="json") | {"numerically_undecided": grade.numerically_undecided}
            yield head | {name: data["id" if name == "indicator_id" else name] for name in COLUMNS[3:-2]} | tail


def neutral(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula as text, and characters that nobody sees spelled out."""
    return _FORMULA.sub("'", spelled_out(value)) if isinstance(value, str) else value
