"""What stands behind an endpoint's name, as the gateway must know it."""

from __future__ import annotations

from typing import Literal

from plinth.domain.base import Declared, Name, TeamName
from plinth.domain.serving import MAIN, External, TrafficPolicy
from plinth.domain.web_page import MLFLOW, page_authority, page_origin

TRACKING_HOST = "mlflow.localhost"
# Where a browser signs in and out, on the host of the pages that it wants to see.
SIGN_IN_PATH = "/sign-in"
# Which key the gateway took for the caller's.
KEY_ID_HEADER = "x-plinth-key"
SIGN_OUT_PATH = "/sign-out"


class Upstream(Declared):
    """Where one replica listens: a Unix socket on this node."""

    socket: str


class Deployment(Declared):
    """What serves an endpoint, or a share of it.

    `id`: the run that serves it, or `<endpoint>.<name>` of an external one. `name`: what the
    endpoint's file calls it. Exactly one of `upstreams` and `external` holds something once it is
    ready. `secret_version`: of the external one's credential; it changes when the value does.
    """

    id: str
    name: str = MAIN
    upstreams: tuple[Upstream, ...] = ()
    external: External | None = None
    secret_version: int | None = None


class EndpointRoute(Declared):
    """One endpoint as the gateway routes it.

    `deployments` are ready and take the callers' traffic as `policy` says; empty while nothing is
    ready. `candidates` are reachable only by the platform itself, to be checked before they serve.
    `protocol`: what callers speak. `callers` and `caller_teams`: principals and whole teams that
    may call it.
    """

    name: Name
    team: TeamName
    protocol: Literal["open-inference", "openai", "flow"] = "open-inference"
    deployments: tuple[Deployment, ...] = ()
    candidates: tuple[Deployment, ...] = ()
    policy: TrafficPolicy = TrafficPolicy()
    callers: tuple[str, ...] = ()
    caller_teams: tuple[str, ...] = ()

    def find(self, name: str) -> Deployment | None:
        """Return the ready deployment that the file calls `name`, or None."""
        return next((each for each in self.deployments if each.name == name), None)

    def shares(self) -> tuple[tuple[Deployment, int], ...]:
        """Return what takes a share of the traffic, with its weight; what is not ready has none.

        With neither `traffic`, `failover` nor `capacity` it is the only deployment; with one of the
        latter two the first that is ready, which the gateway's spilling begins with.
        """
        policy = self.policy
        if policy.traffic:
            shares = [(self.find(name), weight) for name, weight in policy.traffic.items()]
            return tuple((found, weight) for found, weight in shares if found and weight)
        order = self.order()
        return ((order[0], 100),) if order else ()

    def order(self) -> tuple[Deployment, ...]:
        """Return the ready deployments in the order in which one request may try them."""
        policy = self.policy
        names = policy.failover
        if policy.capacity is not None:
            names = (policy.capacity.base, policy.capacity.burst)
        if not names:
            return self.deployments[:1] if not policy.traffic else ()
        return tuple(found for found in map(self.find, names) if found is not None)


def tracking_authority(port: int) -> str:
    """Return what a browser sends as the host when it asks for MLflow's pages."""
    return page_authority(MLFLOW, port)


def tracking_origin(port: int) -> str:
    """Return the origin of MLflow's pages, behind the gateway that listens on `port`."""
    return page_origin(MLFLOW, port)


def cookie_name(port: int) -> str:
    """Return the name of the cookie that a browser gets when it signs in.

    `__Host-`: browsers take it from this very host only, and over no scripted page. Browsers keep
    one jar for all ports of a host, so each Plinth of a machine has its own name.
    """
    return f"__Host-plinth-{port}"
