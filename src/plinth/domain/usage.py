"""What was used: raw quantities with where they were seen. No prices here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from plinth.domain.base import Declared


class Meter(StrEnum):
    """What is counted, and its unit."""

    TRAINING_SECONDS = "training_seconds"
    SERVING_SECONDS = "serving_seconds"
    REQUESTS = "requests"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    CACHED_INPUT_TOKENS = "cached_input_tokens"
    REASONING_TOKENS = "reasoning_tokens"

    @property
    def is_of_replica(self) -> bool:
        """Tell whether it is the time of a replica; else it is one request's, at one moment."""
        return self in (Meter.TRAINING_SECONDS, Meter.SERVING_SECONDS)

    @property
    def part_of(self) -> Meter | None:
        """The meter that counts all of this one too; None where it stands for itself."""
        return _WHOLES.get(self)


_WHOLES = {
    Meter.CACHED_INPUT_TOKENS: Meter.INPUT_TOKENS,
    Meter.REASONING_TOKENS: Meter.OUTPUT_TOKENS,
}


class UsageRecord(Declared):
    """A quantity used between two times.

    `source` names the place it was seen and `position` its place there; the two together are its
    identity, so that reading a source again adds nothing. `request_id` is the `x-plinth-id` that
    the caller was given, where the usage is one request's; `replica`: the one that served it.
    `platform`, `cpu`, `memory_bytes`: the size of the replica whose seconds these are.

    `deployment`: the name of a deployment that somebody else runs, which has no `run`. `model`: as
    its answer named it. `estimated`: nobody reported the quantity. `shadow`: of a copied request,
    which is charged to the endpoint's own team; its `request_id` is none that a caller was given.
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
    replica: int | None = None
    platform: str | None = None
    cpu: float | None = None
    memory_bytes: int | None = None
    deployment: str | None = None
    model: str | None = None
    estimated: bool = False
    shadow: bool = False
    started_at: datetime
    ended_at: datetime


class Gap(Declared):
    """A time whose usage may be missing in the ledger: its source was killed before it wrote.

    `source` and `position` are its identity, as of a record.
    """

    source: str
    position: str
    reason: str
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class UsageSum:
    """What was used of one meter in [since, until), summed over the records that are alike.

    `millionths` is the quantity in millionths of the meter's unit: whole microseconds, so that no
    sum ever rounds. Fields that were not asked for are None. `seen_at` is set where the replicas
    still run: usage was counted up to then, and more will follow.
    """

    meter: Meter
    millionths: int
    since: datetime
    until: datetime
    team: str
    workload: str | None = None
    principal: str | None = None
    run: str | None = None
    platform: str | None = None
    cpu: float | None = None
    memory_bytes: int | None = None
    deployment: str | None = None
    estimated: bool = False
    shadow: bool = False
    seen_at: datetime | None = None
