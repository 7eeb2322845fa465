"""SQLite as the store's database: one file in WAL mode, one writer at a time."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.exc import OperationalError

from plinth.kit.clock import Clock
from plinth.kit.errors import PlinthError
from plinth.store.trouble import busy, disk_full

# How long a writer waits for another before it says that the database is busy.
_BUSY_TIMEOUT_MS = 10_000
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


class Sqlite:
    """The file at `path`. See `session.Database`, which owns one."""

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self.engine = self.reader = create_engine(f"sqlite:///{path}")
        event.listen(self.reader, "connect", _configure)
        event.listen(self.reader, "begin", _begin)
        self.writer = self.reader.execution_options(plinth_write=True)

    def exclude_writers(self, connection: Connection) -> None:
        """Do nothing: a writer's transaction has excluded the others from its start."""

    def prepare_migration(self, connection: Connection) -> None:
        """Do nothing: see `exclude_writers`."""

    def now(self, _connection: Connection, clock: Clock) -> datetime:
        """Return the machine's time: everybody who opens the file is on this machine."""
        return clock.now()

    def translate(self, error: Exception) -> PlinthError | None:
        """Return what passes by itself, or when space is made, as one of our errors."""
        if not isinstance(error, OperationalError):
            return None
        # The lower byte is the kind; the rest says more about it.
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        if code in _BUSY:
            return busy(f"the database was busy for {_BUSY_TIMEOUT_MS // 1000} s")
        return disk_full() if code == sqlite3.SQLITE_FULL else None


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
    statement = "BEGIN IMMEDIATE" if writes else "BEGIN"
    # Told to the driver itself: through SQLAlchemy it takes five times as long, each time.
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    try:
        driver.execute(statement)
    except sqlite3.Error as err:
        raise OperationalError(statement, None, err) from err
