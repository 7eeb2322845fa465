"""The guard of token limits: its file, its unit, and whether Envoy is to ask it.

The gateway's reconciler calls it. The guard runs while a file has a limit of tokens, and Envoy asks
it from when it has answered once until it is not needed any more.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Iterable

from plinth.control.context import Context
from plinth.control.duties import Duty
from plinth.control.published import Published
from plinth.domain.traffic import EndpointRoute
from plinth.gateway.guard.limit import GuardedLimit
from plinth.gateway.guard.limit_file import write_limits
from plinth.gateway.guard.unit import UNIT, command, limits_file, needs_guard
from plinth.kit.home import Home
from plinth.kit.ids import digest_of
from plinth.units.spec import UnitSpec

_PATIENCE_S = 0.5
# What a client of HTTP/2 says first, with empty settings; a server answers with its own.
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_FRAME_BYTES, _SETTINGS = 9, 4


class Guarding:
    """See the module. Remembers what was written and whether the guard was needed last."""

    def __init__(self, context: Context, duty: Duty | None = None) -> None:
        self._context = context
        self._duty = duty
        self._written: str | None = None
        self._is_needed = False
        self._is_ended = False

    def prepare(self, endpoints: Iterable[EndpointRoute]) -> None:
        """Write the limits, and start the guard where it is needed and does not answer.

        Raises Temporary when the node agent does not answer.
        """
        limits = limits_of(endpoints)
        home = self._context.home
        version = digest_of(repr(limits).encode())[:16]
        if version != self._written and (limits or limits_file(home).exists()):
            write_limits(limits_file(home), limits, version)
        self._written = version
        self._is_needed = needs_guard(limits)
        if self._is_needed:
            self._is_ended = False
            if not answers(home):
                self._context.agent.start(guard_unit(home), valid_until=self._valid_until)

    def is_on(self, published: Published | None) -> bool:
        """Tell whether Envoy is to ask the guard: one that was asked before may be away for now."""
        if not self._is_needed:
            return False
        return (published is not None and published.is_guarded) or answers(self._context.home)

    def end_if_unasked(self) -> None:
        """Stop the guard once Envoy does not ask it any more. Raises Temporary."""
        home = self._context.home
        if self._is_needed or self._is_ended:
            return
        if home.socket(UNIT).exists():
            self._context.agent.stop(UNIT, valid_until=self._valid_until)
        self._is_ended = True

    @property
    def _valid_until(self) -> float:
        return self._duty.valid_until if self._duty is not None else math.inf


def limits_of(endpoints: Iterable[EndpointRoute]) -> list[GuardedLimit]:
    """Return the limits of tokens that the endpoints' files say; ids stay while the files do."""
    found = []
    for endpoint in sorted(endpoints, key=lambda each: each.name):
        for number, limit in enumerate(endpoint.policy.limits):
            if limit.tokens_per_minute is not None:
                found.append(
                    GuardedLimit(
                        id=f"{endpoint.name}:{number}",
                        per_minute=limit.tokens_per_minute,
                        endpoint=endpoint.name,
                        team=limit.team,
                        key=limit.key,
                        each=limit.each,
                        owner=endpoint.name,
                        default_max_tokens=limit.default_max_tokens,
                    )
                )
    return found


def answers(home: Home) -> bool:
    """Tell whether the guard speaks: its socket alone is there before it is."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_PATIENCE_S)
            connection.connect(str(home.socket(UNIT)))
            connection.sendall(_GREETING)
            frame = connection.recv(_FRAME_BYTES, socket.MSG_WAITALL)
    except OSError:
        return False
    return len(frame) == _FRAME_BYTES and frame[3] == _SETTINGS


def guard_unit(home: Home) -> UnitSpec:
    """Return the guard's unit: it gets what the control plane was given of the shell."""
    return UnitSpec(
        id=UNIT,
        argv=command(home),
        env={name: value for name, value in os.environ.items() if not name.startswith("LISTEN_")},
        cwd=str(home.root),
        socket=str(home.socket(UNIT)),
        restart="always",
    )
