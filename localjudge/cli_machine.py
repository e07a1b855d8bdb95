"""`localjudge doctor` and `localjudge serve`."""

from __future__ import annotations

import json
import os
import secrets
from typing import Any

import click

from localjudge.cli_options import engine_arguments
from localjudge.egress import drop_log, guard
from localjudge.engines.vllm_offline import cpu_options
from localjudge.machine import Diagnosis, diagnose, find_gpus, key_file, server_command
from localjudge.offline import go_offline
from localjudge.registry import load_models
from localjudge.weights import resolve


@click.command()
@click.option("--json", "as_json", is_flag=True)
def doctor(as_json: bool) -> None:
    """Say what this machine can run, and what to install."""
    found = diagnose(load_models())
    click.echo(json.dumps(found.as_dict(), ensure_ascii=False, indent=1) if as_json else _rendered(found))


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
