"""Where a command may write a file of its own: never in the place of what belongs to a run, nor of what is no file, and
in the place of somebody's file only when told to. Writes nothing.
"""

from __future__ import annotations

import stat
from fnmatch import fnmatch
from pathlib import Path

from localjudge.errors import StoreError, UsageError

STDOUT = Path("-")
"""What stands for standard output."""
OWN_FILES = (
    "plan.json command.json calibration.json errors.jsonl manifest*.json summary.json seal.json seal.sig".split()
)
OWN_FOLDERS = "verdicts quarantine progress done".split()
"""What a run folder holds for the run; a file under another name in it belongs to whoever made it."""


def writable_target(path: Path, *, force: bool = False) -> Path:
    """The file that a path means: a new one, an empty one, or, with `force`, one that is replaced. A link is followed.

    Raises UsageError for anything else, StoreError for a path that cannot be looked at.
    """
    try:
        target = path.resolve()
        held = target.stat() if target.exists() else None
    except (OSError, RuntimeError) as error:
        raise StoreError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}.") from error
    if run := _run_of(target):
        raise UsageError(f"{path} belongs to the run at {run}.", hint="Give another --out.")
    meant = target if path.is_symlink() else path
    if held is None:
        return meant
    if not stat.S_ISREG(held.st_mode):
        hint = "Give --out a file; --out - is standard output."
        raise UsageError(f"{path} is {'a folder' if stat.S_ISDIR(held.st_mode) else 'not a regular file'}.", hint=hint)
    if held.st_size and not force:
        raise UsageError(f"{path} exists.", hint="Give another --out, or --force to replace it.")
    return meant


def _run_of(target: Path) -> Path | None:
    for run in target.parents[:2]:
        own = target.relative_to(run).parts
        names = OWN_FILES if len(own) == 1 else OWN_FOLDERS
        if (run / "plan.json").is_file() and any(fnmatch(own[0], name) for name in names):
            return run
    return None
