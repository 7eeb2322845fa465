"""Whether the servers of external models answer: by what Envoy counts of requests and checks.

One control plane of a node looks every few seconds and notes it; all of them read the note. No
request is made for it: `health:` in a file has Envoy ask, else callers' own requests tell.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from plinth.control.context import Context
from plinth.control.published import Published, Record
from plinth.gateway.admin import Admin, Host
from plinth.gateway.inner_names import bounded_cluster, provider_cluster
from plinth.kit.home import Home

State = Literal["healthy", "unhealthy"]
PERIOD_S = 5.0
_NOWHERE = "the name of its host leads nowhere"
_CHECKED = "`health` in its file asks it"


@dataclass(frozen=True, slots=True)
class Health:
    """How an external deployment's server is, and since when (an ISO time); `why` says by what."""

    state: State
    since: str
    why: str

    @property
    def is_asked(self) -> bool:
        """Whether the gateway asks it by itself."""
        return self.why.startswith(_CHECKED)


@dataclass(frozen=True, slots=True)
class Seen:
    """What Envoy has counted of one deployment's server so far. None of it falls while Envoy runs.

    `checked`: what its checks say, None where nobody checks, or not yet. `is_found`: whether its
    name leads anywhere.
    """

    succeeded: int = 0
    failed: int = 0
    checked: bool | None = None
    is_found: bool = True

    @classmethod
    def of(cls, hosts: Sequence[Host]) -> Seen:
        """Sum up a deployment's servers: it has one, and a second time behind its valve."""
        checks = [not each.fails_check for each in hosts if not each.is_unchecked]
        return cls(
            succeeded=sum(each.succeeded for each in hosts),
            failed=sum(each.failed for each in hosts),
            checked=all(checks) if checks else None,
            is_found=bool(hosts),
        )


def judge(
    before: Health | None, then: Seen | None, now: Seen, *, has_check: bool, at: str
) -> Health | None:
    """Return how a server is, from two looks at it; None: unknown. `then` None: the first look.

    `has_check`: whether its file has Envoy ask it. What nothing new is known of stays as it was.
    """
    if then is not None and (now.succeeded < then.succeeded or now.failed < then.failed):
        # Envoy counts anew: it was started, or it is another server than before.
        before, then = None, Seen()
    if before is not None and before.why == _NOWHERE and now.is_found:
        # Its name was corrected, or is known by now: of the server nothing is known yet.
        before = None
    found = _state(before, then, now, has_check=has_check)
    if found is None:
        return before
    state, why = found
    if before is not None and before.state == state:
        return before if before.why == why else Health(state, before.since, why)
    return Health(state, at, why)


def _state(
    before: Health | None, then: Seen | None, now: Seen, *, has_check: bool
) -> tuple[State, str] | None:
    if not now.is_found:
        # For a moment after the start no name has been looked up yet.
        is_new = then is None or then.is_found
        return None if is_new else ("unhealthy", _NOWHERE)
    if has_check:
        if now.checked is None:
            return None
        how = "answers" if now.checked else "does not answer as it should"
        return ("healthy" if now.checked else "unhealthy"), f"{_CHECKED}, and it {how}"
    if then is None:
        # The numbers say nothing of what came last, unless they are all of one kind.
        then = Seen() if before is None and not (now.succeeded and now.failed) else now
    if now.succeeded > then.succeeded:
        return "healthy", "it answered the newest requests"
    if now.failed > then.failed:
        return "unhealthy", "it could not be reached, or answered the newest requests with an error"
    return None


class HealthWatch:
    """Look again and again; see the module. `published` tells what Envoy routes to.

    `check` raises when somebody else looks by now.
    """

    def __init__(
        self,
        context: Context,
        published: Callable[[], Published | None],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._context = context
        self._published = published
        self._check = check
        self._seen: dict[str, Seen] = {}
        # The version of the gateway's configuration, and whom Envoy itself asks by it.
        self._asked: tuple[str, frozenset[str]] = ("", frozenset())

    def look(self) -> None:
        """Note how each external deployment is. Raises Temporary when Envoy does not answer."""
        published = self._published()
        # The id of a run has no dot, that of an external deployment has one.
        ids = sorted(each for each in published.deployments if "." in each) if published else []
        if published is None or not ids:
            self._seen = {}
            return
        with Admin(self._context.home.socket("envoy-admin")) as admin:
            hosts = admin.hosts()
        before, then = read_health(self._context.home), self._seen
        self._seen = {each: Seen.of(_hosts_of(each, hosts)) for each in ids}
        at = self._context.clock.now().isoformat()
        found = {
            each: judge(
                before.get(each),
                then.get(each),
                seen,
                has_check=each in self._asked_by(published),
                at=at,
            )
            for each, seen in self._seen.items()
        }
        now = {name: each for name, each in found.items() if each is not None}
        if now != before:
            self._check()
            _write(_path(self._context.home), now)

    def _asked_by(self, published: Published) -> frozenset[str]:
        """Return the deployments that Envoy asks by itself, as their files say."""
        if self._asked[0] != published.version:
            routes = Record(self._context.home).routes()
            asked = frozenset(
                each.id
                for route in routes
                if route.policy.health is not None
                for each in route.deployments
                if each.external is not None
            )
            self._asked = (published.version, asked)
        return self._asked[1]


def read_health(home: Home) -> Mapping[str, Health]:
    """Return by deployment how it is, as it was noted last; what is not named is unknown."""
    path = _path(home)
    try:
        noted = path.stat()
        return _read(path, (noted.st_ino, noted.st_mtime_ns))
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        # Another version of Plinth may have noted more, or less.
        return {}


@lru_cache(maxsize=4)
def _read(path: Path, _version: tuple[int, int]) -> Mapping[str, Health]:
    """Read a note once: a list of endpoints asks for it again and again."""
    noted: dict[str, dict[str, Any]] = json.loads(path.read_bytes())
    return {name: Health(**each) for name, each in noted.items()}


def _hosts_of(deployment_id: str, hosts: Mapping[str, Sequence[Host]]) -> list[Host]:
    names = (provider_cluster(deployment_id), bounded_cluster(deployment_id))
    return [each for name in names for each in hosts.get(name, ())]


def _path(home: Home) -> Path:
    return home.gateway / "health.json"


def _write(path: Path, found: Mapping[str, Health]) -> None:
    # Not synced to the disk: after a power cut it is learnt anew.
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    draft.write_text(json.dumps({name: asdict(each) for name, each in found.items()}))
    draft.replace(path)
