"""A run folder as evidence: whether its files have the shape they should, and the bytes they had when it was sealed.
Reads what is there and believes none of it; knows neither the input nor a model.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, get_args

from pydantic import BaseModel, ValidationError

from localjudge.decisions import Reasons
from localjudge.engines import ENGINES
from localjudge.errors import StoreError
from localjudge.findings import Findings, shown
from localjudge.manifest import Manifest, Plan
from localjudge.prompts import Defences
from localjudge.records import IdLedger
from localjudge.rules import Rules
from localjudge.seal import Seal, file_digest, merkle_root, sealed_names
from localjudge.segments import Damage, read_segment
from localjudge.signature import is_signed
from localjudge.stats import Summary
from localjudge.store import RunStore
from localjudge.stored import Stored, judgement
from localjudge.strategies import Strategy
from localjudge.verdicts import Verdict

_SEGMENT = re.compile(r"\d{5,}-of-\d{5,}\.\d{4,}\.jsonl")
_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(slots=True)
class Evidence:
    """What a run folder holds, as far as it can be read."""

    folder: Path
    store: RunStore
    plan: Plan
    stored: Stored
    manifests: dict[str, Manifest] = field(default_factory=dict)
    """By file name."""
    summary: Summary | None = None
    seal: Seal | None = None
    repeats: list[tuple[str, str]] = field(default_factory=list)
    """Records that stand twice in one segment, which no writer does: the place of the second, and the id."""


def open_evidence(folder: Path, findings: Findings) -> Evidence | None:
    """Checks the shape of a run folder: kinds of files, their fields and versions, every verdict against the plan.

    None when so much is wrong that nothing else can be checked. Raises StoreError for a folder that holds no run.
    """
    store = RunStore.open(folder)
    plan = _read(folder / "plan.json", Plan, findings)
    if plan is None or not _shape_of_plan(plan, findings):
        return None
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            findings.fault(path.relative_to(folder).as_posix(), "a link: a run folder holds plain files")
    repeats: list[tuple[str, str]] = []
    segments = sorted((folder / "verdicts").glob("[!.]*"))
    findings.notes += [f"{path.relative_to(folder)}: hidden, and no part of the run" for path in folder.rglob(".*")]
    whole = [_shape_of_segment(path, plan, repeats, findings) for path in segments]
    _shape_of_errors(folder / "errors.jsonl", findings)
    if not all(whole):
        return None
    read = {path.name: _read(path, Manifest, findings) for path in sorted(folder.glob("manifest*.json"))}
    evidence = Evidence(
        folder,
        store,
        plan,
        store.stored(),
        manifests={name: manifest for name, manifest in read.items() if manifest is not None},
        summary=_last_written(store, "summary.json", Summary, findings),
        seal=_last_written(store, "seal.json", Seal, findings),
        repeats=repeats,
    )
    counts = {"manifests": len(evidence.manifests), "segments": len(whole), "verdicts": len(evidence.stored)}
    findings.detail = ", ".join(f"{name}: {count}" for name, count in counts.items())
    return evidence


def check_integrity(evidence: Evidence, findings: Findings) -> None:
    """Holds every file against the seal, every line against its checksum, and the verdicts against the root."""
    plan_digest, seal = evidence.plan.digest, evidence.seal
    for name, manifest in evidence.manifests.items():
        if manifest.plan_digest != plan_digest:
            findings.fault(name, "belongs to another plan than plan.json")
    for damage in evidence.stored.damage:
        _check_damage(evidence, damage, findings)
    if seal is None:
        hint = "`localjudge seal` makes one" if evidence.store.complete else "the run is not finished"
        findings.fault("seal.json", f"no seal to hold the files against; {hint}")
        return
    if seal.plan_digest != plan_digest:
        findings.fault("seal.json", "seals another plan than plan.json")
    _check_files(evidence.folder, seal, findings)
    if seal.verdicts != len(evidence.stored):
        findings.fault("seal.json", f"{seal.verdicts} verdicts were sealed, {len(evidence.stored)} are there")
    elif merkle_root(judgement(verdict) for verdict in evidence.stored.by_id()) != seal.merkle_root:
        findings.fault("seal.json", "the verdicts are not those that were sealed (Merkle root)")
    findings.detail = f"{len(seal.files)} files, root {seal.merkle_root[:12]}..."


def _check_files(folder: Path, seal: Seal, findings: Findings) -> None:
    present = sealed_names(folder)
    for name in sorted({*present, *seal.files}):
        if name not in present:
            findings.fault(name, "sealed, and no longer there")
        elif name not in seal.files:
            findings.fault(name, "not there when the run was sealed")
        elif _digest(folder / name) != seal.files[name]:
            findings.fault(name, "changed since the run was sealed")


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}.") from error


def check_signature(evidence: Evidence, public_key: Path, findings: Findings) -> None:
    """Whether the seal, and with it all that it covers, is signed by the owner of the key. Raises ConfigError."""
    signature, seal = evidence.folder / "seal.sig", evidence.folder / "seal.json"
    if not signature.is_file() or not seal.is_file():
        findings.fault("seal.sig", "the seal is not signed")
    elif not is_signed(seal.read_bytes(), signature.read_bytes(), public_key):
        findings.fault("seal.sig", f"not a signature of this seal by the key in {public_key.name}")


def _check_damage(evidence: Evidence, damage: Damage, findings: Findings) -> None:
    where = f"verdicts/{damage.path.name}:{damage.line}"
    if damage.torn:
        findings.notes.append(f"{where}: an unfinished last line, which a killed writer leaves")
    elif evidence.store.is_quarantined(damage):
        findings.notes.append(f"{where}: damaged, set aside by the run, its record judged again")
    else:
        findings.fault(where, "the line does not fit its checksum")


def _shape_of_plan(plan: Plan, findings: Findings) -> bool:
    """Whether it asks for what this version knows."""
    known: dict[str, tuple[object, ...]] = {
        "engine": ENGINES[1:],  # a plan names the engine that `auto` led to
        "strategy": get_args(Strategy),
        "rules": get_args(Rules),
        "defences": get_args(Defences),
        "reasons": get_args(Reasons),
        "orders": (1, 2),
        "on_bad_input": ("fail", "skip"),
    }
    strange = [name for name, values in known.items() if getattr(plan, name) not in values]
    for name in strange:
        findings.fault("plan.json", f"{name} is {shown(getattr(plan, name))}; known are {known[name]}")
    empty = [task for task, rubric in plan.rubrics.items() if not rubric.indicators]
    for task in empty:
        findings.fault("plan.json", f"rubrics.{task} has no indicators")
    limited = plan.limit is None or plan.limit > 0
    if not limited:
        findings.fault("plan.json", f"limit is {plan.limit}; it is 1 or more, or null")
    return not strange and not empty and limited


def _shape_of_segment(path: Path, plan: Plan, repeats: list[tuple[str, str]], findings: Findings) -> bool:
    """Whether every line that is whole holds a verdict."""
    where = f"verdicts/{path.name}"
    if not _SEGMENT.fullmatch(path.name) or not path.is_file():
        findings.fault(where, "no name of a segment")
        return path.suffix != ".jsonl"
    readable, seen = True, IdLedger()
    try:
        for line in read_segment(path):
            if isinstance(line, Damage):
                continue
            try:
                verdict = Verdict.model_validate_json(line.payload)
            except ValidationError as error:
                findings.fault(f"{where}:{line.number}", f"not a verdict: {_first(error)}")
                readable = False
                continue
            if seen.claim(verdict.id, where, line.number):
                repeats.append((f"{where}:{line.number}", verdict.id))
            problem = _misshapen(verdict, plan)
            if problem:
                findings.fault(f"{where}:{line.number}", f"record {verdict.id!r}: {problem}")
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}.") from error
    return readable


def _misshapen(verdict: Verdict, plan: Plan) -> str:
    rubric = plan.rubrics.get(verdict.task_type)
    if rubric is None or verdict.rubric != rubric.ref:
        return f"judged by {verdict.rubric}, which the plan does not name for {verdict.task_type}"
    graded = tuple(grade.id for grade in verdict.detail)
    if graded == rubric.indicators:
        return ""
    missing = [name for name in rubric.indicators if name not in graded]
    return f"no grade for {', '.join(missing)}" if missing else "its grades are not the rubric's indicators, in order"


def _shape_of_errors(path: Path, findings: Findings) -> None:
    if not path.is_file():
        return
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}.") from error
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if not isinstance(entry, dict) or set(entry) != {"where", "id", "problem"}:
            findings.fault(f"errors.jsonl:{number}", "not an object with where, id and problem")


def _last_written(store: RunStore, name: str, model: type[_Model], findings: Findings) -> _Model | None:
    """What a run writes when it ends."""
    if (store.folder / name).is_file():
        return _read(store.folder / name, model, findings)
    if store.complete:
        findings.fault(name, "missing, though the run says that it is finished")
    return None


def _read(path: Path, model: type[_Model], findings: Findings) -> _Model | None:
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        findings.fault(path.name, _first(error))
    except OSError as error:
        findings.fault(path.name, f"cannot be read ({error.strerror})")
    return None


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]
