"""The keys that sign Plinth's API keys: files that only their owner reads, two live at a time.

`plinth up` makes the first one, the identity service signs and verifies with them, the gateway is
given their public halves. A signing key is *the* secret: whoever holds it is anybody.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from plinth.kit.clock import from_text, to_text
from plinth.kit.errors import Permanent
from plinth.kit.files import locked, make_private, read_json, write_json
from plinth.kit.ids import new_id

SIGNING_KEYS = "signing"
LIVE_KEYS = 2
# The id stands in the header of every API key, which must stay within 255 characters.
_KID_LENGTH = 4


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One ES256 key pair; `kid` names it in the tokens that it signed."""

    kid: str
    created_at: datetime
    key: ECKey


@dataclass(frozen=True, slots=True)
class Keyring:
    """The live signing keys, newest first. The newest signs, all verify."""

    keys: tuple[SigningKey, ...]

    @property
    def current(self) -> SigningKey:
        """The key that signs."""
        return self.keys[0]

    def find(self, kid: str) -> SigningKey | None:
        """Return the live key called `kid`, or None."""
        return next((key for key in self.keys if key.kid == kid), None)

    def public_jwks(self) -> str:
        """Return the public halves as a JWKS document; equal keyrings give equal text."""
        public = [_public(key) for key in sorted(self.keys, key=lambda key: key.kid)]
        return json.dumps({"keys": public}, sort_keys=True, separators=(",", ":"))


def load(secrets: Path) -> Keyring:
    """Read the signing keys below the folder `secrets`.

    Raises Permanent when there is none, when a file is readable by others, or is no key.
    """
    paths = sorted((secrets / SIGNING_KEYS).glob("*.json"))
    if not paths:
        raise Permanent(
            f"no signing key in `{secrets / SIGNING_KEYS}`; at least one is needed",
            hint="`plinth up` makes one; restore the folder from a backup to keep keys valid",
        )
    keys = sorted((_read(path) for path in paths), key=lambda key: (key.created_at, key.kid))
    return Keyring(tuple(reversed(keys))[:LIVE_KEYS])


def ensure(secrets: Path, now: datetime) -> Keyring:
    """Read the signing keys, making the first one when there is none. Safe to call at once."""
    folder = make_private(secrets / SIGNING_KEYS)
    with locked(folder / "lock"):
        if not any(folder.glob("*.json")):
            _create(folder, now)
    return load(secrets)


def rotate(secrets: Path, now: datetime) -> Keyring:
    """Make a new signing key and forget all but the one before it.

    Tokens of the forgotten key stop working; rotating twice forgets a key that leaked.
    """
    folder = make_private(secrets / SIGNING_KEYS)
    with locked(folder / "lock"):
        _create(folder, now)
        keyring = load(secrets)
        for path in folder.glob("*.json"):
            if keyring.find(path.stem) is None:
                path.unlink()
    return keyring


def _create(folder: Path, now: datetime) -> None:
    kid = new_id("", _KID_LENGTH)
    while (folder / f"{kid}.json").exists():
        kid = new_id("", _KID_LENGTH)
    key = ECKey.generate_key("P-256", private=True)
    value = {"kid": kid, "created_at": to_text(now), "key": key.as_dict(private=True)}
    write_json(folder / f"{kid}.json", value, mode=0o600)


def _read(path: Path) -> SigningKey:
    mode = os.stat(path).st_mode & 0o777
    if mode & 0o077:
        raise Permanent(
            f"signing key `{path}` has mode {mode:04o} and others can read it; 0600 is allowed",
            hint=f"`chmod 600 {path}`; rotate the signing keys twice if somebody may have read it",
        )
    try:
        value: Any = read_json(path)
        key = ECKey.import_key(value["key"])
        created_at = from_text(value["created_at"])
    except (KeyError, TypeError, ValueError, JoseError) as err:
        raise Permanent(
            f"signing key `{path}` cannot be read: {type(err).__name__}",
            hint="restore the file from a backup, or move it away to do without it",
        ) from err
    if not key.is_private or value["kid"] != path.stem:
        raise Permanent(f"signing key `{path}` is not the private key that its name says")
    return SigningKey(path.stem, created_at, key)


def _public(key: SigningKey) -> dict[str, Any]:
    return {**key.key.as_dict(private=False), "kid": key.kid, "alg": "ES256", "use": "sig"}
