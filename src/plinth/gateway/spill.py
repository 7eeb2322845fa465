"""Ask one deployment after the other within one request: base and burst, failover.

An endpoint's way is a composite cluster: its first member gets the first attempt, the second one
the next, and so on. Before a member from which requests spill early stands a valve, an inner host
with limits of its own: what it refuses is an answer like any other, so that the next attempt
follows. (What Envoy refuses because a cluster is full it does not try again.)

A valve refuses in this order: for as long as the server asked for, what is more than it takes at
once, what is more than it gets in a minute. So what is passed over takes none of the minute's
requests. Envoy sees how many are under way only when it sends one on; where both are limited, the
minute is therefore counted one inner host further.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from itertools import cycle, islice

from plinth.domain.traffic import Deployment, EndpointRoute
from plinth.gateway.cluster import OURS, cluster, pipe, servers, takes
from plinth.gateway.envoy_types import CLUSTER, Json, config, typed
from plinth.gateway.external import provider, provider_route
from plinth.gateway.inner_names import (
    INNER,
    UNSERVED_HEADER,
    bounded_cluster,
    rate_cluster,
    rate_host,
    valve_cluster,
    valve_host,
)
from plinth.gateway.names import ENDPOINT_ROUTE, deployment_cluster, way_cluster
from plinth.gateway.route import NOT_LOADED, UNSENT
from plinth.gateway.state import GatewayState
from plinth.kit.ids import digest_of

# What a server answers that has too much to do, or that is not there.
STATUSES = (429, 502, 503, 504)
# An answer with it is not sent again; `spill.lua` sets it, and callers do not see it.
NO_MORE_HEADER = "x-envoy-ratelimited"
SPILL_FILTER, RATE_FILTER = "plinth.spill", "plinth.rate"
_PART = "spill"
_RATE = "extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
_INNER_IDLE = "60s"
_SERVER_IDLE = "3s"
_EJECTED_S = 5
_FAILURES = 5
# The valve's own patience ends first, so that it is the one who sees that a server hangs.
_VALVE_SHARE = 0.95


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
    """Return the endpoint's way and its valves; nothing when there is only one to ask."""
    if not has_way(endpoint):
        return []
    bounded = [each for each in endpoint.order() if _has_valve(endpoint, each)]
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
    valves = [
        inner_cluster(valve_cluster(each.id), INNER, valve_host(each.id), each.id)
        for each in bounded
    ]
    behind = (made for each in bounded for made in _behind_valve(endpoint, each, state))
    return [way, *valves, *behind]


def inner_cluster(name: str, listener: str, host: str, deployment_id: str) -> Json:
    """Return the cluster of a host of an inner listener, which answers for a deployment."""
    address = {"envoy_internal_address": {"server_listener_name": listener}}
    places = servers([address], deployment_id)
    places["lb_endpoints"][0]["endpoint"]["hostname"] = host
    return cluster(name, places, idle=_INNER_IDLE)


def valve_hosts(endpoint: EndpointRoute) -> list[Json]:
    """Return the inner hosts that are the endpoint's valves, and those that count behind them."""
    if not has_way(endpoint):
        return []
    bounded = [each for each in endpoint.order() if _has_valve(endpoint, each)]
    found = {valve_host(each.id): _valve_route(endpoint, each) for each in bounded}
    if _counts_apart(endpoint):
        found |= {rate_host(each.id): _server_route(endpoint, each) for each in bounded}
    return [{"name": name, "domains": [name], "routes": [route]} for name, route in found.items()]


def spill_filters() -> list[Json]:
    """Return the filters of the inner listener by which valves refuse; routes switch them on."""
    program = files("plinth.gateway").joinpath("spill.lua").read_text()
    lua = typed(
        SPILL_FILTER,
        "extensions.filters.http.lua.v3.Lua",
        source_codes={_PART: {"inline_string": program}},
    )
    # Who is passed over takes none of the minute's requests.
    return [lua, typed(RATE_FILTER, _RATE, stat_prefix="valve")]


def watch(
    *,
    valve: Deployment | None = None,
    provider: Deployment | None = None,
    others: Iterable[Deployment] | None = None,
) -> Json:
    """Return the settings of a route that has `spill.lua` watch its answers.

    `valve`: the deployment that it passes over when that asks for it. `provider`: the one whose
    words about its credential are not the caller's. `others`: the request ends with this one when
    it asks to be left alone and all of them are passed over; None: it never ends so.
    """
    told = {} if valve is None else {"valve": _learnt_of(valve)}
    if others is not None:
        told["others"] = " ".join(map(_learnt_of, others))
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


def _learnt_of(deployment: Deployment) -> str:
    """Return by which name `spill.lua` remembers what a server asks for; another one's is new."""
    if deployment.external is None:
        return deployment.id
    return f"{deployment.id}@{digest_of(deployment.external.url.encode())[:8]}"


def others_after(endpoint: EndpointRoute, deployment: Deployment) -> tuple[Deployment, ...] | None:
    """Return who is asked again after the last deployment was, before it is asked once more.

    None: `deployment` is not the last one, or it is the only one, or one of the others has no valve
    and so is always asked again.
    """
    order = endpoint.order()
    if not has_way(endpoint) or deployment != order[-1]:
        return None
    again = attempts(endpoint) - len(order) - 1
    others = order[: max(0, min(again, len(order) - 1))]
    return others if all(_has_valve(endpoint, each) for each in others) else None


def _members(endpoint: EndpointRoute) -> list[str]:
    """Return who gets which attempt; Envoy fails an attempt for which there is no member.

    The last attempt is the last deployment's: a valve that is closed would tell the caller nothing
    of the limits that a server names.
    """
    order = endpoint.order()
    each_once = [
        valve_cluster(each.id) if _has_valve(endpoint, each) else deployment_cluster(each.id)
        for each in order
    ]
    found = list(islice(cycle(each_once), attempts(endpoint) - 1))
    return [*found, each_once[-1]]


def _has_valve(endpoint: EndpointRoute, deployment: Deployment) -> bool:
    """Tell whether requests may pass the deployment over: never the last one that is asked."""
    if deployment == endpoint.order()[-1]:
        return False
    return endpoint.policy.capacity is not None or deployment.external is not None


def _counts_apart(endpoint: EndpointRoute) -> bool:
    """Tell whether the requests of a minute are counted by a host of their own."""
    capacity = endpoint.policy.capacity
    if capacity is None:
        return False
    return capacity.concurrency is not None and capacity.requests_per_minute is not None


def _behind_valve(
    endpoint: EndpointRoute, deployment: Deployment, state: GatewayState
) -> list[Json]:
    """Return the servers behind a valve, and before them the host that counts, if there is one."""
    capacity = endpoint.policy.capacity
    at_once = takes(capacity.concurrency if capacity is not None else None)
    if not _counts_apart(endpoint):
        return [_bounded(endpoint, deployment, state, at_once)]
    name, host = rate_cluster(deployment.id), rate_host(deployment.id)
    counting = inner_cluster(name, INNER, host, deployment.id)
    bounded = _bounded(endpoint, deployment, state, takes())
    return [{**counting, "circuit_breakers": at_once}, bounded]


def _bounded(
    endpoint: EndpointRoute, deployment: Deployment, state: GatewayState, at_once: Json
) -> Json:
    """Return the servers behind a valve; those that are dead or hang get nothing for a while."""
    name = bounded_cluster(deployment.id)
    limits = {
        "circuit_breakers": at_once,
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


def _valve_route(endpoint: EndpointRoute, deployment: Deployment) -> Json:
    """Return what a valve does: pass over, end what hangs, and send on to who answers or counts."""
    if _counts_apart(endpoint):
        route = _plain_route(endpoint, rate_cluster(deployment.id))
        settings = watch(valve=deployment)
    else:
        route = _server_route(endpoint, deployment)
        settings = watch(valve=deployment, provider=deployment)
    attempt_s = endpoint.policy.timeouts.attempt
    if attempt_s is not None:
        route["route"]["retry_policy"] = {
            "retry_on": "reset",
            "num_retries": 0,
            "per_try_timeout": f"{attempt_s * _VALVE_SHARE:.3f}s",
        }
    return _with_settings(route, settings)


def _server_route(endpoint: EndpointRoute, deployment: Deployment) -> Json:
    """Return what asks the server, after the minute's requests are counted."""
    to = bounded_cluster(deployment.id)
    if deployment.external is None:
        route = _plain_route(endpoint, to)
        # What a server of ours sends under this name is not its to say.
        route["response_headers_to_remove"] = [UNSERVED_HEADER]
    else:
        name = f"{ENDPOINT_ROUTE}{endpoint.name}"
        route = provider_route(name, deployment, endpoint, to)
        route = _with_settings(route, watch(provider=deployment))
    capacity = endpoint.policy.capacity
    if capacity is None or capacity.requests_per_minute is None:
        return route
    return _with_settings(route, _rate(capacity.requests_per_minute))


def _plain_route(endpoint: EndpointRoute, to: str) -> Json:
    action = {"cluster": to, "auto_host_rewrite": True, "timeout": "0s"}
    name = f"{ENDPOINT_ROUTE}{endpoint.name}"
    return {"name": name, "match": {"prefix": "/"}, "route": action}


def _with_settings(route: Json, settings: Json) -> Json:
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
        stat_prefix="valve",
        filter_enabled=always,
        filter_enforced=always,
        token_bucket=bucket,
    )
    return {RATE_FILTER: limit}
