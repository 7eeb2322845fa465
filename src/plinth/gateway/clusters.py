"""The servers behind Envoy, one cluster for each: control plane, MLflow, every deployment."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from plinth.domain.traffic import Deployment, EndpointRoute
from plinth.gateway.cluster import OURS, cluster, pipe, servers
from plinth.gateway.envoy_types import Json
from plinth.gateway.external import provider
from plinth.gateway.guard_filter import GUARD_CLUSTER, guard_cluster
from plinth.gateway.identity import HEALTH_PATH
from plinth.gateway.inner_names import INNER, provider_cluster
from plinth.gateway.memory import Memory
from plinth.gateway.names import CONTROL, TRACKING, deployment_cluster
from plinth.gateway.protobuf import Piece
from plinth.gateway.shadow import shadow_clusters
from plinth.gateway.spill import inner_cluster, spill_clusters
from plinth.gateway.state import GatewayState
from plinth.gateway.verifier import VERIFIER, verifier_cluster
from plinth.gateway.workspace_routes import workspace_clusters

# uvicorn closes a connection that is idle for 5 s. Envoy must be first: a request that is sent
# into a connection just being closed is lost, and only some requests may be sent again.
IDLE = "3s"


def clusters(state: GatewayState, memory: Memory | None = None) -> list[Json]:
    """Return every cluster, sorted by name."""
    memory = memory or Memory()
    found: dict[str, Json] = {
        CONTROL: _control(state),
        VERIFIER: verifier_cluster(),
        TRACKING: cluster(TRACKING, servers([pipe(state.socket("mlflow"))]), idle=IDLE),
    }
    if state.is_guarded:
        found[GUARD_CLUSTER] = guard_cluster(state.socket(GUARD_CLUSTER))
    found |= {each["name"]: each for each in workspace_clusters(state)}
    for endpoint in state.endpoints:
        found |= memory.recall("clusters", endpoint, partial(_of_endpoint, endpoint, state))
    return [found[name] for name in sorted(found)]


def _of_endpoint(endpoint: EndpointRoute, state: GatewayState) -> dict[str, Json]:
    made = [
        *(each for one in _all(endpoint) for each in _of_deployment(endpoint, one, state)),
        *spill_clusters(endpoint, state),
        *shadow_clusters(endpoint),
    ]
    return {each["name"]: Piece(each) for each in made}


def _all(endpoint: EndpointRoute) -> Iterable[Deployment]:
    # Those that serve come last: should both name a run, callers decide where it listens.
    yield from endpoint.candidates
    yield from endpoint.deployments


def _of_deployment(
    endpoint: EndpointRoute, deployment: Deployment, state: GatewayState
) -> list[Json]:
    """Return the cluster that answers for a deployment, and its provider's if it has one."""
    name = deployment_cluster(deployment.id)
    if deployment.external is None:
        sockets = sorted({each.socket for each in deployment.upstreams})
        places = servers(map(pipe, sockets), deployment.id, hostname=OURS)
        return [cluster(name, places, idle=IDLE)]
    return [
        inner_cluster(name, INNER, deployment.id, deployment.id),
        provider(provider_cluster(deployment.id), deployment, endpoint, state),
    ]


def _control(state: GatewayState) -> Json:
    """Return the control planes: one is asked, another one while the first does not answer.

    Not all at once: each knows by itself what it is building, and `status` would go to and fro.
    """
    places = [servers([pipe(state.socket(name))]) for name in state.control_planes]
    more: Json = {"health_checks": [_health_check()]} if len(places) > 1 else {}
    return cluster(CONTROL, *places, idle=IDLE, **more)


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
