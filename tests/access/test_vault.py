"""A sealed value opens at its own place only, and only as it was sealed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plinth.access.master_key import MasterKeyring, MissingMasterKey, WrappedKey
from plinth.access.vault import Place, Sealed, new_data_key, rewrap, seal, unseal
from plinth.kit.clock import FakeClock
from plinth.kit.errors import Permanent
from tests.contracts.memory_kms import MemoryKms

PLACE = Place("research", "openai", 3)
VALUE = b"sk-hunter2"
KMS = MemoryKms()


@pytest.fixture
def keys(tmp_path: Path) -> MasterKeyring:
    return MasterKeyring(tmp_path, FakeClock())


def flipped(content: bytes, where: int = -1) -> bytes:
    changed = bytearray(content)
    changed[where] ^= 1
    return bytes(changed)


def test_a_value_comes_back_and_is_nowhere_in_what_is_stored(keys: MasterKeyring) -> None:
    sealed = seal(new_data_key(keys), VALUE, PLACE)
    assert unseal(keys, sealed, PLACE) == VALUE
    stored = sealed.data_key.content + sealed.nonce + sealed.ciphertext
    assert VALUE not in stored
    assert len(sealed.ciphertext) == len(VALUE) + 16


@given(st.binary(min_size=1, max_size=300))
def test_every_value_comes_back(value: bytes) -> None:
    assert unseal(KMS, seal(new_data_key(KMS), value, PLACE), PLACE) == value


def test_each_version_has_a_data_key_of_its_own(keys: MasterKeyring) -> None:
    first, second = new_data_key(keys), new_data_key(keys)
    assert first.key != second.key
    assert seal(first, VALUE, PLACE).ciphertext != seal(second, VALUE, PLACE).ciphertext


def test_a_data_key_is_never_printed(keys: MasterKeyring) -> None:
    data_key = new_data_key(keys)
    assert repr(data_key.key) not in repr(data_key)
    assert "key=b" not in repr(data_key).replace("data_key=", "").replace("wrapped_key=", "")


@pytest.mark.parametrize(
    "other",
    [
        Place("finance", "openai", 3),
        Place("research", "azure", 3),
        Place("research", "openai", 2),
        Place("research", "openai", 4),
    ],
)
def test_what_was_moved_to_another_place_does_not_open(keys: MasterKeyring, other: Place) -> None:
    sealed = seal(new_data_key(keys), VALUE, PLACE)
    with pytest.raises(Permanent, match=f"secret `{other.name}` of team `{other.team}`") as caught:
        unseal(keys, sealed, other)
    assert f"plinth secrets set {other.name} --team {other.team}" in str(caught.value.hint)


def test_no_two_places_are_written_alike() -> None:
    assert str(PLACE) == "research/openai/3"


@pytest.mark.parametrize("part", ["nonce", "ciphertext"])
def test_a_changed_byte_does_not_open(keys: MasterKeyring, part: str) -> None:
    sealed = seal(new_data_key(keys), VALUE, PLACE)
    for where in (0, -1):
        changed = replace(sealed, **{part: flipped(getattr(sealed, part), where)})
        with pytest.raises(Permanent, match="was changed"):
            unseal(keys, changed, PLACE)
    for cut in (b"", b"x"):
        with pytest.raises(Permanent, match="was changed"):
            unseal(keys, replace(sealed, **{part: cut}), PLACE)


def test_a_data_key_of_another_secret_does_not_open(keys: MasterKeyring) -> None:
    sealed, other = (seal(new_data_key(keys), VALUE, PLACE) for _ in range(2))
    with pytest.raises(Permanent, match="was changed"):
        unseal(keys, replace(sealed, data_key=other.data_key), PLACE)
    damaged = WrappedKey(sealed.data_key.master_key, flipped(sealed.data_key.content))
    with pytest.raises(Permanent, match="was changed"):
        unseal(keys, replace(sealed, data_key=damaged), PLACE)


def test_a_missing_master_key_is_told_apart_from_damage(keys: MasterKeyring) -> None:
    sealed = seal(new_data_key(keys), VALUE, PLACE)
    keys.renew()
    keys.forget([sealed.data_key.master_key])
    with pytest.raises(MissingMasterKey):
        unseal(keys, sealed, PLACE)


def test_wrapping_anew_leaves_the_ciphertext(keys: MasterKeyring) -> None:
    sealed = seal(new_data_key(keys), VALUE, PLACE)
    newest = keys.renew()
    after = rewrap(keys, sealed.data_key)
    keys.forget([sealed.data_key.master_key])
    assert after.master_key == newest
    assert unseal(keys, Sealed(after, sealed.nonce, sealed.ciphertext), PLACE) == VALUE
