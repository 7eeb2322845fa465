"""How Envoy asks the guard: the filter that does, and the guard's cluster.

Only a request with the mark in its metadata is asked about: it is set where a limit of tokens may
concern it. When the guard does not answer in time the request passes: a limit of tokens shares
out what there is, and closed it would stop everybody. The log and the statistics show it, and the
guard counts what passed once it is back (docs/decisions/0028-the-guard-holds-reservations.md).
"""

from __future__ import annotations

from plinth.gateway.envoy_types import CLUSTER, Json, config, typed
from plinth.gateway.guard import request

GUARD_FILTER = "plinth.guard"
GUARD_CLUSTER = "guard"
# The metadata that the filters before it write, each value a text.
NAMESPACE = "plinth"
# Where Envoy's filter puts what the guard answers beside its decision.
RESERVATION_NAMESPACE = "envoy.filters.http.ratelimit"
RESERVATION_KEY = "rid"
# What the access log writes down for the guard to read back.
RESERVATION_FIELD = f"%DYNAMIC_METADATA({RESERVATION_NAMESPACE}:{RESERVATION_KEY})%"

_FILTER = "extensions.filters.http.ratelimit.v3.RateLimit"
_HTTP = "extensions.upstreams.http.v3.HttpProtocolOptions"
_ASKED = (
    request.KEY,
    request.TEAM,
    request.ENDPOINT,
    request.MODEL,
    request.MAX_TOKENS,
    request.CHOICES,
    request.LENGTH,
)
# The guard needs a fraction of a millisecond, but on a machine that is busy with other things it
# may have to wait for its turn, and what passes unasked may be over the limit. When it is away
# nobody listens, and nothing waits.
_PATIENCE = "1s"
_WINDOW_BYTES = 2**20
_UNLIMITED = 100_000


def guard_filters() -> list[Json]:
    """Return the filters that ask the guard; they stand behind those that write the metadata.

    One, which lets pass when the guard is away. Hard budgets would be a second instance with its
    own mark and `failure_mode_deny`: the mode is a filter's, not a route's.
    """
    service = {
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": GUARD_CLUSTER}, "timeout": _PATIENCE},
    }
    found = typed(
        GUARD_FILTER,
        _FILTER,
        domain=request.DOMAIN,
        timeout=_PATIENCE,
        failure_mode_deny=False,
        disable_x_envoy_ratelimited_header=True,
        stat_prefix=GUARD_FILTER,
        rate_limit_service=service,
        rate_limits=[{"actions": [_entry(request.MARK), *map(_or_missing, _ASKED)]}],
    )
    return [{**found, "disabled": True}]


def with_guard() -> Json:
    """Return the settings of the first route of requests whose tokens somebody may limit.

    For others Envoy does not even make the filter. Where a later filter chooses another route, that
    is too late to make it: so the first route has them, if any endpoint behind it needs it.
    """
    return {GUARD_FILTER: config("extensions.filters.http.ratelimit.v3.RateLimitPerRoute")}


def _entry(key: str) -> Json:
    """Send a value of the metadata. Where there is none, the guard is not asked at all."""
    path = {"key": NAMESPACE, "path": [{"key": key}]}
    return {"metadata": {"descriptor_key": key, "source": "DYNAMIC", "metadata_key": path}}


def _or_missing(key: str) -> Json:
    """Send a value, or that there is none: without a default a request would pass unasked."""
    entry = _entry(key)
    entry["metadata"]["default_value"] = request.MISSING
    return entry


def guard_cluster(socket: str) -> Json:
    """Return the guard's cluster; `socket`: the path of its Unix socket."""
    options = config(
        _HTTP,
        explicit_http_config={
            "http2_protocol_options": {
                "initial_stream_window_size": _WINDOW_BYTES,
                "initial_connection_window_size": _WINDOW_BYTES,
            }
        },
    )
    threshold = {
        "max_connections": 64,
        "max_pending_requests": _UNLIMITED,
        "max_requests": _UNLIMITED,
        "max_retries": 0,
    }
    endpoint = {"endpoint": {"address": {"pipe": {"path": socket}}}}
    return {
        "@type": CLUSTER,
        "name": GUARD_CLUSTER,
        "type": "STATIC",
        "connect_timeout": _PATIENCE,
        "circuit_breakers": {"thresholds": [threshold]},
        "typed_extension_protocol_options": {f"envoy.{_HTTP}": options},
        "load_assignment": {
            "cluster_name": GUARD_CLUSTER,
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }
