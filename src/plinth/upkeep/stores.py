"""The store of a home, wherever it is: what upkeep asks of it, and its copy as an SQLite file."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, delete, inspect

from plinth.kit.home import Home
from plinth.kit.settings import Settings
from plinth.store import tables
from plinth.store.copying import copy_tables
from plinth.store.schema import check_known, migrate_to, revision_of
from plinth.store.session import Database
from plinth.upkeep import databases


def open_store(home: Home, settings: Settings) -> Database:
    """Return the home's store: SQLite in the home, or the database that the settings name."""
    return Database(settings.database or home.database)


def snapshot_store(home: Home, settings: Settings, target: Path) -> str | None:
    """Copy the store as it stands at one moment into the SQLite file `target`.

    Returns its schema; None, and no file, when no control plane has made the store yet.
    """
    if settings.database:
        store = open_store(home, settings)
        try:
            with store.read() as source:
                check_known(source)
                copy_store(source, target)
                return revision_of(source)
        finally:
            store.close()
    if not home.database.exists():
        return None
    databases.copy_sqlite(home.database, target)
    return sqlite_revision(target)


def copy_store(source: Connection, target: Path) -> dict[str, int]:
    """Write every row of a store into a new SQLite file of the same schema; return the counts."""
    revision = revision_of(source)
    database = Database(target)
    try:
        with database.write() as connection:
            if revision is None:
                return {}
            migrate_to(connection, revision)
            if inspect(connection).has_table(tables.release.name):
                # Its history is the source's.
                connection.execute(delete(tables.release))
            return copy_tables(source, connection)
    finally:
        database.close()


def sqlite_revision(path: Path) -> str | None:
    """Return the schema of a store in an SQLite file, without opening it as one."""
    rows = databases.ask(path, "select version_num from alembic_version")
    return str(rows[0][0]) if rows else None


def sqlite_writer(path: Path) -> str | None:
    """Return the Plinth that brought a store in an SQLite file to its schema, if it says."""
    rows = databases.ask(
        path,
        "select plinth from release where revision = (select version_num from alembic_version) "
        "order by id desc limit 1",
    )
    return str(rows[0][0]) if rows else None
