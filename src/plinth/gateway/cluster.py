"""What clusters are made of: who is behind one, how many requests it takes, what is said to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from plinth.gateway.envoy_types import CLUSTER, Json, config, typed

# The metadata of a server by which the access log says who served.
SERVED = "deployment"
# What a server of ours is told that it is called: no name that a caller chose, nor a valve's.
OURS = "localhost"
_NAMESPACE = "plinth"
_HTTP = "extensions.upstreams.http.v3.HttpProtocolOptions"
_UNLIMITED = 100_000
_CODEC = typed(
    "envoy.filters.http.upstream_codec",
    "extensions.filters.http.upstream_codec.v3.UpstreamCodec",
)


def servers(addresses: Iterable[Json], deployment_id: str | None = None, **more: Any) -> Json:
    """Return the servers of one place, all of `deployment_id`; `more`: of each server."""
    found = []
    for address in addresses:
        server: Json = {"endpoint": {"address": address, **more}}
        if deployment_id is not None:
            mark = {_NAMESPACE: {SERVED: deployment_id}}
            server["metadata"] = {"filter_metadata": mark}
        found.append(server)
    return {"lb_endpoints": found}


def pipe(socket: str) -> Json:
    """Return the address of a Unix socket."""
    return {"pipe": {"path": socket}}


def cluster(name: str, *places: Json, idle: str, **more: Any) -> Json:
    """Return a cluster whose places are asked in their order; `more` adds or replaces fields.

    `idle`: how long a connection that nobody uses is kept.
    """
    levels = [
        {"priority": level, **place} if len(places) > 1 else place
        for level, place in enumerate(places)
    ]
    return {
        "@type": CLUSTER,
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": takes(),
        "typed_extension_protocol_options": http(idle),
        "load_assignment": {"cluster_name": name, "endpoints": levels},
        **more,
    }


def takes(requests: int | None = None, *, connections: int = 4096) -> Json:
    """Return how much a cluster takes at once: so many requests, without a number all.

    Envoy's own limits would refuse the fourth parallel retry. `connections`: those that are open
    where requests have no limit; more requests wait.
    """
    threshold = {
        "max_connections": _UNLIMITED if requests is not None else connections,
        "max_pending_requests": _UNLIMITED,
        "max_requests": requests if requests is not None else _UNLIMITED,
        "max_retries": _UNLIMITED,
    }
    return {"thresholds": [threshold]}


def http(idle: str, *filters: Json) -> Json:
    """Return how a cluster is spoken with: HTTP/1.1, and what `filters` do to each request."""
    options = config(
        _HTTP,
        common_http_protocol_options={"idle_timeout": idle},
        explicit_http_config={"http_protocol_options": {}},
        **({"http_filters": [*filters, _CODEC]} if filters else {}),
    )
    return {f"envoy.{_HTTP}": options}
