"""Messages to token ids, such that no text inside a message can become a control token.

The chat template is rendered with a marker in place of every piece of text; only what the template itself wrote is
encoded by the full tokenizer. Every piece, trusted or not, is encoded by a copy of the tokenizer that has no added
tokens, so that `<|im_end|>`, `<think>` or `<tool_call>` inside a message are ordinary characters. The sole importer of
`tokenizers`.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from localjudge.engines.base import Message
from localjudge.errors import ConfigError

_PIECES_REMEMBERED = 4096


class ChatEncoder:
    """Encodes for the model in one folder. Raises ConfigError when its tokenizer or chat template cannot be used."""

    def __init__(self, model_folder: Path) -> None:
        self._folder = model_folder
        raw = _read_json(model_folder / "tokenizer.json")
        self._settings = _read_json(model_folder / "tokenizer_config.json")
        self._full = Tokenizer.from_str(json.dumps(raw))
        added = [token["content"] for token in raw.get("added_tokens", [])]
        self._plain = Tokenizer.from_str(json.dumps(raw | {"added_tokens": [], "post_processor": None}))
        # A vocabulary built from a GGUF file also lists the control tokens as ordinary words, so their ids are known
        # by name and not by range.
        self._control_ids = {token_id for token in added if (token_id := self._full.token_to_id(token)) is not None}
        self._template = self._compile_template()
        self._encode_piece = lru_cache(maxsize=_PIECES_REMEMBERED)(self._encode_plain)
        self.think_open = self._glue("<think>\n")
        self.think_close = self._glue("\n</think>\n\n")
        self.think_end_id = self._full.token_to_id("</think>")

    @property
    def thinks(self) -> bool:
        """Whether the model has the control tokens of a thinking mode."""
        return self.think_end_id is not None and self._full.token_to_id("<think>") is not None

    @property
    def control_ids(self) -> frozenset[int]:
        """Ids of all tokens that only a chat template may produce."""
        return frozenset(self._control_ids)

    @property
    def eos_id(self) -> int:
        """The token that ends an answer. Raises ConfigError when the tokenizer names none."""
        eos = self._settings.get("eos_token")
        token = eos["content"] if isinstance(eos, dict) else eos
        token_id = self._full.token_to_id(token) if isinstance(token, str) else None
        if token_id is None:
            raise ConfigError(f"{self._folder.name}/tokenizer_config.json: no usable eos_token.")
        return int(token_id)

    def encode(self, messages: tuple[Message, ...], *, thinking: bool = False) -> list[int]:
        """Token ids of the whole prompt, ready for the model's answer (or for its thinking)."""
        nonce = secrets.token_hex(8)
        texts: dict[str, str] = {}
        turns = []
        for message in messages:
            markers = []
            for part in message.parts:
                if part.text:
                    marker = f"@{nonce}.{len(texts)}@"
                    texts[marker] = part.text
                    markers.append(marker)
            turns.append({"role": message.role, "content": "".join(markers)})
        glue = self._render(turns, thinking)
        ids: list[int] = []
        met = []
        for piece in re.split(rf"(@{nonce}\.\d+@)", glue):
            if piece in texts:
                met.append(piece)
                ids.extend(self._encode_piece(texts[piece]))
            elif piece:
                ids.extend(self._glue(piece))
        if met != list(texts):
            raise ConfigError(
                f"{self._folder.name}: its chat template drops, repeats or reorders message text.",
                hint="Use the template the model was published with.",
            )
        return ids

    def encode_text(self, text: str) -> tuple[int, ...]:
        """Token ids of plain text; never a control token."""
        return self._encode_piece(text)

    def decode(self, ids: list[int]) -> str:
        """Text of token ids, control tokens left out."""
        return str(self._full.decode(ids, skip_special_tokens=True))

    def _encode_plain(self, text: str) -> tuple[int, ...]:
        ids = tuple(self._plain.encode(text, add_special_tokens=False).ids)
        if self._control_ids.isdisjoint(ids):
            return ids
        # Not seen with any published tokenizer; a vocabulary that merges into a control token must still not leak.
        return tuple(
            token_id
            for character in text
            for token_id in self._plain.encode(character, add_special_tokens=False).ids
            if token_id not in self._control_ids
        )

    def _glue(self, text: str) -> list[int]:
        return list(self._full.encode(text, add_special_tokens=False).ids)

    def _compile_template(self) -> Any:
        path = self._folder / "chat_template.jinja"
        source = path.read_text(encoding="utf-8") if path.is_file() else self._settings.get("chat_template")
        if isinstance(source, list):
            source = next((entry["template"] for entry in source if entry.get("name") == "default"), None)
        if not isinstance(source, str):
            raise ConfigError(
                f"{self._folder.name}: no chat template.", hint="A judge needs an instruction-tuned model."
            )
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols], autoescape=False
        )
        environment.globals["raise_exception"] = _raise_template_error
        environment.filters["tojson"] = lambda value, **_: json.dumps(value, ensure_ascii=False)
        try:
            return environment.from_string(source)
        except TemplateError as error:
            raise ConfigError(f"{self._folder.name}: its chat template is not valid ({error}).") from error

    def _render(self, turns: list[dict[str, str]], thinking: bool) -> str:
        special = {
            name: value["content"] if isinstance(value, dict) else value
            for name, value in self._settings.items()
            if name.endswith("_token") and value
        }
        try:
            return str(
                self._template.render(
                    messages=turns, add_generation_prompt=True, enable_thinking=thinking, tools=None, **special
                )
            )
        except (TemplateError, SecurityError) as error:
            raise ConfigError(f"{self._folder.name}: its chat template failed ({error}).") from error


def _raise_template_error(message: str) -> Iterator[str]:
    raise TemplateError(message)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path.parent.name}/{path.name}: cannot be read ({type(error).__name__}).") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path.parent.name}/{path.name}: not a JSON object.")
    return data
