"""The servers behind Envoy, one cluster for each: control plane, MLflow, every deployment."""

from __future__ import annotations

from collections.abc import Iterable

from plinth.domain.traffic import Deployment, EndpointRoute
from plinth.gateway.envoy_types import CLUSTER, Json, config
from plinth.gateway.identity import HEALTH_PATH
from plinth.gateway.state import GatewayState

CONTROL = "control"
TRACKING = "mlflow"
_HTTP = "extensions.upstreams.http.v3.HttpProtocolOptions"
# uvicorn closes a connection that is idle for 5 s. Envoy must be first: a request that is sent
# into a connection just being closed is lost, and only some requests may be sent again.
_IDLE = "3s"
_UNLIMITED = 100_000


def deployment_cluster(deployment_id: str) -> str:
    """Return the name of a deployment's cluster; the access log reads it back."""
    return f"deployment:{deployment_id}"


def clusters(state: GatewayState) -> list[Json]:
    """Return every cluster, sorted by name."""
    found = {
        CONTROL: _control(state),
        TRACKING: _cluster(TRACKING, [state.socket("mlflow")]),
    }
    for deployment in _deployments(state.endpoints):
        name = deployment_cluster(deployment.id)
        found[name] = _cluster(name, sorted({each.socket for each in deployment.upstreams}))
    return [found[name] for name in sorted(found)]


def _control(state: GatewayState) -> Json:
    """Return the control planes: one is asked, another one while the first does not answer.

    Not all at once: each knows by itself what it is building, and `status` would go to and fro.
    """
    first, *others = [state.socket(name) for name in state.control_planes]
    cluster = _cluster(CONTROL, [first])
    if not others:
        return cluster
    levels = [
        {"priority": number, **_lb_endpoints([each])}
        for number, each in enumerate([first, *others])
    ]
    return {
        **cluster,
        "load_assignment": {"cluster_name": CONTROL, "endpoints": levels},
        "health_checks": [_health_check()],
    }


def _health_check() -> Json:
    """Ask each whether it answers: one that stands still, or is starting, takes connections.

    What waits in them is left there, and done when it goes on: to be answered late is better than
    not to know whether it was done.
    """
    return {
        "timeout": "1s",
        "interval": "1s",
        # By default it is a minute while nobody asks anything.
        "no_traffic_interval": "1s",
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
        "http_health_check": {"path": HEALTH_PATH, "host": CONTROL},
    }


def _deployments(endpoints: Iterable[EndpointRoute]) -> Iterable[Deployment]:
    for endpoint in endpoints:
        # The serving one comes last: should both name a run, callers decide where it listens.
        yield from endpoint.candidates
        if endpoint.serving is not None:
            yield endpoint.serving


def _cluster(name: str, sockets: list[str]) -> Json:
    threshold = {
        "max_connections": 4096,
        "max_pending_requests": _UNLIMITED,
        "max_requests": _UNLIMITED,
        # The default of 3 turns the fourth parallel retry into an error.
        "max_retries": _UNLIMITED,
    }
    options = config(
        _HTTP,
        common_http_protocol_options={"idle_timeout": _IDLE},
        explicit_http_config={"http_protocol_options": {}},
    )
    return {
        "@type": CLUSTER,
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [threshold]},
        "typed_extension_protocol_options": {f"envoy.{_HTTP}": options},
        "load_assignment": {"cluster_name": name, "endpoints": [_lb_endpoints(sockets)]},
    }


def _lb_endpoints(sockets: Iterable[str]) -> Json:
    endpoints = [{"endpoint": {"address": {"pipe": {"path": socket}}}} for socket in sockets]
    return {"lb_endpoints": endpoints}
