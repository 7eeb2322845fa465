"""Which schema a store has; one that a newer Plinth wrote is refused with the way out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert

from plinth import __version__
from plinth.kit.errors import Conflict
from plinth.store import tables
from plinth.store.schema import (
    PARTS,
    check_known,
    knows,
    migrate_to,
    missing_parts,
    newest_revision,
    revision_of,
    written_by,
)
from plinth.store.session import Database
from tests.control.plane import open_database

AT = datetime(2026, 1, 1, tzinfo=UTC)


def future(database: Database, plinth: str | None = "9.9.0") -> None:
    """Make the store look as if a newer Plinth had brought it forward."""
    with database.write() as connection:
        connection.exec_driver_sql("update alembic_version set version_num = '9999'")
        if plinth is not None:
            at = "2030-01-01 00:00:00.000000"
            connection.exec_driver_sql(
                f"insert into release (revision, plinth, at) values ('9999', '{plinth}', '{at}')"
            )


def test_a_store_says_which_plinth_brought_it_where(database: Database) -> None:
    with database.read() as connection:
        assert revision_of(connection) == newest_revision()
        assert written_by(connection) == __version__
        check_known(connection)


@pytest.mark.parametrize("revision", ["0001", "0002", "0003"])
def test_a_store_of_each_earlier_schema_is_known_and_goes_forward(
    tmp_path: Path, revision: str
) -> None:
    database = open_database(tmp_path / "plinth.db")
    with database.write() as connection:
        migrate_to(connection, revision)
        assert (revision_of(connection), written_by(connection)) == (revision, None)
        check_known(connection)
    with database.write() as connection:
        migrate_to(connection, "head")
        assert revision_of(connection) == newest_revision()
        assert written_by(connection) == __version__
    database.close()


def test_going_forward_twice_is_one_release(database: Database) -> None:
    with database.write() as connection:
        migrate_to(connection, "head")
        rows = connection.exec_driver_sql("select revision from release").all()
    assert [row[0] for row in rows] == [newest_revision()]


def test_every_table_and_trigger_of_a_new_store_is_looked_for(database: Database) -> None:
    with database.read() as connection:
        dialect = connection.dialect.name
        found = [tuple(row) for row in connection.exec_driver_sql(PARTS[dialect])]
    parts = [part for part in found if not part[1].startswith("sqlite_")]
    assert missing_parts(dialect, parts) == []
    assert len(missing_parts(dialect, [])) == len(parts)


def test_an_empty_store_is_known(tmp_path: Path) -> None:
    database = open_database(tmp_path / "plinth.db")
    with database.read() as connection:
        assert revision_of(connection) is None
        check_known(connection)
    database.close()
    assert knows(None)


def test_a_newer_store_is_refused_with_both_versions_and_the_way_out(database: Database) -> None:
    future(database)
    with pytest.raises(Conflict) as refused, database.read() as connection:
        check_known(connection)
    assert refused.value.code == "newer_home"
    for word in ("9.9.0", "`9999`", __version__, f"`{newest_revision()}`"):
        assert word in refused.value.message
    assert "install Plinth 9.9.0" in str(refused.value.hint)
    assert "restore a backup from before" in str(refused.value.hint)


@pytest.mark.parametrize("rows", ["none", "earlier"])
def test_a_newer_store_of_which_nobody_said_who_wrote_it_names_nobody(
    database: Database, rows: str
) -> None:
    # There is a row of this Plinth, for the schema before.
    future(database, plinth=None)
    if rows == "none":
        with database.write() as connection:
            connection.execute(tables.release.delete())
    with pytest.raises(Conflict) as refused, database.read() as connection:
        check_known(connection)
    assert "which release wrote that is not known" in refused.value.message
    assert "install" not in str(refused.value.hint)
    assert "restore a backup from before" in str(refused.value.hint)


def test_nobody_is_told_to_install_what_they_have(database: Database) -> None:
    future(database, plinth=__version__)
    with pytest.raises(Conflict) as refused, database.read() as connection:
        check_known(connection)
    assert f"another build of Plinth {__version__} that calls itself so" in refused.value.message
    assert "install" not in str(refused.value.hint)


def test_the_newest_release_is_told(database: Database) -> None:
    with database.write() as connection:
        for plinth in ("0.2.0", "0.3.0"):
            row = {"revision": newest_revision(), "plinth": plinth, "at": AT}
            connection.execute(insert(tables.release).values(**row))
        assert written_by(connection) == "0.3.0"
