"""Carry usage into the ledger: what the gateway logged, and how long replicas ran."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from plinth.control.context import Context
from plinth.control.duties import Duty
from plinth.domain.usage import Meter
from plinth.domain.workload import Job
from plinth.gateway.access_log import parse
from plinth.gateway.admin import Admin
from plinth.kit.home import Home
from plinth.metering.engine_usage import ReplicaSpan, record_usage, usage_of
from plinth.metering.gaps import gap_in
from plinth.metering.journal import Collected, Journal, Reading, UsageDraft
from plinth.metering.rotation import Retention, drop, rotate, rotated
from plinth.store.runs import (
    Attempt,
    StoredRun,
    find_kept_run,
    list_started,
    list_unmetered,
    note_metered,
)

log = logging.getLogger(__name__)

# The unit that writes the access log.
_GATEWAY_UNIT = "envoy"
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
    """Read the sources; every call goes on where the last one's commit left it.

    With a duty, `collect` is called only while it is ours, and no log goes after that.
    """

    def __init__(self, context: Context, duty: Duty | None = None) -> None:
        self._context = context
        self._fence = duty.check if duty is not None else None
        self._missing: set[str] = set()
        self._log = access_log(context.home)
        self._journals = {
            path: Journal(path, context.ledger, reading) for path, reading in logs_of(context.home)
        }

    def collect(self) -> None:
        """Read what is new. Raises Temporary or Conflict: call again later."""
        # A log that is there while it is read has been begun: nobody writes to an older one.
        begun = [path for path in self._journals if path.exists()]
        for path, journal in self._journals.items():
            _warn(path, journal.collect())
        for attempt, run in self._unmetered():
            record_usage(self._context.ledger, span_of(attempt, run))
            if attempt.ended_at is not None:
                with self._context.database.write() as connection:
                    note_metered(connection, attempt)
        for path in begun:
            self._drop(path)
        # Last, as it fails while Envoy is away.
        self._rotate()

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
            span = span_of(attempt, run)
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

    def unmetered(self) -> list[ReplicaSpan]:
        """Return what still runs, or ended and is not wholly in the ledger, as it was last seen."""
        return [span_of(attempt, run) for attempt, run in self._unmetered()]

    def _drop(self, path: Path) -> None:
        """Remove what was read of a log's rotated files and is old or does not fit."""
        settings = self._context.settings
        since = self._context.clock.now() - timedelta(days=settings.trace_days)
        kept = Retention(since, settings.access_logs_bytes)
        for each in drop(path, self._journals[path].finished(), kept, self._fence):
            log.info("removed `%s`, which stands in the ledger", each)

    def _rotate(self) -> None:
        """Begin a new access log when this one is large."""
        if self._log.exists():
            if self._log.stat().st_size < self._context.settings.access_log_bytes:
                return
            rotate(self._log, self._context.clock.now(), self._fence)
        elif not rotated(self._log):
            return
        # Also when it was renamed before and Envoy could not be told then.
        with Admin(self._context.home.socket("envoy-admin")) as admin:
            admin.reopen_logs()

    def _unmetered(self) -> list[tuple[Attempt, StoredRun]]:
        with self._context.database.read() as connection:
            found = [
                (attempt, find_kept_run(connection, attempt.run))
                for attempt in list_unmetered(connection)
            ]
        for attempt, run in found:
            if run is None and attempt.run not in self._missing:
                self._missing.add(attempt.run)
                log.warning("an attempt is left of run %s, which is gone: not counted", attempt.run)
        return [(attempt, run) for attempt, run in found if run is not None]


def access_log(home: Home) -> Path:
    """Return where Envoy writes down each request."""
    return home.gateway / "access.log"


def logs_of(home: Home) -> list[tuple[Path, Reading]]:
    """Return the logs that are sources of the ledger, and how each is read."""
    ends = home.units / _GATEWAY_UNIT / "ends"
    return [
        (access_log(home), Reading(usage_in)),
        (ends, Reading(gap_in, origin="ends")),
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
        replica=record.replica,
    )


def spans_of(connection: Connection) -> list[ReplicaSpan]:
    """Return the times of every attempt that ran and is kept: sources of the ledger too."""
    runs: dict[str, StoredRun | None] = {}
    spans = []
    for attempt in list_started(connection):
        if attempt.run not in runs:
            runs[attempt.run] = find_kept_run(connection, attempt.run)
        run = runs[attempt.run]
        if run is not None:
            spans.append(span_of(attempt, run))
    return spans


def span_of(attempt: Attempt, run: StoredRun) -> ReplicaSpan:
    """Return the times of an attempt that started, with where it ran and what it was given."""
    assert attempt.started_at is not None
    chosen = run.plan.chosen
    resources = run.workload.resources
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
        platform=chosen.platform if chosen else None,
        cpu=resources.cpu,
        memory_bytes=resources.memory,
    )


def _warn(path: Path, found: Collected) -> None:
    if found.malformed:
        log.warning("%d lines of `%s` cannot be read: not counted", found.malformed, path.name)
    if found.rewritten:
        log.warning("`%s` was cut or rewritten by others: %d times", path.name, found.rewritten)


def _fields(span: ReplicaSpan) -> dict[str, Any]:
    return {name: getattr(span, name) for name in span.__slots__}
