"""A rotation wraps everything anew; killed anywhere, every secret opens, and the next ends it."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, text, update

from plinth.access.master_key import MasterKeyring, key_files
from plinth.access.vault import new_data_key
from plinth.control import rotation
from plinth.control.rotation import Rotation, finish_rotation, rotate_master_key
from plinth.control.secrets import put_secret, read_secret
from plinth.kit.errors import Busy, Permanent, PlinthError, Temporary
from plinth.store import tables
from plinth.store.audit import Filter, StoredEntry, list_entries
from plinth.store.secrets import list_wrapped
from tests.control.plane import TEAM, Plane

NAMES = ("azure", "openai", "other")


class KilledHereError(BaseException):
    """Stands for `kill -9`: nobody catches it, and only what was written stays."""


def put(plane: Plane, name: str, value: bytes | None = None) -> int:
    data_key = new_data_key(plane.context.master_key)
    with plane.write() as connection:
        return put_secret(
            connection,
            plane.context,
            plane.actor(),
            (TEAM, name),
            value=value or name.encode(),
            data_key=data_key,
        )


def rotate(plane: Plane) -> Rotation:
    return rotate_master_key(plane.context, lambda _connection, _rotation: None)


def rows(plane: Plane, columns: str) -> list[Any]:
    with plane.database.read() as connection:
        return [
            tuple(row)
            for row in connection.execute(text(f"select {columns} from secret order by name"))
        ]


def check_all_open(plane: Plane) -> None:
    for name in NAMES:
        assert read_secret(plane.context, TEAM, name, purpose="t") == name.encode()


def entries(plane: Plane) -> list[StoredEntry]:
    with plane.database.read() as connection:
        return list_entries(connection, Filter(action="rotate"), limit=10)


def fill(plane: Plane) -> None:
    for name in NAMES:
        put(plane, name)


def test_everything_is_wrapped_by_the_new_key_and_nothing_else_changes(plane: Plane) -> None:
    fill(plane)
    sealed, (old,) = rows(plane, "nonce, ciphertext, version"), plane.context.master_key.ids()
    done = rotate(plane)
    assert rows(plane, "nonce, ciphertext, version") == sealed
    assert rows(plane, "master_key") == [(done.master_key,)] * len(NAMES)
    assert (done.rewrapped, done.removed, done.unopened) == (len(NAMES), (old,), ())
    assert [file.stem for file in key_files(plane.home.secrets)] == [done.master_key]
    check_all_open(plane)


def test_rotating_with_no_secret_makes_a_key_and_twice_leaves_one(plane: Plane) -> None:
    first = rotate(plane)
    second = rotate(plane)
    assert (first.rewrapped, second.removed) == (0, (first.master_key,))
    assert plane.context.master_key.ids() == [second.master_key]


def test_a_copy_of_the_old_rows_does_not_open_any_more(plane: Plane) -> None:
    fill(plane)
    wrapped = rows(plane, "name, master_key, wrapped_key")
    rotate(plane)
    with plane.write() as connection:
        for name, master_key, content in wrapped:
            connection.execute(
                update(tables.secret)
                .where(tables.secret.c.name == name)
                .values(master_key=master_key, wrapped_key=content)
            )
    with pytest.raises(Permanent, match="no master key"):
        read_secret(plane.context, TEAM, "openai", purpose="t")


def test_the_note_is_written_in_the_transaction_that_ends_it(plane: Plane) -> None:
    fill(plane)
    seen: list[str] = []

    def note(connection: Connection, done: Rotation) -> None:
        seen.extend({row.master_key for row in list_wrapped(connection)} - {done.master_key})
        raise Temporary("the disk is full")

    with pytest.raises(Temporary):
        rotate_master_key(plane.context, note)
    assert seen == []
    # Nothing was noted, so nothing was removed: the next one ends it.
    assert len(plane.context.master_key.ids()) == 2
    check_all_open(plane)
    assert len(rotate(plane).removed) == 2


# Where it is killed: what is called there, and at which call of it.
POINTS: list[tuple[str, Any, str, int]] = [
    ("before the new file", MasterKeyring, "_make", 1),
    ("wrapping the first", rotation, "rewrap", 1),
    ("wrapping the second", rotation, "rewrap", 2),
    ("writing the first", rotation, "change_wrapping", 1),
    ("writing the third", rotation, "change_wrapping", 3),
    ("retiring the old key", rotation, "retire_master_keys", 1),
    ("before the old file goes", MasterKeyring, "forget", 1),
]


@pytest.mark.parametrize("point", POINTS, ids=[point[0] for point in POINTS])
def test_killed_anywhere_every_secret_opens_and_it_is_finished(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, point: tuple[str, Any, str, int]
) -> None:
    fill(plane)
    where, place, name, nth = point
    whole, calls = getattr(place, name), []

    def killed(*arguments: Any) -> Any:
        calls.append(name)
        if len(calls) == nth:
            raise KilledHereError
        return whole(*arguments)

    (old,) = plane.context.master_key.ids()
    monkeypatch.setattr(place, name, killed)
    with pytest.raises(KilledHereError):
        rotate(plane)
    monkeypatch.undo()
    plane.restart()
    check_all_open(plane)
    assert put(plane, "openai", b"openai") == 2
    check_all_open(plane)
    finish_rotation(plane.context)
    (left,) = plane.context.master_key.ids()
    assert rows(plane, "master_key") == [(left,)] * len(NAMES)
    check_all_open(plane)
    if where == "before the new file":
        assert left == old
        assert entries(plane) == []
    else:
        assert left != old
        (entry,) = entries(plane)
        assert (entry.principal, entry.team, entry.subject) == (
            "platform",
            None,
            f"master-key/{left}",
        )
        assert entry.detail["removed"] == old
    finish_rotation(plane.context)
    assert len(entries(plane)) <= 1


def test_what_cannot_be_opened_keeps_its_key_and_is_named(plane: Plane) -> None:
    fill(plane)
    (old,) = plane.context.master_key.ids()
    with plane.write() as connection:
        connection.execute(
            update(tables.secret)
            .where(tables.secret.c.name == "openai")
            .values(wrapped_key=b"\x00" * 60)
        )
    done = rotate(plane)
    assert (done.rewrapped, done.removed, done.unopened) == (2, (), (f"{TEAM}/openai",))
    assert set(plane.context.master_key.ids()) == {done.master_key, old}
    put(plane, "openai")
    check_all_open(plane)
    assert set(rotate(plane).removed) == {old, done.master_key}


def test_what_a_lost_key_wrapped_does_not_hold_a_rotation_up(plane: Plane) -> None:
    fill(plane)
    with plane.write() as connection:
        connection.execute(
            update(tables.secret)
            .where(tables.secret.c.name == "openai")
            .values(master_key="m_lost")
        )
    done = rotate(plane)
    assert (done.rewrapped, len(done.removed), done.unopened) == (2, 1, (f"{TEAM}/openai",))
    assert read_secret(plane.context, TEAM, "azure", purpose="t") == b"azure"


def test_a_secret_set_under_the_old_key_at_the_last_moment_is_wrapped_too(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its data key was wrapped before the new master key was made, its row came after the scan."""
    fill(plane)
    early = new_data_key(plane.context.master_key)
    whole, calls = rotation._rewrap_all, []

    def then_set(*arguments: Any) -> int:
        count = whole(*arguments)
        calls.append(count)
        if len(calls) == 1:
            place = (TEAM, "late")
            with plane.write() as connection:
                put_secret(
                    connection, plane.context, plane.actor(), place, value=b"late", data_key=early
                )
        return count

    monkeypatch.setattr(rotation, "_rewrap_all", then_set)
    done = rotate(plane)
    assert calls == [3, 1]
    assert done.rewrapped == 4
    assert read_secret(plane.context, TEAM, "late", purpose="t") == b"late"
    check_all_open(plane)


def test_secrets_are_set_and_read_while_keys_rotate(plane: Plane) -> None:
    fill(plane)
    failures: list[Exception] = []
    stop = threading.Event()

    def until_stopped(work: Callable[[], object]) -> None:
        while not stop.is_set():
            try:
                work()
            except Temporary:
                continue
            except (PlinthError, AssertionError) as err:
                failures.append(err)
                return

    works = (
        lambda: check_all_open(plane),
        lambda: put(plane, "openai"),
    )
    threads = [threading.Thread(target=until_stopped, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for _ in range(5):
        rotate(plane)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    check_all_open(plane)
    assert len(plane.context.master_key.ids()) == 1


def test_two_rotations_at_once_are_one_after_the_other(plane: Plane) -> None:
    fill(plane)
    keys = plane.context.master_key
    with keys.held(), pytest.raises(Busy), keys.held(patience_s=0):
        pass
    threads = [threading.Thread(target=rotate, args=(plane,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(plane.context.master_key.ids()) == 1
    check_all_open(plane)


def test_a_keyring_that_others_can_read_is_not_rotated(plane: Plane) -> None:
    fill(plane)
    (file,) = key_files(plane.home.secrets)
    os.chmod(file, 0o644)
    with pytest.raises(Permanent, match="open to others"):
        rotate(plane)
    os.chmod(file, 0o600)
    assert key_files(plane.home.secrets) == [file]
    check_all_open(plane)


def test_a_start_goes_on_when_there_is_nothing_to_finish_or_it_cannot_be(
    plane: Plane, caplog: pytest.LogCaptureFixture
) -> None:
    fill(plane)
    finish_rotation(plane.context)
    (file,) = key_files(plane.home.secrets)
    file.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        finish_rotation(plane.context)
    assert "was not finished" in caplog.text
