"""Ed25519 signatures (RFC 8032) of a seal, with keys in PEM files as openssl makes them. The sole importer of
`cryptography`; knows bytes and keys, and not what is signed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from localjudge.errors import ConfigError


def signed(data: bytes, private_key: Path) -> bytes:
    """The 64 bytes of a signature. Raises ConfigError for a file that holds no unencrypted private Ed25519 key."""
    serialization, ed25519 = _cryptography()
    try:
        key = serialization.load_pem_private_key(_read(private_key), password=None)
    except (ValueError, TypeError) as error:
        raise _no_key(private_key, "private") from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise _no_key(private_key, "private")
    return bytes(key.sign(data))


def is_signed(data: bytes, signature: bytes, public_key: Path) -> bool:
    """Whether the owner of the key signed these bytes. Raises ConfigError as `load_public_key`."""
    key = load_public_key(public_key)
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def load_public_key(path: Path) -> Any:
    """The key in a file. Raises ConfigError for a file that holds no public Ed25519 key."""
    serialization, ed25519 = _cryptography()
    try:
        key = serialization.load_pem_public_key(_read(path))
    except ValueError as error:
        raise _no_key(path, "public") from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise _no_key(path, "public")
    return key


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise ConfigError("signatures need cryptography.", hint="Run: pip install 'localjudge[sign]'") from error
    return serialization, ed25519


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: the key cannot be read ({error.strerror}).") from error


def _no_key(path: Path, kind: str) -> ConfigError:
    hint = "openssl genpkey -algorithm ed25519 makes one; openssl pkey -pubout its public half."
    return ConfigError(f"{path}: no {kind} Ed25519 key in PEM.", hint=hint)
