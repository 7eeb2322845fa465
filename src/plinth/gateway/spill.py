"""Ask one deployment after the other within one request: base and burst, failover.

An endpoint's way is a composite cluster: its first member gets the first attempt, the second one
the next, and so on. Before a member from which requests spill early stands a gate, an inner host
with limits of its own: what it refuses is an answer like any other, so that the next attempt
follows. (What Envoy refuses because a cluster is full it does not try again.)
"""

from __future__ import annotations

from importlib.resources import files
from itertools import cycle, islice

from plinth.domain.traffic import Deployment, EndpointRoute
from plinth.gateway.cluster import OURS, cluster, pipe, servers, takes
from plinth.gateway.envoy_types import CLUSTER, Json, config, typed
from plinth.gateway.external import provider, provider_route
from plinth.gateway.inner_names import (
    INNER,
    UNSERVED_HEADER,
    gate_cluster,
    gate_host,
    gated_cluster,
)
from plinth.gateway.names import ENDPOINT_ROUTE, deployment_cluster, way_cluster
from plinth.gateway.route import NOT_LOADED, UNSENT
from plinth.gateway.state import GatewayState

# What a server answers that has too much to do, or that is not there.
STATUSES = (429, 502, 503, 504)
SPILL_FILTER, RATE_FILTER = "plinth.spill", "plinth.rate"
_PART = "spill"
_RATE = "extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
_INNER_IDLE = "60s"
_SERVER_IDLE = "3s"
_EJECTED_S = 5
_FAILURES = 5
# The gate's own patience ends first, so that it is the one who sees that a server hangs.
_GATE_SHARE = 0.95


def attempts(endpoint: EndpointRoute) -> int:
    """Return how often one request is sent at most: each deployment has it once at least."""
    return max(endpoint.policy.retries + 1, len(endpoint.order()))


def has_way(endpoint: EndpointRoute) -> bool:
    """Tell whether one request may go to several deployments."""
    return len(endpoint.order()) > 1


def spill_policy(endpoint: EndpointRoute) -> Json:
    """Return the retry policy of a route to the endpoint's way."""
    policy: Json = {
        "retry_on": f"{UNSENT},reset,retriable-status-codes,retriable-headers",
        "retriable_status_codes": list(STATUSES),
        "retriable_headers": [{"name": NOT_LOADED, "present_match": True}],
        "num_retries": attempts(endpoint) - 1,
        # The next one is another server: there is nothing to wait for.
        "retry_back_off": {"base_interval": "0.002s", "max_interval": "0.05s"},
    }
    attempt_s = endpoint.policy.timeouts.attempt
    if attempt_s is not None:
        policy["per_try_timeout"] = f"{attempt_s:g}s"
    return policy


def spill_clusters(endpoint: EndpointRoute, state: GatewayState) -> list[Json]:
    """Return the endpoint's way and its gates; nothing when there is only one to ask."""
    if not has_way(endpoint):
        return []
    gated = [each for each in endpoint.order() if _has_gate(endpoint, each)]
    way = {
        "@type": CLUSTER,
        "name": way_cluster(endpoint.name),
        "connect_timeout": "2s",
        "lb_policy": "CLUSTER_PROVIDED",
        "circuit_breakers": takes(),
        "cluster_type": typed(
            "envoy.clusters.composite",
            "extensions.clusters.composite.v3.ClusterConfig",
            clusters=[{"name": each} for each in _members(endpoint)],
        ),
    }
    gates = [
        inner_cluster(gate_cluster(each.id), INNER, gate_host(each.id), each.id) for each in gated
    ]
    return [way, *gates, *(_behind_gate(endpoint, each, state) for each in gated)]


def inner_cluster(name: str, listener: str, host: str, deployment_id: str) -> Json:
    """Return the cluster of a host of an inner listener, which answers for a deployment."""
    address = {"envoy_internal_address": {"server_listener_name": listener}}
    places = servers([address], deployment_id)
    places["lb_endpoints"][0]["endpoint"]["hostname"] = host
    return cluster(name, places, idle=_INNER_IDLE)


def gate_hosts(endpoint: EndpointRoute) -> list[Json]:
    """Return the inner hosts that are the endpoint's gates."""
    if not has_way(endpoint):
        return []
    return [
        {
            "name": gate_host(each.id),
            "domains": [gate_host(each.id)],
            "routes": [_gate_route(endpoint, each)],
        }
        for each in endpoint.order()
        if _has_gate(endpoint, each)
    ]


def spill_filters() -> list[Json]:
    """Return the filters of the inner listener by which gates refuse; routes switch them on."""
    program = files("plinth.gateway").joinpath("spill.lua").read_text()
    lua = typed(
        SPILL_FILTER,
        "extensions.filters.http.lua.v3.Lua",
        source_codes={_PART: {"inline_string": program}},
    )
    return [typed(RATE_FILTER, _RATE, stat_prefix="gate"), lua]


def watch(*, gate: Deployment | None = None, provider: Deployment | None = None) -> Json:
    """Return the settings of a route that has `spill.lua` watch its answers.

    `gate`: the deployment that it passes over when that asks for it. `provider`: the one whose
    words about its credential are not the caller's.
    """
    told = {} if gate is None else {"gate": gate.id}
    if provider is not None and provider.external is not None:
        told["provider"] = provider.id
        if provider.external.credential is not None:
            told["credential"] = "yes"
        if provider.external.protocol == "open-inference":
            told["plain"] = "yes"
    return {
        SPILL_FILTER: config(
            "extensions.filters.http.lua.v3.LuaPerRoute", name=_PART, filter_context=told
        )
    }


def _members(endpoint: EndpointRoute) -> list[str]:
    """Return who gets which attempt; Envoy fails an attempt for which there is no member.

    The last attempt is the last deployment's: a gate that is closed would tell the caller nothing
    of the limits that a server names.
    """
    order = endpoint.order()
    each_once = [
        gate_cluster(each.id) if _has_gate(endpoint, each) else deployment_cluster(each.id)
        for each in order
    ]
    found = list(islice(cycle(each_once), attempts(endpoint) - 1))
    return [*found, each_once[-1]]


def _has_gate(endpoint: EndpointRoute, deployment: Deployment) -> bool:
    """Tell whether requests may pass the deployment over: never the last one that is asked."""
    if deployment == endpoint.order()[-1]:
        return False
    return endpoint.policy.capacity is not None or deployment.external is not None


def _behind_gate(endpoint: EndpointRoute, deployment: Deployment, state: GatewayState) -> Json:
    """Return the servers behind a gate; those that are dead or hang get nothing for a while."""
    name = gated_cluster(deployment.id)
    capacity = endpoint.policy.capacity
    limits = {
        "circuit_breakers": takes(capacity.concurrency if capacity is not None else None),
        "outlier_detection": _ejection(),
        # Else Envoy asks a place of which all are ejected as if none were.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
    }
    if deployment.external is not None:
        return provider(name, deployment, endpoint, state, **limits)
    sockets = sorted({each.socket for each in deployment.upstreams})
    places = servers(map(pipe, sockets), deployment.id, hostname=OURS)
    return cluster(name, places, idle=_SERVER_IDLE, **limits)


def _ejection() -> Json:
    """Pass over who cannot be reached; what a server answers counts for nothing here.

    A server that refuses every second request is worth asking, and says itself when to come again.
    One that hangs takes connections and would not be noticed here: `spill.lua` does.
    """
    return {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": _FAILURES,
        "enforcing_consecutive_local_origin_failure": 100,
        "enforcing_consecutive_5xx": 0,
        "enforcing_success_rate": 0,
        "enforcing_local_origin_success_rate": 0,
        "interval": "1s",
        "base_ejection_time": f"{_EJECTED_S}s",
        "max_ejection_time": "60s",
        "max_ejection_percent": 100,
    }


def _gate_route(endpoint: EndpointRoute, deployment: Deployment) -> Json:
    name, to = f"{ENDPOINT_ROUTE}{endpoint.name}", gated_cluster(deployment.id)
    settings = watch(gate=deployment)
    route: Json = {
        "name": name,
        "match": {"prefix": "/"},
        "route": {"cluster": to, "auto_host_rewrite": True},
        "response_headers_to_remove": [UNSERVED_HEADER],
    }
    if deployment.external is not None:
        route = provider_route(name, deployment, endpoint, to)
        settings = watch(gate=deployment, provider=deployment)
    route["route"]["timeout"] = "0s"
    attempt_s = endpoint.policy.timeouts.attempt
    if attempt_s is not None:
        route["route"]["retry_policy"] = {
            "retry_on": "reset",
            "num_retries": 0,
            "per_try_timeout": f"{attempt_s * _GATE_SHARE:.3f}s",
        }
    capacity = endpoint.policy.capacity
    if capacity is not None and capacity.requests_per_minute is not None:
        settings |= _rate(capacity.requests_per_minute)
    own = {**route.get("typed_per_filter_config", {}), **settings}
    return {**route, "typed_per_filter_config": own}


def _rate(requests_per_minute: int) -> Json:
    """Return the settings that let so many requests through; it begins anew when routes change."""
    always = {"default_value": {"numerator": 100}}
    bucket = {
        "max_tokens": requests_per_minute,
        "tokens_per_fill": requests_per_minute,
        "fill_interval": "60s",
    }
    limit = config(
        _RATE,
        stat_prefix="gate",
        filter_enabled=always,
        filter_enforced=always,
        token_bucket=bucket,
    )
    return {RATE_FILTER: limit}
