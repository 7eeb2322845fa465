"""The ledger: every usage record once, and how far each source was read, in one SQLite file.

Called by the journals (commit) and by whoever reports usage. Append-only: no record is ever
changed. It has a file of its own, so that reading logs never waits for the store's locks.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from plinth.domain.usage import Meter, UsageRecord
from plinth.kit.clock import from_text, to_text
from plinth.kit.errors import Conflict, Temporary

_VERSION = 1
_BUSY_TIMEOUT_S = 5.0

_SCHEMA = """
create table usage (
    source text not null,
    position text not null,
    meter text not null,
    quantity real not null,
    team text not null,
    workload text not null,
    principal text,
    run text,
    request_id text,
    started_at text not null,
    ended_at text not null,
    primary key (source, position)
) without rowid;
create unique index usage_request on usage (request_id, meter) where request_id is not null;
create index usage_started on usage (started_at, team);
create table cursors (source text primary key, position text not null) without rowid;
"""

_COLUMNS = (
    "source, position, meter, quantity, team, workload, principal, run, request_id, "
    "started_at, ended_at"
)
# The same place read twice is a bug and fails; the same request seen at another place (a log that
# was copied or cut) is not usage again.
_INSERT = (
    f"insert into usage ({_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "on conflict (request_id, meter) where request_id is not null do nothing"
)


@dataclass(frozen=True, slots=True)
class UsageTotal:
    """What one team's workload used of one meter, and over how many records it is the sum."""

    team: str
    workload: str
    meter: Meter
    quantity: float
    records: int


class Ledger:
    """The open ledger file; may be used from several threads and processes at once.

    Every method raises Temporary when the file is locked for too long or the disk is full.
    """

    def __init__(self, path: Path) -> None:
        """Open the file and make it when absent. Raises Conflict if a newer Plinth wrote it."""
        self._lock = threading.Lock()
        with _translated():
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("pragma journal_mode = wal")
            # A record that was acknowledged survives a power cut.
            self._connection.execute("pragma synchronous = full")
            self._set_up(path)

    def _set_up(self, path: Path) -> None:
        with self._transaction() as connection:
            version = connection.execute("pragma user_version").fetchone()[0]
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"pragma user_version = {_VERSION}")
        if version > _VERSION:
            self.close()
            raise Conflict(
                f"the ledger `{path}` has version {version}; this Plinth knows {_VERSION}",
                hint="start the newer Plinth that wrote it",
            )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _translated():
            self._connection.execute("begin immediate")
            try:
                yield self._connection
                self._connection.execute("commit")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
                raise

    def cursor(self, source: str) -> str | None:
        """Return how far `source` was read, as its reader wrote it; None: never."""
        with self._lock, _translated():
            row = self._connection.execute(
                "select position from cursors where source = ?", (source,)
            ).fetchone()
        return None if row is None else str(row[0])

    def commit(
        self, source: str, records: Iterable[UsageRecord], *, expected: str | None, cursor: str
    ) -> None:
        """Add the records and move the source's cursor, both or neither.

        `expected` is the cursor that the reader started from. Raises Conflict when it has moved
        meanwhile: another reader was there, and nothing of this one's is kept.
        """
        with self._transaction() as connection:
            self._move(connection, source, expected, cursor)
            connection.executemany(_INSERT, (_row_of(record) for record in records))

    def _move(
        self, connection: sqlite3.Connection, source: str, expected: str | None, cursor: str
    ) -> None:
        if expected is None:
            moved = connection.execute(
                "insert into cursors (source, position) values (?, ?) on conflict do nothing",
                (source, cursor),
            )
        else:
            moved = connection.execute(
                "update cursors set position = ? where source = ? and position = ?",
                (cursor, source, expected),
            )
        if moved.rowcount != 1:
            raise Conflict(f"another reader of `{source}` was faster than the one at {expected}")

    def totals(
        self, since: datetime, until: datetime, *, team: str | None = None
    ) -> list[UsageTotal]:
        """Return the sums by team, workload and meter of what started in [since, until)."""
        with self._lock, _translated():
            rows = self._connection.execute(
                "select team, workload, meter, sum(quantity), count(*) from usage "
                "where started_at >= ? and started_at < ? and (? is null or team = ?) "
                "group by team, workload, meter order by team, workload, meter",
                (to_text(since), to_text(until), team, team),
            ).fetchall()
        return [
            UsageTotal(name, workload, Meter(meter), quantity, count)
            for name, workload, meter, quantity, count in rows
        ]

    def records(self, *, source: str | None = None) -> list[UsageRecord]:
        """Return every record, or those of one source, in the order of their identity."""
        with self._lock, _translated():
            rows = self._connection.execute(
                f"select {_COLUMNS} from usage where ? is null or source = ? "
                "order by source, position",
                (source, source),
            ).fetchall()
        return [_record_of(row) for row in rows]


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as err:
        raise Temporary(
            f"the ledger cannot be used now: {err}",
            hint="check that the disk has room; a backup or another process may hold the file",
        ) from err


def _row_of(record: UsageRecord) -> tuple[str | float | None, ...]:
    return (
        record.source,
        record.position,
        record.meter.value,
        record.quantity,
        record.team,
        record.workload,
        record.principal,
        record.run,
        record.request_id,
        to_text(record.started_at),
        to_text(record.ended_at),
    )


def _record_of(row: tuple[str, ...]) -> UsageRecord:
    names = _COLUMNS.split(", ")
    fields = dict(zip(names, row, strict=True))
    times = {name: from_text(fields[name]) for name in ("started_at", "ended_at")}
    return UsageRecord.model_validate({**fields, **times})
