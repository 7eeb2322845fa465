"""Ask and tell a running Envoy, over its administration's Unix socket."""

from __future__ import annotations

import http
import http.client
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from plinth.gateway.gate import GATE, GATE_KIND
from plinth.gateway.inner import ROUTE_CONFIGURATION as INNER_ROUTES
from plinth.gateway.inner import STAT_PREFIX as INNER_PREFIX
from plinth.gateway.inner_names import INNER
from plinth.gateway.limits import KIND, LIMITS
from plinth.gateway.listener import STAT_PREFIX
from plinth.gateway.names import WHO
from plinth.gateway.routes import ROUTE_CONFIGURATION
from plinth.kit.errors import Temporary

# The prefix of each kind's statistics in Envoy.
_STATISTICS = {
    "cds": "cluster_manager.cds",
    "ecds": f"extension_config_discovery.http_filter.{WHO}",
    GATE_KIND: f"extension_config_discovery.http_filter.{GATE}",
    KIND: f"extension_config_discovery.http_filter.{LIMITS}",
    INNER: f"http.{INNER_PREFIX}.rds.{INNER_ROUTES}",
    "lds": "listener_manager.lds",
    "rds": f"http.{STAT_PREFIX}.rds.{ROUTE_CONFIGURATION}",
}
_ANSWER_S = 5.0


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What Envoy made of one kind: the version in use, and how many it has refused so far."""

    version: str
    rejected: int


@dataclass(frozen=True, slots=True)
class Host:
    """What Envoy has counted of a server, and what its own checks of it say.

    `fails_check` also before the first check has ended, while it `is_unchecked`.
    """

    succeeded: int
    failed: int
    fails_check: bool = False
    is_unchecked: bool = False


class Admin:
    """Envoy's administration, over its Unix socket. Every method may raise Temporary."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = _UnixConnection(path)

    def __enter__(self) -> Admin:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def acknowledged(self) -> dict[str, Acknowledgement]:
        """Return what Envoy uses now, by kind."""
        names = "|".join(prefix.replace(".", r"\.") for prefix in _STATISTICS.values())
        query = {"format": "json", "filter": rf"^({names})\.(version_text|update_rejected)$"}
        answer = self._ask("/stats", query)["stats"]
        statistics = {each["name"]: each["value"] for each in answer if "name" in each}
        return {
            kind: Acknowledgement(
                version=str(statistics.get(f"{prefix}.version_text", "")),
                rejected=int(statistics.get(f"{prefix}.update_rejected", 0)),
            )
            for kind, prefix in _STATISTICS.items()
        }

    def reason(self, version: str) -> str | None:
        """Find Envoy's own words for refusing `version`; it keeps them for listeners only."""
        states = _error_states(self._ask("/config_dump", {}))
        mine = (state for state in states if state.get("version_info") == version)
        return next((str(state["details"]) for state in mine if state.get("details")), None)

    def listeners(self) -> list[str]:
        """Return the addresses at which others reach Envoy; what listens within it is left out."""
        found = self._ask("/listeners", {"format": "json"}).get("listener_statuses", [])
        places = (each["local_address"].get("socket_address") for each in found)
        return [f"{place['address']}:{place['port_value']}" for place in places if place]

    def hosts(self) -> dict[str, list[Host]]:
        """Return every cluster's servers; none of one whose name leads nowhere."""
        found = self._ask("/clusters", {"format": "json"}).get("cluster_statuses", [])
        return {
            each["name"]: [_host(one) for one in each.get("host_statuses", ())] for each in found
        }

    def reopen_logs(self) -> None:
        """Have Envoy write on into new files, where its logs were renamed."""
        self._call("POST", "/reopen_logs")

    def _ask(self, path: str, query: dict[str, str]) -> Any:
        return json.loads(self._call("GET", f"{path}?{urlencode(query)}"))

    def _call(self, method: str, address: str) -> bytes:
        try:
            self._connection.request(method, address)
            answer = self._connection.getresponse()
            body = answer.read()
            if answer.status != http.HTTPStatus.OK:
                raise http.client.HTTPException(f"status {answer.status}")
            return body
        except (OSError, http.client.HTTPException, ValueError) as err:
            self._connection.close()
            raise Temporary(
                f"Envoy does not answer at `{self._path}`: {type(err).__name__}",
                hint="`plinth status` shows whether the unit `envoy` runs",
            ) from err


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket; httpx leaves a socket open when nobody listens."""

    def __init__(self, path: Path) -> None:
        super().__init__("envoy", timeout=_ANSWER_S)
        self._path = path

    def connect(self) -> None:
        """Open the connection. Raises OSError when nobody listens."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def _host(status: dict[str, Any]) -> Host:
    # A number that is 0 is left out.
    counts = {each["name"]: int(each.get("value", 0)) for each in status.get("stats", ())}
    health = status.get("health_status", {})
    return Host(
        succeeded=counts.get("rq_success", 0),
        failed=sum(counts.get(name, 0) for name in ("cx_connect_fail", "rq_error", "rq_timeout")),
        fails_check=bool(health.get("failed_active_health_check")),
        is_unchecked=bool(health.get("pending_active_hc")),
    )


def _error_states(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [state for each in value for state in _error_states(each)]
    if not isinstance(value, dict):
        return []
    own = [value["error_state"]] if "error_state" in value else []
    return own + [state for each in value.values() for state in _error_states(each)]
