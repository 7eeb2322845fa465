"""OpenAI's protocol, in that of Azure too: `/v1/...` and `/openai/deployments/NAME/...`.

A request comes to a first route, which leads nowhere: there the filter reads the body and finds the
endpoint, and Envoy chooses anew, now among the routes of the endpoint. What the filter finds no
endpoint for, or whom the endpoint's rules do not name, it refuses.
"""

from __future__ import annotations

from functools import partial

from plinth.domain.serving import MOST_OPENAI_BODY
from plinth.domain.traffic import EndpointRoute
from plinth.gateway.endpoint_routes import Address, endpoint_routes
from plinth.gateway.envoy_types import Json, config, typed
from plinth.gateway.gate import allow_all, allow_named
from plinth.gateway.guard_filter import with_guard
from plinth.gateway.limits import has_token_limits, with_limits
from plinth.gateway.memory import Memory
from plinth.gateway.model_routes import NOTHING_GRANTED, sorted_endpoints
from plinth.gateway.openai_filter import CALLER, run_part, told
from plinth.gateway.places import endpoint_place
from plinth.gateway.protobuf import Piece
from plinth.gateway.route import by_method, to_control, to_control_as
from plinth.gateway.state import GatewayState
from plinth.gateway.told import body_words

OPENAI_ROUTE = "openai"
_WHOLE = "plinth.whole"
_BUFFER = "extensions.filters.http.buffer.v3"
_WORK = (
    r"/v1/(chat/completions|completions|embeddings|responses)",
    r"/openai/deployments/[^/]+/(chat/completions|completions|embeddings)",
)
_LISTINGS = ("/v1/models", "/openai/models")
_CONTROL_LISTING = "/api/v1/openai/models"
# What the control plane keeps: files, and batches of requests that read and write them.
_KEPT = ("files", "batches")
_KEPT_BELOW = ("/v1", "/openai")
# Envoy holds this much of a body by itself.
_HELD_BYTES = 1_000_000
_LEAST_BYTES = 4 * 2**20
_MOST_BYTES = MOST_OPENAI_BODY


def whole_body_filter() -> Json:
    """Return the filter that holds larger bodies than Envoy does by itself, where a route asks."""
    return {**typed(_WHOLE, f"{_BUFFER}.Buffer", max_request_bytes=1), "disabled": True}


def first_routes(state: GatewayState) -> list[Json]:
    """Return the routes on which the filter reads the body, and the listings of models."""
    whole = {
        _WHOLE: config(f"{_BUFFER}.BufferPerRoute", buffer={"max_request_bytes": _most(state)}),
    }
    small = {"name": "content-length", "range_match": {"start": 0, "end": _HELD_BYTES}}
    words, limits = body_words(_most(state)), _needed(state)
    return [
        *(_first_route(pattern, [small], limits) for pattern in _WORK),
        *({**_first_route(pattern, [], {**whole, **limits}), **words} for pattern in _WORK),
        *(_listing(path, len(state.control_planes)) for path in _LISTINGS),
        *_kept_routes(len(state.control_planes)),
    ]


def openai_hosts(state: GatewayState, memory: Memory | None = None) -> list[Json]:
    """Return a virtual host for each endpoint, where who may call it stands once."""
    memory, most = memory or Memory(), _most(state)
    return [
        memory.recall(("host", most), endpoint, partial(_host, endpoint, most))
        for endpoint in sorted_endpoints(state)
        if endpoint.protocol == "openai"
    ]


def _needed(state: GatewayState) -> Json:
    """Return the settings for the filters of limits that any endpoint here needs, and no other.

    Which one is asked for is known when they are made already, so it is all or none.
    """
    found = [each for each in state.endpoints if each.protocol == "openai"]
    guard = with_guard() if state.is_guarded and any(map(has_token_limits, found)) else {}
    limits = next((limits for each in found if (limits := with_limits(each))), {})
    return {**guard, **limits}


def _most(state: GatewayState) -> int:
    """Return how many bytes of a body are held, before it is known who takes them."""
    policies = [each.policy for each in state.endpoints if each.protocol == "openai"]
    return min(_MOST_BYTES, max([_LEAST_BYTES, *(policy.max_body for policy in policies)]))


def _first_route(pattern: str, conditions: list[Json], filters: Json) -> Json:
    posted = by_method("POST")["headers"]
    return {
        "name": OPENAI_ROUTE,
        "match": {"safe_regex": {"regex": pattern}, "headers": [*posted, *conditions]},
        "direct_response": {"status": 403, "body": {"inline_string": NOTHING_GRANTED}},
        "typed_per_filter_config": {**allow_all(), **run_part(CALLER), **filters},
    }


def _listing(path: str, count: int) -> Json:
    """Route to the control plane, which knows what the key may call. It is shown the key."""
    return {
        "name": "models",
        "match": {"path_separated_prefix": path, **by_method("GET")},
        "route": to_control_as(_CONTROL_LISTING, count),
        "typed_per_filter_config": allow_all(),
    }


def _kept_routes(count: int) -> list[Json]:
    """Route to the control plane what is read and written there: the body is passed as it comes."""
    found: list[Json] = []
    for base in _KEPT_BELOW:
        for kind in _KEPT:
            match = {"path_separated_prefix": f"{base}/{kind}"}
            route = {"name": kind, "typed_per_filter_config": allow_all()}
            path = f"/api/v1/openai/{kind}"
            read = {"match": {**match, **by_method("GET")}, "route": to_control_as(path, count)}
            write = {**to_control(count), "prefix_rewrite": path}
            found += [{**route, **read}, {**route, "match": match, "route": write}]
    return found


def _host(endpoint: EndpointRoute, most: int) -> Json:
    values: dict[str, str | bool] = {}
    if endpoint.policy.timeouts.request is None:
        values["endless"] = True
    if has_token_limits(endpoint):
        values["limited"] = True
    settings = told(**values) if values else {}
    routes = endpoint_routes(endpoint, Address({"prefix": "/"}, settings, most=most))
    place = endpoint_place(endpoint.name)
    host = {
        "name": place,
        "domains": [place],
        "routes": routes,
        # An answer that is compressed cannot be read for what was used.
        "request_headers_to_remove": ["accept-encoding"],
        "typed_per_filter_config": allow_named(endpoint.callers, endpoint.caller_teams),
    }
    return Piece(host)
