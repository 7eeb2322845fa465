"""Files have a size, a purpose and an end; batches are asked for rightly, and not too many."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.control.openai_batches import service
from plinth.control.openai_batches.service import (
    NewBatch,
    create_batch,
    purge_expired,
    remove_bytes,
    remove_file,
)
from plinth.kit.errors import Busy, Conflict, Invalid, TooLarge
from plinth.store.openai_files import find_file
from tests.control.openai_batches.batches import CHAT, lines, make, put, stored
from tests.control.plane import TEAM, Plane


def ask(plane: Plane, file: Any, **fields: Any) -> Any:
    given = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h", **fields}
    with plane.write() as connection:
        return create_batch(connection, plane.context, plane.actor(), NewBatch(**given), file)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"endpoint": "/v1/images"}, "endpoint"),
        ({"completion_window": "1y"}, "completion_window"),
        ({"metadata": {f"{n}": "v" for n in range(17)}}, "17 pairs"),
        ({"metadata": {"k" * 65: "v"}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, "output_expires_after"),
    ],
    ids=str,
)
def test_what_is_asked_wrongly_is_refused(plane: Plane, fields: Any, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        ask(plane, put(plane, b"{}"), **fields)


def test_a_file_for_something_else_is_no_input(plane: Plane) -> None:
    with pytest.raises(Invalid, match="user_data"):
        ask(plane, put(plane, b"{}", purpose="user_data"))


def test_a_team_has_only_so_many_at_once(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_ACTIVE", 2)
    file = put(plane, b"{}")
    ask(plane, file)
    ask(plane, file)
    with pytest.raises(Busy, match="2 batches"):
        ask(plane, file)


def test_a_team_has_only_so_much_room(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_TEAM_BYTES", 100)
    put(plane, b"x" * 80)
    with pytest.raises(TooLarge, match="80 B of files"):
        put(plane, b"x" * 30)
    put(plane, b"x" * 30, team="default")


def test_a_file_is_deleted_when_no_batch_reads_it(plane: Plane) -> None:
    batch = make(plane, lines(1))
    with plane.database.read() as connection:
        file = find_file(connection, stored(plane, batch).input_file, plane.clock.now())
    assert file is not None
    with plane.write() as connection, pytest.raises(Conflict, match=batch):
        remove_file(connection, file)
    plane.until(lambda: stored(plane, batch).has_ended)
    with plane.write() as connection:
        remove_file(connection, file)
    remove_bytes(plane.context, file)
    remove_bytes(plane.context, file)
    assert not list((plane.home.storage / "files" / TEAM).iterdir())


def test_files_of_batches_expire_after_thirty_days_and_others_never(plane: Plane) -> None:
    usual, kept = put(plane, b"a"), put(plane, b"b", purpose="user_data")
    short = put(plane, b"c", expiry_s=3600)
    assert usual.expires_at is not None
    assert (usual.expires_at - usual.created_at).days == 30
    assert kept.expires_at is None
    plane.clock.advance(3601)
    purge_expired(plane.context)
    left = {path.name for path in (plane.home.storage / "files" / TEAM).iterdir()}
    assert left == {usual.id, kept.id}
    with plane.database.read() as connection:
        assert find_file(connection, short.id, plane.clock.now()) is None


def test_what_a_batch_reads_is_not_purged(plane: Plane) -> None:
    batch = make(plane, lines(1))
    plane.clock.advance(31 * 86400)
    purge_expired(plane.context)
    assert list((plane.home.storage / "files" / TEAM).iterdir())
    plane.until(lambda: stored(plane, batch).has_ended)
    purge_expired(plane.context)
    assert not list((plane.home.storage / "files" / TEAM).iterdir())
