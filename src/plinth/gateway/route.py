"""What routes are made of: answers of our own, patience, and trying again."""

from __future__ import annotations

import json

from plinth.gateway.envoy_types import Json, header, typed
from plinth.gateway.gate import allow_all
from plinth.gateway.names import CONTROL

# What surely has not reached a server may be sent again, whatever it asks for.
UNSENT = "connect-failure,refused-stream,reset-before-request"
# A model server that is still loading says so by this header: it has begun nothing. It is found
# by callers while a replica that ended is started again beside others that answer.
NOT_LOADED = "x-plinth-not-loaded"
_SILENT_S = "20s"
_ENDLESS = 2**62
NO_SUCH_ADDRESS = "there is nothing at this address"


def answer(name: str, match: Json, status: int, body: Json, allowed: Json | None = None) -> Json:
    """Return a route that the gateway answers by itself, to every holder of a valid key.

    `allowed`: who may ask instead, as the gate's settings.
    """
    return {
        "name": name,
        "match": match,
        "direct_response": {"status": status, "body": {"inline_string": json.dumps(body)}},
        "response_headers_to_add": [header("content-type", "application/json")],
        "typed_per_filter_config": allow_all() if allowed is None else allowed,
    }


def nothing() -> Json:
    """Return the last route of a host: there is nothing else."""
    return {
        "name": "nothing",
        "match": {"prefix": "/"},
        "direct_response": {"status": 404, "body": {"inline_string": NO_SUCH_ADDRESS}},
        "typed_per_filter_config": allow_all(),
    }


def try_in_order(name: str, routes: list[Json]) -> Json:
    """Return what a matcher leads to: the first of these routes that fits is taken."""
    return {"action": typed(name, "config.route.v3.RouteList", routes=routes)}


def patient(cluster: str) -> Json:
    """Set no time limits: logs are followed for hours, artifacts take as long as they take."""
    return {"cluster": cluster, "timeout": "0s", "idle_timeout": "0s"}


def retry(conditions: str, *, times: int = 10) -> Json:
    """Several attempts with growing pauses, on another replica if there is one."""
    return {
        "retry_on": conditions,
        "retriable_headers": [{"name": NOT_LOADED, "present_match": True}],
        "num_retries": times,
        "retry_back_off": {"base_interval": "0.05s", "max_interval": "1s"},
        "retry_host_predicate": [
            typed(
                "envoy.retry_host_predicates.previous_hosts",
                "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            )
        ],
        "host_selection_retry_max_attempts": 3,
    }


def anywhere(policy: Json) -> Json:
    """Return the policy without the preference for another replica, where there is only one."""
    preference = ("retry_host_predicate", "host_selection_retry_max_attempts")
    return {name: value for name, value in policy.items() if name not in preference}


def to_control(count: int, *, reads: bool = False) -> Json:
    """Return the way to the control plane, of which there are `count`: one after the other.

    Without a policy of its own a route has its host's: what was not sent may be sent again. What
    only reads is asked again whatever happened: a restart of the control plane loses none.
    """
    route = patient(CONTROL)
    if not reads and count == 1:
        return route
    policy = retry(f"{UNSENT},reset" if reads else UNSENT)
    if count > 1:
        # For as long as the check of health has not seen that the first one is away.
        policy["retry_priority"] = typed(
            "envoy.retry_priorities.previous_priorities",
            "extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
            update_frequency=1,
        )
        if reads:
            # Every read begins to answer long before; the first one stands still.
            policy["per_try_idle_timeout"] = _SILENT_S
    return {**route, "retry_policy": policy}


def to_control_as(path: str, count: int) -> Json:
    """Return the way to the control plane for reads whose address begins otherwise there."""
    return {**to_control(count, reads=True), "prefix_rewrite": path}


def more_than(length_header: str, most: int) -> Json:
    """Return the condition that the number in this header is larger than `most`."""
    return {"name": length_header, "range_match": {"start": most + 1, "end": _ENDLESS}}


def by_method(pattern: str) -> Json:
    """Return a condition on the method: one of `pattern`, like `GET|HEAD`."""
    return {"headers": [{"name": ":method", "string_match": {"safe_regex": {"regex": pattern}}}]}
