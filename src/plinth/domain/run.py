"""Runs, their attempts, and the one table of legal phase transitions."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from plinth.domain.base import Declared


class Phase(StrEnum):
    """The coarse state of a run or an attempt; its reason says why."""

    PENDING = "pending"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def is_final(self) -> bool:
        """Tell whether nothing will change any more."""
        return self in FINAL


FINAL = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.STOPPED})
ACTIVE = tuple(phase for phase in Phase if phase not in FINAL)

TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.PENDING: frozenset({Phase.STARTING, Phase.STOPPING, Phase.STOPPED, Phase.FAILED}),
    Phase.STARTING: frozenset(
        {Phase.RUNNING, Phase.SUCCEEDED, Phase.PENDING, Phase.STOPPING, Phase.FAILED}
    ),
    Phase.RUNNING: frozenset(
        {Phase.SUCCEEDED, Phase.PENDING, Phase.STARTING, Phase.STOPPING, Phase.FAILED}
    ),
    Phase.STOPPING: frozenset({Phase.STOPPED, Phase.SUCCEEDED, Phase.FAILED}),
    Phase.SUCCEEDED: frozenset(),
    Phase.FAILED: frozenset(),
    Phase.STOPPED: frozenset(),
}


def may_become(old: Phase, new: Phase) -> bool:
    """Tell whether a run in `old` may go to `new`; staying is always legal."""
    return old is new or new in TRANSITIONS[old]


class Observation(Declared):
    """What an engine saw of one replica.

    `phase` is starting, running, or final. `gone`: the engine knows nothing of it (never started,
    or its traces were collected). `isolation` is the level it runs at. `age_s`: for how long a
    running one has run, by a clock that nobody can set, where the engine has one. `workers`: how
    many run of one that is elastic and runs: 0 while it sleeps.
    """

    phase: Phase
    gone: bool = False
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    reason: str | None = None
    isolation: int | None = None
    memory_bytes: int | None = None
    age_s: float | None = None
    workers: int | None = None


class WorkerTime(Declared):
    """When one worker of an elastic replica ran. `number` counts the starts, from 1 on.

    `ended_at` None: it still runs, or ended when its replica did.
    """

    number: int
    started_at: datetime
    ended_at: datetime | None = None
