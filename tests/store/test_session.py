"""Transactions commit or roll back whole; the schema is what the tables say."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import IntegrityError, OperationalError

from plinth.kit.errors import Temporary
from plinth.store.identities import add_team, list_teams
from plinth.store.session import Database, engine_of
from plinth.store.tables import metadata
from tests.control.plane import copy_template, open_database
from tests.store.rows import NOW


def names(database: Database) -> list[str]:
    with database.read() as connection:
        return [team.name for team in list_teams(connection)]


def test_a_block_that_raises_writes_nothing(database: Database) -> None:
    def fail_half_way() -> None:
        with database.write() as connection:
            add_team(connection, "research", NOW)
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()
    assert names(database) == []


def test_a_block_that_ends_is_committed(database: Database) -> None:
    with database.write() as connection:
        add_team(connection, "research", NOW)
    assert names(database) == ["research"]


def test_a_reader_sees_one_snapshot_while_another_writes(database: Database) -> None:
    with database.read() as reader:
        assert list_teams(reader) == []
        with database.write() as writer:
            add_team(writer, "research", NOW)
        assert list_teams(reader) == []
    assert names(database) == ["research"]


def test_a_second_writer_waits_for_the_first(database: Database) -> None:
    inside, order = threading.Event(), []

    def second() -> None:
        inside.wait()
        with database.write() as connection:
            order.append("second")
            add_team(connection, "second", NOW)

    other = threading.Thread(target=second)
    other.start()
    with database.write() as connection:
        inside.set()
        other.join(0.02)
        order.append("first")
        add_team(connection, "first", NOW)
    other.join(10)
    assert order == ["first", "second"]
    assert names(database) == ["first", "second"]


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


def test_what_does_not_pass_by_itself_is_raised_as_it_is(database: Database) -> None:
    with pytest.raises(OperationalError), database.read() as connection:
        connection.exec_driver_sql("select nothing from nowhere")
    with pytest.raises(PermissionError), database.read():
        raise PermissionError


def test_the_migrations_make_exactly_the_tables(tmp_path: Path) -> None:
    database = Database(tmp_path / "plinth.db")
    database.migrate()
    database.migrate()
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    with database.write() as connection:
        add_team(connection, "research", NOW)
    database.migrate()
    assert names(database) == ["research"]
    database.close()
