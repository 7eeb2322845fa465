"""What stands behind an endpoint's name, as the gateway must know it."""

from __future__ import annotations

from plinth.domain.base import Declared, Name, TeamName


class Upstream(Declared):
    """Where one replica listens: a Unix socket on this node."""

    socket: str


class Deployment(Declared):
    """One model version behind an endpoint; `id` is the run that serves it."""

    id: str
    upstreams: tuple[Upstream, ...]


class EndpointRoute(Declared):
    """One endpoint as the gateway routes it.

    `serving` takes the callers' traffic; None while nothing is ready yet. `candidates` are
    reachable only by the platform itself, to be checked before they serve.
    `callers` and `caller_teams`: principals and whole teams that may call it.
    """

    name: Name
    team: TeamName
    serving: Deployment | None = None
    candidates: tuple[Deployment, ...] = ()
    callers: tuple[str, ...] = ()
    caller_teams: tuple[str, ...] = ()
