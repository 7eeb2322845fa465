"""What every keeper of a master key promises: the suite that each implementation passes.

A test module hands `master_key` over as a fixture and takes the tests in by name.
"""

from __future__ import annotations

import secrets
from typing import Protocol

import pytest

from plinth.access.master_key import DamagedKey, MasterKey, MissingMasterKey, WrappedKey

DATA_KEY = bytes(range(32))


class Renewable(MasterKey, Protocol):
    """A master key of which a test may make the next one, and remove one, as its keeper does."""

    def renew(self) -> str: ...

    def remove(self, master_key: str) -> None: ...


class MasterKeyContract:
    """The tests; a subclass has the fixture `keys`."""

    def test_what_was_wrapped_is_unwrapped(self, keys: Renewable) -> None:
        wrapped = keys.wrap(DATA_KEY)
        assert keys.unwrap(wrapped) == DATA_KEY
        assert 1 <= len(wrapped.master_key) <= 80
        assert DATA_KEY not in wrapped.content

    def test_the_same_key_is_never_wrapped_to_the_same_bytes(self, keys: Renewable) -> None:
        assert len({keys.wrap(DATA_KEY).content for _ in range(20)}) == 20

    def test_the_newest_wraps_and_the_older_ones_still_unwrap(self, keys: Renewable) -> None:
        before = keys.wrap(DATA_KEY)
        newest = keys.renew()
        after = keys.wrap(DATA_KEY)
        assert after.master_key == newest != before.master_key
        assert keys.unwrap(before) == keys.unwrap(after) == DATA_KEY

    def test_one_that_is_gone_is_told_by_its_name(self, keys: Renewable) -> None:
        before = keys.wrap(DATA_KEY)
        keys.renew()
        keys.remove(before.master_key)
        with pytest.raises(MissingMasterKey, match=before.master_key):
            keys.unwrap(before)
        assert keys.unwrap(keys.wrap(DATA_KEY)) == DATA_KEY

    @pytest.mark.parametrize("where", [0, 11, 12, 20, -1])
    def test_a_changed_byte_is_found(self, keys: Renewable, where: int) -> None:
        wrapped = keys.wrap(DATA_KEY)
        content = bytearray(wrapped.content)
        content[where] ^= 1
        with pytest.raises(DamagedKey):
            keys.unwrap(WrappedKey(wrapped.master_key, bytes(content)))

    @pytest.mark.parametrize("length", [0, 1, 11, 12, 27, 28])
    def test_a_cut_key_is_found(self, keys: Renewable, length: int) -> None:
        wrapped = keys.wrap(DATA_KEY)
        with pytest.raises(DamagedKey):
            keys.unwrap(WrappedKey(wrapped.master_key, wrapped.content[:length]))

    def test_a_name_that_was_exchanged_is_found(self, keys: Renewable) -> None:
        before = keys.wrap(DATA_KEY)
        newest = keys.renew()
        with pytest.raises(DamagedKey):
            keys.unwrap(WrappedKey(newest, before.content))

    def test_noise_is_found(self, keys: Renewable) -> None:
        name = keys.wrap(DATA_KEY).master_key
        with pytest.raises(DamagedKey):
            keys.unwrap(WrappedKey(name, secrets.token_bytes(60)))
