"""Secrets are kept sealed, taken with a note in the audit log, and never silently lost."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from sqlalchemy import text, update

from plinth.access.master_key import MasterKeyring, MissingMasterKey, key_file
from plinth.access.vault import new_data_key
from plinth.control import secrets
from plinth.control.rotation import rotate_master_key
from plinth.control.secrets import delete_secret, put_secret, read_secret, secret_version
from plinth.kit.errors import Invalid, NotFound, Permanent, Temporary, TooLarge
from plinth.store import tables
from plinth.store.audit import Filter, StoredEntry, list_entries
from plinth.store.secrets import list_secrets
from tests.control.plane import TEAM, Plane

VALUE = b"sk-hunter2-\x00\xff"
CHAT = "endpoint/chat"


def put(plane: Plane, name: str = "openai", value: bytes = VALUE, team: str = TEAM) -> int:
    data_key = new_data_key(plane.context.master_key)
    with plane.write() as connection:
        return put_secret(
            connection, plane.context, plane.actor(), (team, name), value=value, data_key=data_key
        )


def read(plane: Plane, name: str = "openai", purpose: str = CHAT) -> bytes:
    return read_secret(plane.context, TEAM, name, purpose=purpose)


def version(plane: Plane, name: str = "openai") -> int | None:
    with plane.database.read() as connection:
        return secret_version(connection, TEAM, name)


def entries(plane: Plane, action: str) -> list[StoredEntry]:
    with plane.database.read() as connection:
        return list_entries(connection, Filter(action=action), limit=100)


def test_a_value_comes_back_for_a_use_after_a_restart_too(plane: Plane) -> None:
    assert put(plane) == 1
    assert read(plane) == VALUE
    plane.restart()
    assert read(plane) == VALUE


def test_a_new_value_is_the_next_version_and_the_old_one_is_gone(plane: Plane) -> None:
    assert version(plane) is None
    put(plane)
    assert put(plane, value=b"second") == 2
    assert (version(plane), read(plane)) == (2, b"second")
    # The same value again is a version too: nobody is told whether two values are the same.
    assert put(plane, value=b"second") == 3


def test_each_value_has_a_data_key_of_its_own(plane: Plane) -> None:
    put(plane, "a")
    put(plane, "b")
    with plane.database.read() as connection:
        rows = connection.execute(text("select wrapped_key, nonce, ciphertext from secret")).all()
    assert all(len(set(column)) == 2 for column in zip(*rows, strict=True))


def test_secrets_of_two_teams_do_not_mix(plane: Plane) -> None:
    put(plane, value=b"of research")
    put(plane, value=b"of default", team="default")
    assert read(plane) == b"of research"
    assert read_secret(plane.context, "default", "openai", purpose=CHAT) == b"of default"


def test_a_first_read_for_a_use_is_noted_with_reason_and_version(plane: Plane) -> None:
    put(plane)
    for _ in range(3):
        read(plane)
    plane.restart()
    read(plane)
    (entry,) = entries(plane, "read")
    assert (entry.principal, entry.team, entry.subject) == ("platform", TEAM, "secret/openai")
    assert entry.detail == {"purpose": CHAT, "version": 1}
    assert (entry.origin, entry.outcome, entry.key) == ("local", "done", None)


def test_another_use_and_another_version_are_noted_anew(plane: Plane) -> None:
    put(plane)
    read(plane)
    read(plane, purpose="endpoint/other")
    put(plane, value=b"second")
    read(plane)
    assert [entry.detail for entry in entries(plane, "read")] == [
        {"purpose": CHAT, "version": 1},
        {"purpose": "endpoint/other", "version": 1},
        {"purpose": CHAT, "version": 2},
    ]


def test_many_who_read_at_once_note_it_once(plane: Plane) -> None:
    put(plane)
    barrier, found = threading.Barrier(6), list[bytes]()

    def take() -> None:
        barrier.wait()
        found.append(read(plane))

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [VALUE] * 6
    assert len(entries(plane, "read")) == 1


def test_a_use_that_cannot_be_noted_gets_no_value(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(plane)

    def full(*_: object) -> None:
        raise Temporary("the disk is full")

    monkeypatch.setattr(secrets, "add_entry", full)
    with pytest.raises(Temporary):
        read(plane)
    monkeypatch.undo()
    with plane.database.read() as connection:
        assert list_secrets(connection)[0].uses == ()
    assert read(plane) == VALUE
    assert len(entries(plane, "read")) == 1


def test_what_does_not_open_is_not_noted_as_read(plane: Plane) -> None:
    put(plane)
    with plane.write() as connection:
        connection.execute(update(tables.secret).values(ciphertext=b"x" * 40))
    with pytest.raises(Permanent, match="does not open"):
        read(plane)
    assert entries(plane, "read") == []


def test_asking_for_the_version_opens_nothing_and_notes_nothing(plane: Plane) -> None:
    put(plane)
    (plane.home.secrets / "master").rename(plane.home.secrets / "moved")
    assert version(plane) == 1
    assert entries(plane, "read") == []


def test_a_missing_secret_is_told_with_the_way_to_set_it(plane: Plane) -> None:
    with pytest.raises(NotFound, match="team `research` has no secret `openai`") as caught:
        read(plane)
    assert "`plinth secrets set openai --team research` keeps one" in str(caught.value.hint)


def test_a_deleted_secret_is_gone_and_says_what_it_was_taken_for(plane: Plane) -> None:
    put(plane)
    read(plane)
    with plane.write() as connection:
        deleted = delete_secret(connection, plane.context, TEAM, "openai")
    assert (deleted.version, deleted.uses) == (1, (CHAT,))
    assert version(plane) is None
    with pytest.raises(NotFound):
        read(plane)
    with pytest.raises(NotFound), plane.write() as connection:
        delete_secret(connection, plane.context, TEAM, "openai")
    # Whoever compares versions sees that it is another value.
    assert put(plane, value=b"again") == 2


def test_a_value_that_cannot_be_kept_changes_nothing(plane: Plane) -> None:
    put(plane)
    for value, error in ((b"", Invalid), (b"x" * 65_537, TooLarge)):
        with pytest.raises(error):
            put(plane, value=value)
    assert (version(plane), read(plane)) == (1, VALUE)
    assert put(plane, value=b"x" * 65_536) == 2


@pytest.mark.parametrize("purpose", ["", "x" * 81])
def test_a_purpose_has_a_length_that_is_kept(plane: Plane, purpose: str) -> None:
    put(plane)
    with pytest.raises(ValueError, match="1 to 80 characters"):
        read(plane, purpose=purpose)


def test_a_row_that_was_moved_to_another_name_does_not_open(plane: Plane) -> None:
    put(plane)
    with plane.write() as connection:
        connection.execute(update(tables.secret).values(name="other"))
    with pytest.raises(Permanent, match="belongs to another secret"):
        read(plane, "other")


def test_a_lost_master_key_is_named_with_the_secret(plane: Plane) -> None:
    put(plane)
    (file,) = (plane.home.secrets / "master").glob("*.json")
    file.unlink()
    with pytest.raises(MissingMasterKey, match=r"secret `openai` .* no master key `m_") as caught:
        read(plane)
    assert "copy its file back from a backup" in str(caught.value.hint)
    # What is set from now on is well.
    put(plane, "azure")
    assert read(plane, "azure") == VALUE


def test_a_keyring_that_others_can_read_is_refused_for_reading_and_setting(plane: Plane) -> None:
    put(plane)
    (file,) = (plane.home.secrets / "master").glob("*.json")
    file.chmod(0o640)
    with pytest.raises(Permanent, match="open to others"):
        read(plane)
    with pytest.raises(Permanent, match="open to others"):
        put(plane, value=b"second")
    assert version(plane) == 1
    file.chmod(0o600)
    assert read(plane) == VALUE


def test_a_rotation_between_row_and_master_key_is_seen(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between reading the row and unwrapping, the master key of the row is removed."""
    put(plane)
    unwrap, count = MasterKeyring.unwrap, []

    def late(ring: MasterKeyring, wrapped: object) -> bytes:
        if not count:
            count.append(1)
            rotate_master_key(plane.context, lambda _c, _r: None)
        return unwrap(ring, wrapped)  # type: ignore[arg-type]

    monkeypatch.setattr(MasterKeyring, "unwrap", late)
    assert read(plane) == VALUE


def test_a_data_key_of_a_master_key_that_has_gone_is_not_used(plane: Plane) -> None:
    """Between wrapping the data key and the transaction, the master key is rotated."""
    put(plane)
    data_key = new_data_key(plane.context.master_key)
    rotate_master_key(plane.context, lambda _c, _r: None)
    assert not key_file(plane.home.secrets, data_key.wrapped.master_key).exists()
    place = (TEAM, "openai")
    with pytest.raises(Temporary, match="rotated at this moment"), plane.write() as connection:
        put_secret(
            connection, plane.context, plane.actor(), place, value=b"second", data_key=data_key
        )
    assert (version(plane), read(plane)) == (1, VALUE)
    assert put(plane, value=b"second") == 2


def test_nothing_stored_holds_a_value(plane: Plane) -> None:
    put(plane, value=b"hunter2-in-the-clear")
    read(plane)
    for path in plane.home.root.rglob("*"):
        if path.is_file():
            assert b"hunter2-in-the-clear" not in path.read_bytes(), path


def test_the_context_is_all_that_is_needed(plane: Plane) -> None:
    put(plane)
    other = replace(plane.context, master_key=MasterKeyring(plane.home.secrets, plane.clock))
    assert read_secret(other, TEAM, "openai", purpose=CHAT) == VALUE
