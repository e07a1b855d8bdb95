"""Fixtures that several rooms' tests share: the tiny random Qwen3, and engines opened on it once a session."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localjudge.offline import go_offline

ROOT = Path(__file__).parents[1]


_BEFORE = dict(os.environ)


def pytest_configure() -> None:
    """The real tests run under the same switches as a judging process."""
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    go_offline()


@pytest.fixture(scope="session")
def online() -> dict[str, str]:
    """The environment as it was before the tests went offline, for the one thing that has to fetch."""
    return _BEFORE


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """GPU tests are skipped, never faked, where there is no GPU."""
    from localjudge.nvidia import find_gpus

    if find_gpus():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no GPU on this machine"))


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test depends on the settings of whoever runs it."""
    for name in list(os.environ):
        if name.startswith("LOCALJUDGE_") and name != "LOCALJUDGE_TEST_CACHE":
            monkeypatch.delenv(name)


@pytest.fixture
def own_home(tmp_path: Path) -> Iterator[None]:
    """A cache folder of the test's own; whatever a command sets in the environment is undone afterwards."""
    before = dict(os.environ)
    os.environ["LOCALJUDGE_HOME"] = str(tmp_path / "home")
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def tiny_model() -> Path:
    """Folder of a tiny random Qwen3 with the real tokenizer, made once and kept beside the checkout's caches."""
    cache = Path(os.environ.get("LOCALJUDGE_TEST_CACHE", ROOT / ".cache"))
    cache.mkdir(exist_ok=True)
    folder = cache / "tiny-qwen3"
    if not folder.is_dir():
        script = ROOT / "scripts" / "make_tiny_model.py"
        subprocess.run([sys.executable, str(script), str(folder)], check=True, timeout=300)
    return folder


@pytest.fixture(scope="session")
def vllm_engine(tiny_model: Path) -> Iterator[object]:
    """The in-process vLLM engine on the tiny model; one for the whole session, as loading it dominates."""
    from localjudge.engines import open_engine

    options = {"max_model_len": 8192, "max_num_seqs": 16}
    with open_engine("vllm", tiny_model, name="tiny-qwen3", options=options) as engine:
        yield engine
