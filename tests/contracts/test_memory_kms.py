"""The KMS in memory keeps what a master key's keeper promises."""

from __future__ import annotations

import pytest

from plinth.access.vault import Place, new_data_key, rewrap, seal, unseal
from plinth.kit.errors import Temporary
from tests.contracts.master_key import MasterKeyContract
from tests.contracts.memory_kms import MemoryKms


@pytest.fixture
def keys() -> MemoryKms:
    return MemoryKms()


class TestMemoryKms(MasterKeyContract):
    """The suite over it."""


def test_a_secret_is_sealed_by_it_and_wrapped_anew(keys: MemoryKms) -> None:
    place = Place("research", "openai", 1)
    sealed = seal(new_data_key(keys), b"hunter2", place)
    keys.renew()
    after = rewrap(keys, sealed.data_key)
    keys.remove(sealed.data_key.master_key)
    moved = type(sealed)(after, sealed.nonce, sealed.ciphertext)
    assert unseal(keys, moved, place) == b"hunter2"
    # One call for each, however large the value is: values never go there.
    assert keys.asked == ["wrap", "unwrap", "wrap", "unwrap"]


def test_one_that_is_away_is_said_to_be(keys: MemoryKms) -> None:
    sealed = seal(new_data_key(keys), b"hunter2", Place("research", "openai", 1))
    keys.is_away = True
    with pytest.raises(Temporary):
        new_data_key(keys)
    with pytest.raises(Temporary):
        unseal(keys, sealed, Place("research", "openai", 1))
