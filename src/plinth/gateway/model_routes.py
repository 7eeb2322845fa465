"""The Open Inference Protocol: endpoints at `/v2/models/NAME`, candidates at an inner address.

The name stands in the path, and a tree finds it there. What is absent is answered as what is not
granted: by the same filter, in the same words.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from plinth.domain.traffic import Deployment, EndpointRoute
from plinth.gateway.endpoint_routes import Address, endpoint_routes, is_ready, usual_retry
from plinth.gateway.envoy_types import Json
from plinth.gateway.flow_routes import FLOWS_PATH, flow_place, flow_routes
from plinth.gateway.gate import allow_only
from plinth.gateway.identity import KEY_HEADERS
from plinth.gateway.limits import with_limits
from plinth.gateway.memory import Memory
from plinth.gateway.names import CANDIDATE_ROUTE, deployment_cluster
from plinth.gateway.openai_filter import ANSWER, run_part
from plinth.gateway.protobuf import Piece
from plinth.gateway.route import UNSENT, answer, retry, try_in_order
from plinth.gateway.state import GatewayState

MODELS_PATH = "/v2/models"
CANDIDATES_PATH = "/internal/deployments"
NOTHING_GRANTED = "this key may call nothing at this address"
_PLACE = f"{MODELS_PATH}/"
_CANDIDATE_TIMEOUT = "60s"


def model_tree(state: GatewayState, memory: Memory | None = None) -> dict[str, Json]:
    """Return, by the beginning of a path, what is tried there."""
    memory = memory or Memory()
    found = {
        place: try_in_order(place, [refused])
        for place, refused in (
            (_PLACE, _refused()),
            (f"{FLOWS_PATH}/", _no_flow()),
            (CANDIDATES_PATH, _hidden()),
        )
    }
    for endpoint in state.endpoints:
        found |= memory.recall("tree", endpoint, partial(_branches, endpoint, state.platform))
    return found


def _branches(endpoint: EndpointRoute, platform: str) -> dict[str, Json]:
    """Return the part of the tree that is of one endpoint."""
    found = {}
    # Another name may begin with this one.
    if endpoint.protocol == "open-inference":
        found[f"{_PLACE}{endpoint.name}"] = [*_endpoint(endpoint), _refused()]
    if endpoint.protocol == "flow":
        found[flow_place(endpoint.name)] = [*flow_routes(endpoint), _no_flow()]
    for candidate in endpoint.candidates:
        routes = _candidate(endpoint, candidate, platform)
        found[f"{CANDIDATES_PATH}/{candidate.id}/"] = [*routes, _hidden()]
    return {place: Piece(try_in_order(place, tried)) for place, tried in found.items()}


def _refused() -> Json:
    return _refusal("endpoint", _PLACE)


def _no_flow() -> Json:
    return _refusal("endpoint", f"{FLOWS_PATH}/")


def _hidden() -> Json:
    return _refusal("candidate", CANDIDATES_PATH)


def protocol_routes() -> list[Json]:
    """Answer what the Open Inference Protocol asks of the server as a whole."""
    about = {"name": "plinth", "version": "2", "extensions": []}
    return [
        answer("v2", {"path": "/v2"}, 200, about),
        answer("v2-live", {"path": "/v2/health/live"}, 200, {"live": True}),
        answer("v2-ready", {"path": "/v2/health/ready"}, 200, {"ready": True}),
    ]


def _endpoint(endpoint: EndpointRoute) -> list[Json]:
    match = {"path_separated_prefix": f"{MODELS_PATH}/{endpoint.name}"}
    filters = {
        **allow_only(endpoint.callers, endpoint.caller_teams, most=endpoint.policy.max_body),
        **with_limits(endpoint),
    }
    return endpoint_routes(endpoint, Address(match, filters=filters, inherited=usual_retry()))


def _candidate(endpoint: EndpointRoute, candidate: Deployment, platform: str) -> list[Json]:
    """Route to a deployment that does not serve yet, for the platform to check it."""
    name = f"{CANDIDATE_ROUTE}{endpoint.name}"
    granted = allow_only((platform,), ())
    place = f"{CANDIDATES_PATH}/{candidate.id}"
    if not is_ready(candidate):
        message = f"deployment `{candidate.id}` has no replica"
        return [_reply(name, {"prefix": f"{place}/"}, 503, message, granted)]
    return [
        {
            "name": name,
            "match": {"path_separated_prefix": f"{place}/{version}"},
            "route": {
                "cluster": deployment_cluster(candidate.id),
                "timeout": _CANDIDATE_TIMEOUT,
                "prefix_rewrite": f"/{version}",
                "retry_policy": retry(f"{UNSENT},retriable-headers"),
                "auto_host_rewrite": True,
            },
            "request_headers_to_remove": [*KEY_HEADERS, "cookie"],
            "response_headers_to_remove": ["set-cookie"],
            "typed_per_filter_config": {**granted, **(run_part(ANSWER) if version == "v1" else {})},
        }
        for version in ("v2", "v1")
    ]


def _reply(name: str, match: Json, status: int, message: str, permission: Json) -> Json:
    return {
        "name": name,
        "match": match,
        "direct_response": {"status": status, "body": {"inline_string": message}},
        "typed_per_filter_config": permission,
    }


def _refusal(name: str, prefix: str) -> Json:
    """Answer for what is absent just as for what is not granted: the same filter refuses both."""
    return _reply(name, {"prefix": prefix}, 403, NOTHING_GRANTED, allow_only((), ()))


def sorted_endpoints(state: GatewayState) -> Sequence[EndpointRoute]:
    """Return the endpoints by name, so that equal state is rendered equally."""
    return sorted(state.endpoints, key=lambda endpoint: endpoint.name)
