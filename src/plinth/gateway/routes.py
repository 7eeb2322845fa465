"""Where each address goes, and who may go there.

Everything that is not named here does not exist for callers. Routes carry the names by which the
access log tells endpoints apart.
"""

from __future__ import annotations

from typing import Any

from plinth.domain.traffic import Deployment, EndpointRoute
from plinth.gateway.clusters import CONTROL, deployment_cluster
from plinth.gateway.envoy_types import ROUTES, Json, header
from plinth.gateway.identity import (
    HEALTH_PATH,
    ID_HEADER,
    KEY_HEADERS,
    allow_all,
    allow_only,
    refuse_keys,
)
from plinth.gateway.route import UNSENT, answer, by_method, nothing, retry, to_control
from plinth.gateway.state import GatewayState
from plinth.gateway.tracking_routes import tracking_host, tracking_routes

ROUTE_CONFIGURATION = "plinth"
ENDPOINT_ROUTE = "endpoint:"
CANDIDATE_ROUTE = "candidate:"
MODELS_PATH = "/v2/models"
CANDIDATES_PATH = "/internal/deployments"
NOTHING_GRANTED = "this key may call nothing at this address"

_MODEL_TIMEOUT = "60s"


def routes(state: GatewayState) -> list[Json]:
    """Return the one route configuration, as the list of one that Envoy's files hold."""
    everything = {
        "name": "plinth",
        "domains": ["*"],
        "routes": _routes(state),
        "retry_policy": retry(f"{UNSENT},retriable-headers"),
    }
    configuration = {
        "@type": ROUTES,
        "name": ROUTE_CONFIGURATION,
        "virtual_hosts": [everything, tracking_host(state)],
        "response_headers_to_add": [header(ID_HEADER, "%REQ(X-REQUEST-ID)%")],
        "typed_per_filter_config": refuse_keys(state.revoked),
    }
    return [configuration]


def _routes(state: GatewayState) -> list[Json]:
    endpoints = sorted(state.endpoints, key=lambda endpoint: endpoint.name)
    return [
        answer("health", {"path": HEALTH_PATH}, 200, {"status": "ok"}),
        *_control_routes(len(state.control_planes)),
        *(_endpoint_route(endpoint) for endpoint in endpoints),
        *(
            _candidate_route(endpoint, candidate, state.platform)
            for endpoint in endpoints
            for candidate in sorted(endpoint.candidates, key=lambda each: each.id)
        ),
        *_protocol_routes(),
        *tracking_routes(state.writers),
        _refusal("endpoint", MODELS_PATH + "/"),
        _refusal("candidate", CANDIDATES_PATH),
        nothing(),
    ]


def _control_routes(count: int) -> list[Json]:
    """Route to the control plane: no time limit (it streams), and it is shown the key."""
    reads = by_method("GET")
    route: Json = {
        "name": CONTROL,
        "match": {"path_separated_prefix": "/api/v1"},
        "route": to_control(count),
        "typed_per_filter_config": allow_all(),
    }
    read = to_control(count, reads=True)
    return [{**route, "match": {**route["match"], **reads}, "route": read}, route]


def _endpoint_route(endpoint: EndpointRoute) -> Json:
    route = {
        "name": f"{ENDPOINT_ROUTE}{endpoint.name}",
        "match": {"path_separated_prefix": f"{MODELS_PATH}/{endpoint.name}"},
        "typed_per_filter_config": allow_only(endpoint.callers, endpoint.caller_teams),
    }
    if endpoint.serving is None or not endpoint.serving.upstreams:
        message = f"endpoint `{endpoint.name}` has no ready deployment"
        return {**route, "direct_response": {"status": 503, "body": {"inline_string": message}}}
    # To infer is to compute: doing it again changes nothing. So a request whose replica died before
    # it answered goes to another one. A request that kills every server it meets meets them all.
    again = retry(f"{UNSENT},reset,retriable-headers")
    return {**route, **_to_deployment(endpoint.serving, retry_policy=again)}


def _candidate_route(endpoint: EndpointRoute, candidate: Deployment, platform: str) -> Json:
    """Route to a deployment that does not serve yet, for the platform to check it."""
    route = {
        "name": f"{CANDIDATE_ROUTE}{endpoint.name}",
        "match": {"path_separated_prefix": f"{CANDIDATES_PATH}/{candidate.id}/v2"},
        "typed_per_filter_config": allow_only((platform,), ()),
    }
    if not candidate.upstreams:
        message = f"deployment `{candidate.id}` has no replica"
        return {**route, "direct_response": {"status": 503, "body": {"inline_string": message}}}
    return {**route, **_to_deployment(candidate, prefix_rewrite="/v2")}


def _protocol_routes() -> list[Json]:
    """Answer what the Open Inference Protocol asks of the server as a whole."""
    about = {"name": "plinth", "version": "2", "extensions": []}
    return [
        answer("v2", {"path": "/v2"}, 200, about),
        answer("v2-live", {"path": "/v2/health/live"}, 200, {"live": True}),
        answer("v2-ready", {"path": "/v2/health/ready"}, 200, {"ready": True}),
    ]


def _to_deployment(deployment: Deployment, **more: Any) -> Json:
    return {
        "route": {
            "cluster": deployment_cluster(deployment.id),
            "timeout": _MODEL_TIMEOUT,
            **more,
        },
        # A model server runs its owner's code: it must not learn its callers' keys.
        "request_headers_to_remove": [*KEY_HEADERS, "cookie"],
        "response_headers_to_remove": ["set-cookie"],
    }


def _refusal(name: str, prefix: str) -> Json:
    """Answer for what is absent just as for what is not granted: the same filter refuses both."""
    return {
        "name": name,
        "match": {"prefix": prefix},
        "direct_response": {"status": 403, "body": {"inline_string": NOTHING_GRANTED}},
        "typed_per_filter_config": allow_only((), ()),
    }
