"""A lock says which bytes a model is: whatever differs is refused by name, with both digests, before anything loads."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import call, line
from hypothesis import given, settings
from hypothesis import strategies as st

from localjudge import weights
from localjudge.errors import ConfigError
from localjudge.model_folder import CardFile
from localjudge.model_lock import find_lock, write_lock

HEADER = json.dumps({"w": {"dtype": "BF16", "shape": [8], "data_offsets": [0, 16]}}).encode()
FILES = {
    "config.json": b'{"max_position_embeddings": 4096, "dtype": "bfloat16"}',
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b'{"a": 1}',
    "chat_template.jinja": b"{{ messages }}",
    "model.safetensors": len(HEADER).to_bytes(8, "little") + HEADER + b"\0" * 16,
}


@pytest.fixture(autouse=True)
def _working_folder(tmp_path: Path, own_home: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "judge-1b"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_lock_holds_every_file_of_a_model_and_passes_it_as_it_is(model: Path, tmp_path: Path) -> None:
    done = call("models", "lock", model)
    assert done.exit_code == 0
    lock = find_lock()
    assert lock is not None and lock.path == tmp_path / "models.lock"
    held = lock.models["judge-1b"]
    assert {name: file.sha256 for name, file in held.files.items()} == {n: sha256(c) for n, c in FILES.items()}
    assert weights.resolve(str(model), {}).digest == held.digest == done.stdout.split()[1]
    assert call("models", "verify", model).exit_code == 0


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("config.json", b"4096", b"4097"),
        ("tokenizer.json", b"{}", b"[]"),
        ("tokenizer_config.json", b"1", b"2"),
        ("chat_template.jinja", b"messages", b"massages"),
        ("model.safetensors", b"\0" * 16, b"\0" * 15 + b"\1"),
    ],
)
def test_a_changed_byte_is_refused_with_both_digests(model: Path, name: str, old: bytes, new: bytes) -> None:
    call("models", "lock", model)
    changed = FILES[name].replace(old, new)
    stat = (model / name).stat()
    (model / name).write_bytes(changed)
    # Whoever restores the time of a file cannot restore the time at which he did it.
    os.utime(model / name, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(ConfigError) as refused:
        weights.resolve(str(model), {})
    assert all(part in str(refused.value) for part in (str(model / name), sha256(changed), sha256(FILES[name])))
    done = call("models", "verify", model)
    assert done.exit_code == 3 and f"BAD  {name}" in done.stdout


def test_an_extra_and_a_missing_file_are_refused(model: Path) -> None:
    call("models", "lock", model)
    (model / "added.txt").write_bytes(b"new")
    with pytest.raises(ConfigError, match=rf"added.txt: not in models.lock \(sha256 {sha256(b'new')}\)"):
        weights.resolve(str(model), {})
    (model / "added.txt").unlink()
    (model / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match=r"chat_template.jinja: missing"):
        weights.resolve(str(model), {})
    assert "BAD  chat_template.jinja" in call("models", "verify", model).stdout


def test_a_run_refuses_before_it_writes_anything(model: Path, tmp_path: Path) -> None:
    call("models", "lock", model)
    (model / "tokenizer.json").write_bytes(b"[]")
    (tmp_path / "in.jsonl").write_bytes(line())
    done = call("run", "in.jsonl", "--model", model, "--engine", "hf", "--out", "out")
    assert done.exit_code == 3
    assert "tokenizer.json: sha256 is" in done.output
    assert not (tmp_path / "out").exists()


def test_a_model_that_the_lock_does_not_list_is_refused(model: Path, tmp_path: Path) -> None:
    call("models", "lock", model)
    other = model.rename(tmp_path / "judge-2b")
    with pytest.raises(ConfigError, match=r"does not list the model judge-2b.*models lock judge-2b"):
        weights.resolve(str(other), {})
    call("models", "lock", other)
    lock = find_lock()
    assert lock is not None and set(lock.models) == {"judge-1b", "judge-2b"}


def test_the_lock_may_stand_elsewhere_and_must_then_be_there(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALJUDGE_MODELS_LOCK", str(tmp_path / "team.lock"))
    with pytest.raises(ConfigError, match=r"team.lock: cannot be read"):
        weights.resolve(str(model), {})
    assert call("models", "lock", model).exit_code == 0
    assert (tmp_path / "team.lock").is_file() and not (tmp_path / "models.lock").exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: text.replace("version: 1", "version: 2"), "version"),
        (lambda text: text.replace("models:", "model:"), "models"),
        (lambda text: text.replace("size: 2}", "size: 3}"), "the digest of judge-1b is not that of its files"),
        (lambda text: text.replace('"tokenizer.json"', '"config.json"'), "stands twice"),
        (lambda text: "", "the file"),
        (lambda text: text + "\t: [", "not valid YAML"),
    ],
)
def test_a_damaged_lock_is_refused_and_locks_nothing(model: Path, change: object, problem: str) -> None:
    call("models", "lock", model)
    path = Path("models.lock")
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")  # type: ignore[operator]
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=problem):
        weights.resolve(str(model), {})
    assert call("models", "lock", model).exit_code == 3
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("modeling_judge.py", b"", "pickle weights and code"),
        ("pytorch_model.bin", b"", "pickle weights and code"),
        ("config.json", b'{"max_position_embeddings": 1, "auto_map": {"AutoModel": "x.Y"}}', "auto_map"),
    ],
)
def test_what_could_run_code_is_refused_whether_locked_or_not(
    model: Path, name: str, content: bytes, said: str
) -> None:
    call("models", "lock", model)
    (model / name).write_bytes(content)
    for arguments in (("models", "lock", model), ("models", "verify", model)):
        done = call(*arguments)
        assert done.exit_code == 3 and said in done.output
    with pytest.raises(ConfigError, match=said):
        weights.resolve(str(model), {})


def test_a_file_touched_while_the_model_loads_is_noticed(model: Path) -> None:
    resolved = weights.resolve(str(model), {})
    resolved.check_unchanged()
    (model / "tokenizer.json").write_bytes(b"[]")
    with pytest.raises(ConfigError, match="changed while the model was loaded"):
        resolved.check_unchanged()


def test_a_copy_on_another_machine_is_the_same_model_and_other_bytes_are_not(model: Path) -> None:
    asked = weights.resolve(str(model), {})
    assert asked.as_here() is asked
    copied = replace(asked, stamp="that of another machine's disk")
    assert copied.as_here() == asked
    (model / "tokenizer.json").write_bytes(b"[]")
    with pytest.raises(ConfigError, match="is another model on a machine of the cluster"):
        copied.as_here()
    shutil.rmtree(model)
    with pytest.raises(ConfigError, match=model.name):
        copied.as_here()


NAMES = st.text(min_size=1, max_size=8)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(NAMES, st.dictionaries(NAMES, st.integers(0, 2**63), min_size=1, max_size=3), min_size=1))
def test_any_names_come_back_as_they_were_locked(names: dict[str, dict[str, int]]) -> None:
    files = {
        name: {file: CardFile(sha256=sha256(file.encode("utf-8", "replace")), size=size) for file, size in held.items()}
        for name, held in names.items()
    }
    Path("models.lock").unlink(missing_ok=True)
    write_lock(files)
    lock = find_lock()
    assert lock is not None
    for name, held in files.items():
        assert lock.differences(name, held) == []
