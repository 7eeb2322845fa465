"""SQLite: one file, durable commits, one writer; its own ways of being busy or full."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import IntegrityError

from plinth.kit.clock import FakeClock
from plinth.kit.errors import Temporary
from plinth.store.identities import add_team, list_teams
from plinth.store.session import Database, engine_of
from tests.control.plane import copy_template, open_database
from tests.store.rows import NOW


def names(database: Database) -> list[str]:
    with database.read() as connection:
        return [team.name for team in list_teams(connection)]


def test_leases_count_by_the_clock_of_the_machine(database: Database) -> None:
    assert not database.is_shared
    with database.read() as connection:
        assert database.now(connection, FakeClock(NOW)) == NOW


def test_two_databases_on_one_file_share_it(database: Database, tmp_path: Path) -> None:
    other = Database(tmp_path / "plinth.db")
    with database.write() as connection:
        add_team(connection, "research", NOW)
    assert names(other) == ["research"]
    other.close()


def test_foreign_keys_and_the_write_ahead_log_are_on(database: Database) -> None:
    with database.read() as connection:
        assert connection.execute(text("pragma journal_mode")).scalar() == "wal"
    with pytest.raises(IntegrityError), database.write() as connection:
        connection.exec_driver_sql(
            "insert into principal (id, kind, name, team, created_at) "
            "values ('p', 'user', 'n', 'nobody', '2026-01-01 00:00:00.000000')"
        )


def test_commits_wait_for_the_disk(tmp_path: Path) -> None:
    database = Database(tmp_path / "plinth.db")
    with database.read() as connection:
        assert connection.execute(text("pragma synchronous")).scalar() == 2  # FULL
    database.close()


def test_a_database_that_stays_busy_is_temporary(tmp_path: Path) -> None:
    copy_template(tmp_path / "plinth.db")
    impatient = open_database(tmp_path / "plinth.db")
    event.listen(
        engine_of(impatient),
        "connect",
        lambda connection, _record: connection.execute("PRAGMA busy_timeout=1"),
    )
    other = open_database(tmp_path / "plinth.db")
    with (
        other.write(),
        pytest.raises(Temporary, match="the database was busy") as caught,
        impatient.write(),
    ):
        pass
    assert caught.value.code == "database_busy"
    other.close()
    impatient.close()


def test_a_full_disk_is_temporary_and_what_was_there_stays(database: Database) -> None:
    def fill(_connection: Connection) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    def grow(connection: Connection) -> None:
        connection.exec_driver_sql("pragma max_page_count = 1")
        for number in range(1000):
            add_team(connection, f"team-{number}", NOW)

    for use_up in (fill, grow):
        with (
            pytest.raises(Temporary, match="the disk is full") as caught,
            database.write() as connection,
        ):
            use_up(connection)
        assert caught.value.code == "disk_full"
    assert names(database) == []
