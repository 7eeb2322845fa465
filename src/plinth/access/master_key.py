"""The master key: it wraps the data keys of secrets, and is kept in files or in a KMS.

`MasterKey` is the seam; `MasterKeyring` keeps it in files that only their owner reads. A master
key never encrypts a secret itself, so that a new one costs a few bytes for each secret.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from plinth.kit.clock import Clock, to_text
from plinth.kit.errors import Busy, Permanent
from plinth.kit.excerpt import excerpt
from plinth.kit.files import locked, make_private, read_json, write_json
from plinth.kit.ids import new_id

MASTER_KEYS = "master"
KEY_BYTES = 32
NONCE_BYTES = 12
# A rotation of ten thousand secrets takes 3 s, and a backup holds it for a copy of the store.
_PATIENCE_S = 30.0
_POLL_S = 0.05


class MissingMasterKey(Permanent):
    """What is to be unwrapped was wrapped by a master key that is not there."""


class DamagedKey(Permanent):
    """What is to be unwrapped is not what was wrapped."""


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A data key as it may be stored: `content` is opened by the master key named `master_key`."""

    master_key: str
    content: bytes


class MasterKey(Protocol):
    """Wraps data keys. Each implementation passes the suite in tests/contracts/master_key.py.

    Both may go over the network: never call one within a transaction. Both raise Temporary when
    whoever keeps the key is away, Permanent when the key must not be used as it is kept.
    """

    def wrap(self, data_key: bytes) -> WrappedKey:
        """Wrap a data key of 32 bytes by the newest master key, whose id has 1 to 80 characters.

        Wrapping the same key twice gives different bytes.
        """
        ...

    def unwrap(self, wrapped: WrappedKey) -> bytes:
        """Return the data key, whichever master key wrapped it.

        Raises MissingMasterKey when that one is gone, DamagedKey when the bytes were changed or
        were wrapped by another one than they say.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Kept:
    """One master key of the keyring. The one with the highest `number` wraps."""

    id: str
    number: int
    key: bytes = field(repr=False)


class MasterKeyring:
    """Master keys as files below the home's secrets, one for each; made when first needed.

    Nothing is remembered between calls, so that all control planes of a home see the same keys.
    Every method raises Permanent when the files may be read by others than their owner.
    """

    def __init__(self, secrets_folder: Path, clock: Clock) -> None:
        """Read nothing yet. `secrets_folder`: the home's own."""
        self._folder = secrets_folder / MASTER_KEYS
        self._clock = clock

    def wrap(self, data_key: bytes) -> WrappedKey:
        """Wrap a data key by the newest master key; make the first one if there is none."""
        newest = self._newest() or self._first()
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = AESGCM(newest.key).encrypt(nonce, data_key, newest.id.encode())
        return WrappedKey(newest.id, nonce + sealed)

    def unwrap(self, wrapped: WrappedKey) -> bytes:
        """Return the data key. Raises MissingMasterKey, DamagedKey."""
        found = {kept.id: kept for kept in self._read_all()}.get(wrapped.master_key)
        if found is None:
            raise MissingMasterKey(
                f"there is no master key `{excerpt(wrapped.master_key)}` in `{self._folder}`",
                hint="copy its file back from a backup (a tar file), or set the secret again",
            )
        nonce, sealed = wrapped.content[:NONCE_BYTES], wrapped.content[NONCE_BYTES:]
        try:
            return AESGCM(found.key).decrypt(nonce, sealed, found.id.encode())
        except (InvalidTag, ValueError) as err:
            raise DamagedKey(f"a data key was not wrapped by master key `{found.id}`") from err

    def ids(self) -> list[str]:
        """Return the ids of all master keys, the newest first."""
        return [kept.id for kept in self._read_all()]

    def renew(self) -> str:
        """Make the master key that wraps from now on; return its id. Call it under `held`."""
        newest = self._newest()
        return self._make(newest.number + 1 if newest else 1).id

    def forget(self, ids: Iterable[str]) -> None:
        """Remove master keys by which nothing is wrapped any more. Call it under `held`."""
        for each in ids:
            key_file(self._folder.parent, each).unlink(missing_ok=True)
        _sync(self._folder)

    @contextmanager
    def held(self, patience_s: float = _PATIENCE_S) -> Iterator[None]:
        """Keep the set of master keys as it is for a block: nobody else makes or removes one.

        Raises Busy when somebody else holds it for longer than `patience_s`.
        """
        if not self._folder.exists():
            make_private(self._folder)
        ends_at = time.monotonic() + patience_s
        while True:
            with locked(self._folder / "lock", wait=False) as mine:
                if mine:
                    yield
                    return
            if time.monotonic() > ends_at:
                raise Busy(
                    "the master keys are being rotated or backed up",
                    hint="again when that has ended",
                    retry_after_s=patience_s,
                )
            time.sleep(_POLL_S)

    def _first(self) -> _Kept:
        with self.held():
            return self._newest() or self._make(1)

    def _make(self, number: int) -> _Kept:
        kept = _Kept(new_id("m_"), number, AESGCM.generate_key(KEY_BYTES * 8))
        value = {
            "id": kept.id,
            "number": kept.number,
            "created_at": to_text(self._clock.now()),
            "key": base64.b64encode(kept.key).decode(),
        }
        write_json(key_file(self._folder.parent, kept.id), value, mode=0o600)
        # Rows will rest on it: its name must be on the disk before they are.
        _sync(self._folder)
        return kept

    def _newest(self) -> _Kept | None:
        return next(iter(self._read_all()), None)

    def _read_all(self) -> list[_Kept]:
        found = [kept for path in self._paths() if (kept := _read(path)) is not None]
        return sorted(found, key=lambda kept: (kept.number, kept.id), reverse=True)

    def _paths(self) -> list[Path]:
        if not self._folder.exists():
            return []
        _check_private(self._folder, "700")
        return key_files(self._folder.parent)


@contextmanager
def frozen(secrets_folder: Path, clock: Clock) -> Iterator[None]:
    """Keep the master keys as they are for a block, if there are any: for a backup of all rows.

    Where there is none, none that a row needs is removed meanwhile. Raises Busy as `held` does.
    """
    if not (secrets_folder / MASTER_KEYS).exists():
        yield
        return
    with MasterKeyring(secrets_folder, clock).held():
        yield


def key_files(secrets_folder: Path) -> list[Path]:
    """Return the files of all master keys, whoever may read them."""
    return sorted((secrets_folder / MASTER_KEYS).glob("*.json"))


def key_file(secrets_folder: Path, master_key: str) -> Path:
    """Return the file in which the keyring keeps a master key."""
    return secrets_folder / MASTER_KEYS / f"{Path(master_key).name}.json"


def _check_private(path: Path, wanted: str) -> None:
    mode = os.stat(path).st_mode & 0o777
    if mode & 0o077:
        raise Permanent(
            f"the keyring of secrets `{path}` has mode {mode:04o} and is open to others; "
            f"0{wanted} is allowed",
            hint=f"`chmod {wanted} {path}`; if somebody may have read it, `plinth secrets rotate` "
            "and set each secret to a new value",
        )


def _read(path: Path) -> _Kept | None:
    """Read one master key; None when a rotation has just removed it."""
    try:
        _check_private(path, "600")
        value: Any = read_json(path)
        if value is None:
            return None
        kept = _Kept(value["id"], value["number"], base64.b64decode(value["key"], validate=True))
        is_right = kept.id == path.stem and type(kept.number) is int and len(kept.key) == KEY_BYTES
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError, binascii.Error) as err:
        raise _unreadable(path, type(err).__name__) from err
    if not is_right:
        raise _unreadable(path, "it is not the key that its name says")
    return kept


def _unreadable(path: Path, why: str) -> Permanent:
    return Permanent(
        f"the master key `{path}` cannot be read: {why}",
        hint="restore the file from a backup; moved away, what it wrapped cannot be opened",
    )


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
