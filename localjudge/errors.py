"""The exception tree. Everything raised on purpose is one of these; the command line turns each into one line.

    LocalJudgeError          exit 1
    ├── UsageError           exit 2   what was asked for cannot be asked (options that clash or are missing)
    ├── ConfigError          exit 3   a rubric, model or engine is unknown, missing or wrong
    ├── InputError           exit 3   a record file is wrong; names file, line and id
    ├── EngineError          exit 1   an engine cannot start or died
    ├── StoreError           exit 1   the run folder cannot be written or read
    ├── ResumeError          exit 3   the run folder holds another run
    ├── GateError            exit 4   something was held against a demand, and does not meet it
    └── StoppedError         exit 75  a run was asked to stop; the same command goes on with it

A bad item inside a good run is not an exception: it is an `Unscored` value in the verdict.
"""

from __future__ import annotations


class LocalJudgeError(Exception):
    """Base of all errors raised on purpose. `hint` says what to do, in one sentence."""

    exit_code = 1

    def __init__(self, problem: str, *, hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.problem} {self.hint}".strip() if self.hint else self.problem


class UsageError(LocalJudgeError):
    """What was asked for cannot be done as asked."""

    exit_code = 2


class ConfigError(LocalJudgeError):
    """A rubric pack, a model entry or a model folder is wrong; nothing was loaded."""

    exit_code = 3


class InputError(LocalJudgeError):
    """A record file is wrong. The text names the file, the line and, where known, the record id."""

    exit_code = 3


class EngineError(LocalJudgeError):
    """An engine could not start, or stopped answering."""


class StoreError(LocalJudgeError):
    """A run folder could not be written or read."""


class ResumeError(LocalJudgeError):
    """The output folder holds a run that this command does not continue."""

    exit_code = 3


class GateError(LocalJudgeError):
    """What was to be shown does not hold: a run does not verify."""

    exit_code = 4


class StoppedError(LocalJudgeError):
    """A run ended early because it was asked to: by a signal, or by its time limit. The same command goes on."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: try again
