"""Files that a command writes for others, whole or not at all, and how a place that takes nothing is told. Knows
nothing of runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from localjudge.disk import whole_file
from localjudge.errors import StoreError
from localjudge.verdicts import Verdict


@contextmanager
def written_to(path: Path) -> Iterator[BinaryIO]:
    """`whole_file`, with StoreError where the place takes nothing."""
    try:
        with whole_file(path) as file:
            yield file
    except OSError as error:
        raise cannot_write(path, error) from error


def write_verdicts(path: Path, verdicts: Iterable[Verdict]) -> None:
    """Verdicts as a file of their own, whole or not at all. Raises StoreError when it cannot be written."""
    with written_to(path) as file:
        for verdict in verdicts:
            file.write(verdict.model_dump_json().encode("utf-8") + b"\n")


def cannot_write(place: Path, error: OSError, *, goes_on: bool = False) -> StoreError:
    """What is raised for it. `goes_on`: the command that failed takes up from what is stored."""
    rest = "; what is stored stays, and the same command goes on from there" if goes_on else ""
    return StoreError(f"cannot write {place}: {error.strerror or error}.", hint=f"Check space and permissions{rest}.")
