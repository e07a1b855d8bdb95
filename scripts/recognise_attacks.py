"""How much of an attack the striking takes out, without a model.

    python scripts/recognise_attacks.py [--mutations tests/data/attacks.jsonl] [--half A|B]

Puts each mutation on every failing message of the development exam, and counts messages that are seen exactly as they
were before the attack, flagged ones, and those in which nothing is noticed; and, over ordinary records, what is struck
although nobody attacked. `--half` takes the lines of a file with that `half`, and prints counts alone for half B, whose
texts the detectors' author must not see. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from localjudge.exam import packaged_exam, read_pairs
from localjudge.flags import flags_in
from localjudge.mutations import MUTATIONS, Mutation, read_mutations
from localjudge.records import Record, read_records
from localjudge.rubric import builtin_rubrics
from localjudge.strike import seen_record, strike

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mutations", type=Path)
    parser.add_argument("--half")
    given = parser.parse_args()
    mutations = _of_half(given.mutations, given.half) if given.mutations else MUTATIONS
    pairs = read_pairs(packaged_exam(), builtin_rubrics())
    messages = [pair.message_fail for pair in pairs if pair.message_fail is not None]
    total = dict.fromkeys(("exact", "struck", "flagged", "unnoticed"), 0)
    for mutation in mutations:
        counts = _counts(mutation, messages)
        total = {name: total[name] + count for name, count in counts.items()}
        if given.half != "B":
            print(f"{mutation.name:28}", *(f"{name} {count / len(messages):.2f}" for name, count in counts.items()))
    ordinary = [record for path in (ROOT / "examples").glob("*.jsonl") for record in read_records(path)]
    ordinary += [side for pair in pairs for side in pair.records()]
    false = sum(isinstance(record, Record) and seen_record(record) is not record for record in ordinary)
    attacked = len(mutations) * len(messages)
    shares = {name: round(count / attacked, 4) for name, count in total.items()}
    print(
        json.dumps(
            {
                "mutations": len(mutations),
                "messages": len(messages),
                **shares,
                "ordinary": len(ordinary),
                "struck_ordinary": false,
            }
        )
    )


def _of_half(path: Path, half: str | None) -> tuple[Mutation, ...]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    wanted = {line["name"] for line in lines if half in (None, line.get("half"))}
    return tuple(mutation for mutation in read_mutations(path) if mutation.name in wanted)


def _counts(mutation: Mutation, messages: list[str]) -> dict[str, int]:
    counts = dict.fromkeys(("exact", "struck", "flagged", "unnoticed"), 0)
    for message in messages:
        attacked = mutation.change(message)
        seen, flags = strike(attacked), flags_in(attacked)
        counts["exact"] += seen.text == message.strip()
        counts["struck"] += bool(seen.struck)
        counts["flagged"] += bool(flags)
        counts["unnoticed"] += not flags
    return counts


if __name__ == "__main__":
    main()
