"""Files are listed by page, and one that has expired is not there."""

from __future__ import annotations

from datetime import timedelta

from plinth.store.identities import add_team
from plinth.store.openai_files import (
    StoredFile,
    add_file,
    delete_file,
    find_file,
    list_expired,
    list_files,
    stored_bytes,
)
from plinth.store.session import Database
from tests.store.rows import NOW

TEAM = "research"


def file(name: str, *, after_s: float = 0, **fields: object) -> StoredFile:
    given = {
        "id": f"file-{name}",
        "team": TEAM,
        "purpose": "batch",
        "name": "a.jsonl",
        "size_bytes": 10,
        "digest": "d",
        "created_at": NOW + timedelta(seconds=after_s),
        "created_by": "admin",
        **fields,
    }
    return StoredFile(**given)  # type: ignore[arg-type]


def test_a_row_is_written_once(database: Database) -> None:
    with database.write() as connection:
        add_team(connection, TEAM, NOW)
        assert add_file(connection, file("a"))
        assert not add_file(connection, file("a", size_bytes=99))
        found = find_file(connection, "file-a", NOW)
    assert found == file("a")


def test_what_has_expired_is_not_there_but_still_takes_room(database: Database) -> None:
    soon = NOW + timedelta(seconds=60)
    with database.write() as connection:
        add_team(connection, TEAM, NOW)
        add_file(connection, file("a", expires_at=soon))
        add_file(connection, file("b"))
        later = soon + timedelta(seconds=1)
        assert find_file(connection, "file-a", NOW) is not None
        assert find_file(connection, "file-a", later) is None
        assert [each.id for each in list_files(connection, TEAM, later, limit=9)] == ["file-b"]
        assert [each.id for each in list_expired(connection, later, 9)] == ["file-a"]
        assert list_expired(connection, NOW, 9) == []
        assert stored_bytes(connection, TEAM) == 20
        delete_file(connection, "file-a")
        assert stored_bytes(connection, TEAM) == 10


def test_pages_follow_each_other_also_where_times_are_equal(database: Database) -> None:
    with database.write() as connection:
        add_team(connection, TEAM, NOW)
        for number in range(5):
            add_file(connection, file(f"{number}", after_s=number // 2))
        newest: list[str] = []
        after = None
        while page := list_files(connection, TEAM, NOW, limit=2, after=after):
            newest += [each.id for each in page]
            after = page[-1]
        assert newest == [f"file-{number}" for number in (4, 3, 2, 1, 0)]
        oldest = list_files(connection, TEAM, NOW, limit=9, newest_first=False)
        assert [each.id for each in oldest] == newest[::-1]
        behind = list_files(connection, TEAM, NOW, limit=9, newest_first=False, after=oldest[2])
        assert [each.id for each in behind] == newest[::-1][3:]
        assert list_files(connection, TEAM, NOW, limit=9, purpose="other") == []
        assert list_files(connection, "other", NOW, limit=9) == []
