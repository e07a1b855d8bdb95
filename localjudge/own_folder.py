"""A folder of weights of the user's own -> its entry as models.yaml would have it. Reads JSON, never a tensor."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from localjudge import model_folder
from localjudge.errors import ConfigError
from localjudge.registry import ModelSpec, PathSource


def entry_of(folder: Path) -> ModelSpec:
    """The entry of a sound folder, as models.yaml would have it. Raises ConfigError for a config.json too poor."""
    config = model_folder.read_json(folder / "config.json")
    inner = config.get("text_config")
    text_config: dict[str, Any] = inner if isinstance(inner, dict) else config
    context = text_config.get("max_position_embeddings")
    if not isinstance(context, int) or isinstance(context, bool) or context <= 0:
        raise ConfigError(f"{folder / 'config.json'}: no max_position_embeddings, so the context length is unknown.")
    dtype = config.get("dtype") or config.get("torch_dtype") or text_config.get("dtype")
    gigabytes = sum(path.stat().st_size for path in folder.glob("*.safetensors")) / 1e9
    name = _folder_name(folder)
    return ModelSpec(
        name=name,
        title=name,
        licence="not stated",
        context_length=context,
        thinking=_knows_thinking(folder),
        parameters=max(gigabytes / (4 if dtype == "float32" else 2), 1e-6),
        dtype=dtype if dtype in ("bfloat16", "float16", "float32") else "auto",
        min_gpu_memory_gb=float(math.ceil(gigabytes * 1.2 + 2)),
        sources=(PathSource(path=str(folder)),),
    )


def _folder_name(folder: Path) -> str:
    name = folder.resolve().name
    if folder.resolve().parent.name == "snapshots":
        # In the Hugging Face cache the folder's own name is a commit; models--Qwen--Qwen3-8B stands two floors up.
        name = folder.resolve().parent.parent.name.rpartition("--")[2] or name
    return re.sub(r"[^\w.-]", "-", name, flags=re.ASCII).lstrip("_.-")[:128] or "model"


def _knows_thinking(folder: Path) -> bool:
    template = folder / "chat_template.jinja"
    if template.is_file():
        return "enable_thinking" in template.read_text(encoding="utf-8", errors="replace")
    tokenizer = folder / "tokenizer_config.json"
    return tokenizer.is_file() and "enable_thinking" in str(model_folder.read_json(tokenizer).get("chat_template", ""))
