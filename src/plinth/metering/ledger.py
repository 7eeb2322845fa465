"""The ledger: every usage record once, and how far each source was read, in one SQLite file.

Called by the journals (commit) and by whoever reports usage. Append-only: no record is ever
changed; only the counters beside the records grow. It has a file of its own, so that reading logs
never waits for the store's locks; reports have connections of their own, so that a commit never
waits for a sum.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from plinth.domain.usage import Gap, Meter, UsageRecord
from plinth.kit.clock import Clock, SystemClock, from_text, to_text
from plinth.kit.errors import Conflict, Temporary
from plinth.metering.counters import Counter, Series
from plinth.metering.view import UsageView

_VERSION = 3
# For whoever looks at a ledger without opening it as one.
LEDGER_VERSION = _VERSION
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
    replica integer,
    platform text,
    cpu real,
    memory_bytes integer,
    deployment text,
    model text,
    estimated integer not null default 0,
    shadow integer not null default 0,
    primary key (source, position)
) without rowid;
create unique index usage_request on usage (request_id, meter) where request_id is not null;
create index usage_started on usage (started_at, team);
create index usage_spans on usage (started_at, ended_at)
    where meter in ('training_seconds', 'serving_seconds');
create table cursors (source text primary key, position text not null) without rowid;
create table gaps (
    source text not null,
    position text not null,
    reason text not null,
    started_at text not null,
    ended_at text not null,
    primary key (source, position)
) without rowid;
create table unreadable (source text primary key, lines integer not null) without rowid;
create table counters (
    name text not null,
    labels text not null,
    value real not null,
    created_at text not null,
    changed_at text not null,
    primary key (name, labels)
) without rowid;
"""
# What brings a ledger of each version to the next one.
_UPGRADES = {
    1: """
alter table usage add column replica integer;
alter table usage add column platform text;
alter table usage add column cpu real;
alter table usage add column memory_bytes integer;
create index usage_spans on usage (started_at, ended_at) where meter <> 'requests';
create table gaps (
    source text not null,
    position text not null,
    reason text not null,
    started_at text not null,
    ended_at text not null,
    primary key (source, position)
) without rowid;
create table unreadable (source text primary key, lines integer not null) without rowid;
""",
    2: """
alter table usage add column deployment text;
alter table usage add column model text;
alter table usage add column estimated integer not null default 0;
alter table usage add column shadow integer not null default 0;
drop index usage_spans;
create index usage_spans on usage (started_at, ended_at)
    where meter in ('training_seconds', 'serving_seconds');
create table counters (
    name text not null,
    labels text not null,
    value real not null,
    created_at text not null,
    changed_at text not null,
    primary key (name, labels)
) without rowid;
""",
}

_COLUMNS = (
    "source, position, meter, quantity, team, workload, principal, run, request_id, "
    "started_at, ended_at, replica, platform, cpu, memory_bytes, deployment, model, "
    "estimated, shadow"
)
_GAP_COLUMNS = "source, position, reason, started_at, ended_at"
# The same place read twice is a bug and fails; the same request seen at another place (a log that
# was copied or cut) is not usage again.
_INSERT = (
    f"insert into usage ({_COLUMNS}) values ({', '.join('?' * 19)}) "
    "on conflict (request_id, meter) where request_id is not null do nothing"
)

_COUNT = (
    "insert into counters (name, labels, value, created_at, changed_at) values (?, ?, ?, ?, ?) "
    "on conflict (name, labels) do update set value = value + excluded.value, "
    "changed_at = excluded.changed_at"
)
_TRUTHS = ("estimated", "shadow")


@dataclass(frozen=True, slots=True)
class UsageTotal:
    """What one team's workload used of one meter, and over how many records it is the sum.

    `estimated`: how much of `quantity` nobody reported. `shadow`: by copied requests.
    """

    team: str
    workload: str
    meter: Meter
    quantity: float
    records: int
    estimated: float = 0.0
    shadow: bool = False


class Ledger:
    """The open ledger file; may be used from several threads and processes at once.

    Every method raises Temporary when the file is locked for too long or the disk is full.
    """

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        """Open the file and make it when absent. Raises Conflict if a newer Plinth wrote it.

        `clock`: says when a counter was begun and changed; no record has a time of ours.
        """
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._path = path
        # Connections that only read and that nobody uses now; threads take and add at the end.
        self._idle: list[sqlite3.Connection] = []
        with _translated():
            self._connection = self._connect()
            self._connection.execute("pragma journal_mode = wal")
            # A record that was acknowledged survives a power cut.
            self._connection.execute("pragma synchronous = full")
            self._set_up(path)

    def _set_up(self, path: Path) -> None:
        with self._transaction() as connection:
            version = connection.execute("pragma user_version").fetchone()[0]
            if version < _VERSION:
                steps = [_SCHEMA] if version == 0 else _upgrades(version)
                for statement in ";".join(steps).split(";"):
                    connection.execute(statement)
                connection.execute(f"pragma user_version = {_VERSION}")
        if version > _VERSION:
            self.close()
            raise Conflict(
                f"the ledger `{path}` has version {version}; this Plinth knows {_VERSION}",
                hint="start the newer Plinth that wrote it",
            )

    def close(self) -> None:
        """Close the file. Nobody may be reading or committing."""
        for connection in (*self._idle, self._connection):
            connection.close()
        self._idle.clear()

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Give a reader a connection of its own: it sees every commit that came before."""
        with _translated():
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._connect()
                connection.execute("pragma query_only = on")
            try:
                yield connection
            finally:
                self._idle.append(connection)

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
        with self._reading() as connection:
            row = connection.execute(
                "select position from cursors where source = ?", (source,)
            ).fetchone()
        return None if row is None else str(row[0])

    def commit(
        self,
        source: str,
        records: Iterable[UsageRecord],
        *,
        expected: str | None,
        cursor: str,
        gaps: Iterable[Gap] = (),
        unreadable: int = 0,
        counts: Mapping[Series, float] | None = None,
    ) -> None:
        """Add the records and gaps and move the source's cursor, all or nothing.

        `expected` is the cursor that the reader started from; `unreadable`: how many lines between
        the two said nothing; `counts`: what the lines add to the counters. Raises Conflict when the
        cursor has moved meanwhile: another reader was there, and nothing of this one's is kept.
        """
        with self._transaction() as connection:
            self._move(connection, source, expected, cursor)
            connection.executemany(_INSERT, (_row_of(record) for record in records))
            connection.executemany(
                f"insert into gaps ({_GAP_COLUMNS}) values (?, ?, ?, ?, ?)",
                (_gap_row_of(gap) for gap in gaps),
            )
            if unreadable:
                connection.execute(
                    "insert into unreadable (source, lines) values (?, ?) "
                    "on conflict (source) do update set lines = lines + excluded.lines",
                    (source, unreadable),
                )
            if counts:
                now = to_text(self._clock.now())
                connection.executemany(
                    _COUNT,
                    ((each.name, _labels(each), value, now, now) for each, value in counts.items()),
                )

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

    @contextmanager
    def view(self) -> Iterator[UsageView]:
        """Open the ledger as it stands now, for several readings that must fit together."""
        with _translated():
            connection = self._connect()
            try:
                connection.execute("begin")
                # A transaction sees the file as of its first reading, not of its beginning.
                connection.execute("select 1 from cursors limit 1").fetchone()
                yield UsageView(connection)
            finally:
                connection.close()

    def totals(
        self, since: datetime, until: datetime, *, team: str | None = None
    ) -> list[UsageTotal]:
        """Return the sums by team, workload and meter of what started in [since, until)."""
        with self._reading() as connection:
            rows = connection.execute(
                "select team, workload, meter, sum(quantity), count(*), sum(quantity * estimated), "
                "shadow from usage "
                "where started_at >= ? and started_at < ? and (? is null or team = ?) "
                "group by team, workload, meter, shadow order by team, workload, shadow, meter",
                (to_text(since), to_text(until), team, team),
            ).fetchall()
        return [
            UsageTotal(name, workload, Meter(meter), quantity, count, estimated, bool(shadow))
            for name, workload, meter, quantity, count, estimated, shadow in rows
        ]

    def records(self, *, source: str | None = None) -> list[UsageRecord]:
        """Return every record, or those of one source, in the order of their identity."""
        with self._reading() as connection:
            rows = connection.execute(
                f"select {_COLUMNS} from usage where ? is null or source = ? "
                "order by source, position",
                (source, source),
            ).fetchall()
        return [_record_of(row) for row in rows]

    def find_request(self, request_id: str) -> UsageRecord | None:
        """Return the record of the request that was answered with this id, or None."""
        with self._reading() as connection:
            row = connection.execute(
                f"select {_COLUMNS} from usage where request_id = ? and meter = ?",
                (request_id, Meter.REQUESTS.value),
            ).fetchone()
        return None if row is None else _record_of(row)

    def gaps(self, *, newest: int | None = None) -> list[Gap]:
        """Return the times whose usage may be missing, oldest first; only the `newest` if given."""
        with self._reading() as connection:
            rows = connection.execute(
                f"select {_GAP_COLUMNS} from gaps order by started_at desc, source desc, "
                "position desc limit ?",
                (-1 if newest is None else newest,),
            ).fetchall()
        return [Gap.model_validate(_with_times(_GAP_COLUMNS, row)) for row in reversed(rows)]

    def count_gaps(self) -> int:
        """Return how many gaps there are."""
        return self._count("select count(*) from gaps")

    def count_unreadable(self) -> int:
        """Return how many lines of all sources could not be read, ever: what they said is lost."""
        return self._count("select coalesce(sum(lines), 0) from unreadable")

    def _count(self, query: str) -> int:
        with self._reading() as connection:
            return int(connection.execute(query).fetchone()[0])

    def counters(self) -> list[Counter]:
        """Return how far every counter has counted."""
        with self._reading() as connection:
            rows = connection.execute("select name, labels, value, created_at from counters")
            return [
                Counter(
                    Series(name, tuple((label, text) for label, text in json.loads(labels))),
                    value,
                    from_text(created_at),
                )
                for name, labels, value, created_at in rows
            ]

    def drop_counters(self, before: datetime) -> None:
        """Forget the counters that nothing was added to since `before`: what they count is gone."""
        with self._transaction() as connection:
            connection.execute("delete from counters where changed_at < ?", (to_text(before),))

    def dump(self) -> bytes:
        """Return everything that was read, as lines of JSON in the order of its identity.

        Two ledgers of the same sources give the same bytes; how far they were read is left out, and
        so are the counters, which sources that are gone have filled too.
        """
        queries = (
            f"select 'usage', {_COLUMNS} from usage order by source, position",
            f"select 'gap', {_GAP_COLUMNS} from gaps order by source, position",
            "select 'unreadable', source, lines from unreadable order by source",
        )
        with self._reading() as connection:
            connection.execute("begin")
            try:
                rows = [row for query in queries for row in connection.execute(query)]
            finally:
                connection.execute("rollback")
        return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def _upgrades(version: int) -> list[str]:
    return [_UPGRADES[each] for each in range(version, _VERSION)]


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as err:
        raise Temporary(
            f"the ledger cannot be used now: {err}",
            hint="check that the disk has room; a backup or another process may hold the file",
        ) from err


def _labels(series: Series) -> str:
    return json.dumps(series.labels)


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
        record.replica,
        record.platform,
        record.cpu,
        record.memory_bytes,
        record.deployment,
        record.model,
        int(record.estimated),
        int(record.shadow),
    )


def _gap_row_of(gap: Gap) -> tuple[str, ...]:
    return gap.source, gap.position, gap.reason, to_text(gap.started_at), to_text(gap.ended_at)


def _record_of(row: tuple[str, ...]) -> UsageRecord:
    return UsageRecord.model_validate(_with_times(_COLUMNS, row))


def _with_times(columns: str, row: tuple[str, ...]) -> dict[str, Any]:
    fields: dict[str, Any] = dict(zip(columns.split(", "), row, strict=True))
    # SQLite has no truth values.
    fields.update({name: bool(fields[name]) for name in _TRUTHS if name in fields})
    return {**fields, **{name: from_text(fields[name]) for name in ("started_at", "ended_at")}}
