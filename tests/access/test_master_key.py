"""The keyring's files: private or refused, one for each master key, none lost too early."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from plinth.access.master_key import (
    MASTER_KEYS,
    MasterKeyring,
    frozen,
    key_file,
    key_files,
)
from plinth.kit.clock import FakeClock
from plinth.kit.errors import Busy, Permanent
from plinth.kit.files import locked
from tests.contracts.master_key import DATA_KEY, MasterKeyContract


class Keyring(MasterKeyring):
    """The keyring, with the one word that the suite has for forgetting."""

    def remove(self, master_key: str) -> None:
        self.forget([master_key])


@pytest.fixture
def keys(tmp_path: Path) -> Keyring:
    return Keyring(tmp_path, FakeClock())


class TestMasterKeyring(MasterKeyContract):
    """The suite over it."""


def test_the_first_key_is_made_when_it_is_needed_and_is_private(
    keys: Keyring, tmp_path: Path
) -> None:
    assert keys.ids() == []
    assert not (tmp_path / MASTER_KEYS).exists()
    first = keys.wrap(DATA_KEY).master_key
    assert keys.wrap(DATA_KEY).master_key == first
    (file,) = key_files(tmp_path)
    assert file == key_file(tmp_path, first)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_everybody_of_the_home_has_the_same_keys(keys: Keyring, tmp_path: Path) -> None:
    other = MasterKeyring(tmp_path, FakeClock())
    wrapped = keys.wrap(DATA_KEY)
    assert other.unwrap(wrapped) == DATA_KEY
    assert other.renew() == keys.wrap(DATA_KEY).master_key


def test_many_who_need_the_first_key_at_once_make_one(tmp_path: Path) -> None:
    barrier, made = threading.Barrier(8), list[str]()

    def wrap() -> None:
        barrier.wait()
        made.append(MasterKeyring(tmp_path, FakeClock()).wrap(DATA_KEY).master_key)

    threads = [threading.Thread(target=wrap) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == len(key_files(tmp_path)) == 1


def test_the_newest_is_the_newest_also_when_the_clock_was_set_back(tmp_path: Path) -> None:
    clock = FakeClock()
    ring = MasterKeyring(tmp_path, clock)
    ring.wrap(DATA_KEY)
    clock.set_wall(-1_000_000)
    assert ring.renew() == ring.ids()[0]
    assert ring.renew() == ring.ids()[0]
    assert len(ring.ids()) == 3


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
@pytest.mark.parametrize(
    "use",
    [
        lambda ring: ring.wrap(DATA_KEY),
        lambda ring: ring.renew(),
        lambda ring: ring.ids(),
    ],
)
def test_a_key_that_others_can_read_is_refused(
    keys: Keyring, tmp_path: Path, mode: int, use: Callable[[Keyring], object]
) -> None:
    wrapped = keys.wrap(DATA_KEY)
    path = key_file(tmp_path, wrapped.master_key)
    path.chmod(mode)
    for each in (use, lambda ring: ring.unwrap(wrapped)):
        with pytest.raises(Permanent, match=f"has mode {mode:04o} and is open to others") as caught:
            each(keys)
        assert f"`chmod 600 {path}`" in str(caught.value.hint)
        assert "plinth secrets rotate" in str(caught.value.hint)
    path.chmod(0o600)
    assert keys.unwrap(wrapped) == DATA_KEY


def test_an_older_key_that_others_can_read_is_refused_too(keys: Keyring, tmp_path: Path) -> None:
    first = keys.wrap(DATA_KEY).master_key
    keys.renew()
    key_file(tmp_path, first).chmod(0o644)
    with pytest.raises(Permanent, match="open to others"):
        keys.wrap(DATA_KEY)


def test_a_folder_into_which_others_can_look_is_refused(keys: Keyring, tmp_path: Path) -> None:
    keys.wrap(DATA_KEY)
    (tmp_path / MASTER_KEYS).chmod(0o750)
    with pytest.raises(Permanent, match="has mode 0750") as caught:
        keys.wrap(DATA_KEY)
    assert f"chmod 700 {tmp_path / MASTER_KEYS}" in str(caught.value.hint)


@pytest.mark.parametrize(
    "change",
    [
        {"key": "AAAA"},
        {"key": "not base64!"},
        {"key": 7},
        {"number": "1"},
        {"number": True},
        {"id": "m_another"},
        None,
    ],
)
def test_a_file_that_is_no_key_is_refused_with_what_to_do(
    keys: Keyring, tmp_path: Path, change: dict[str, object] | None
) -> None:
    path = key_file(tmp_path, keys.wrap(DATA_KEY).master_key)
    value = json.loads(path.read_text())
    path.write_text("{half" if change is None else json.dumps({**value, **change}))
    with pytest.raises(Permanent, match="cannot be read") as caught:
        keys.wrap(DATA_KEY)
    assert "restore the file from a backup" in str(caught.value.hint)
    assert value["key"] not in str(caught.value)


def test_a_half_written_key_is_not_seen(keys: Keyring, tmp_path: Path) -> None:
    keys.wrap(DATA_KEY)
    (tmp_path / MASTER_KEYS / ".m_x.json.7.tmp").write_text("{")
    assert len(keys.ids()) == 1


def test_nobody_else_holds_the_keyring_at_the_same_time(keys: Keyring, tmp_path: Path) -> None:
    other = MasterKeyring(tmp_path, FakeClock())
    with (
        keys.held(),
        pytest.raises(Busy, match="rotated or backed up"),
        other.held(patience_s=0),
    ):
        pass
    with other.held(patience_s=0):
        pass


def test_a_backup_makes_nothing_where_there_is_nothing(tmp_path: Path) -> None:
    with frozen(tmp_path, FakeClock()):
        assert list(tmp_path.iterdir()) == []
    MasterKeyring(tmp_path, FakeClock()).wrap(DATA_KEY)
    with (
        frozen(tmp_path, FakeClock()),
        locked(tmp_path / MASTER_KEYS / "lock", wait=False) as free,
    ):
        assert not free


def test_a_key_is_never_printed(keys: Keyring) -> None:
    keys.wrap(DATA_KEY)
    (kept,) = keys._read_all()
    assert kept.id in repr(kept)
    assert "key=" not in repr(kept)


def test_the_name_of_a_key_leads_to_no_other_folder(tmp_path: Path) -> None:
    assert key_file(tmp_path, "../../etc/x").parent == tmp_path / MASTER_KEYS
