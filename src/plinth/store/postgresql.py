"""PostgreSQL as the store's database: shared by several control planes.

A writer holds one advisory lock for its transaction, so that what it reads stays true until it
commits, as with SQLite's single writer. Only what locks its own rows (claims, duties) goes beside.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    create_engine,
    event,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from plinth.kit.clock import Clock
from plinth.kit.errors import Invalid, Permanent, PlinthError
from plinth.store.trouble import away, busy, disk_full

_HINT = 'write `database = "postgresql://USER:PASSWORD@HOST:PORT/NAME"` in settings.toml'
# Any number will do, as long as every Plinth on this database takes the same: "plinth".
_WRITERS = 0x706C696E7468
# How long a writer waits for another before it says that the database is busy.
_LOCK_TIMEOUT_S = 10.0
# A migration may rewrite tables; the next control plane waits for it as it starts.
_MIGRATION_TIMEOUT_S = 600.0
_CONNECTIONS, _MORE_CONNECTIONS = 5, 15
# A server that vanished with its machine is noticed within about this time.
_NETWORK: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_FULL = "53100"
# Serialization failure, deadlock, lock not in time, cancelled; all of class 53: no resources left.
_BUSY = ("40001", "40P01", "55P03", "57014", "53")
# Connection lost, server shutting down or starting, session ended while it was idle for too long.
_AWAY = ("08", "57P", "25P03")


class Postgresql:
    """The database at `url`. See `session.Database`, which owns one.

    `longest_pause_s`: a transaction whose owner stands still for longer is rolled back by the
    server, so that a paused control plane does not hold up the others.
    """

    def __init__(self, url: str, longest_pause_s: float) -> None:
        self._url = _parse(url)
        self._longest_pause_s = longest_pause_s
        shown = self._url.set(drivername="postgresql")
        self.where = shown.render_as_string(hide_password=True)
        self.engine = _open(self._url)
        event.listen(self.engine, "connect", self._configure)
        self.reader = self.engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        # Each statement sees what was committed before it: so also what was, when the lock came.
        self.writer = self.engine.execution_options(isolation_level="READ COMMITTED")

    def exclude_writers(self, connection: Connection) -> None:
        """Wait until no other transaction that called this is open; the end of this one frees it.

        Raises DBAPIError when that takes too long.
        """
        # Each writer pays for this statement: text costs half of what an expression does.
        connection.exec_driver_sql(f"select pg_advisory_xact_lock({_WRITERS})")

    def prepare_migration(self, connection: Connection) -> None:
        """Exclude other writers, and allow this transaction the time that a migration takes."""
        for name in ("lock_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(text(f"set local {name} = '{_MIGRATION_TIMEOUT_S:.0f}s'"))
        self.exclude_writers(connection)

    def now(self, connection: Connection, _clock: Clock) -> datetime:
        """Return the database's own time, which is one for all machines."""
        now = connection.execute(select(func.clock_timestamp())).scalar_one()
        assert isinstance(now, datetime)
        return now

    def translate(self, error: Exception) -> PlinthError | None:
        """Return what passes by itself, or is the caller's, as one of our errors."""
        if isinstance(error, NoConnectionFree):
            return busy("every connection to the database is in use")
        if isinstance(error, DataError):
            return Invalid(f"a value does not fit the database: {self._reason(error)}")
        if not isinstance(error, DBAPIError):
            return None
        state = getattr(error.orig, "sqlstate", None) or ""
        if state == _FULL:
            return disk_full()
        if state.startswith(_BUSY):
            return busy(f"the database is busy: {self._reason(error)}")
        # The driver names no state when there is no connection, or when it broke.
        is_broken = error.connection_invalidated or (not state and _is_operational(error))
        if is_broken or state.startswith(_AWAY):
            return away(self.where, self._reason(error))
        return None

    def _reason(self, error: DBAPIError) -> str:
        lines = str(error.orig).strip().splitlines() or [type(error.orig).__name__]
        reason = lines[0].strip()
        password = self._url.password
        return reason.replace(str(password), "***") if password else reason

    def _configure(self, connection: Any, _record: object) -> None:
        settings = {
            "lock_timeout": f"{_LOCK_TIMEOUT_S * 1000:.0f}",
            "idle_in_transaction_session_timeout": f"{self._longest_pause_s * 1000:.0f}",
            "timezone": "UTC",
        }
        with connection.cursor() as cursor:
            for name, value in settings.items():
                cursor.execute("select set_config(%s, %s, false)", (name, value))
        connection.commit()


def _parse(url: str) -> URL:
    # What is wrong with it is not repeated: it may hold a password.
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as err:
        raise Invalid("`database` is no address of a database", hint=_HINT) from err
    if parsed.drivername not in ("postgresql", "postgres"):
        raise Invalid(
            f"`database` names the kind `{parsed.drivername}`; `postgresql` is accepted", hint=_HINT
        )
    if not parsed.database:
        raise Invalid("`database` names no database behind the host", hint=_HINT)
    return parsed.set(drivername="postgresql+psycopg")


def _open(url: URL) -> Engine:
    try:
        return create_engine(
            url,
            connect_args={**_NETWORK, "application_name": "plinth"},
            # A connection that broke while nobody used it is replaced before it is used.
            pool_pre_ping=True,
            pool_size=_CONNECTIONS,
            max_overflow=_MORE_CONNECTIONS,
            pool_timeout=_LOCK_TIMEOUT_S,
        )
    except ImportError as err:
        raise Permanent(
            "the driver for PostgreSQL is not installed",
            hint="install Plinth with it: `uv pip install 'plinth[postgres]'`",
            code="driver_missing",
        ) from err


def _is_operational(error: DBAPIError) -> bool:
    return type(error).__name__ in ("OperationalError", "InterfaceError")
