"""An engine in memory: what it runs does what a test says, and nothing is a process.

`World` is the place (it outlives every control plane); `FakeEngine` is one connection to it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from plinth.domain.platform import Capability, Offer
from plinth.domain.run import Observation, Phase, WorkerTime
from plinth.engines.base import Handle, ReplicaSpec
from plinth.kit.clock import Clock
from plinth.kit.errors import Conflict, Permanent, Temporary

ISOLATION = 2


@dataclass(slots=True)
class Replica:
    """One attempt that was started, and how it stands."""

    spec: ReplicaSpec
    started_at: datetime
    began_s: float
    phase: Phase = Phase.RUNNING
    ended_at: datetime | None = None
    exit_code: int | None = None
    reason: str | None = None
    ignores_stop: bool = False
    output: bytes = b""
    workers: list[WorkerTime] = field(default_factory=list)


@dataclass(slots=True)
class World:
    """Where replicas run. `behave` is asked at each start and may end the replica at once."""

    clock: Clock
    behave: Callable[[World, str], None] = lambda _world, _unit: None
    replicas: dict[str, Replica] = field(default_factory=dict)
    highest: dict[tuple[str, int], int] = field(default_factory=dict)
    starts: list[str] = field(default_factory=list)
    stops: list[str] = field(default_factory=list)
    # Raised by the next calls of that method, one each.
    errors: dict[str, list[BaseException]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def end(self, unit: str, exit_code: int = 0, reason: str | None = None) -> None:
        """Let a replica end by itself."""
        phase = Phase.SUCCEEDED if exit_code == 0 else Phase.FAILED
        self._end(unit, phase, exit_code, reason)

    def stop(self, unit: str) -> None:
        """End a replica as the engine's `stop` does."""
        self._end(unit, Phase.STOPPED, 143, None)

    def fail_next(self, method: str, *errors: BaseException) -> None:
        """Raise these errors, one at each next call of `method`."""
        self.errors.setdefault(method, []).extend(errors)

    def raise_planned(self, method: str) -> None:
        """Raise what `fail_next` planned for this call."""
        if self.errors.get(method):
            raise self.errors[method].pop(0)

    def check_in_time(self, valid_until: float) -> None:
        """Refuse an order that comes after the lease it was given under."""
        if self.clock.since_boot_s() >= valid_until:
            raise Temporary("the order came too late", code="stale_order")

    def _end(self, unit: str, phase: Phase, exit_code: int, reason: str | None) -> None:
        replica = self.replicas[unit]
        if replica.phase.is_final:
            return
        replica.phase, replica.exit_code, replica.reason = phase, exit_code, reason
        # As the real one does: whoever sets the clock meanwhile makes no attempt longer.
        replica.ended_at = replica.started_at + timedelta(seconds=self.age_s(replica))

    def age_s(self, replica: Replica) -> float:
        """Return for how long a replica has run."""
        return self.clock.monotonic() - replica.began_s


class FakeEngine:
    """The engine of a World; holds no state of its own."""

    name = "local"
    capability = Capability(
        functions=("explore", "train", "batch", "online", "flow"), isolation=ISOLATION
    )

    def __init__(self, world: World) -> None:
        self._world = world

    def offers(self) -> tuple[Offer, ...]:
        """Return one size."""
        return (Offer(sku="local", region="local", cpu=8, memory=16_000_000_000),)

    def handle(self, spec: ReplicaSpec) -> Handle:
        """Return the name of the attempt."""
        return {"unit": f"{spec.run}.{spec.replica}.{spec.attempt}"}

    def start(self, spec: ReplicaSpec, *, valid_until: float = math.inf) -> Handle:
        """Start it once."""
        world, handle = self._world, self.handle(spec)
        unit = handle["unit"]
        with world.lock:
            world.raise_planned("start")
            world.check_in_time(valid_until)
            if spec.isolation is not None and spec.isolation > ISOLATION:
                raise Permanent(f"isolation level {spec.isolation} is not reached here")
            key = (spec.run, spec.replica)
            if spec.attempt < world.highest.get(key, 0):
                raise Conflict(f"attempt {world.highest[key]} of {spec.run} was started already")
            world.highest[key] = spec.attempt
            if unit not in world.replicas:
                world.replicas[unit] = Replica(spec, world.clock.now(), world.clock.monotonic())
                world.starts.append(unit)
                world.behave(world, unit)
        return handle

    def observe(self, handles: Sequence[Handle]) -> list[Observation]:
        """Return how each stands."""
        with self._world.lock:
            self._world.raise_planned("observe")
            found = [self._world.replicas.get(each["unit"]) for each in handles]
            return [_observation(self._world, replica) for replica in found]

    def stop(self, handle: Handle, grace_s: float, *, valid_until: float = math.inf) -> None:
        """Stop it now, unless it ignores that."""
        with self._world.lock:
            self._world.raise_planned("stop")
            self._world.check_in_time(valid_until)
            self._world.stops.append(handle["unit"])
            replica = self._world.replicas.get(handle["unit"])
            if replica is not None and not replica.ignores_stop:
                self._world.stop(handle["unit"])

    def forget(self, handle: Handle, *, valid_until: float = math.inf) -> None:
        """Drop what is known of it."""
        with self._world.lock:
            self._world.raise_planned("forget")
            self._world.check_in_time(valid_until)
            replica = self._world.replicas.get(handle["unit"])
            if replica is not None and not replica.phase.is_final:
                raise Conflict(f"{handle['unit']} may still run")
            self._world.replicas.pop(handle["unit"], None)

    def worker_times(self, handle: Handle, offset: int) -> tuple[list[WorkerTime], int]:
        """Return the workers that a test put there; a place is how many ended before it."""
        replica = self._world.replicas.get(handle["unit"])
        found = replica.workers[offset:] if replica else []
        ended = next((n for n, each in enumerate(found) if each.ended_at is None), len(found))
        return found, offset + ended

    def logs(self, handle: Handle, offset: int, limit: int) -> tuple[bytes, int]:
        """Return what a test put there."""
        replica = self._world.replicas.get(handle["unit"])
        output = replica.output if replica else b""
        if offset < 0 <= len(output) + offset:
            content = output[offset:][:limit]
            return content.partition(b"\n")[2] or content, len(output) + offset + len(content)
        content = output[max(0, offset) : max(0, offset) + limit]
        return content, max(0, offset) + len(content)


def _running(replica: Replica) -> int | None:
    if replica.spec.elastic is None or replica.phase.is_final:
        return None
    return sum(each.ended_at is None for each in replica.workers)


def _observation(world: World, replica: Replica | None) -> Observation:
    if replica is None:
        return Observation(phase=Phase.FAILED, gone=True)
    return Observation(
        phase=replica.phase,
        started_at=replica.started_at,
        ended_at=replica.ended_at,
        exit_code=replica.exit_code,
        reason=replica.reason,
        isolation=ISOLATION,
        workers=_running(replica),
        age_s=None if replica.phase.is_final else world.age_s(replica),
    )
