"""What a machine is said to be able to run, and how a server is started on it: with stand-in programs, real files."""

from __future__ import annotations

import itertools
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from localjudge.cli import main
from localjudge.machine import diagnose, key_file, server_command
from localjudge.manifest import hardware
from localjudge.nvidia import Gpu, find_gpus
from localjudge.offline import ENVIRONMENT
from localjudge.registry import load_models
from localjudge.weights import LocalModel

ROOT = Path(__file__).parent.parent


pytestmark = pytest.mark.usefixtures("own_home")


@pytest.fixture
def nvidia_smi(tmp_path: Path) -> Callable[[str], None]:
    """Puts a program of that name and output on an otherwise empty PATH."""

    def install(script: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (folder / "nvidia-smi").chmod(0o755)
        os.environ["PATH"] = str(folder)

    return install


def model(path: Path, name: str = "qwen3-0.6b") -> LocalModel:
    return LocalModel(path=path, spec=load_models()[name], digest="")


def test_cards_are_read_with_their_memory(nvidia_smi: Callable[[str], None]) -> None:
    nvidia_smi("echo 'NVIDIA A100-SXM4-80GB, 81920'; echo 'NVIDIA L4, Rev, 23034'")
    assert find_gpus() == (Gpu("NVIDIA A100-SXM4-80GB", 80.0), Gpu("NVIDIA L4, Rev", 22.5))


def test_a_manifest_names_cards_and_driver(nvidia_smi: Callable[[str], None]) -> None:
    nvidia_smi("case $1 in *driver*) echo 550.54.15;; *) echo 'NVIDIA A100-SXM4-80GB, 81920';; esac")
    assert {"gpus": ["NVIDIA A100-SXM4-80GB, 80 GiB"], "gpu_driver": "550.54.15"}.items() <= hardware().items()


@pytest.mark.parametrize("script", ["exit 9", "echo 'NVIDIA-SMI has failed'", "echo 'A100, [N/A]'", ""])
def test_a_driver_that_does_not_answer_is_no_card(nvidia_smi: Callable[[str], None], script: str) -> None:
    nvidia_smi(script)
    assert find_gpus() == ()


def test_without_the_program_there_is_no_card(tmp_path: Path) -> None:
    os.environ["PATH"] = str(tmp_path)
    assert find_gpus() == ()


def test_models_fit_by_the_memory_of_all_cards(nvidia_smi: Callable[[str], None]) -> None:
    models = load_models()
    nvidia_smi("echo 'Big, 81920'; echo 'Big, 81920'")
    found = diagnose(models)
    assert set(found.fits) == {name for name, spec in models.items() if spec.min_gpu_memory_gb <= 160}
    assert "qwen3-235b-a22b" not in found.fits
    assert json.loads(json.dumps(found.as_dict()))["gpus"] == [{"name": "Big", "memory": 80.0}] * 2


def test_a_machine_without_models_is_advised_to_pull_one(tmp_path: Path) -> None:
    os.environ["PATH"] = str(tmp_path)
    found = diagnose(load_models())
    assert found.models == ()
    assert any("models pull" in advice for advice in found.advice)
    assert set(found.offline) == set(ENVIRONMENT)
    assert found.memory_gib > 0
    assert found.cores >= 1


def test_doctor_says_the_same_to_people_and_programs(tmp_path: Path) -> None:
    os.environ["PATH"] = str(tmp_path)
    told = CliRunner().invoke(main, ["doctor"])
    data = json.loads(CliRunner().invoke(main, ["doctor", "--json"]).stdout)
    assert told.exit_code == 0
    assert re.search(r"gpu +none", told.stdout)
    assert data["python"] in told.stdout
    assert all(advice in told.stdout for advice in data["advice"])
    assert str(tmp_path) not in told.stdout


def test_the_server_is_told_all_that_decides_answers(tmp_path: Path) -> None:
    options = {"max_model_len": 4096, "enforce_eager": True, "async_scheduling": False}
    command = server_command(model(tmp_path), host="127.0.0.1", port=8001, options=options)
    assert command[:3] == [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    pairs = dict(itertools.pairwise(command))
    assert pairs["--model"] == str(tmp_path)
    assert (pairs["--host"], pairs["--port"], pairs["--served-model-name"]) == ("127.0.0.1", "8001", "qwen3-0.6b")
    assert (pairs["--generation-config"], pairs["--structured-outputs-config.backend"]) == ("vllm", "outlines")
    assert pairs["--max-model-len"] == "4096"
    assert {"--enforce-eager", "--no-async-scheduling", "--enable-prefix-caching"} <= set(command)
    assert not any("key" in argument for argument in command)


@pytest.fixture
def serve(tmp_path: Path, tiny_model: Path) -> Callable[..., tuple[dict[str, Any], str]]:
    """Runs `localjudge serve` with a stand-in for vLLM that prints its arguments and environment."""
    stand_in = tmp_path / "lib" / "vllm" / "entrypoints" / "openai"
    stand_in.mkdir(parents=True)
    source = "import json, os, sys\nprint(json.dumps({'arguments': sys.argv[1:], 'environment': dict(os.environ)}))\n"
    (stand_in / "api_server.py").write_text(source, encoding="utf-8")
    for folder in (stand_in, stand_in.parent, stand_in.parent.parent):
        (folder / "__init__.py").touch()

    def run(*arguments: str) -> tuple[dict[str, Any], str]:
        done = subprocess.run(
            [sys.executable, "-m", "localjudge", "serve", str(tiny_model), *arguments],
            capture_output=True,
            text=True,
            encoding="utf-8",
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join((str(tmp_path / "lib"), str(ROOT)))},
            timeout=60,
            check=True,
        )
        return json.loads(done.stdout), done.stderr

    return run


def test_serve_binds_to_this_machine_behind_a_key_of_its_own(serve: Callable[..., tuple[dict[str, Any], str]]) -> None:
    started, told = serve("--port", "8123")
    host = started["arguments"].index("--host")
    assert started["arguments"][host + 1] == "127.0.0.1"
    key = key_file(8123).read_text(encoding="utf-8")
    assert len(key) >= 32
    assert started["environment"]["VLLM_API_KEY"] == key
    assert key not in told
    assert key not in started["arguments"]
    assert stat.S_IMODE(key_file(8123).stat().st_mode) == 0o600
    assert {name: started["environment"][name] for name in ENVIRONMENT} == ENVIRONMENT
    assert "http://127.0.0.1:8123" in told


def test_serve_makes_a_new_key_each_time_and_takes_one_that_is_given(
    serve: Callable[..., tuple[dict[str, Any], str]],
) -> None:
    first, second = (serve()[0]["environment"]["VLLM_API_KEY"] for _ in range(2))
    assert first != second
    os.environ["LOCALJUDGE_API_KEY"] = "chosen-by-the-user"
    started, told = serve("--engine-arg", "max-model-len=512")
    assert started["environment"]["VLLM_API_KEY"] == "chosen-by-the-user"
    assert "chosen-by-the-user" not in told
    assert started["arguments"][started["arguments"].index("--max-model-len") + 1] == "512"
