"""Carry usage into the ledger: what the gateway logged, and how long replicas ran."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from plinth.control.context import Context
from plinth.control.duties import Duty
from plinth.control.requests import DOUBTS, read_request, read_shadow
from plinth.domain.flow import PromptFlow
from plinth.domain.run import WorkerTime
from plinth.domain.usage import Meter
from plinth.domain.workload import SERVED_KINDS
from plinth.gateway.admin import Admin
from plinth.gateway.log_line import behind
from plinth.kit.home import Home
from plinth.metering.engine_usage import (
    ReplicaSpan,
    record_usage,
    record_workers,
    usage_of,
    worker_spans,
)
from plinth.metering.gaps import gap_in
from plinth.metering.journal import Collected, Journal, Reading
from plinth.metering.rotation import Retention, drop, rotate, rotated
from plinth.store.runs import (
    Attempt,
    StoredRun,
    find_kept_run,
    list_started,
    list_unmetered,
    note_metered,
)
from plinth.units.folder import UnitFolder
from plinth.units.worker_times import read_times

log = logging.getLogger(__name__)

# The unit that writes the access log.
_GATEWAY_UNIT = "envoy"
_ESTIMATED = "estimated_tokens"
# Counters that nothing was added to for as long are of what is gone.
_COUNTERS_DAYS = 14
_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one workload used for one team.

    Cached input is part of the input, reasoning of the output. `estimated_tokens`: how many of the
    input and output nobody reported. `shadow`: by copies of requests, told apart.
    """

    team: str
    workload: str
    training_seconds: float = 0.0
    serving_seconds: float = 0.0
    requests: float = 0.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    cached_input_tokens: float = 0.0
    reasoning_tokens: float = 0.0
    estimated_tokens: float = 0.0
    shadow: bool = False


class Metering:
    """Read the sources; every call goes on where the last one's commit left it.

    With a duty, `collect` is called only while it is ours, and no log goes after that.
    """

    def __init__(self, context: Context, duty: Duty | None = None) -> None:
        self._context = context
        self._fence = duty.check if duty is not None else None
        self._missing: set[str] = set()
        self._logs = (access_log(context.home), shadow_log(context.home))
        self._dropped_at: datetime | None = None
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
            self._record(attempt, run)
            if attempt.ended_at is not None:
                with self._context.database.write() as connection:
                    note_metered(connection, attempt)
        for path in begun:
            self._drop(path)
        self._forget()
        # Last, as it fails while Envoy is away.
        self._rotate()

    def totals(self) -> list[UsageRow]:
        """Return what was used by team and workload.

        What still runs counts up to when it was last seen.
        """
        now = self._context.clock.now()
        sums: dict[tuple[str, str, bool], dict[str, float]] = {}

        def add(place: tuple[str, str, bool], name: str, quantity: float) -> None:
            meters = sums.setdefault(place, {})
            meters[name] = meters.get(name, 0.0) + quantity

        for total in self._context.ledger.totals(_BEGINNING, now + timedelta(days=1)):
            place = (total.team, total.workload, total.shadow)
            add(place, total.meter, total.quantity)
            if total.meter.part_of is None:
                add(place, _ESTIMATED, total.estimated)
        for span in self.unmetered():
            cursor = self._context.ledger.cursor(span.source)
            until = span.ended_at or span.seen_at
            ends = ReplicaSpan(**{**_fields(span), "seen_at": until, "ended_at": until})
            for record in usage_of(ends, cursor)[0]:
                add((span.team, span.workload, False), record.meter, record.quantity)
        return [
            UsageRow(
                team,
                workload,
                shadow=shadow,
                **{name: round(quantity, 3) for name, quantity in meters.items()},
            )
            for (team, workload, shadow), meters in sorted(sums.items())
        ]

    def unmetered(self) -> list[ReplicaSpan]:
        """Return what still runs, or ended and is not wholly in the ledger, as it was last seen."""
        ledger = self._context.ledger

        def times(attempt: Attempt, source: str) -> Iterable[WorkerTime]:
            known = int(ledger.cursor(source) or 0)
            return self._context.engine.worker_times(attempt.handle, known)[0]

        return [
            span for attempt, run in self._unmetered() for span in _spans_of(attempt, run, times)
        ]

    def _record(self, attempt: Attempt, run: StoredRun) -> None:
        span = span_of(attempt, run)
        if not _is_elastic(run):
            record_usage(self._context.ledger, span)
            return

        def read(offset: int) -> tuple[Sequence[WorkerTime], int]:
            return self._context.engine.worker_times(attempt.handle, offset)

        record_workers(self._context.ledger, span, read)

    def _drop(self, path: Path) -> None:
        """Remove what was read of a log's rotated files and is old or does not fit."""
        settings = self._context.settings
        since = self._context.clock.now() - timedelta(days=settings.trace_days)
        kept = Retention(since, settings.access_logs_bytes)
        for each in drop(path, self._journals[path].finished(), kept, self._fence):
            log.info("removed `%s`, which stands in the ledger", each)

    def _forget(self) -> None:
        """Drop, once a day, the counters of what is gone."""
        now = self._context.clock.now()
        if self._dropped_at is None or now - self._dropped_at >= timedelta(days=1):
            self._context.ledger.drop_counters(now - timedelta(days=_COUNTERS_DAYS))
            self._dropped_at = now

    def _rotate(self) -> None:
        """Begin new logs when the gateway's are large."""
        renamed = [path for path in self._logs if self._rename(path)]
        # Also when it was renamed before and Envoy could not be told then. Copies of requests may
        # have ended since theirs was renamed: then Envoy begins no other.
        is_absent = not self._logs[0].exists() and bool(rotated(self._logs[0]))
        if renamed or is_absent:
            with Admin(self._context.home.socket("envoy-admin")) as admin:
                admin.reopen_logs()

    def _rename(self, path: Path) -> bool:
        """Rename a log when it is large; tell whether it was."""
        if not path.exists() or path.stat().st_size < self._context.settings.access_log_bytes:
            return False
        rotate(path, self._context.clock.now(), self._fence)
        return True

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


def shadow_log(home: Home) -> Path:
    """Return where Envoy writes down each copy of a request."""
    return home.gateway / "shadow.log"


def logs_of(home: Home) -> list[tuple[Path, Reading]]:
    """Return the logs that are sources of the ledger, and how each is read."""
    ends = home.units / _GATEWAY_UNIT / "ends"
    return [
        (access_log(home), Reading(read_request, behind=behind)),
        (shadow_log(home), Reading(read_shadow, origin="shadow", behind=behind)),
        (ends, Reading(gap_in, origin="ends")),
    ]


def spans_of(connection: Connection, home: Home) -> list[ReplicaSpan]:
    """Return the times of every attempt that ran and is kept: sources of the ledger too.

    Those of an elastic one's workers stand below `home` for as long as its run is kept.
    """

    def times(attempt: Attempt, _source: str) -> Iterable[WorkerTime]:
        path = UnitFolder(home.units / attempt.handle["unit"]).workers
        return [WorkerTime(**asdict(each)) for each in read_times(path, 0)[0]]

    runs: dict[str, StoredRun | None] = {}
    spans = []
    for attempt in list_started(connection):
        if attempt.run not in runs:
            runs[attempt.run] = find_kept_run(connection, attempt.run)
        run = runs[attempt.run]
        if run is not None:
            spans += _spans_of(attempt, run, times)
    return spans


def _spans_of(
    attempt: Attempt, run: StoredRun, times: Callable[[Attempt, str], Iterable[WorkerTime]]
) -> list[ReplicaSpan]:
    """Return the time of an attempt, or where it is elastic those of its workers."""
    span = span_of(attempt, run)
    return worker_spans(span, times(attempt, span.source)) if _is_elastic(run) else [span]


def _is_elastic(run: StoredRun) -> bool:
    return isinstance(run.workload, PromptFlow) and not run.workload.workers.is_one


def span_of(attempt: Attempt, run: StoredRun) -> ReplicaSpan:
    """Return the times of an attempt that started, with where it ran and what it was given."""
    assert attempt.started_at is not None
    chosen = run.plan.chosen
    resources = run.workload.resources
    return ReplicaSpan(
        run=run.id,
        replica=attempt.replica,
        attempt=attempt.number,
        meter=Meter.TRAINING_SECONDS if run.workload.ends else Meter.SERVING_SECONDS,
        team=run.team,
        workload=f"{_billed_as(run)}/{run.workload.name}",
        started_at=attempt.started_at,
        # Not the clock: it may have ended while nobody looked.
        seen_at=max(attempt.started_at, attempt.seen_at or attempt.started_at),
        ended_at=attempt.ended_at,
        principal=run.principal,
        platform=chosen.platform if chosen else None,
        cpu=resources.cpu,
        memory_bytes=resources.memory,
    )


def _billed_as(run: StoredRun) -> str:
    # What a flow takes stands beside its requests, which the gateway knows as an endpoint's.
    return "endpoint" if run.workload.kind in SERVED_KINDS else run.workload.kind


def _warn(path: Path, found: Collected) -> None:
    if found.malformed:
        log.warning("%d lines of `%s` cannot be read: not counted", found.malformed, path.name)
    if found.rewritten:
        log.warning("`%s` was cut or rewritten by others: %d times", path.name, found.rewritten)
    for series, number in found.counts.items():
        if series.name == DOUBTS.name:
            log.warning(
                "`%s` of endpoint `%s` reported %d numbers of tokens that cannot be true: "
                "estimated, or not counted",
                *(series.label("deployment"), series.label("endpoint"), number),
            )


def _fields(span: ReplicaSpan) -> dict[str, Any]:
    return {name: getattr(span, name) for name in span.__slots__}
