"""Transactions commit or roll back whole; the schema is what the tables say."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.exc import DBAPIError

from plinth.store.identities import add_team, list_teams
from plinth.store.session import Database
from plinth.store.tables import metadata
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


def test_what_does_not_pass_by_itself_is_raised_as_it_is(database: Database) -> None:
    with pytest.raises(DBAPIError), database.read() as connection:
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
