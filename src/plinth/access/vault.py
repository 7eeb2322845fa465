"""Envelope encryption of secrets: each version has its own data key, which a master key wraps.

AES-256-GCM both times. What is sealed for one team, name and version opens for no other, so a row
that somebody moved or put back does not open. Pure, but for the master key that is handed in.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from plinth.access.master_key import (
    KEY_BYTES,
    NONCE_BYTES,
    DamagedKey,
    MasterKey,
    WrappedKey,
)
from plinth.kit.errors import Permanent


@dataclass(frozen=True, slots=True)
class Place:
    """Which secret it is. None of the names holds a `/`."""

    team: str
    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.team}/{self.name}/{self.version}"


@dataclass(frozen=True, slots=True)
class DataKey:
    """A fresh key for one version of one secret, open and wrapped."""

    key: bytes = field(repr=False)
    wrapped: WrappedKey


@dataclass(frozen=True, slots=True)
class Sealed:
    """A value as it may be stored."""

    data_key: WrappedKey
    nonce: bytes
    ciphertext: bytes


def new_data_key(master_key: MasterKey) -> DataKey:
    """Make a data key; the master key may be far away, so not within a transaction."""
    key = AESGCM.generate_key(KEY_BYTES * 8)
    return DataKey(key, master_key.wrap(key))


def seal(data_key: DataKey, value: bytes, place: Place) -> Sealed:
    """Encrypt a value for its place. A data key seals once and is dropped."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    ciphertext = AESGCM(data_key.key).encrypt(nonce, value, str(place).encode())
    return Sealed(data_key.wrapped, nonce, ciphertext)


def unseal(master_key: MasterKey, sealed: Sealed, place: Place) -> bytes:
    """Return the value. Raises as `MasterKey.unwrap`, and Permanent when anything was changed."""
    try:
        key = master_key.unwrap(sealed.data_key)
        return AESGCM(key).decrypt(sealed.nonce, sealed.ciphertext, str(place).encode())
    except (DamagedKey, InvalidTag, ValueError) as err:
        raise Permanent(
            f"secret `{place.name}` of team `{place.team}` does not open: what is stored as its "
            f"version {place.version} was changed, or belongs to another secret",
            hint=f"set it again: `plinth secrets set {place.name} --team {place.team}`",
        ) from err


def rewrap(master_key: MasterKey, wrapped: WrappedKey) -> WrappedKey:
    """Wrap a data key by the newest master key; the value's ciphertext stays as it is."""
    return master_key.wrap(master_key.unwrap(wrapped))
