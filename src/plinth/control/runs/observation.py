"""A run as one reading saw it, and what an engine's observation says of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from plinth.domain.access import Principal
from plinth.domain.run import Observation, Phase
from plinth.domain.workload_fields import memory_limit
from plinth.kit.units import format_bytes
from plinth.store.identities import Key
from plinth.store.runs import Attempt, StoredRun

# How far `seen_at` may lie behind while nothing else is new.
_SEEN_EVERY_S = 10.0
# As units/tree.py says it.
_BY_SIGNAL = "ended by SIG"


@dataclass(frozen=True, slots=True)
class RunState:
    """A run, its newest attempts, and who it is, as one reading saw them at `read_at`.

    `attempts`: the newest few of each replica. `key`: what the newest attempt of a job was given.
    `valid_until`: after which the engine takes no orders that follow from this reading.
    """

    run: StoredRun
    attempts: tuple[Attempt, ...]
    principal: Principal
    key: Key | None
    read_at: datetime
    valid_until: float = math.inf

    @property
    def current(self) -> dict[int, Attempt]:
        """The newest attempt of each replica."""
        return {attempt.replica: attempt for attempt in self.attempts}


def replicas_of(run: StoredRun) -> int:
    """Return how many replicas the run has."""
    return run.workload.instances


def as_observation(attempt: Attempt) -> Observation:
    """Return what was written of an attempt, as if it was seen now."""
    return Observation(
        phase=attempt.phase,
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        exit_code=attempt.exit_code,
        reason=attempt.reason,
        isolation=attempt.isolation,
        workers=attempt.workers,
    )


def seen_at(observation: Observation, read_at: datetime) -> datetime:
    """Return when a replica was seen like this: its start and its age, else when it was read.

    So all times of an attempt stand on one clock, however the wall's is set meanwhile.
    """
    if observation.started_at is None or observation.age_s is None:
        return read_at
    return observation.started_at + timedelta(seconds=observation.age_s)


def not_before_seen(attempt: Attempt, observation: Observation) -> Observation:
    """Return what was seen, ended no earlier than the attempt was last seen running.

    Who finds a lost unit knows its last sign of life only; we may have seen it later than that.
    """
    if not observation.phase.is_final or observation.ended_at is None or attempt.seen_at is None:
        return observation
    return observation.model_copy(update={"ended_at": max(observation.ended_at, attempt.seen_at)})


def is_news(attempt: Attempt, observation: Observation, at: datetime) -> bool:
    """Tell whether what was seen is worth a write; a running attempt is also by the time alone."""
    if observation.gone or attempt.phase.is_final:
        return False
    kept = observation.model_copy(update={"memory_bytes": None, "age_s": None})
    if kept != as_observation(attempt):
        return True
    return attempt.seen_at is None or abs((at - attempt.seen_at).total_seconds()) >= _SEEN_EVERY_S


def at_the_end(observation: Observation) -> Observation:
    """Return how an attempt stands when its run has ended; one that never started is stopped."""
    if not observation.gone:
        return observation
    return Observation(phase=Phase.STOPPED, reason="was never started")


def memory_said(observation: Observation, run: StoredRun) -> str:
    """Say which memory a replica was given that a signal ended; empty where that says nothing.

    What is refused memory while it starts often ends by SIGSEGV, or as its allocator decides.
    """
    given = memory_limit(run.workload)
    if given is None or not (observation.reason or "").startswith(_BY_SIGNAL):
        return ""
    return f"; it may use {format_bytes(given)} of memory (`resources.memory`)"
