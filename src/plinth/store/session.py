"""Open the database and its transactions; bring its schema up to date."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import SQLAlchemyError

from plinth.kit.clock import Clock
from plinth.kit.home import Home
from plinth.kit.settings import Settings
from plinth.store.postgresql import Postgresql
from plinth.store.schema import check_known, migrate_to
from plinth.store.sqlite import Sqlite
from plinth.store.trouble import disk_full

# How long a writer on PostgreSQL may stand still within a transaction.
LONGEST_PAUSE_S = 10.0
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Database:
    """The store's database: SQLite in WAL mode at a path, or PostgreSQL at a URL.

    `read()` and `write()` each give a connection inside one transaction, which commits when the
    block ends and rolls back when it raises. Neither may span a call over the network. Both raise
    Temporary when other writers hold the database for too long, it is away, or the disk is full.
    `where` is its address for people: without the password.
    """

    def __init__(self, where: Path | str, *, longest_pause_s: float = LONGEST_PAUSE_S) -> None:
        """Open nothing yet. Raises Invalid for a bad URL, Permanent when the driver is missing."""
        self._driver: Sqlite | Postgresql = (
            Sqlite(where) if isinstance(where, Path) else Postgresql(where, longest_pause_s)
        )
        self.where = self._driver.where

    @classmethod
    def of(cls, home: Home, settings: Settings) -> Database:
        """Return the store of a home, as its settings say. Raises as the constructor does."""
        # Who stands still holds the others up no longer than it may keep what it has claimed.
        pause_s = min(settings.lease_s, LONGEST_PAUSE_S)
        return cls(settings.database or home.database, longest_pause_s=pause_s)

    @property
    def is_shared(self) -> bool:
        """Tell whether several control planes may use it, each of which may stand still."""
        return isinstance(self._driver, Postgresql)

    def check(self) -> None:
        """Return if it answers. Raises Temporary when it does not, and Conflict when a newer
        Plinth wrote it.
        """
        with self.read() as connection:
            connection.execute(select(1))
            check_known(connection)

    def migrate(self) -> None:
        """Bring the schema to the newest version; does nothing when it is there.

        Several may do so at once: one does it, the others wait. Raises Conflict when a newer
        Plinth wrote it.
        """
        with self.write(alone=False) as connection:
            self._driver.prepare_migration(connection)
            check_known(connection)
            migrate_to(connection, "head")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that sees one snapshot and changes nothing."""
        with self._translated(), self._driver.reader.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self, *, alone: bool = True) -> Iterator[Connection]:
        """Open a transaction beside which no other one of this kind is open.

        So what it reads stays true until it commits. Not `alone`, on PostgreSQL: for what locks
        the very rows that it changes, and reads no others.
        """
        with self._translated(), self._driver.writer.connect() as connection, connection.begin():
            if alone:
                self._driver.exclude_writers(connection)
            yield connection

    def now(self, connection: Connection, clock: Clock) -> datetime:
        """Return the time by which leases count.

        That of the database where machines share it, else that of this machine: `clock`'s.
        """
        return self._driver.now(connection, clock)

    def close(self) -> None:
        """Close every pooled connection."""
        self._driver.engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what passes by itself, or when space is made, into Temporary."""
        try:
            yield
        except SQLAlchemyError as err:
            translated = self._driver.translate(err)
            if translated is None:
                raise
            raise translated from err
        except OSError as err:
            if err.errno in _FULL:
                raise disk_full() from err
            raise


def engine_of(database: Database) -> Engine:
    """Return the SQLAlchemy engine, for tests that look at the schema."""
    return database._driver.engine
