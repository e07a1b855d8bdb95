"""`localjudge rubrics`: look at packs, check one of your own, print the schema its answers satisfy."""

from __future__ import annotations

import json

import click

from localjudge.rubric import Rubric, builtin_names, load_rubric
from localjudge.verdicts import answer_schema, joint_schema


@click.group()
def rubrics() -> None:
    """Rubric packs: list, show, check, schema."""


@rubrics.command("list")
@click.option("--json", "as_json", is_flag=True)
def list_packs(as_json: bool) -> None:
    """The packs that come with localjudge."""
    packs = [load_rubric(name) for name in builtin_names()]
    if as_json:
        rows = [
            {
                "rubric": pack.rubric,
                "version": pack.version,
                "task_type": pack.task_type,
                "indicators": len(pack.indicators),
                "digest": pack.digest,
            }
            for pack in packs
        ]
        click.echo(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    for pack in packs:
        click.echo(f"{pack.ref:<16} {len(pack.indicators):>3} indicators  {pack.description}")


@rubrics.command()
@click.argument("pack")
@click.option("--json", "as_json", is_flag=True)
def show(pack: str, as_json: bool) -> None:
    """The indicators of PACK (a name or a YAML path)."""
    rubric = load_rubric(pack)
    if as_json:
        click.echo(json.dumps(rubric.model_dump(mode="json"), ensure_ascii=False, indent=1))
        return
    click.echo(f"{rubric.ref} ({rubric.task_type}), sha256 {rubric.digest[:16]}\n{rubric.description}")
    for group in rubric.groups:
        click.echo(f"\n{group.id} {group.title}")
        for indicator in group.indicators:
            asks = "  [1 = the fault is absent]" if indicator.polarity == "inverted" else ""
            click.echo(f"  {indicator.id} {indicator.title}{asks}\n      {indicator.criterion}")


@rubrics.command()
@click.argument("pack")
def check(pack: str) -> None:
    """Read PACK strictly, and say what is wrong with it."""
    rubric = load_rubric(pack)
    click.echo(
        f"{rubric.ref}: {len(rubric.indicators)} indicators in {len(rubric.groups)} groups, {rubric.digest[:16]}: ok"
    )


@rubrics.command()
@click.argument("pack")
@click.option(
    "--strategy",
    type=click.Choice(["joint", "explain"]),
    default="joint",
    help="joint: one object keyed by indicator id. explain: the object of one indicator.",
)
def schema(pack: str, strategy: str) -> None:
    """The JSON schema that every finished answer about PACK satisfies."""
    click.echo(json.dumps(_published(load_rubric(pack), strategy), ensure_ascii=False, indent=1))


def _published(rubric: Rubric, strategy: str) -> dict[str, object]:
    body = joint_schema(rubric) if strategy == "joint" else answer_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"{rubric.ref} answer ({strategy})",
        **body,
    }
