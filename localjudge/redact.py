"""Verdicts for other eyes: ids as keyed hashes, and nothing that was written about a record or copied from it. Scores,
probabilities and totals stay.

A hash without a key would hide nothing: ids are often numbers, and whoever hashes all numbers has them back. The key
stays on this machine; with it the owner finds a record again, and the same id is the same hash in every copy.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from localjudge.errors import ConfigError
from localjudge.stored import Stored
from localjudge.verdicts import NOT_APPLICABLE, Grade, Verdict

_KEY_BYTES = 32


def own_key(path: Path) -> bytes:
    """The key of this machine, made the first time, readable by its owner alone. Raises ConfigError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES))
        key = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: the redaction key cannot be read or made ({error.strerror}).") from error
    if len(key) != _KEY_BYTES:
        raise ConfigError(f"{path}: no redaction key.", hint="Move the file away; a new key is made.")
    return key


def pseudonym(record_id: str, key: bytes) -> str:
    """HMAC-SHA256 of an id, its first 128 bits."""
    return hmac.new(key, record_id.encode("utf-8"), hashlib.sha256).hexdigest()[:32]


def redacted(stored: Stored, key: bytes) -> Iterator[Verdict]:
    """Every verdict once, by its new id: the order of the old ones would tell about them. Raises StoreError."""
    names = sorted((pseudonym(verdict.id, key), verdict.id) for verdict in stored)
    for name, record_id in names:
        verdict = stored[record_id]
        detail = tuple(_bare(grade) for grade in verdict.detail)
        yield verdict.model_copy(update={"id": name, "extra": {}, "detail": detail})


def _bare(grade: Grade) -> Grade:
    """A grade without words: a reason quotes the message, evidence is a piece of it."""
    stages = tuple(stage.model_copy(update={"reason": ""}) for stage in grade.stages)
    witnesses = tuple(each.model_copy(update={"evidence": "", "span": None}) for each in grade.witnesses)
    reason = NOT_APPLICABLE if grade.applicable is False and grade.reason == NOT_APPLICABLE else ""
    words = {"reason": reason, "thinking": None, "stages": stages, "witnesses": witnesses}
    return grade.model_copy(update=words)
