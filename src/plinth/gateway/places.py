"""How Envoy finds the part of the configuration that a request belongs to, in one look-up.

Envoy chooses a virtual host by one header. Ours holds what we say and nothing that callers send: at
first the host that was asked, for MLflow's pages; once the body has been read, the endpoint. So a
thousand endpoints cost no more than ten, and who may call one stands there once.
"""

from __future__ import annotations

from plinth.gateway.envoy_types import Json, header

PLACE_HEADER = "x-plinth-place"
# How long a body is that was read whole; what a client says of it may be missing.
LENGTH_HEADER = "x-plinth-length"
INTERNAL_HEADERS = (PLACE_HEADER, LENGTH_HEADER)
_HOST, _ENDPOINT = "host:", "endpoint:"


def host_place(authority: str) -> str:
    """Return the place of what is asked at this host."""
    return f"{_HOST}{authority}"


def endpoint_place(endpoint: str) -> str:
    """Return the place of an endpoint whose name stood in the body; `native/filter.zig` says it."""
    return f"{_ENDPOINT}{endpoint}"


def first_place() -> Json:
    """Return the mutation that sets the place, after what clients send of ours was taken off."""
    return {"append": header(PLACE_HEADER, host_place("%REQ(:AUTHORITY)%"))}
