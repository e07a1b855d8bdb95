"""The floor plan, executed: who may import whom, read from the source of every module.

Counts imports inside functions and under TYPE_CHECKING, and modules named in strings (lazy commands, child processes).
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "localjudge"

# Ground floor: nouns. Imports nothing above it.
GROUND = {
    "errors": "",
    "strict_yaml": "errors",
    "validation": "",
    "rows": "errors quoting",
    "quoting": "",
    "plain": "errors",
    "records": "errors plain quoting rows",
    "rubric": "checks checks.base errors records strict_yaml validation",
    "registry": "errors strict_yaml validation",
    "unread": "records",
    "gpus": "errors strict_yaml",
    "egress": "",
    "guarded.sitecustomize": "egress",
    "egress_trace": "egress",
    "isolation": "errors",
    "offline": "egress errors",
    "disk": "",
    "targets": "errors",
    "nvidia": "",
    "characters": "",
    "mutations": "errors",
    "shards": "errors records",
    "model_folder": "errors",
    "hubs": "",
    "gguf": "",
    "sources": "errors gguf hubs registry",  # gguf and hubs by name, as processes of their own
    "weights": "errors model_folder model_lock own_folder registry sources",
    "folding": "characters",
    "decoding": "",
    "passages": "",
    "cues": "",
    "flags": "characters cues decoding folding passages records",
    "strike": "characters cues decoding flags folding passages records",
    "verdicts": "checks.base flags records rubric",
    "model_lock": "errors model_folder strict_yaml",
    "own_folder": "errors model_folder registry",
    "estimates": "",
    "reads": "verdicts",
    "verbalizer": "reads",
    "calibration": "errors reads records rubric verbalizer",
}
# Checks wing: pure functions of a record. A pack names them, so that it stands on the ground floor.
CHECKS = {
    "checks.base": "records",
    "checks.text": "records",
    "checks.persona": "",
    "checks.segments": "",
    "checks.calendar": "strict_yaml",
    "checks.lexicon": "checks.persona checks.text strict_yaml",
    "checks.standing": "checks.lexicon checks.persona checks.segments checks.text records",
    "checks.words": "checks.base checks.lexicon checks.persona checks.standing checks.text records",
    "checks.machines": "checks.segments checks.text strict_yaml",
    "checks.context": "checks.machines checks.text",
    "checks.bindings": "checks.context checks.machines",
    "checks.claims": "checks.bindings checks.context checks.machines checks.text",
    "checks.announcements": "checks.claims checks.context checks.machines checks.text",
    "checks.nature": "checks.context checks.machines checks.text",
    "checks.constructions": "checks.claims checks.context checks.machines checks.text strict_yaml",
    "checks.english": "checks.context checks.machines checks.text strict_yaml",
    "checks.suspicion": "checks.context checks.machines",
    "checks.likelihood": "checks.constructions",
    "checks.identity": "checks.announcements checks.base checks.claims checks.constructions checks.context "
    "checks.english checks.likelihood checks.machines checks.nature checks.persona checks.suspicion checks.text "
    "records",
    "checks.greetings": "checks.calendar checks.text records",
    "checks.festivals": "checks.base checks.calendar checks.greetings checks.text records",
    "checks.manner": "checks.base checks.persona checks.text records",
    "checks.history": "checks.base checks.text records",
    "checks.user": "checks.base checks.persona checks.text records",
    "checks": "checks.base checks.festivals checks.history checks.identity checks.manner checks.user checks.words",
}
# Engine wing: never records, rubric, verdicts, prompts. A reader of it cannot tell that it serves a judge.
ENGINES = {
    "engines.base": "",
    "engines.encode": "engines.base errors",
    "engines.block_hashes": "",
    "engines.constraint": "errors",
    "engines.options": "errors",
    "engines.driver": "engines.base engines.encode errors",
    "engines.fake": "engines.base",
    "engines.instant": "engines.base engines.driver engines.encode engines.fake",
    "engines.vllm_offline": "engines.base engines.block_hashes engines.constraint engines.driver errors",
    "engines.vllm_server": "engines.base engines.constraint engines.driver engines.encode errors",
    "engines.hf": "engines.base engines.constraint engines.driver errors",
    "engines": "engines.base engines.driver engines.encode engines.fake engines.hf engines.instant engines.options "
    "engines.vllm_offline engines.vllm_server errors",
}
# Question side: never a concrete engine, the store, the command line.
QUESTIONS = {
    "prompts": "characters engines.base flags records rubric strike",
    "decisions": "verdicts",
    "noise": "calibration decisions records verdicts",
    "rules": "checks.base flags records rubric verdicts",
    "strategies": "calibration decisions engines.base flags prompts reads records rubric rules verdicts",
    "cascade": "decisions engines.base rubric strategies verdicts",
    "judge": "cascade engines.base errors prompts records rubric rules strategies verdicts",
    "workload": "engines.base prompts records rubric rules strategies",
    "roofline": "errors gpus registry workload",
}
# Run side: never report or the command line. It counts with stats and exam, because both end with their figures.
RUNS = {
    "manifest": "noise nvidia records",
    "segments": "disk",
    "stored": "errors segments shards verdicts",
    "seal": "stored verdicts",
    "signature": "errors",
    "output": "disk errors verdicts",
    "store": "calibration disk errors manifest noise output seal segments shards stored verdicts",
    "marking": "decisions noise stats store verdicts",
    "stop": "errors",
    "work": "errors manifest stop store verdicts",
    "labels": "errors reads verdicts",
    "recovery": "engines.base errors judge records rubric rules strategies verdicts",
    "engine_choice": "egress engines engines.base engines.options errors offline registry weights",
    "strictness": "errors",
    "probe": "calibration engine_choice engines.base errors manifest noise prompts reads records rubric strategies "
    "verbalizer weights",
    "asked": "engines.base engines.constraint manifest records rubric strategies verdicts",
    "intake": "checks engine_choice errors manifest prompts records rubric shards stop store stored strategies unread "
    "verdicts weights",
    "run": "asked egress engines.base errors intake isolation labels manifest marking noise probe records recovery "
    "seal segments shards stats stop store stored work",
    "worker": "errors intake labels manifest offline records recovery run store stored verdicts",
    "ray_executor": "errors intake manifest offline stop stored work worker",
    "retry": "errors intake marking records rubric run stats stop store stored verdicts work",
    "findings": "",
    "evidence": "decisions engines errors findings manifest prompts records rules seal segments signature stats store "
    "stored strategies verdicts",
    "recount": "calibration checks decisions errors evidence findings manifest marking reads records rubric rules "
    "shards verdicts",
    "rejudge": "decisions engine_choice engines.vllm_offline evidence findings intake manifest prompts recount run "
    "stats strategies verdicts weights",
    "verify": "calibration errors evidence findings manifest records recount rejudge rubric",
    "labelled": "errors exam records rubric",
    "calibrate": "calibration engines.base errors estimates labelled prompts reads records rubric strategies "
    "verbalizer",
    "attack": "engines.base exam judge mutations prompts records resistance rubric strategies",
    "examine": "engines.base exam judge records rubric rules strategies verdicts",
}
# Reading side: never engines, prompts, judge, run.
READING = {
    "stats": "records verdicts",
    "exam": "errors estimates records rows rubric verdicts",
    "resistance": "estimates",
    "status": "manifest store",
    "export": "characters errors stored verdicts",
    "redact": "errors stored verdicts",
    "report": "calibration characters estimates exam probe resistance stats status",
}
# Front door.
DOOR = {
    "machine": "nvidia offline registry weights",
    "egress_proof": "egress egress_trace errors isolation planted",
    "planted": "cli offline",
    "agent": "engine_choice errors judge offline records rubric",
    "cli": "characters cli_attack cli_calibrate cli_exam cli_export cli_machine cli_models cli_plan cli_probe "
    "cli_results cli_resume cli_rubrics cli_run cli_verify errors quoting",
    "cli_options": "calibration decisions engine_choice errors isolation prompts records registry rubric strategies "
    "strict_yaml weights",
    "cli_progress": "intake run work",
    "cli_results": "cli_options decisions errors marking noise output report stats store stored targets",
    "cli_export": "cli_options cli_results export marking noise output redact targets weights",
    "cli_run": "characters cli_options cli_progress cli_results engine_choice engines errors intake nvidia offline "
    "ray_executor registry run shards stop strictness weights",
    "cli_probe": "cli_options cli_run disk engine_choice errors nvidia offline probe prompts records report rubric "
    "strategies strictness weights",
    "cli_resume": "cli_progress cli_results cli_run errors offline records report retry status stop store",
    "cli_attack": "attack cli_exam cli_options errors exam mutations offline prompts report resistance strategies",
    "cli_exam": "cli_options errors exam examine offline records report rubric strategies",
    "cli_calibrate": "calibrate calibration cli_options disk errors exam labelled offline prompts records report "
    "strategies targets verbalizer",
    "cli_models": "errors registry weights",
    "cli_plan": "cli_options engines.base engines.encode errors gpus model_folder records registry roofline rubric "
    "strategies weights workload",
    "cli_rubrics": "rubric verdicts",
    "cli_machine": "cli_options cli_run egress egress_proof engine_choice engines.vllm_offline errors machine nvidia "
    "offline registry weights",
    "cli_verify": "calibration cli_options engine_choice errors evidence findings manifest offline recount rejudge "
    "signature store verify",
    "": "agent errors judge records rubric strategies verdicts",
    "__main__": "cli",
}
FLOORS = {
    "ground": GROUND,
    "checks": CHECKS,
    "engines": ENGINES,
    "questions": QUESTIONS,
    "runs": RUNS,
    "reading": READING,
    "door": DOOR,
}
MAY_IMPORT = {module: set(allowed.split()) for floor in FLOORS.values() for module, allowed in floor.items()}
MAY_STAND_ON = {
    "ground": {"ground", "checks"},
    "checks": {"checks", "ground"},
    "engines": {"engines", "ground"},
    "questions": {"questions", "engines", "checks", "ground"},
    "reading": {"reading", "runs", "ground"},
    "runs": {"runs", "reading", "questions", "engines", "checks", "ground"},
    "door": set(FLOORS),
}

# Each heavy or volatile library has as few importers as it can.
IMPORTERS = {
    "vllm": "engines.vllm_offline",
    "torch": "engines.hf gguf",
    "transformers": "engines.hf gguf",
    "outlines": "engines.constraint",
    "outlines_core": "",
    "httpx": "engines.vllm_server",
    "tokenizers": "engines.encode",
    "ray": "ray_executor",
    "numpy": "gguf",
    "sklearn": "calibrate",
    "click": "cli cli_attack cli_calibrate cli_exam cli_export cli_machine cli_models cli_options cli_plan cli_probe "
    "cli_progress cli_results cli_resume cli_rubrics cli_run cli_verify",
    "rich": "cli_progress report",
    "pyarrow": "export rows",
    "huggingface_hub": "hubs",
    "modelscope": "hubs",
    "gguf": "gguf",
    "yaml": "strict_yaml",
    "rjieba": "checks.segments",
    "lunar_python": "checks.calendar",
    "jinja2": "engines.encode prompts",
    "cryptography": "signature",
    # Ways out of the machine: the server client above, and the pull.
    "urllib.request": "hubs",
    "urllib.error": "hubs",
    "http": "",
    "socket": "egress isolation planted",
    "requests": "",
    "aiohttp": "",
    "openai": "",
}
LIGHT = {"click", "jinja2", "lunar_python", "pydantic", "rich", "rjieba", "tokenizers", "yaml"}
"""What the base install brings besides the standard library."""


def modules() -> dict[str, Path]:
    """Dotted name below the package -> file. The package itself is the empty name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imported(path: Path) -> frozenset[str]:
    """Full dotted names of everything that a module's source imports, `from x import y` as x.y too."""
    return frozenset(_names(ast.parse(path.read_text(encoding="utf-8"))))


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, "write imports in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node.func) in ("import_module", "__import__"):
            yield from filter(None, map(_text, node.args))
        elif _text(node).startswith("localjudge."):
            yield _text(node)


def _text(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def first_party(path: Path) -> set[str]:
    known = modules()
    found = set()
    for name in imported(path):
        if name.partition(".")[0] == "localjudge":
            inner = name.partition(".")[2]
            while inner not in known:
                inner = inner.rpartition(".")[0]
            found.add(inner)
    # `from localjudge import x` of a module is an import of x alone; f"localjudge.{x}" names nobody.
    return found - {""}


def test_every_module_has_its_place_and_every_place_its_module() -> None:
    assert set(modules()) == set(MAY_IMPORT)


@pytest.mark.parametrize("module", MAY_IMPORT)
def test_a_module_imports_exactly_what_the_floor_plan_lists(module: str) -> None:
    assert first_party(modules()[module]) == MAY_IMPORT[module]


@pytest.mark.parametrize("floor", FLOORS)
def test_no_floor_stands_on_one_above_it(floor: str) -> None:
    below = {module for name in MAY_STAND_ON[floor] for module in FLOORS[name]}
    for module in FLOORS[floor]:
        assert MAY_IMPORT[module] <= below, module


@pytest.mark.parametrize("library", IMPORTERS)
def test_heavy_libraries_have_no_other_importers(library: str) -> None:
    importers = {
        module
        for module, path in modules().items()
        if any(name == library or name.startswith(f"{library}.") for name in imported(path))
    }
    assert importers == set(IMPORTERS[library].split())


def test_every_other_library_is_in_the_base_install() -> None:
    for module, path in modules().items():
        outside = {name.partition(".")[0] for name in imported(path)} - {"localjudge"} - sys.stdlib_module_names
        assert outside <= LIGHT | set(IMPORTERS), module


def test_rooms_are_named_after_a_noun() -> None:
    assert not {name.rpartition(".")[2] for name in modules()} & {"utils", "helpers", "types", "common", "misc"}


@pytest.mark.parametrize("module", [name for name in MAY_IMPORT if name not in ("__main__",)])
def test_every_module_can_be_read_without_a_heavy_library(module: str) -> None:
    """Heavy imports stand inside functions, so that a light install can import every module that it can use."""
    tree = ast.parse(modules()[module].read_text(encoding="utf-8"))
    at_once = {name for node in tree.body for name in _names(node) if isinstance(node, ast.Import | ast.ImportFrom)}
    heavy = {name.partition(".")[0] for name in at_once} & (set(IMPORTERS) - LIGHT)
    allowed = {"engines.vllm_server": {"httpx"}, "hubs": {"urllib"}}
    assert heavy - {"socket"} <= allowed.get(module, set())


@pytest.mark.parametrize("arguments", [["-c", "import localjudge"], ["-m", "localjudge", "--help"]])
def test_the_front_door_opens_without_anything_heavy(arguments: list[str]) -> None:
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
        cwd=PACKAGE.parent,
    ).stderr
    names = {line.rpartition("|")[2].strip() for line in loaded.splitlines() if line.startswith("import time:")}
    tops = {name.partition(".")[0] for name in names}
    assert "localjudge" in tops
    assert not tops & {*IMPORTERS} - {"click"}
    assert not tops & {"pydantic", "pydantic_core", "numpy", "asyncio", "http"}
