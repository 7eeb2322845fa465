"""The seam to compute: what every engine promises."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from plinth.domain.platform import Capability, Offer
from plinth.domain.run import Observation, WorkerTime

# An engine's own JSON for one attempt of a replica; the core stores it and hands it back.
Handle = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Mount:
    """A path that the replica may read, or write where `writable`."""

    path: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Elastic:
    """How many processes of a replica's command, its workers, share its socket (units/workers.py).

    `least` run while nothing waits in it, `most` at the most; one takes up to `start_s` to start.
    """

    least: int
    most: int
    start_s: float


@dataclass(frozen=True, slots=True)
class ReplicaSpec:
    """One attempt of one replica, ready to start.

    `socket`: the Unix socket it serves on, already listening, passed as file descriptor 3.
    `isolation`: the lowest level that is acceptable; None takes the best the engine has.
    `own_ports`: TCP ports that it may listen on and connect to, to speak to itself.
    `memory_bytes`: None is no limit. `network`: `gateway` reaches only the gateway's port.
    `elastic`: the command runs as often as its socket asks for; None: once.
    """

    run: str
    replica: int
    attempt: int
    command: tuple[str, ...]
    variables: Mapping[str, str]
    folder: str
    mounts: tuple[Mount, ...] = ()
    socket: str | None = None
    gateway_port: int | None = None
    network: str = "gateway"
    isolation: int | None = None
    memory_bytes: int | None = None
    grace_s: float = 10.0
    own_ports: tuple[int, ...] = ()
    elastic: Elastic | None = None


class Engine(Protocol):
    """Start, watch and stop replicas in one place.

    An engine holds no state in memory: everything it needs to find a replica again stands in the
    Handle. Every method may raise Temporary when the place cannot be reached.

    An order (`start`, `stop`, `forget`) is valid until a moment of `Clock.since_boot_s()` on this
    machine: the end of the lease that it was given under. One that arrives later is refused with
    Temporary, code `stale_order`, and changes nothing: whoever gave it may have been paused, and
    another may have decided since. An engine of another place sends the seconds that are left.
    """

    @property
    def name(self) -> str:
        """The platform's name in plans and handles."""
        ...

    @property
    def capability(self) -> Capability:
        """What the place supports, as data."""
        ...

    def offers(self) -> tuple[Offer, ...]:
        """Return the sizes it can give now."""
        ...

    def handle(self, spec: ReplicaSpec) -> Handle:
        """Return the handle that `start(spec)` will have; pure, so that it is stored first."""
        ...

    def start(self, spec: ReplicaSpec, *, valid_until: float = math.inf) -> Handle:
        """Start the attempt if it was never started; return fast, before it is ready.

        Idempotent: the same (run, replica, attempt) never starts twice, not even after it ended.
        A lower attempt than one already seen is refused with Conflict. Raises Permanent when it
        can never start (no such command, isolation below what is asked).
        """
        ...

    def observe(self, handles: Sequence[Handle]) -> list[Observation]:
        """Return what is seen of each handle, in order. A missing replica is `gone`, no error."""
        ...

    def stop(self, handle: Handle, grace_s: float, *, valid_until: float = math.inf) -> None:
        """Ask the replica to stop; return when the engine accepted, not when it is gone.

        A replica that no longer exists is success. `grace_s`: seconds between SIGTERM and SIGKILL.
        """
        ...

    def forget(self, handle: Handle, *, valid_until: float = math.inf) -> None:
        """Remove what is kept of a replica that ended, its output too; gone is success.

        Raises Conflict while it may run.
        """
        ...

    def worker_times(self, handle: Handle, offset: int) -> tuple[list[WorkerTime], int]:
        """Return when the workers of an elastic replica ran, from place `offset` on, and the place
        to go on from.

        From there on, all that runs now is told again; what ended before is told already. One that
        has no end although its replica has, ended with it. Nothing of a replica that is forgotten.
        """
        ...

    def logs(self, handle: Handle, offset: int, limit: int) -> tuple[bytes, int]:
        """Return up to `limit` bytes of output from byte `offset`, and the next offset.

        An `offset` below 0 counts from the end, and what comes begins with a whole line.
        """
        ...
