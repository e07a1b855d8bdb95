"""Messages to token ids, such that no text inside a message can become a control token.

The chat template is rendered with a marker in place of every piece of text; only what the template itself wrote is
encoded by the full tokenizer. Every piece, trusted or not, is encoded by a copy of the tokenizer that has no added
tokens, so that `<|im_end|>`, `<think>` or `<tool_call>` inside a message are ordinary characters. What many prompts
share (the template's part, everything before the last piece) is encoded once. The sole importer of `tokenizers`.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import secrets
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from localjudge.engines.base import ALIGNED, Message, Part, Role
from localjudge.errors import ConfigError

# Prompts are encoded a few short pieces at a time: handing those to a pool of threads costs more than it saves.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

_FILLER = "\n"
_PIECES_REMEMBERED = 4096
_FRAMES_REMEMBERED = 256
"""Records whose questions an engine may have in flight at once, with room to spare."""


class _Frame(NamedTuple):
    """A prompt without its last piece of text: the ids before it and behind it."""

    before: tuple[int, ...]
    """Of the earlier messages; one object for all frames that begin with the same ones."""
    head: list[int]
    foot: tuple[int, ...]


_Opening = tuple[tuple[Message, ...], Role, tuple[Part, ...], bool, bool, bool]
"""What decides a frame: earlier messages, role and parts of the last one but its last part, whether that one has text,
whether it is aligned, whether the model may think."""


class ChatEncoder:
    """Encodes for the model in one folder. Raises ConfigError when its tokenizer or chat template cannot be used."""

    def __init__(self, model_folder: Path) -> None:
        self._folder = model_folder
        raw = _read_json(model_folder / "tokenizer.json")
        self._settings = _read_json(model_folder / "tokenizer_config.json")
        self._full = Tokenizer.from_file(str(model_folder / "tokenizer.json"))
        added = [token["content"] for token in raw.get("added_tokens", [])]
        self._plain = _without_added_tokens(self._full)
        # A vocabulary built from a GGUF file also lists the control tokens as ordinary words, so their ids are known
        # by name and not by range.
        known = (self._full.token_to_id(token) for token in added)
        self.control_ids = frozenset(token_id for token_id in known if token_id is not None)
        """Ids of all tokens that only a chat template may produce."""
        self._template = self._compile_template()
        self._pieces: dict[str, tuple[int, ...]] = {}
        self._glue_of = lru_cache(maxsize=64)(self._render_glue)
        self._before_of = lru_cache(maxsize=64)(self._make_before)
        self._frame_of = lru_cache(maxsize=_FRAMES_REMEMBERED)(self._make_frame)
        self._latest: tuple[_Opening, _Frame] | None = None
        self._filler = self._plain.encode(_FILLER, add_special_tokens=False).ids[:1]
        self.think_open = self._glue("<think>\n")
        self.think_close = self._glue("\n</think>\n\n")
        self.think_end_id = self._full.token_to_id("</think>")

    @property
    def thinks(self) -> bool:
        """Whether the model has the control tokens of a thinking mode."""
        return self.think_end_id is not None and self._full.token_to_id("<think>") is not None

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
        """Token ids of the whole prompt, of one message or more, ready for the model's answer (or for its thinking)."""
        last = messages[-1]
        tail, _, aligned = last.parts[-1] if last.parts else Part("")
        opening = (messages[:-1], last.role, last.parts[:-1], bool(tail), aligned, thinking)
        # Questions about one record come one after the other, and their parts are the same objects: this comparison
        # is far cheaper than the hash that the memory behind it needs.
        if self._latest is None or self._latest[0] != opening:
            self._latest = (opening, self._frame_of(*opening))
        before, head, foot = self._latest[1]
        return [*before, *head, *self.encode_text(tail), *foot] if tail else [*before, *head, *foot]

    def encode_text(self, text: str) -> tuple[int, ...]:
        """Token ids of plain text; never a control token."""
        known = self._pieces.get(text)
        return self._encode_pieces([text])[0] if known is None else known

    def decode(self, ids: list[int]) -> str:
        """Text of token ids, control tokens left out."""
        return str(self._full.decode(ids, skip_special_tokens=True))

    def _make_frame(
        self,
        before: tuple[Message, ...],
        role: Role,
        parts: tuple[Part, ...],
        has_tail: bool,
        aligned: bool,
        thinking: bool,
    ) -> _Frame:
        turns = [(message.role, bool(_texts(message.parts))) for message in before]
        texts = _texts(parts)
        *glue, foot = self._glue_of((*turns, (role, has_tail or bool(texts))), thinking)
        if not (texts or has_tail):
            glue, foot = [*glue, foot], ()
        head = list(itertools.chain.from_iterable(self._encode_pieces(texts)))
        opening = self._before_of(before, tuple(glue))
        if aligned and has_tail and texts:
            head += self._filler * (-(len(opening) + len(head)) % ALIGNED)
        return _Frame(opening, head, foot)

    def _make_before(self, messages: tuple[Message, ...], glue: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
        """What stands before the last message: earlier ones, each between two of the template's pieces."""
        texts = [texts for message in messages if (texts := _texts(message.parts))]
        between = itertools.zip_longest(glue, map(self._encode_pieces, texts), fillvalue=())
        return tuple(token for before, pieces in between for token in itertools.chain(before, *pieces))

    def _render_glue(self, turns: tuple[tuple[Role, bool], ...], thinking: bool) -> tuple[tuple[int, ...], ...]:
        """Ids of what the template writes before, between and behind the texts of those turns that have one."""
        nonce = secrets.token_hex(8)
        markers = [f"@{nonce}.{number}@" if filled else "" for number, (_, filled) in enumerate(turns)]
        rendered = self._render(
            [{"role": role, "content": marker} for (role, _), marker in zip(turns, markers, strict=True)], thinking
        )
        pieces = re.split(rf"(@{nonce}\.\d+@)", rendered)
        if pieces[1::2] != [marker for marker in markers if marker]:
            raise ConfigError(
                f"{self._folder.name}: its chat template drops, repeats or reorders message text.",
                hint="Use the template the model was published with.",
            )
        return tuple(tuple(self._glue(piece)) if piece else () for piece in pieces[::2])

    def _encode_pieces(self, texts: list[str]) -> list[tuple[int, ...]]:
        """Each text by itself, all that are not remembered in one call of the tokenizer."""
        remembered = self._pieces
        fresh = [text for text in dict.fromkeys(texts) if text not in remembered]
        if fresh:
            encodings = self._plain.encode_batch_fast(fresh, add_special_tokens=False)
            for text, encoding in zip(fresh, encodings, strict=True):
                remembered[text] = self._harmless(text, tuple(encoding.ids))
        found = [remembered[text] for text in texts]
        while len(remembered) > _PIECES_REMEMBERED:
            del remembered[next(iter(remembered))]
        return found

    def _harmless(self, text: str, ids: tuple[int, ...]) -> tuple[int, ...]:
        if self.control_ids.isdisjoint(ids):
            return ids
        # Not seen with any published tokenizer; a vocabulary that merges into a control token must still not leak.
        return tuple(
            token_id
            for character in text
            for token_id in self._plain.encode(character, add_special_tokens=False).ids
            if token_id not in self.control_ids
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


def _texts(parts: tuple[Part, ...]) -> list[str]:
    return [part.text for part in parts if part.text]


def _without_added_tokens(tokenizer: Tokenizer) -> Tokenizer:
    """A tokenizer over the same vocabulary, which both then share: read twice, it takes twice the time and memory."""
    plain = Tokenizer(tokenizer.model)
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        if getattr(tokenizer, part) is not None:
            setattr(plain, part, getattr(tokenizer, part))
    return plain


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
