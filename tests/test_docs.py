"""The pages hold: commands parse, options are documented, links lead somewhere, both READMEs say the same.

Nothing is judged here: command lines go through click's parser and no further.
"""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest
import yaml
from test_layers import MAY_IMPORT

from localjudge.cli import main
from localjudge.errors import LocalJudgeError
from localjudge.rubric import load_rubric

ROOT = Path(__file__).parent.parent
READMES = (ROOT / "README.md", ROOT / "README.zh.md")
PAGES = (*READMES, *sorted((ROOT / "docs").glob("*.md")))
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
ALL_TEXT = "\n".join(TEXTS.values())

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")


class CommandLine(NamedTuple):
    """One `localjudge` call as a page has it."""

    page: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.arguments)}"


def fenced(text: str, language: str) -> list[str]:
    return [body for found, body in FENCE.findall(text) if found == language]


def shell_lines(text: str) -> list[str]:
    """Command lines of the bash blocks, continued lines joined, comments and empty lines left out."""
    lines = "".join(fenced(text, "bash")).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def calls(page: str) -> Iterator[CommandLine]:
    for line in shell_lines(TEXTS[page]):
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set("|;&<>"):
                while words and ASSIGNMENT.match(words[0]):
                    words.pop(0)
                if words and words[0].rpartition("/")[2] == "localjudge":
                    yield CommandLine(page, tuple(words[1:]))
                words = []
            else:
                words.append(word)


def parse(arguments: tuple[str, ...]) -> None:
    """Walks the command tree as click does, up to the point where it would run. Raises click.ClickException."""
    command: click.Command = main
    parent, rest = None, list(arguments)
    while isinstance(command, click.Group):
        context = command.make_context(command.name or "localjudge", rest, parent=parent)
        name, inner, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert name is not None and inner is not None
        parent, command = context, inner
    command.make_context(command.name, rest, parent=parent)


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its full name."""
    waiting: list[tuple[str, click.Command]] = [("localjudge", main)]
    while waiting:
        name, command = waiting.pop()
        if isinstance(command, click.Group):
            context = click.Context(command)
            for inner in command.list_commands(context):
                found = command.get_command(context, inner)
                assert found is not None
                waiting.append((f"{name} {inner}", found))
        yield name, command


def anchors(text: str) -> set[str]:
    """Anchors of the headings, as forges make them."""
    outside = FENCE.sub("", text)
    headings = re.findall(r"^#+ (.+)$", outside, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("call", [call for page in TEXTS for call in calls(page)], ids=str)
def test_every_command_line_of_the_pages_parses(call: CommandLine) -> None:
    parse(call.arguments)


@pytest.mark.parametrize("wrong", ["run", "run x --nonsense", "run x --strategy best", "models pul x", "rubrics"])
def test_a_command_line_that_does_not_exist_would_be_noticed(wrong: str) -> None:
    with pytest.raises((click.ClickException, click.exceptions.Exit)):
        parse(tuple(wrong.split()))


@pytest.mark.parametrize(
    ("name", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_and_option_is_on_some_page(name: str, command: click.Command) -> None:
    if not isinstance(command, click.Group):
        assert re.search(rf"\b{name}\b", ALL_TEXT), name
    for option in (entry for entry in command.params if isinstance(entry, click.Option)):
        longest = max(option.opts, key=len)
        if longest != "--version":
            assert re.search(rf"{longest}(?![\w-])", ALL_TEXT), f"{name} {longest}"


@pytest.mark.parametrize("page", TEXTS)
def test_every_relative_link_leads_to_a_file_and_heading(page: str) -> None:
    for target in LINK.findall(FENCE.sub("", TEXTS[page])):
        assert "://" not in target, f"{target}: the pages must read without a network"
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), target


def test_every_page_is_linked_from_both_readmes() -> None:
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    for readme in READMES:
        assert pages <= set(LINK.findall(TEXTS[readme.name])), readme.name


def test_both_readmes_have_the_same_commands_links_and_output() -> None:
    english, chinese = (TEXTS[readme.name] for readme in READMES)
    assert shell_lines(english) == shell_lines(chinese)
    assert fenced(english, "text") == fenced(chinese, "text")
    others = {readme.name for readme in READMES}
    assert [link for link in LINK.findall(english) if link not in others] == [
        link for link in LINK.findall(chinese) if link not in others
    ]
    numbers = [re.findall(r"\d+(?:\.\d+)?", FENCE.sub("", text)) for text in (english, chinese)]
    assert sorted(numbers[0]) == sorted(numbers[1])


def test_the_two_commands_of_the_readme_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"demo", "test"} <= targets
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", ALL_TEXT, re.MULTILINE)) <= targets


def test_the_minimal_pack_loads(tmp_path: Path) -> None:
    page = TEXTS["docs/rubrics.md"]
    (text,) = fenced(page[page.index("<!-- minimal pack -->") :], "yaml")
    path = tmp_path / "polite.yaml"
    path.write_text(text, encoding="utf-8")
    pack = load_rubric(path)
    assert (pack.ref, [indicator.id for indicator in pack.indicators]) == ("polite@1.0.0", ["1.1", "1.2"])
    for key in ("title", "criterion", "pass_when", "fail_when", "polarity", "examples"):
        with pytest.raises(LocalJudgeError, match=key):
            path.write_text(re.sub(rf"\b{key}:", f"{key}x:", text), encoding="utf-8")
            load_rubric(path)


def test_the_model_entry_of_the_page_loads(tmp_path: Path) -> None:
    from localjudge.registry import load_models

    path = tmp_path / "models.yaml"
    (text,) = fenced(TEXTS["docs/models.md"], "yaml")
    path.write_text(text, encoding="utf-8")
    assert list(load_models(path)) == list(yaml.safe_load(text)["models"])


def test_the_record_of_the_page_reads() -> None:
    import json

    from localjudge.records import parse_record

    (text,) = fenced(TEXTS["docs/records.md"], "json")
    assert not parse_record(json.loads(text)).extra


@pytest.mark.parametrize("snippet", fenced(TEXTS["docs/library.md"], "python"))
def test_python_of_the_pages_compiles_and_imports_what_exists(snippet: str) -> None:
    for node in ast.walk(ast.parse(snippet)):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                assert hasattr(module, alias.name), f"{node.module}.{alias.name}"


def test_the_floor_plan_of_the_page_is_the_one_that_is_executed() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| [^|]+ \| ([\w. ]*) \|$", TEXTS["docs/design.md"], re.MULTILINE)
    plan = {"" if name == "localjudge" else name: set(allowed.split()) for name, allowed in rows}
    assert plan == MAY_IMPORT
    assert len(rows) == len(plan)


def test_the_pages_list_every_reason_for_no_score() -> None:
    from localjudge.verdicts import Unscored

    for reason in Unscored:
        assert f"| `{reason}` |" in TEXTS["docs/running.md"], reason
