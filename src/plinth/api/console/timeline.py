"""An endpoint's requests, minute by minute, from the newest lines of the gateway's log."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from plinth.api.console.plot import Bar, bars
from plinth.api.console.visitor import Visitor
from plinth.control.metering import access_log
from plinth.control.recent import newest_records
from plinth.domain.access import Action, Resource
from plinth.gateway.access_log import AccessRecord

MINUTES = 30
_MINUTE_S = 60
_OURS = 500


@dataclass(frozen=True, slots=True)
class Timeline:
    """The last `minutes`: all requests and those that failed, as bars of the same scale.

    `median_ms`: how long an answer took; None where none came.
    """

    minutes: int
    requests: int
    errors: int
    most: int
    median_ms: float | None
    all_bars: list[Bar]
    error_bars: list[Bar]


def traffic_of(visitor: Visitor, endpoint: str) -> Timeline:
    """Return what came for an endpoint, of what the visitor may see the usage of."""
    now = visitor.context.clock.now()
    since = now - timedelta(minutes=MINUTES)

    def counts(record: AccessRecord) -> bool:
        resource = Resource(kind="usage", team=record.team)
        is_in = record.endpoint == endpoint and since <= record.started_at <= now
        return is_in and visitor.caller.may(Action.READ, resource)

    found = [each for each in newest_records(access_log(visitor.context.home)) if counts(each)]
    requests, errors = [0] * MINUTES, [0] * MINUTES
    for record in found:
        age_s = (now - record.started_at).total_seconds()
        minute = MINUTES - 1 - min(MINUTES - 1, math.floor(age_s / _MINUTE_S))
        requests[minute] += 1
        errors[minute] += _failed(record)
    return Timeline(
        MINUTES,
        requests=len(found),
        errors=sum(errors),
        most=max(requests),
        median_ms=median(each.duration_ms for each in found) if found else None,
        all_bars=bars(requests),
        error_bars=bars(errors, max(requests)),
    )


def _failed(record: AccessRecord) -> bool:
    return record.code == 0 or record.code >= _OURS
