"""Requests that went out to a server elsewhere and come back here: answered once, then 508.

An address may lead to this gateway by ways that nobody sees when its file is applied: a name that
changes, a proxy between. What goes out carries this Plinth's mark in `cdn-loop` (RFC 8586), to
which every other one appends its own; what would go out a second time is refused.
"""

from __future__ import annotations

from plinth.gateway.envoy_types import Json
from plinth.kit.ids import digest_of

HEADER = "cdn-loop"
LOOP_STATUS = 508


def mark_of(*parts: str) -> str:
    """Return the mark of a Plinth, the same for the same parts; it tells nothing of them."""
    return f"plinth-{digest_of(':'.join(parts).encode())[:16]}"


def marking(mark: str) -> Json:
    """Return the change of a request's headers that appends the mark."""
    header = {"key": HEADER, "value": mark}
    return {"append": {"header": header, "append_action": "APPEND_IF_EXISTS_OR_ADD"}}


def refusal(name: str, mark: str) -> Json:
    """Return the route, to stand first, that answers what carries the mark already."""
    matcher = {"name": HEADER, "string_match": {"contains": mark}}
    return {
        "name": name,
        "match": {"prefix": "/", "headers": [matcher]},
        "direct_response": {"status": LOOP_STATUS},
    }
