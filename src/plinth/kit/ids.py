"""Short random names for rows, and the digest of bytes."""

from __future__ import annotations

import hashlib
import secrets

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"


def new_id(prefix: str, length: int = 10) -> str:
    """Return `prefix` + `length` random characters (5 bits each) that are easy to read aloud."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(length))


def digest_of(content: bytes) -> str:
    """Return the SHA-256 of `content` as 64 hexadecimal characters."""
    return hashlib.sha256(content).hexdigest()
