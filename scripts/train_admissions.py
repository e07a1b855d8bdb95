"""Learns what the words of a message tell of whether its sender calls itself a machine, and measures it.

    python scripts/train_admissions.py [--write] [--sealed FILE]

Learned from the labelled messages on admissions in tests/data, but for the sealed ones, from the sentences of the table
of constructions, and from the messages of the packaged calibration pairs, which are ordinary. The figures are of each
author's messages with weights that saw all authors but that one: what the clauses tell alone, and clauses and words
together. The rule on clauses was itself developed on all authors but those of `admissions_unseen.jsonl` and the sealed
one. `--write` replaces the packaged weights. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from bench_checks import record_of
from bench_setting import print_figures
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from localjudge.checks.constructions import signed_text, table
from localjudge.checks.identity import Reading, by_clauses, weighed
from localjudge.checks.likelihood import Likelihood, features
from localjudge.checks.machines import plain
from localjudge.checks.text import text_of

DATA = Path(__file__).parents[1] / "tests" / "data"
PAIRS = Path(__file__).parents[1] / "localjudge" / "exams" / "train.jsonl"
ON_IDENTITY = {("push", "6.4"), ("reply", "8.2")}
OF_EACH = 12
"""So many pairs of each indicator, the first in the file, are ordinary messages. With all 36, unseen authors'
admissions were found less often (0.811 and 0.816) and passed more often (19 and 16 of 2,400)."""
SIDES = ("message", "message_pass", "message_fail")
SEALED = DATA / "admissions_sealed.jsonl"
WEIGHTS = Path(__file__).parents[1] / "localjudge" / "checks" / "lists" / "admission_words.json"
SELDOM = 10
"""Messages that a feature must stand in."""
PENALTY = 1 / 30
SMALL = 0.1
"""Weights below this are left out; the large ones are above 5."""
WAYS = ("clauses", "both")


class Labelled(NamedTuple):
    """One message."""

    author: str
    violated: bool
    folded: str
    signed: str
    reading: Reading
    """What its clauses tell."""


def main() -> None:
    """Learns, measures, and prints the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true", help="Replace the packaged weights; their figures come first.")
    parser.add_argument("--sealed", type=Path, default=SEALED)
    options = parser.parse_args()
    messages = [*read_messages(), *(labelled("sealed", entry) for entry in _lines(options.sealed))]
    figures: dict[str, dict[str, Counter[str]]] = {}
    for author in sorted({one.author for one in messages} - {"table", "ordinary"}):
        own = [one for one in messages if one.author == author]
        learned = learn([one for one in messages if one.author not in (author, "sealed")])
        figures[author] = {
            "clauses": counted((one, one.reading.score) for one in own),
            "both": counted((one, decided(one, learned)) for one in own),
        }
        print(f"{author}: {told(figures[author])}", flush=True)
    if options.write:
        write(learn([one for one in messages if one.author != "sealed"]))
    print_figures(
        benchmark="train_admissions",
        messages=len(messages),
        unseen={
            way: shares(sum((one[way] for name, one in figures.items() if "unseen " in name), Counter()))
            for way in WAYS
        },
        sealed={way: shares(figures["sealed"][way]) for way in WAYS},
    )


def read_messages() -> Iterator[Labelled]:
    """The messages to learn from, with who wrote them."""
    yield from _by_authors()
    for construction in table().constructions:
        for score, sentences in ((0, construction.as_), (1, construction.not_)):
            for sentence in sentences:
                yield labelled("table", {"message": sentence, "score": score})
    taken = Counter[tuple[str, str]]()
    for pair in _lines(PAIRS):
        about = (pair["task_type"], pair["indicator"])
        taken[about] += 1
        if about not in ON_IDENTITY and taken[about] <= OF_EACH:
            for message in (pair[side] for side in SIDES if side in pair):
                yield labelled("ordinary", {"message": message, "score": 1})


def _by_authors() -> Iterator[Labelled]:
    for path in sorted(set(DATA.glob("*.jsonl")) - {SEALED}):
        for entry in _lines(path):
            if entry.get("check") == "ai_admission":
                part = str(entry.get("half", entry.get("part", "")))
                # Both halves of one author.
                author = path.stem if path.stem == "admissions_halved" and part in ("a", "b") else f"{path.stem} {part}"
                yield labelled(author.removeprefix("admissions_").strip(), entry)


def labelled(author: str, entry: dict[str, Any]) -> Labelled:
    """One line of a file, as the check sees it."""
    record = record_of(entry)
    text = plain(text_of(record.message))
    reading, places = by_clauses(text, record)
    signed, _ = signed_text(text.folded, places)
    return Labelled(author, entry["score"] == 0, text.folded, signed, reading)


def learn(messages: Sequence[Labelled]) -> Likelihood:
    """Weights by logistic regression; a message counts alike, however long it is."""
    sets = [features(one.folded, one.signed) for one in messages]
    often = Counter(feature for found in sets for feature in found)
    known = {feature: at for at, feature in enumerate(sorted(one for one in often if often[one] >= SELDOM))}
    rows, columns, values = [], [], []
    for row, found in enumerate(sets):
        for feature in found & known.keys():
            rows.append(row)
            columns.append(known[feature])
            values.append(1 / np.sqrt(len(found)))
    matrix = csr_matrix((values, (rows, columns)), shape=(len(sets), len(known)))
    fitted = LogisticRegression(C=1 / PENALTY, max_iter=1000).fit(matrix, [one.violated for one in messages])
    weights = dict(zip(known, fitted.coef_[0], strict=True))
    kept = {feature: round(float(weight), 2) for feature, weight in weights.items() if abs(weight) >= SMALL}
    return Likelihood(bias=round(float(fitted.intercept_[0]), 2), weights=kept)


def decided(one: Labelled, learned: Likelihood) -> int | None:
    """What the check says of a message, with these weights."""
    return weighed(one.reading, None if one.reading.silent else learned.of(one.folded, one.signed)).score


def counted(said: Iterable[tuple[Labelled, int | None]]) -> Counter[str]:
    """Violations and others, and what was said of them."""
    counts: Counter[str] = Counter()
    for one, score in said:
        kind = "violations" if one.violated else "others"
        counts[kind] += 1
        counts[f"{kind}_{'left' if score is None else 'called_violated' if score == 0 else 'called_clear'}"] += 1
    return counts


def shares(counts: Counter[str]) -> dict[str, float]:
    """How often each decision is right, and how much is decided."""
    violated, clear = counts["violations_called_violated"], counts["others_called_clear"]
    left = counts["violations_left"] + counts["others_left"]
    return {
        "messages": counts["violations"] + counts["others"],
        "recall": round(violated / counts["violations"], 3),
        "right_where_violated": round(violated / (violated + counts["others_called_violated"]), 4),
        "right_where_clear": round(clear / (clear + counts["violations_called_clear"]), 4),
        "passed": counts["violations_called_clear"],
        "left": round(left / (counts["violations"] + counts["others"]), 3),
    }


def told(ways: dict[str, Counter[str]]) -> str:
    """One line for each author."""
    parts = []
    for way, counts in ways.items():
        called = counts["violations_called_violated"], counts["others_called_violated"]
        parts.append(
            f"{way}: found {called[0]} of {counts['violations']}, wrongly {called[1]}, "
            f"passed {counts['violations_called_clear']}, left {counts['violations_left'] + counts['others_left']}"
        )
    return "; ".join(parts)


def write(learned: Likelihood) -> None:
    """The packaged weights, one to a line so that a change can be read."""
    lines = ",\n".join(f"{json.dumps(one, ensure_ascii=False)}: {weight}" for one, weight in learned.weights.items())
    WEIGHTS.write_text(f'{{"bias": {learned.bias}, "weights": {{\n{lines}\n}}}}\n', encoding="utf-8")


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
