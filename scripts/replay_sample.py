"""Judges records with a small model, then has `localjudge verify` judge them again in another process, in other
batches: how many scores flip, and by how much margins move. Ends with one line of JSON.

    python scripts/replay_sample.py [--records 100] [--strategy read] [--model NAME]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench_setting import SMALL, example_records, print_figures


def localjudge(*arguments: str | Path) -> str:
    """What the command prints. Ends this script when it fails, but for a verification that does not hold."""
    command = [sys.executable, "-m", "localjudge", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    if done.returncode not in (0, 4):
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}")
    return done.stdout


def replayed(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The verification of a run that was made just now."""
    records = folder / "records.jsonl"
    lines = (record.to_json() + "\n" for record in example_records(options.records))
    records.write_text("".join(lines), encoding="utf-8")
    asked = ("--model", options.model, "--max-model-len", "8192")
    localjudge("run", records, *asked, "--strategy", options.strategy, "--out", folder / "run", "--progress", "plain")
    # A replay that batches as the run did would show less than a second lab sees.
    again = ("--engine-arg", f"max_num_seqs={options.max_num_seqs}", "--sample", str(options.records))
    found: dict[str, Any] = json.loads(
        localjudge("verify", folder / "run", "--level", "replay", "--input", records, *asked, *again, "--json")
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=100)
    parser.add_argument("--strategy", default="read")
    parser.add_argument("--model", default=SMALL)
    parser.add_argument(
        "--max-num-seqs", type=int, default=24, help="sequences at a time in the replay; the run has 64"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="localjudge-") as folder:
        found = replayed(Path(folder), options)
    for level in found["levels"]:
        print(f"{level['level']:<13} {level['outcome']:<8} {level['detail']}")
        for text in (*level["faults"], *level["notes"]):
            print(f"  {text}")
    print_figures(model=options.model, strategy=options.strategy, passed=found["passed"], **found["replay"] or {})


if __name__ == "__main__":
    main()
