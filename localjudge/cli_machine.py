"""`localjudge doctor` and `localjudge serve`."""

from __future__ import annotations

import json
import os
import secrets
from typing import Any

import click

from localjudge.cli_options import engine_arguments
from localjudge.cli_run import demo_file
from localjudge.egress import drop_log, guard
from localjudge.egress_proof import Watched, prove
from localjudge.engine_choice import EngineChoice
from localjudge.engines.vllm_offline import cpu_options
from localjudge.errors import UsageError
from localjudge.machine import Diagnosis, diagnose, key_file, server_command, smallest_pulled
from localjudge.nvidia import find_gpus
from localjudge.offline import go_offline
from localjudge.registry import load_models
from localjudge.weights import resolve

GATE_NOT_MET = 4


@click.command()
@click.option("--egress", is_flag=True, help="Judge two packaged records, watched: what tries to leave this machine?")
@click.option("--plant", is_flag=True, help="With --egress: make two attempts, which must be seen.")
@click.option("--model", "model_name", help="With --egress: instead of the smallest model that is here.")
@click.option("--engine", help="With --egress: vllm, hf or fake.")
@click.option("--json", "as_json", is_flag=True)
def doctor(egress: bool, plant: bool, model_name: str | None, engine: str | None, as_json: bool) -> None:
    """Say what this machine can run, and what to install; with --egress, whether judging stays on it."""
    if egress:
        _prove_egress(model_name, engine, plant=plant, as_json=as_json)
        return
    if plant or model_name or engine:
        raise UsageError("--plant, --model and --engine belong to --egress.", hint="Add --egress.")
    found = diagnose(load_models())
    click.echo(json.dumps(found.as_dict(), ensure_ascii=False, indent=1) if as_json else _rendered(found))


def _prove_egress(model_name: str | None, engine: str | None, *, plant: bool, as_json: bool) -> None:
    if engine:
        engine = EngineChoice(engine).engine
    model = model_name or ("" if engine == "fake" else smallest_pulled(load_models()))
    if not model and engine is None:
        click.echo("no model is here, so nothing but the model itself is real: the fake engine judges", err=True)
    engine = engine or ("auto" if model else "fake")
    asked = ["--engine", engine, *(["--model", model] if model else [])]
    click.echo(f"judging two packaged records with engine {engine}{f', model {model}' if model else ''}", err=True)
    watched, unavailable = prove(demo_file(), asked, plant=plant)
    clean = all(each.clean for each in watched)
    if as_json:
        report = {"model": model, "planted": plant, "clean": clean, "unavailable": unavailable}
        click.echo(json.dumps(report | {"proofs": [each.as_dict() for each in watched]}, indent=1))
    else:
        lines = [line for each in watched for line in _told(each)]
        lines += [f"{name:<9} not used: {why}" for name, why in unavailable.items()]
        lines.append("verdict   " + ("nothing tried to leave this machine" if clean else "something tried to leave"))
        click.echo("\n".join(lines))
    if not clean:
        click.get_current_context().exit(GATE_NOT_MET)


def _told(watched: Watched) -> list[str]:
    seen = watched.seen
    what = "completed with no network but loopback" if watched.proof == "namespace" else "completed"
    if seen is not None:
        what = f"{seen.loopback} calls to loopback, {seen.unix} within the kernel, {sum(seen.outside.values())} outside"
    lines = [f"{watched.proof:<9} engine {watched.engine}: {what}; guard refused {sum(watched.refused.values())}"]
    lines += [f"          {name}: refused by the guard, {count} times" for name, count in watched.refused.items()]
    if seen is not None:
        lines += [f"          {name}: seen in the trace, {count} times" for name, count in seen.outside.items()]
        lines += [f"          {seen.blind} io_uring rings: what goes through them is not traced"] if seen.blind else []
    return lines


def _rendered(found: Diagnosis) -> str:
    cards = ", ".join(f"{gpu.name} ({gpu.memory:g} GiB)" for gpu in found.gpus) or "none"
    installed = ", ".join(f"{name} {version}" for name, version in found.engines.items() if version) or "none"
    switches = sum(1 for value in found.offline.values() if value)
    lines = [
        f"python    {found.python}, {found.cores} cores, {found.memory_gib:g} GiB",
        f"gpu       {cards}",
        f"packages  {installed}",
        f"models    here: {', '.join(found.models) or 'none'}",
        f"          would fit: {', '.join(found.fits) or 'none'}",
        f"offline   {switches} of {len(found.offline)} switches set in this shell; judging commands set all of them",
    ]
    return "\n".join(lines + [f"advice    {line}" for line in found.advice or ("nothing to do",)])


@click.command()
@click.argument("model_name", metavar="MODEL")
@click.option("--host", default="127.0.0.1", help="Anything but loopback lets other machines in.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000)
@click.option("--key", default="", envvar="LOCALJUDGE_API_KEY", help="Instead of a random one.", show_default=False)
@click.option(
    "--engine-arg", "engine_args", multiple=True, metavar="KEY=VALUE", help="Option of vllm serve; repeatable."
)
def serve(model_name: str, host: str, port: int, key: str, engine_args: tuple[str, ...]) -> None:
    """Serve MODEL with vLLM on this machine, behind a key."""
    go_offline()
    model = resolve(model_name, load_models())
    options: dict[str, Any] = dict(model.spec.engine_options)
    if find_gpus():
        options.setdefault("tensor_parallel_size", model.spec.tensor_parallel_size)
    else:
        options = cpu_options() | {"distributed_executor_backend": "uni"} | options
    options |= engine_arguments(engine_args)
    path = key_file(port)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(key or secrets.token_urlsafe(32))
    click.echo(f"serving {model.spec.name} on http://{host}:{port}; the key is in {path}", err=True)
    click.echo(
        f"judge with: LOCALJUDGE_API_KEY=$(cat {path}) localjudge run INPUT --out DIR "
        f"--model {model_name} --engine server --server-url http://{host}:{port}",
        err=True,
    )
    # The key goes through the environment: an argument would show in the process list.
    guard([host])
    drop_log()
    environment = os.environ | {"VLLM_API_KEY": path.read_text(encoding="utf-8")}
    command = server_command(model, host=host, port=port, options=options)
    os.execve(command[0], command, environment)
