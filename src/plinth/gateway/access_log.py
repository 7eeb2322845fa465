"""Read Envoy's access log: the journal that usage is counted from.

Pure: metering reads the file and keeps the position. `listener.LOG_FIELDS` is the other half.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from plinth.gateway.clusters import deployment_cluster
from plinth.gateway.routes import ENDPOINT_ROUTE

_DEPLOYMENT = deployment_cluster("")
# Envoy's words (`details`) and flags; tests/journeys has the lines that a real one writes.
_ANSWERED = "via_upstream"
_BROKE_OFF = "upstream_reset_after_response_started"
_RETRIES_EXCEEDED = "URX"
# The caller went away (DC), or our time limit passed (UT).
_GIVEN_UP = frozenset(("DC", "UT"))
# What Envoy answers for a server that does not; a lower code came from a server.
_FIRST_OF_ENVOYS_OWN = 500


@dataclass(frozen=True, slots=True)
class AccessRecord:
    """One request, as Envoy saw it. What nobody knows is None.

    `request_id` is what the caller got as `x-plinth-id`, and unique. `principal`, `team` and
    `key_id` come from a verified key. `endpoint`: whose address was asked, also when refused;
    None for other addresses and for candidates, which the platform checks at nobody's charge.
    `deployment`: who the request was meant for; `was_served` tells whether anybody had it, as
    `attempts` also counts those at which nobody was there. `upstream`: the socket of the last one
    that was tried; None in the lines of an older Plinth. `flags`: Envoy's, empty when all went
    well. `path` has no query. `rx`, `tx`: bytes of the bodies read from and sent to the caller.
    """

    request_id: str
    started_at: datetime
    duration_ms: int
    principal: str | None
    team: str | None
    key_id: str | None
    endpoint: str | None
    deployment: str | None
    method: str | None
    path: str | None
    code: int
    details: str | None
    flags: str
    rx: int
    tx: int
    attempts: int
    upstream: str | None = None

    @property
    def replica(self) -> int | None:
        """The replica of the deployment that had the request last, by its socket's name."""
        socket = (self.upstream or "").rpartition("/")[2]
        run, _, number = socket.removesuffix(".sock").rpartition(".")
        is_replica = run == self.deployment and number.isascii() and number.isdigit()
        return int(number) if is_replica else None

    @property
    def was_served(self) -> bool:
        """Tell whether a server answered, or had the request when the caller or we gave up.

        An answer that broke off in the middle counts: the caller has its beginning. A server that
        died before it answered does not, nor one that had not loaded its model. When the request
        was given up after a second attempt, nobody knows whether a server had it: no.
        """
        if self.details == _ANSWERED:
            # Answers are repeated only where the server says that it has begun nothing.
            return _RETRIES_EXCEEDED not in self.flags.split(",")
        if (self.details or "").startswith(_BROKE_OFF):
            return True
        is_given_up = not _GIVEN_UP.isdisjoint(self.flags.split(","))
        return is_given_up and (self.attempts == 1 or 0 < self.code < _FIRST_OF_ENVOYS_OWN)


def parse(chunk: bytes) -> tuple[list[AccessRecord], int]:
    """Return the records of the whole lines in `chunk`, and how many bytes those lines have.

    A last line that is half written stays for the next time. Lines that are no record are passed
    over: a crash may leave one, and one bad line must not stop all metering.
    """
    consumed = chunk.rfind(b"\n") + 1
    records = (_record(line) for line in chunk[:consumed].split(b"\n") if line)
    return [record for record in records if record is not None], consumed


def _record(line: bytes) -> AccessRecord | None:
    try:
        value: Any = json.loads(line)
        route, cluster = value["route"] or "", value["cluster"] or ""
        flags = value["flags"] or ""
        return AccessRecord(
            request_id=_text(value["id"]) or "",
            started_at=datetime.fromtimestamp(float(value["start"]), UTC),
            duration_ms=int(value["ms"]),
            principal=_text(value["principal"]),
            team=_text(value["team"]),
            key_id=_text(value["key"]),
            endpoint=_after(ENDPOINT_ROUTE, route),
            deployment=_after(_DEPLOYMENT, cluster),
            method=_text(value["method"]),
            path=_text(value["path"]),
            code=int(value["code"]),
            details=_text(value["details"]),
            flags="" if flags == "-" else flags,
            rx=int(value["rx"]),
            tx=int(value["tx"]),
            attempts=int(value["attempts"]),
            upstream=_text(value.get("upstream")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError):
        return None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _after(prefix: str, name: str) -> str | None:
    return name.removeprefix(prefix) if name.startswith(prefix) else None
