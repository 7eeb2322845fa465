"""What was used: raw quantities with where they were seen. No prices here."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from plinth.domain.base import Declared


class Meter(StrEnum):
    """What is counted, and its unit."""

    TRAINING_SECONDS = "training_seconds"
    SERVING_SECONDS = "serving_seconds"
    REQUESTS = "requests"


class UsageRecord(Declared):
    """A quantity used between two times.

    `source` names the place it was seen and `position` its place there; the two together are its
    identity, so that reading a source again adds nothing. `request_id` is the `x-plinth-id` that
    the caller was given, where the usage is one request's.
    """

    source: str
    position: str
    meter: Meter
    quantity: float
    team: str
    workload: str
    principal: str | None = None
    run: str | None = None
    request_id: str | None = None
    started_at: datetime
    ended_at: datetime
