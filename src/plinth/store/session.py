"""Open the database and its transactions; bring its schema up to date."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event

_MIGRATIONS = Path(__file__).parent / "migrations"
# How long a writer waits for another before it says that the database is busy.
_BUSY_TIMEOUT_MS = 10_000


class Database:
    """The store's database: SQLite in WAL mode at `path`.

    `read()` and `write()` each give a connection inside one transaction, which commits when the
    block ends and rolls back when it raises. Neither may span a call over the network.
    """

    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}"
        self._engine = create_engine(self.url)
        event.listen(self._engine, "connect", _configure)
        event.listen(self._engine, "begin", _begin)

    def migrate(self) -> None:
        """Bring the schema to the newest version; does nothing when it is there."""
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        with self.write() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that sees one snapshot and changes nothing."""
        with self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that holds the write lock from its start."""
        options: dict[str, Any] = {"plinth_write": True}
        with (
            self._engine.connect().execution_options(**options) as connection,
            connection.begin(),
        ):
            yield connection

    def close(self) -> None:
        """Close every pooled connection."""
        self._engine.dispose()


def engine_of(database: Database) -> Engine:
    """Return the SQLAlchemy engine, for tests that look at the schema."""
    return database._engine


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own BEGIN comes too late and is always deferred; `_begin` sends ours.
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={_BUSY_TIMEOUT_MS}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # A deferred transaction that turns into a writer fails when another wrote in between.
    writes = connection.get_execution_options().get("plinth_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
