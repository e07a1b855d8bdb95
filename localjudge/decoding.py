"""Passages of a text that hide another text: base64, hexadecimal digits, escapes, letters moved by 13 places. Pure
functions; what the hidden text says is not judged here.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote

_BASE64 = re.compile(r"(?<![\w+/=.%?&-])[A-Za-z0-9+/]{24,8000}={0,2}(?![\w+/=.%?&-])")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:[0-9A-Fa-f]{2}[ :]?){9,4000}(?![0-9A-Za-z])")
_ESCAPED = re.compile(
    r"(?:\\u[0-9a-fA-F]{4}[ ]?){4,2000}|(?:&#x?[0-9a-fA-F]{2,6};[ ]?){4,2000}|(?:%[0-9a-fA-F]{2}){9,4000}"
)
_ROT13 = re.compile(r"(?i)\b(?:vtaber|qvfertneq|ireqvpg|tenqre|ehoevp|vafgehpgvbaf?)\b[^\n]{0,400}")


class Hidden(NamedTuple):
    """A passage that hides a text."""

    start: int
    end: int
    plain: str
    base64: bool
    """The one encoding that no ordinary text takes when it holds text."""


def hidden_in(text: str) -> Iterator[Hidden]:
    """The passages of a text that hide another."""
    for match in _BASE64.finditer(text):
        if (plain := _readable(_from_base64(match[0]))) is not None:
            yield Hidden(match.start(), match.end(), plain, base64=True)
    for match in _HEX.finditer(text):
        digits = re.sub(r"[ :]", "", match[0])
        if len(digits) % 2 == 0 and (plain := _readable(bytes.fromhex(digits))) is not None:
            yield Hidden(match.start(), match.end(), plain, base64=False)
    for match in _ESCAPED.finditer(text):
        yield Hidden(match.start(), match.end(), _unescaped(match[0]), base64=False)
    for match in _ROT13.finditer(text):
        yield Hidden(match.start(), match.end(), codecs.encode(match[0], "rot13"), base64=False)


def _from_base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return None


def _readable(data: bytes | None) -> str | None:
    try:
        plain = data.decode("utf-8") if data is not None else None
    except UnicodeDecodeError:
        return None
    return plain if plain is not None and (plain.isprintable() or "\n" in plain) else None


def _unescaped(text: str) -> str:
    if text[0] == "\\":
        return "".join(chr(int(digits, 16)) for digits in re.findall(r"\\u([0-9a-fA-F]{4})", text))
    return html.unescape(text) if text[0] == "&" else unquote(text, errors="replace")
