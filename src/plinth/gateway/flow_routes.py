"""Flows at `/flows/NAME`: what stands behind the name is the app's own path.

Whatever the app answers at `/score` it answers here at `/flows/NAME/score`, streams too. What was
sent is not sent again: a flow's steps may have done something.
"""

from __future__ import annotations

from plinth.domain.traffic import EndpointRoute
from plinth.gateway.endpoint_routes import Address, endpoint_routes, seconds
from plinth.gateway.envoy_types import Json
from plinth.gateway.gate import allow_only
from plinth.gateway.limits import with_limits
from plinth.gateway.route import UNSENT, retry

FLOWS_PATH = "/flows"


def flow_place(name: str) -> str:
    """Return where a flow's callers ask for it."""
    return f"{FLOWS_PATH}/{name}"


def flow_routes(endpoint: EndpointRoute) -> list[Json]:
    """Return the routes of one flow, in the order in which they are tried."""
    place = flow_place(endpoint.name)
    filters = {
        **allow_only(endpoint.callers, endpoint.caller_teams, most=endpoint.policy.max_body),
        **with_limits(endpoint),
    }
    timeout_s = endpoint.policy.timeouts.request
    action = {
        # A flow takes as long as the models that it asks; streams end when they end.
        "timeout": "0s" if timeout_s is None else seconds(timeout_s),
        "retry_policy": retry(UNSENT),
        # The app makes whole addresses of the name by which its caller knows us.
        "auto_host_rewrite": False,
        "regex_rewrite": {"pattern": {"regex": f"^{place}/?"}, "substitution": "/"},
    }
    return endpoint_routes(
        endpoint, Address({"path_separated_prefix": place}, filters=filters, action=action)
    )
