"""JSON schema to the constraint that each backend decodes under. The sole importer of outlines.

All backends get the same regular expression, built by outlines from the schema with no optional whitespace: with
whitespace allowed a space competes with the score token, and a small model can run in whitespace for ever.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from localjudge.errors import ConfigError

BACKEND = "outlines"
"""The decoding backend, named to every engine rather than left to its `auto`, which changes between releases."""


@lru_cache(maxsize=64)
def regex_of(schema: str) -> str:
    """The compact regular expression for a JSON schema given as text. Raises ConfigError for one outlines refuses."""
    try:
        from outlines.types import JsonSchema
        from outlines.types.dsl import to_regex
    except ImportError as error:
        raise ConfigError("outlines is not installed.", hint="Run: pip install 'localjudge[server]'") from error
    try:
        return str(to_regex(JsonSchema(schema, whitespace_pattern="", ensure_ascii=False)))
    except Exception as error:  # outlines raises plain ValueError, TypeError and jsonschema errors here
        raise ConfigError(f"outlines cannot build a constraint from the answer schema ({error}).") from error


def logits_processor(schema: str, outlines_model: Any) -> Any:
    """An outlines logits processor for one `generate` call of a transformers model wrapped by `wrap_transformers`."""
    from outlines.backends import get_regex_logits_processor

    return get_regex_logits_processor("outlines_core", outlines_model, regex_of(schema))


def wrap_transformers(model: Any, tokenizer: Any) -> Any:
    """The outlines view of a transformers model, which knows its vocabulary."""
    import outlines

    return outlines.from_transformers(model, tokenizer)
