"""Ask the agent of this node; used by the control plane, the local engine and `plinth up`.

Every call is one short connection to the agent's Unix socket, so a client holds no state and a
new agent is found by itself.
"""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plinth.kit import errors
from plinth.units.spec import NodeInfo, UnitSpec, UnitState

_CHUNK = 65536
_ERRORS: dict[str, type[errors.PlinthError]] = {
    kind.code: kind for kind in (errors.Invalid, errors.NotFound, errors.Conflict, errors.Permanent)
}


class AgentClient:
    """Start, stop and observe units through the agent. Safe to share between threads.

    An order with `valid_until`, a moment of `Clock.since_boot_s()`, is refused with Temporary,
    code `stale_order`, when the agent takes it up later.
    """

    def __init__(self, socket_path: Path | str, *, timeout_s: float = 5.0) -> None:
        """Remember where the agent listens; nothing is opened before the first call."""
        self._path = str(socket_path)
        self._timeout_s = timeout_s

    def ping(self) -> NodeInfo:
        """Return who answers and what its node can do. Raises Temporary when nobody does."""
        return NodeInfo.from_json(self._ask({"op": "ping"}))

    def start(self, spec: UnitSpec, *, valid_until: float = math.inf) -> UnitState:
        """Start a unit; idempotent: an id never starts twice, not even after it ended.

        Only a unit with `restart="always"` takes a new spec: now if it was stopped or does not
        live, else when it starts next.
        Raises Permanent (isolation), Conflict (a later attempt exists), Invalid, Temporary.
        """
        request = {"op": "start", "spec": spec.to_json()}
        return UnitState.from_json(self._order(request, valid_until))

    def stop(self, unit: str, grace_s: float = 10.0, *, valid_until: float = math.inf) -> None:
        """Have a unit stop; returns when that is written down. One that is gone is success.

        `grace_s`: seconds between SIGTERM and SIGKILL, for every process of the unit. Asked again
        with fewer seconds, the shorter time counts.
        """
        self._order({"op": "stop", "id": unit, "grace_s": grace_s}, valid_until)

    def observe(
        self, units: Sequence[str] | None = None, *, memory: bool = False
    ) -> list[UnitState]:
        """Return the known ones of `units`, or all in the order they were accepted.

        `memory`: measure it too; costs the agent milliseconds for each process.
        """
        ids = None if units is None else list(units)
        answer = self._ask({"op": "observe", "ids": ids, "memory": memory})
        return [UnitState.from_json(item) for item in answer["units"]]

    def forget(self, unit: str, *, valid_until: float = math.inf) -> None:
        """Remove the folder of a unit that ended, its log too. Raises Conflict if it has not."""
        self._order({"op": "forget", "id": unit}, valid_until)

    def shutdown(self) -> None:
        """Have all units stopped and the agent leave; returns when it began.

        Jobs and replicas stop first, then the system's units, the last started first. The agent
        is gone when `ping` raises Temporary.
        """
        self._ask({"op": "shutdown"})

    def _order(self, request: dict[str, Any], valid_until: float) -> dict[str, Any]:
        # JSON has no infinity.
        limit = {} if math.isinf(valid_until) else {"valid_until": valid_until}
        return self._ask(request | limit)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(self._timeout_s)
                connection.connect(self._path)
                connection.sendall(json.dumps(request).encode() + b"\n")
                line = _read_line(connection)
        except OSError as err:
            raise errors.Temporary(
                f"the node agent does not answer at `{self._path}`: {err.strerror or err}",
                hint="start it with `plinth up`",
            ) from err
        answer = json.loads(line) if line else None
        if not isinstance(answer, dict):
            raise errors.Temporary("the node agent ended before it answered")
        if "error" in answer:
            raise _error(answer["error"])
        return answer


def _read_line(connection: socket.socket) -> bytes:
    chunks: list[bytes] = []
    while chunk := connection.recv(_CHUNK):
        chunks.append(chunk)
        if chunk.endswith(b"\n"):
            return b"".join(chunks)
    return b""


def _error(content: dict[str, Any]) -> errors.PlinthError:
    kind = _ERRORS.get(content["code"], errors.Temporary)
    return kind(content["message"], hint=content.get("hint"), code=content["code"])
