"""A consistent view of the ledger: cursors, sums and gaps as of one moment.

Made by `Ledger.view()`. It has a connection of its own, so that a long sum holds up no journal.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any

from plinth.domain.usage import Gap, Meter, UsageRecord, UsageSum
from plinth.kit.clock import from_text, to_text

_MICROSECOND = timedelta(microseconds=1)
# What is alike only when its price is: always kept apart.
_ALIKE = ("meter", "platform", "cpu", "memory_bytes", "team", "deployment", "estimated", "shadow")
_SELECTED = ", ".join(f"u.{name}" for name in _ALIKE)

# `cross join` keeps the order: each period is looked up in the index on `started_at`. A request is
# whole and counts where it started; a replica's seconds that reach beyond a period are split.
_SUMS = """
select p.number, {columns}, sum(cast(round(u.quantity * 1000000) as integer))
from {place}
where (u.meter not in ('training_seconds', 'serving_seconds') or u.ended_at <= p.until)
    and (? is null or u.team = ?)
group by p.number, {columns} order by p.number, {columns}
"""
_BEYOND = """
select {columns}, u.quantity, u.started_at, u.ended_at
from {place}
where u.meter in ('training_seconds', 'serving_seconds') and u.ended_at > p.until
    and (? is null or u.team = ?)
"""
_BEFORE = """
select {columns}, u.quantity, u.started_at, u.ended_at from usage u
where u.meter in ('training_seconds', 'serving_seconds') and u.started_at < ? and u.ended_at > ?
    and (? is null or u.team = ?)
"""


_PERIOD = "u.started_at >= p.since and u.started_at < p.until"
_ALL = f"temp.period p cross join usage u on {_PERIOD}"
# What a replica used stands together, by its source: found without looking at anything else.
_OF_RUNS = (
    "temp.wanted w cross join usage u on u.source >= w.low and u.source < w.high "
    f"cross join temp.period p on {_PERIOD}"
)
_OF_WORKLOADS = f"{_ALL} cross join temp.wanted w on w.low = u.workload and u.started_at >= w.high"


class Detail(StrEnum):
    """What sums can be kept apart by, beside what is always: team, meter and the replica's size."""

    WORKLOAD = "workload"
    PRINCIPAL = "principal"
    RUN = "run"


@dataclass(frozen=True, slots=True)
class SumQuery:
    """What to sum: [cuts[0], cuts[-1]), apart at each cut between them, of one team or of all.

    `cuts` rise and are two or more. `runs`: only the time of these runs' replicas. `workloads`:
    only what began to be used of each from a time on. Both need cuts that begin before.
    """

    cuts: tuple[datetime, ...]
    details: tuple[Detail, ...] = (Detail.WORKLOAD,)
    team: str | None = None
    runs: tuple[str, ...] | None = None
    workloads: tuple[tuple[str, datetime], ...] | None = None

    def holds(self, *, run: str | None, workload: str, started_at: datetime) -> bool:
        """Tell whether usage of a run and workload from then on is asked for."""
        if self.runs is not None:
            return run in self.runs
        return self.workloads is None or any(
            workload == name and started_at >= since for name, since in self.workloads
        )


class UsageView:
    """The ledger as it stood when the view was opened."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Take a connection to the ledger's file in which a transaction has begun."""
        self._connection = connection

    def cursor(self, source: str) -> str | None:
        """Return how far `source` was read then; None: never."""
        row = self._connection.execute(
            "select position from cursors where source = ?", (source,)
        ).fetchone()
        return None if row is None else str(row[0])

    def gaps(self, since: datetime, until: datetime) -> list[Gap]:
        """Return the gaps that touch [since, until), oldest first."""
        rows = self._connection.execute(
            "select source, position, reason, started_at, ended_at from gaps "
            "where started_at < ? and ended_at >= ? order by started_at, source, position",
            (to_text(until), to_text(since)),
        )
        return [
            Gap(
                source=source,
                position=position,
                reason=reason,
                started_at=from_text(started_at),
                ended_at=from_text(ended_at),
            )
            for source, position, reason, started_at, ended_at in rows
        ]

    def sums(self, query: SumQuery) -> list[UsageSum]:
        """Return what was used, exactly, in as many rows as are not alike.

        The rows are summed in SQLite, one by one only those that reach over a cut.
        """
        self._write_periods(query.cuts)
        self._write_wanted(query)
        place = _ALL if query.runs is None else _OF_RUNS
        place = place if query.workloads is None else _OF_WORKLOADS
        columns = ", ".join([_SELECTED, *(f"u.{detail}" for detail in query.details)])
        team = (query.team, query.team)
        found = []
        for number, *alike, millionths in self._connection.execute(
            _SUMS.format(columns=columns, place=place), team
        ):
            cut = slice(number, number + 2)
            found.append(_sum(query, alike, millionths, query.cuts[cut]))
        first = to_text(query.cuts[0])
        reaching: list[tuple[str, tuple[str | None, ...]]] = [(_BEYOND, team)]
        if place is _ALL:
            reaching.append((_BEFORE, (first, first, *team)))
        for statement, values in reaching:
            for *alike, quantity, started_at, ended_at in self._connection.execute(
                statement.format(columns=columns, place=place), values
            ):
                span = (from_text(started_at), from_text(ended_at))
                for millionths, between in split(round(quantity * 1_000_000), span, query.cuts):
                    found.append(_sum(query, alike, millionths, between))
        return found

    def _write_wanted(self, query: SumQuery) -> None:
        execute = self._connection.execute
        execute("create temp table if not exists wanted (low text primary key, high text)")
        execute("delete from temp.wanted")
        rows = [(f"engine:{run}.", f"engine:{run}/") for run in query.runs or ()]
        rows += [(name, to_text(since)) for name, since in query.workloads or ()]
        self._connection.executemany("insert into temp.wanted values (?, ?)", rows)

    def _write_periods(self, cuts: Sequence[datetime]) -> None:
        execute = self._connection.execute
        execute("create temp table if not exists period (number integer, since text, until text)")
        execute("delete from temp.period")
        self._connection.executemany(
            "insert into temp.period values (?, ?, ?)",
            (
                (number, to_text(since), to_text(until))
                for number, (since, until) in enumerate(pairwise(cuts))
            ),
        )


def sums_of(record: UsageRecord, query: SumQuery) -> list[UsageSum]:
    """Return a record that is not in the ledger yet as it would be summed there."""
    if query.team not in (None, record.team):
        return []
    alike = [getattr(record, name) for name in (*_ALIKE, *query.details)]
    millionths = round(record.quantity * 1_000_000)
    return [
        _sum(query, alike, part, between)
        for part, between in split(millionths, (record.started_at, record.ended_at), query.cuts)
    ]


def split(
    millionths: int, span: tuple[datetime, datetime], cuts: Sequence[datetime]
) -> Iterator[tuple[int, tuple[datetime, datetime]]]:
    """Give the parts of a quantity that was used evenly over `span` to the periods between cuts.

    The parts of adjacent cuts sum to the whole; what lies outside the first and last is left out.
    """
    started_at, ended_at = span
    whole = (ended_at - started_at) // _MICROSECOND
    # A year by days has many cuts, and a record touches few of them.
    first = max(bisect_right(cuts, started_at) - 1, 0)
    for since, until in pairwise(cuts[first : bisect_right(cuts, ended_at) + 1]):
        if whole == 0:
            if since <= started_at < until:
                yield millionths, (since, until)
            continue
        begins, ends = (
            min(max((moment - started_at) // _MICROSECOND, 0), whole) for moment in (since, until)
        )
        # Each cut's share is rounded alone, so it is the same wherever the other cuts are.
        part = millionths * ends // whole - millionths * begins // whole
        if part:
            yield part, (since, until)


def _sum(
    query: SumQuery,
    alike: Sequence[object],
    millionths: int,
    between: Sequence[datetime],
) -> UsageSum:
    fields: dict[str, Any] = dict(zip((*_ALIKE, *query.details), alike, strict=True))
    fields["meter"] = Meter(fields["meter"])
    # SQLite has no truth values.
    fields["estimated"], fields["shadow"] = bool(fields["estimated"]), bool(fields["shadow"])
    since, until = between
    return UsageSum(millionths=millionths, since=since, until=until, **fields)
