"""Where each address goes, and who may go there.

Everything that is not named here does not exist for callers. Routes carry the names by which the
access log tells endpoints apart.
"""

from __future__ import annotations

from dataclasses import replace

from plinth.gateway.endpoint_routes import usual_retry
from plinth.gateway.envoy_types import ROUTES, Json, header, typed
from plinth.gateway.gate import allow_all, allow_anybody
from plinth.gateway.identity import HEALTH_PATH, ID_HEADER
from plinth.gateway.memory import Memory
from plinth.gateway.model_routes import (
    CANDIDATES_PATH,
    MODELS_PATH,
    NOTHING_GRANTED,
    model_tree,
    protocol_routes,
)
from plinth.gateway.names import CANDIDATE_ROUTE, CONTROL, ENDPOINT_ROUTE
from plinth.gateway.openai_routes import first_routes, openai_hosts
from plinth.gateway.page_routes import console_host, front_route
from plinth.gateway.places import INTERNAL_HEADERS, PLACE_HEADER
from plinth.gateway.protobuf import Piece
from plinth.gateway.route import UNSENT, answer, by_method, nothing, retry, to_control, try_in_order
from plinth.gateway.state import GatewayState
from plinth.gateway.tracking_routes import tracking_host, tracking_routes
from plinth.gateway.workspace_routes import workspace_hosts

__all__ = [
    "CANDIDATES_PATH",
    "CANDIDATE_ROUTE",
    "ENDPOINT_ROUTE",
    "MODELS_PATH",
    "NOTHING_GRANTED",
    "ROUTE_CONFIGURATION",
    "routes",
]

ROUTE_CONFIGURATION = "plinth"

_PATH_INPUT = "type.matcher.v3.HttpRequestHeaderMatchInput"
# What a server says of its own limits concerns us and not the caller.
_LIMIT_HEADERS = tuple(
    f"x-ratelimit-{name}{kind}"
    for name in ("limit", "remaining", "reset")
    for kind in ("", "-requests", "-tokens")
)


def routes(state: GatewayState, memory: Memory | None = None) -> list[Json]:
    """Return the one route configuration, as the list of one that Envoy's files hold."""
    memory = memory or Memory()
    everything = {
        "name": "plinth",
        "domains": ["*"],
        "matcher": _by_path(state, memory),
        "retry_policy": usual_retry(),
    }
    pages = memory.once("pages", _few(state), lambda: Piece(tracking_host(state)))
    configuration = {
        "@type": ROUTES,
        "name": ROUTE_CONFIGURATION,
        "vhost_header": PLACE_HEADER,
        "virtual_hosts": [
            everything,
            pages,
            console_host(state),
            *workspace_hosts(state),
            *openai_hosts(state, memory),
        ],
        "request_headers_to_remove": list(INTERNAL_HEADERS),
        "response_headers_to_remove": list(_LIMIT_HEADERS),
        "response_headers_to_add": [header(ID_HEADER, "%REQ(X-REQUEST-ID)%")],
    }
    return [configuration]


def _by_path(state: GatewayState, memory: Memory) -> Json:
    """Look the beginning of the path up, so that many endpoints cost no more than few."""
    reading = _careful([*first_routes(state), nothing()])
    first = {place: try_in_order(place, reading) for place in ("/v1/", "/openai/")}
    tree = {**model_tree(state, memory), **first}
    return {
        "matcher_tree": {
            "input": typed("path", _PATH_INPUT, header_name=":path"),
            "prefix_match_map": {"map": {place: tree[place] for place in sorted(tree)}},
        },
        "on_no_match": memory.once("rest", _few(state), lambda: _rest(state)),
    }


def _careful(tried: list[Json]) -> list[Json]:
    """Have what is no model's tried again only where it was surely not done.

    The host's own policy is that of models, so that it does not stand at each of them.
    """
    policy = retry(f"{UNSENT},retriable-headers")
    return [
        {**each, "route": {"retry_policy": policy, **each["route"]}} if "route" in each else each
        for each in tried
    ]


def _few(state: GatewayState) -> GatewayState:
    """Return what routes that are no endpoint's depend on."""
    return replace(state, endpoints=(), revoked=())


def _rest(state: GatewayState) -> Json:
    found = [
        answer("health", {"path": HEALTH_PATH}, 200, {"status": "ok"}, allow_anybody()),
        front_route(state.port),
        *_control_routes(len(state.control_planes)),
        *protocol_routes(),
        *tracking_routes(state.writers),
        nothing(),
    ]
    return Piece(try_in_order("rest", _careful(found)))


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
