"""Carry usage into the ledger: what the gateway logged, and how long replicas ran."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from plinth.control.context import Context
from plinth.domain.usage import Meter
from plinth.domain.workload import Job
from plinth.gateway.access_log import parse
from plinth.gateway.admin import Admin
from plinth.metering.engine_usage import ReplicaSpan, usage_of
from plinth.metering.journal import AccessJournal, UsageDraft, rotate
from plinth.store.runs import Attempt, StoredRun, find_run, list_unmetered, note_metered

log = logging.getLogger(__name__)

_LARGEST_LOG = 64 * 1024 * 1024
_KEPT_LOGS = 4
_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one workload used for one team."""

    team: str
    workload: str
    training_seconds: float
    serving_seconds: float
    requests: float


class Metering:
    """Read the sources; every call goes on where the last one's commit left it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._log = context.home.gateway / "access.log"
        self._journal = AccessJournal(self._log, context.ledger, usage_in)

    def collect(self) -> None:
        """Read what is new. Raises Temporary or Conflict: call again later."""
        found = self._journal.collect()
        if found.malformed:
            log.warning("%d lines of the access log cannot be read: not counted", found.malformed)
        if found.rewritten:
            log.warning("%d access logs were cut or rewritten by others", found.rewritten)
        self._rotate()
        for attempt, run in self._unmetered():
            span = _span(attempt, run)
            cursor = self._context.ledger.cursor(span.source)
            records, following = usage_of(span, cursor)
            if following is not None and following != cursor:
                self._context.ledger.commit(span.source, records, expected=cursor, cursor=following)
            if attempt.ended_at is not None:
                with self._context.database.write() as connection:
                    note_metered(connection, attempt)

    def totals(self) -> list[UsageRow]:
        """Return what was used by team and workload.

        What still runs counts up to when it was last seen.
        """
        now = self._context.clock.now()
        sums: dict[tuple[str, str], dict[Meter, float]] = {}
        for total in self._context.ledger.totals(_BEGINNING, now + timedelta(days=1)):
            meters = sums.setdefault((total.team, total.workload), {})
            meters[total.meter] = meters.get(total.meter, 0.0) + total.quantity
        for attempt, run in self._unmetered():
            span = _span(attempt, run)
            cursor = self._context.ledger.cursor(span.source)
            until = attempt.ended_at or span.seen_at
            ends = ReplicaSpan(**{**_fields(span), "seen_at": until, "ended_at": until})
            meters = sums.setdefault((span.team, span.workload), {})
            for record in usage_of(ends, cursor)[0]:
                meters[record.meter] = meters.get(record.meter, 0.0) + record.quantity
        return [
            UsageRow(
                team=team,
                workload=workload,
                training_seconds=round(meters.get(Meter.TRAINING_SECONDS, 0.0), 3),
                serving_seconds=round(meters.get(Meter.SERVING_SECONDS, 0.0), 3),
                requests=meters.get(Meter.REQUESTS, 0.0),
            )
            for (team, workload), meters in sorted(sums.items())
        ]

    def _rotate(self) -> None:
        """Begin a new log when this one is large; forget the oldest, which was read to its end."""
        rotated = sorted(self._log.parent.glob(f"{self._log.name}.*"))
        if self._log.exists():
            if self._log.stat().st_size < _LARGEST_LOG:
                return
            for path in rotated[:-_KEPT_LOGS]:
                path.unlink()
            rotate(self._log)
        elif not rotated:
            return
        # Also when it was renamed before and Envoy could not be told then.
        with Admin(self._context.home.socket("envoy-admin")) as admin:
            admin.reopen_logs()

    def _unmetered(self) -> list[tuple[Attempt, StoredRun]]:
        with self._context.database.read() as connection:
            return [
                (attempt, find_run(connection, attempt.run))
                for attempt in list_unmetered(connection)
            ]


def usage_in(line: bytes) -> UsageDraft | None:
    """Return the usage in one line of the gateway's log; None when no model served it.

    Raises ValueError for a line that is no record.
    """
    records, _ = parse(line.rstrip(b"\n") + b"\n")
    if not records:
        raise ValueError("not a record of the access log")
    record = records[0]
    if record.endpoint is None or record.team is None or not record.was_served:
        return None
    return UsageDraft(
        meter=Meter.REQUESTS,
        quantity=1.0,
        team=record.team,
        workload=f"endpoint/{record.endpoint}",
        started_at=record.started_at,
        ended_at=record.started_at + timedelta(milliseconds=record.duration_ms),
        principal=record.principal,
        run=record.deployment,
        request_id=record.request_id,
    )


def _span(attempt: Attempt, run: StoredRun) -> ReplicaSpan:
    assert attempt.started_at is not None  # `list_unmetered` gives only those that started
    is_job = isinstance(run.workload, Job)
    return ReplicaSpan(
        run=run.id,
        replica=attempt.replica,
        attempt=attempt.number,
        meter=Meter.TRAINING_SECONDS if is_job else Meter.SERVING_SECONDS,
        team=run.team,
        workload=f"{run.workload.kind}/{run.workload.name}",
        started_at=attempt.started_at,
        # Not the clock: it may have ended while nobody looked.
        seen_at=max(attempt.started_at, attempt.seen_at or attempt.started_at),
        ended_at=attempt.ended_at,
        principal=run.principal,
    )


def _fields(span: ReplicaSpan) -> dict[str, Any]:
    return {name: getattr(span, name) for name in span.__slots__}
