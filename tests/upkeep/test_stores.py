"""The store, wherever it is, as an SQLite file."""

from __future__ import annotations

from pathlib import Path

import pytest

from plinth import __version__
from plinth.kit.errors import PlinthError
from plinth.kit.home import Home
from plinth.kit.settings import Settings
from plinth.store.schema import newest_revision
from plinth.upkeep import databases
from plinth.upkeep.stores import copy_store, snapshot_store, sqlite_revision, sqlite_writer
from tests.control.plane import open_database
from tests.store.test_migrations import at_revision
from tests.upkeep.stand import full_home


def test_a_store_copied_row_by_row_is_the_same_as_the_file(tmp_path: Path) -> None:
    """What a PostgreSQL store goes through; tests/journeys has a real one."""
    with full_home() as plane:
        with plane.database.read() as source:
            copy_store(source, tmp_path / "rows.db")
        snapshot_store(plane.home, Settings(), tmp_path / "file.db")
    assert databases.counts(tmp_path / "rows.db") == databases.counts(tmp_path / "file.db")
    assert sqlite_revision(tmp_path / "rows.db") == newest_revision()
    assert sqlite_writer(tmp_path / "rows.db") == __version__
    for table in ("run", "key", "data_version", "release", "event", "grant"):
        rows = [databases.ask(tmp_path / name, f'select * from "{table}" order by 1')
                for name in ("rows.db", "file.db")]  # fmt: skip
        assert rows[0] == rows[1], table


def test_a_store_of_an_earlier_schema_keeps_it(tmp_path: Path) -> None:
    database = at_revision(tmp_path / "old.db", "0002")
    with database.read() as source:
        copy_store(source, tmp_path / "copy.db")
    database.close()
    assert sqlite_revision(tmp_path / "copy.db") == "0002"
    assert sqlite_writer(tmp_path / "copy.db") is None


def test_an_empty_store_is_copied_empty(tmp_path: Path) -> None:
    database = open_database(tmp_path / "old.db")
    with database.read() as source:
        assert copy_store(source, tmp_path / "copy.db") == {}
    database.close()
    assert sqlite_revision(tmp_path / "copy.db") is None


def test_a_store_that_is_not_there_is_no_file(tmp_path: Path) -> None:
    assert snapshot_store(Home(tmp_path), Settings(), tmp_path / "copy.db") is None
    assert not (tmp_path / "copy.db").exists()


def test_a_postgresql_that_is_away_is_told_without_its_password(tmp_path: Path) -> None:
    settings = Settings(database="postgresql://u:s3cret@127.0.0.1:1/x")
    with pytest.raises(PlinthError) as told:
        snapshot_store(Home(tmp_path), settings, tmp_path / "copy.db")
    assert "s3cret" not in told.value.message
