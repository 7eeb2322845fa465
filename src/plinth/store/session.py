"""Open the database and its transactions; bring its schema up to date."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import OperationalError

from plinth.kit.errors import Temporary

_MIGRATIONS = Path(__file__).parent / "migrations"
# How long a writer waits for another before it says that the database is busy.
_BUSY_TIMEOUT_MS = 10_000
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Database:
    """The store's database: SQLite in WAL mode at `path`.

    `read()` and `write()` each give a connection inside one transaction, which commits when the
    block ends and rolls back when it raises. Neither may span a call over the network. Both raise
    Temporary when another writer holds the database for too long, or the disk is full.
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
        with _temporary(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that holds the write lock from its start."""
        options: dict[str, Any] = {"plinth_write": True}
        with (
            _temporary(),
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


@contextmanager
def _temporary() -> Iterator[None]:
    """Turn what passes by itself, or when space is made, into Temporary."""
    try:
        yield
    except OperationalError as err:
        # The lower byte is the kind; the rest says more about it.
        code = getattr(err.orig, "sqlite_errorcode", 0) & 0xFF
        if code in _BUSY:
            raise _busy() from err
        if code == sqlite3.SQLITE_FULL:
            raise _full() from err
        raise
    except OSError as err:
        if err.errno in _FULL:
            raise _full() from err
        raise


def _busy() -> Temporary:
    return Temporary(
        f"the database was busy for {_BUSY_TIMEOUT_MS // 1000} s",
        hint="again in a moment",
        code="database_busy",
    )


def _full() -> Temporary:
    return Temporary(
        "the disk is full", retry_after_s=10, hint="free some space, then again", code="disk_full"
    )


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
