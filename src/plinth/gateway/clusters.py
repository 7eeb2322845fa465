"""The servers behind Envoy, one cluster for each: control plane, MLflow, every deployment."""

from __future__ import annotations

from collections.abc import Iterable

from plinth.domain.traffic import Deployment, EndpointRoute
from plinth.gateway.envoy_types import CLUSTER, Json, config
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
        CONTROL: _cluster(CONTROL, [state.socket("control")]),
        TRACKING: _cluster(TRACKING, [state.socket("mlflow")]),
    }
    for deployment in _deployments(state.endpoints):
        name = deployment_cluster(deployment.id)
        found[name] = _cluster(name, sorted({each.socket for each in deployment.upstreams}))
    return [found[name] for name in sorted(found)]


def _deployments(endpoints: Iterable[EndpointRoute]) -> Iterable[Deployment]:
    for endpoint in endpoints:
        # The serving one comes last: should both name a run, callers decide where it listens.
        yield from endpoint.candidates
        if endpoint.serving is not None:
            yield endpoint.serving


def _cluster(name: str, sockets: list[str]) -> Json:
    endpoints = [{"endpoint": {"address": {"pipe": {"path": socket}}}} for socket in sockets]
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
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }
