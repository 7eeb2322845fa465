"""From the times a replica ran to usage records: whole minutes while it runs, the rest at its end.

Called by the control plane with what it observed. Observing again, later or after a crash, gives
the same records for the same interval, so that the ledger never holds one twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from plinth.domain.run import WorkerTime
from plinth.domain.usage import Meter, UsageRecord
from plinth.metering.ledger import Ledger

INTERVAL_S = 60
_INTERVAL = timedelta(seconds=INTERVAL_S)
_FINAL = "final"

# Returns when workers ran, from a place on, and the place to go on from (Engine.worker_times).
ReadTimes = Callable[[int], tuple[Sequence[WorkerTime], int]]


@dataclass(frozen=True, slots=True)
class ReplicaSpan:
    """One attempt of one replica, as observed.

    `seen_at` is when it was last seen running; `ended_at` is set once it ended. Both are times
    that were observed and written down before, never the time of reading. `platform`, `cpu` and
    `memory_bytes` say where it ran and what it was given, for whoever prices its seconds. `worker`:
    which of an elastic replica's workers it is, whose times these are.
    """

    run: str
    replica: int
    attempt: int
    meter: Meter
    team: str
    workload: str
    started_at: datetime
    seen_at: datetime
    ended_at: datetime | None = None
    principal: str | None = None
    platform: str | None = None
    cpu: float | None = None
    memory_bytes: int | None = None
    worker: int | None = None

    @property
    def source(self) -> str:
        """The name of this attempt, or of its worker, as a source of usage."""
        worker = "" if self.worker is None else f"/{self.worker}"
        return f"engine:{self.run}.{self.replica}.{self.attempt}{worker}"


def record_usage(ledger: Ledger, span: ReplicaSpan) -> None:
    """Commit what the ledger does not have yet of this span.

    Raises Conflict when another reader was faster, Temporary when the ledger cannot be written.
    """
    cursor = ledger.cursor(span.source)
    records, following = usage_of(span, cursor)
    if following is not None and following != cursor:
        ledger.commit(span.source, records, expected=cursor, cursor=following)


def record_workers(ledger: Ledger, span: ReplicaSpan, read: ReadTimes) -> None:
    """Commit what the ledger does not have yet of the workers of an elastic replica.

    Each worker is a source of its own. The replica itself is one without records: its cursor says
    from where to read on. Raises as `record_usage`.
    """
    cursor = ledger.cursor(span.source)
    times, following = read(int(cursor or 0))
    for each in worker_spans(span, times):
        record_usage(ledger, each)
    if following != int(cursor or 0):
        ledger.commit(span.source, [], expected=cursor, cursor=str(following))


def worker_spans(span: ReplicaSpan, times: Iterable[WorkerTime]) -> list[ReplicaSpan]:
    """Return the spans of an elastic replica's workers: one that has no end ends with it."""
    found = []
    for each in times:
        ended_at = each.ended_at or span.ended_at
        found.append(
            replace(
                span,
                worker=each.number,
                started_at=each.started_at,
                seen_at=max(each.started_at, span.seen_at),
                ended_at=None if ended_at is None else max(each.started_at, ended_at),
            )
        )
    return found


def usage_of(span: ReplicaSpan, cursor: str | None) -> tuple[list[UsageRecord], str | None]:
    """Return the records that `cursor` does not cover yet, and the cursor behind them.

    `cursor` is what `Ledger.cursor(span.source)` says. The same cursor comes back when there is
    nothing to commit. A replica that ended before its last whole minute (the clock was set back)
    keeps what was recorded and gets nothing more.
    """
    if cursor == _FINAL:
        return [], cursor
    first = int(cursor or 0)
    until = span.ended_at if span.ended_at is not None else span.seen_at
    closed = max(first, int((until - span.started_at) // _INTERVAL))
    records = [_record(span, index, _INTERVAL) for index in range(first, closed)]
    if span.ended_at is None:
        return records, str(closed) if records else cursor
    rest = span.ended_at - span.started_at - closed * _INTERVAL
    if rest > timedelta(0):
        records.append(_record(span, closed, rest))
    return records, _FINAL


def _record(span: ReplicaSpan, index: int, length: timedelta) -> UsageRecord:
    started_at = span.started_at + index * _INTERVAL
    return UsageRecord(
        source=span.source,
        position=f"{index:09d}",
        meter=span.meter,
        quantity=length.total_seconds(),
        team=span.team,
        workload=span.workload,
        principal=span.principal,
        run=span.run,
        replica=span.replica,
        platform=span.platform,
        cpu=span.cpu,
        memory_bytes=span.memory_bytes,
        started_at=started_at,
        ended_at=started_at + length,
    )
