"""Where the gate has keys verified: an inner listener with Envoy's own filter for keys.

It answers with what a key says, in headers. The gate asks once for each key and thread, and
remembers the answer (`native/known.zig`): that filter takes a twelfth of what a request takes.
"""

from __future__ import annotations

from plinth.gateway.cluster import OURS, cluster, servers, takes
from plinth.gateway.envoy_types import LISTENER, Json, config, header, typed
from plinth.gateway.identity import CLAIM_HEADERS, who_source

# The listener, its cluster, and the host that is asked; `native/gate.zig` names it.
VERIFIER = "verifier"
_MANAGER = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "extensions.filters.http.router.v3.Router"
_IDLE = "60s"
# Each question takes a fraction of a millisecond, and the others wait for their turn: otherwise
# thousands of new keys at once would have a connection each.
_CONNECTIONS = 16


def verifier_cluster() -> Json:
    """Return the cluster by which the gate asks."""
    address = {"envoy_internal_address": {"server_listener_name": VERIFIER}}
    places = servers([address], hostname=OURS)
    return cluster(VERIFIER, places, idle=_IDLE, circuit_breakers=takes(connections=_CONNECTIONS))


def verifier_listener(folder: str) -> Json:
    """Return the listener, which nothing but this Envoy reaches; `folder`: Envoy's own."""
    said = [header(name, f"%REQ({name})%") for name in CLAIM_HEADERS]
    route = {
        "match": {"prefix": "/"},
        "direct_response": {"status": 200},
        "response_headers_to_add": said,
    }
    host = {"name": VERIFIER, "domains": ["*"], "routes": [route]}
    own = config("extensions.request_id.uuid.v3.UuidRequestIdConfig", pack_trace_reason=False)
    manager = typed(
        VERIFIER,
        _MANAGER,
        stat_prefix=VERIFIER,
        codec_type="HTTP1",
        route_config={"name": VERIFIER, "virtual_hosts": [host]},
        http_filters=[who_source(folder), typed("envoy.filters.http.router", _ROUTER)],
        request_id_extension={"typed_config": own},
        generate_request_id=False,
        skip_xff_append=True,
    )
    return {
        "@type": LISTENER,
        "name": VERIFIER,
        "internal_listener": {},
        "filter_chains": [{"filters": [manager]}],
    }
