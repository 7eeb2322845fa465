"""Run replicas as units of this node, through its agent.

Used by the control plane on the same machine. Holds no state: a replica's unit is named
`<run>.<replica>.<attempt>`, and its folder under the home says the rest.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from plinth.catalog.machine import local_offer
from plinth.domain.platform import Capability, Offer
from plinth.domain.run import Observation, Phase, WorkerTime
from plinth.engines.base import Handle, ReplicaSpec
from plinth.kit.clock import from_text
from plinth.kit.home import Home
from plinth.units import logs
from plinth.units.client import AgentClient
from plinth.units.folder import UnitFolder
from plinth.units.spec import Confinement, Elastic, UnitSpec, UnitState
from plinth.units.worker_times import read_times


class LocalEngine:
    """The engine of this machine. Safe to share between threads."""

    name = "local"

    def __init__(self, agent: AgentClient, home: Home) -> None:
        """Use `agent`, whose units live in `home`; nothing is asked before the first call."""
        self._agent = agent
        self._home = home

    @property
    def capability(self) -> Capability:
        """What this machine supports. Raises Temporary when the agent is not there."""
        level = self._agent.ping().isolation_level
        return Capability(
            functions=("explore", "train", "batch", "online"),
            isolation=level,
            scale_to_zero=False,
            interruptible=False,
            networks=_networks(level),
        )

    def offers(self) -> tuple[Offer, ...]:
        """Return the one size there is: all processors and memory that this process may use."""
        return (local_offer(),)

    def handle(self, spec: ReplicaSpec) -> Handle:
        """Return the handle that `start(spec)` will have; pure."""
        unit = f"{spec.run}.{spec.replica}.{spec.attempt}"
        return {"engine": self.name, "node": os.uname().nodename, "unit": unit}

    def start(self, spec: ReplicaSpec, *, valid_until: float = math.inf) -> Handle:
        """Start the attempt if it was never started; see Engine.start."""
        handle = self.handle(spec)
        self._agent.start(_unit_of(spec, handle["unit"]), valid_until=valid_until)
        return handle

    def observe(self, handles: Sequence[Handle]) -> list[Observation]:
        """Return what is seen of each handle, in order; one call to the agent."""
        states = self._agent.observe([handle["unit"] for handle in handles])
        known = {state.id: state for state in states}
        return [_observation(known.get(handle["unit"])) for handle in handles]

    def stop(self, handle: Handle, grace_s: float, *, valid_until: float = math.inf) -> None:
        """Have the replica stop; see Engine.stop."""
        self._agent.stop(handle["unit"], grace_s, valid_until=valid_until)

    def forget(self, handle: Handle, *, valid_until: float = math.inf) -> None:
        """Remove the traces of a replica that ended; see Engine.forget."""
        self._agent.forget(handle["unit"], valid_until=valid_until)

    def worker_times(self, handle: Handle, offset: int) -> tuple[list[WorkerTime], int]:
        """Return when its workers ran, as its supervisor wrote it; see Engine.worker_times."""
        path = UnitFolder(self._home.units / handle["unit"]).workers
        found, following = read_times(path, offset)
        told = [
            WorkerTime(number=each.number, started_at=each.started_at, ended_at=each.ended_at)
            for each in found
        ]
        return told, following

    def logs(self, handle: Handle, offset: int, limit: int) -> tuple[bytes, int]:
        """Return up to `limit` bytes of output from byte `offset`, and the next offset.

        An `offset` below 0 counts from the end. The oldest output of a very long log is gone and
        passed over.
        """
        return logs.read(self._home.units / handle["unit"] / "log", offset, limit)


def _unit_of(spec: ReplicaSpec, unit: str) -> UnitSpec:
    ports = (spec.gateway_port,) if spec.gateway_port is not None else ()
    writable = tuple(mount.path for mount in spec.mounts if mount.writable)
    if not any(Path(spec.folder).is_relative_to(path) for path in writable):
        # Below a writable mount an earlier attempt may have put a link in the folder's place.
        writable = (spec.folder, *writable)
    confinement = Confinement(
        minimum_level=spec.isolation,
        read=tuple(mount.path for mount in spec.mounts if not mount.writable),
        write=writable,
        connect_ports=ports if spec.network == "gateway" else None,
        # While Envoy is away, whoever took its port would be sent everybody's keys.
        refuse_ports=ports,
        own_ports=spec.own_ports,
    )
    elastic = spec.elastic
    return UnitSpec(
        id=unit,
        argv=spec.command,
        env=dict(spec.variables),
        cwd=spec.folder,
        socket=spec.socket,
        grace_s=spec.grace_s,
        memory_bytes=spec.memory_bytes,
        confinement=confinement,
        elastic=None if elastic is None else Elastic(**asdict(elastic)),
    )


def _observation(state: UnitState | None) -> Observation:
    if state is None:
        return Observation(
            phase=Phase.FAILED, gone=True, reason="this node knows nothing of the replica"
        )
    return Observation(
        phase=_phase(state),
        started_at=from_text(state.started_at) if state.started_at else None,
        ended_at=from_text(state.ended_at) if state.ended_at else None,
        exit_code=state.exit_code,
        reason=state.reason,
        isolation=state.isolation,
        memory_bytes=state.memory_bytes,
        age_s=state.age_s,
        workers=state.workers,
    )


def _phase(state: UnitState) -> Phase:
    if state.phase == "starting":
        return Phase.STARTING
    if state.phase == "running":
        return Phase.RUNNING
    if state.phase == "exited" and state.stopped:
        return Phase.STOPPED
    if state.phase == "exited" and state.exit_code == 0:
        return Phase.SUCCEEDED
    return Phase.FAILED


def _networks(level: int) -> tuple[str, ...] | None:
    # Level 3 needs a landlock that also limits TCP; of level 2 the agent does not say.
    if level >= 3:
        return ("gateway", "open")
    return None if level == 2 else ("open",)
