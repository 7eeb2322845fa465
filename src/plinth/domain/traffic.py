"""What stands behind an endpoint's name, as the gateway must know it."""

from __future__ import annotations

from plinth.domain.base import Declared, Name, TeamName

# MLflow's own name, so that its pages are an origin of their own: to a browser, what runs there is
# a stranger to everything else of Plinth. `*.localhost` is this machine, without any set-up.
TRACKING_HOST = "mlflow.localhost"
# Where a browser signs in and out, on the host of the pages that it wants to see.
SIGN_IN_PATH = "/sign-in"
SIGN_OUT_PATH = "/sign-out"
_HTTP_PORT = 80


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


def tracking_authority(port: int) -> str:
    """Return what a browser sends as the host when it asks for MLflow's pages."""
    return TRACKING_HOST if port == _HTTP_PORT else f"{TRACKING_HOST}:{port}"


def tracking_origin(port: int) -> str:
    """Return the origin of MLflow's pages, behind the gateway that listens on `port`."""
    return f"http://{tracking_authority(port)}"


def cookie_name(port: int) -> str:
    """Return the name of the cookie that a browser gets when it signs in.

    `__Host-`: browsers take it from this very host only, and over no scripted page. Browsers keep
    one jar for all ports of a host, so each Plinth of a machine has its own name.
    """
    return f"__Host-plinth-{port}"
