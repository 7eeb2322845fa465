"""A KMS in memory: key material never leaves it, it is asked by messages, and may be away.

The second implementation of the seam `MasterKey`, so that it is shaped by more than files: ids are
addresses, the wrapping is AES key wrap as cloud KMS do it, and each call may fail for a while.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)

from plinth.access.master_key import DamagedKey, MissingMasterKey, WrappedKey
from plinth.kit.errors import Temporary

_SALT = 12


class MemoryKms:
    """`is_away`: every call raises Temporary, as a network would."""

    def __init__(self) -> None:
        self._keys: dict[str, bytes] = {}
        self.is_away = False
        self.asked: list[str] = []
        self._newest = self.renew()

    def renew(self) -> str:
        self._newest = f"https://kms.example/keys/plinth/{len(self._keys) + 1:08d}"
        self._keys[self._newest] = secrets.token_bytes(32)
        return self._newest

    def remove(self, master_key: str) -> None:
        del self._keys[master_key]

    def wrap(self, data_key: bytes) -> WrappedKey:
        self._ask("wrap")
        # Key wrap alone always gives the same: a salt makes a key for each answer.
        salt = secrets.token_bytes(_SALT)
        wrapped = aes_key_wrap_with_padding(self._derived(self._newest, salt), data_key)
        return WrappedKey(self._newest, salt + wrapped)

    def unwrap(self, wrapped: WrappedKey) -> bytes:
        self._ask("unwrap")
        if wrapped.master_key not in self._keys:
            raise MissingMasterKey(f"the KMS has no key `{wrapped.master_key}`")
        salt, content = wrapped.content[:_SALT], wrapped.content[_SALT:]
        try:
            return aes_key_unwrap_with_padding(self._derived(wrapped.master_key, salt), content)
        except (InvalidUnwrap, ValueError) as err:
            raise DamagedKey("the KMS refuses the wrapped key") from err

    def _derived(self, master_key: str, salt: bytes) -> bytes:
        return hmac.new(self._keys[master_key], salt, hashlib.sha256).digest()

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.is_away:
            raise Temporary("the KMS does not answer", hint="look at the network")
