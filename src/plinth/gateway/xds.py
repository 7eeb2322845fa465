"""Hand a snapshot to Envoy through files, and wait until Envoy says what it made of it.

The endpoint reconciler calls `apply`. Nobody else writes below the folder; one writer at a time.
"""

from __future__ import annotations

import http
import http.client
import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from plinth.gateway.identity import WHO
from plinth.gateway.listener import STAT_PREFIX
from plinth.gateway.routes import ROUTE_CONFIGURATION
from plinth.gateway.snapshot import Resources, Snapshot, resources
from plinth.gateway.validation import complaint
from plinth.kit.errors import Permanent, Temporary
from plinth.kit.files import locked, make_private, read_json, write_atomic

# The prefix of each kind's statistics in Envoy.
_STATISTICS = {
    "cds": "cluster_manager.cds",
    "ecds": f"extension_config_discovery.http_filter.{WHO}",
    "lds": "listener_manager.lds",
    "rds": f"http.{STAT_PREFIX}.rds.{ROUTE_CONFIGURATION}",
}
_POLL_S = 0.01
_ANSWER_S = 5.0


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What Envoy made of one kind: the version in use, and how many it has refused so far."""

    version: str
    rejected: int


def write(snapshot: Snapshot, folder: Path) -> tuple[str, ...]:
    """Write the kinds that changed, clusters first; return their names.

    Envoy sees each file whole or not at all. For a running Envoy use `apply`.
    """
    return tuple(
        kind for kind, content in snapshot.by_kind().items() if _write(folder, kind, content)
    )


def acknowledged(admin_socket: Path) -> dict[str, Acknowledgement]:
    """Ask Envoy what it uses, by kind. Raises Temporary when it cannot be reached."""
    with _Admin(admin_socket) as admin:
        return admin.acknowledged()


def apply(
    snapshot: Snapshot, folder: Path, admin_socket: Path, *, deadline_s: float = 10.0
) -> None:
    """Make Envoy use `snapshot`; return when it does. Doing it again changes nothing.

    Clusters that are no longer wanted go last, so that no request is sent to a missing one.
    Blocks up to `deadline_s`. Raises Permanent with Envoy's reason when it refuses: then it goes
    on with what it had, and so do the files. Raises Temporary when Envoy cannot be reached or
    does not answer in time: then the files hold the new configuration for its next start.
    """
    make_private(folder)
    with locked(folder / "lock"), _Admin(admin_socket) as admin:
        try:
            admin.acknowledged()
        except Temporary:
            write(snapshot, folder)
            raise
        step = _Step(snapshot, folder, admin, time.monotonic() + deadline_s)
        kinds = snapshot.by_kind()
        wanted = kinds.pop("cds")
        step.take("cds", _union(wanted, read_json(_path(folder, "cds"))))
        for kind, content in kinds.items():
            step.take(kind, content)
        step.take("cds", wanted)


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


class _Admin:
    """Envoy's administration, over its Unix socket. Every method may raise Temporary."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = _UnixConnection(path)

    def __enter__(self) -> _Admin:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def acknowledged(self) -> dict[str, Acknowledgement]:
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

    def _ask(self, path: str, query: dict[str, str]) -> Any:
        try:
            self._connection.request("GET", f"{path}?{urlencode(query)}")
            answer = self._connection.getresponse()
            body = answer.read()
            if answer.status != http.HTTPStatus.OK:
                raise http.client.HTTPException(f"status {answer.status}")
            return json.loads(body)
        except (OSError, http.client.HTTPException, ValueError) as err:
            self._connection.close()
            raise Temporary(
                f"Envoy does not answer at `{self._path}`: {type(err).__name__}",
                hint="`plinth status` shows whether the unit `envoy` runs",
            ) from err


@dataclass(frozen=True, slots=True)
class _Step:
    """Hands over one kind after the other until the deadline (monotonic seconds)."""

    snapshot: Snapshot
    folder: Path
    admin: _Admin
    deadline: float

    def take(self, kind: str, content: Resources) -> None:
        """Write one kind and wait until Envoy uses it, or put the old one back."""
        path = _path(self.folder, kind)
        before = path.read_bytes() if path.exists() else None
        rejected = self.admin.acknowledged()[kind].rejected
        _write(self.folder, kind, content)

        def settled() -> bool:
            answer = self.admin.acknowledged()[kind]
            if answer.rejected > rejected:
                self._refused(kind, content.version, before)
            return answer.version == content.version

        if not _wait(settled, self.deadline):
            raise Temporary(
                f"Envoy has not taken the {kind} version `{content.version}` in time",
                hint="`plinth logs envoy` says why",
            )

    def _refused(self, kind: str, version: str, before: bytes | None) -> None:
        reason = self.admin.reason(version) or complaint(self.snapshot) or "its log says why"
        path = _path(self.folder, kind)
        # Envoy goes on with what it has, but would not start with what it refuses.
        if before is None:
            path.unlink()
        else:
            write_atomic(path, before)
        raise Permanent(
            f"Envoy refuses the {kind} version `{version}`: {reason}",
            hint="it goes on with the version before; this is a defect of Plinth",
        )


def _wait(settled: Callable[[], bool], deadline: float) -> bool:
    while not settled():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _write(folder: Path, kind: str, content: Resources) -> bool:
    path = _path(folder, kind)
    make_private(path.parent)
    text = content.to_bytes()
    if path.exists() and path.read_bytes() == text:
        return False
    write_atomic(path, text)
    return True


def _path(folder: Path, kind: str) -> Path:
    return folder / kind / f"{kind}.json"


def _union(wanted: Resources, before: Any) -> Resources:
    """Return the wanted clusters and those of before that nothing else is called."""
    names = {item["name"] for item in wanted.items}
    kept = [item for item in (before or {}).get("resources", []) if item["name"] not in names]
    return resources([*wanted.items, *kept]) if kept else wanted


def _error_states(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [state for each in value for state in _error_states(each)]
    if not isinstance(value, dict):
        return []
    own = [value["error_state"]] if "error_state" in value else []
    return own + [state for each in value.values() for state in _error_states(each)]
