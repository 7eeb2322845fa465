"""One answer that Envoy gives by itself, in the shapes that errors have at its addresses.

On `/v2` paths they have the shape that the Open Inference Protocol demands, on `/v1` and `/openai`
that of OpenAI's clients, elsewhere ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from plinth.gateway.envoy_types import Json, typed
from plinth.gateway.names import DENIED

# What Envoy says by itself, and what it notes of a request.
BODY = "%LOCAL_REPLY_BODY%"
_REQUEST = "request %REQ(X-REQUEST-ID)%"
_OURS_FROM = 500
# What OpenAI's clients call the kind of an error; others are the caller's mistake.
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


@dataclass(frozen=True, slots=True)
class Reply:
    """One kind of refusal. `status` is Envoy's own, None for any; `answer` replaces it where given.

    `filters`: further conditions. `openai`: members of the error in OpenAI's shape, beside or in
    the place of the usual ones. `names_request`: it says the request's id.
    `omits_empty`: what Envoy does not know is left out of the text.
    """

    status: int | None
    code: str
    message: str
    hint: str
    filters: tuple[Json, ...] = ()
    answer: int | None = None
    openai: Json = field(default_factory=dict)
    names_request: bool = False
    omits_empty: bool = False


class Shape(Enum):
    """What an error looks like, and the addresses where it does."""

    V2 = r"/v2(?:[/?].*)?"
    OPENAI = r"/(?:v1|openai)(?:[/?].*)?"
    OURS = None
    # Before a server elsewhere, addresses begin as they do there.
    V2_INSIDE = r"(?:/.*)?/v2/models/.*"
    OPENAI_INSIDE = r".*"


OUTSIDE = (Shape.V2, Shape.OPENAI, Shape.OURS)
INSIDE = (Shape.V2_INSIDE, Shape.OPENAI_INSIDE)


def mapper(reply: Reply, shape: Shape, headers: Iterable[Json]) -> Json:
    """Return Envoy's rule for one reply at the addresses of one shape; it adds these headers."""
    conditions = [*reply.filters]
    if reply.status is not None:
        conditions.insert(0, status("EQ", reply.status))
    if shape.value is not None:
        path = {"name": ":path", "string_match": {"safe_regex": {"regex": shape.value}}}
        conditions.append({"header_filter": {"header": path}})
    body: Json = {"json_format": shaped(reply, shape), "content_type": "application/json"}
    if reply.omits_empty:
        body["omit_empty_values"] = True
    found: Json = {
        "filter": all_of(conditions),
        "headers_to_add": [*headers],
        "body_format_override": body,
    }
    if reply.answer is not None:
        found["status_code"] = reply.answer
    return found


def shaped(reply: Reply, shape: Shape) -> Json:
    """Return the error in a shape."""
    if shape is Shape.OURS:
        text = f"{reply.message} ({_REQUEST})" if reply.names_request else reply.message
        return {"error": {"code": reply.code, "message": text, "hint": reply.hint}}
    # Where there is one text only, it says also what to do.
    hint = f"{reply.hint}; {_REQUEST}" if reply.names_request else reply.hint
    message = f"{reply.message} (hint: {hint})"
    if shape in (Shape.V2, Shape.V2_INSIDE):
        return {"error": message}
    answered = reply.answer or reply.status or _OURS_FROM
    usual = "server_error" if answered >= _OURS_FROM else "invalid_request_error"
    error: dict[str, Any] = {
        "message": message,
        "type": _OPENAI_TYPES.get(answered, usual),
        "code": reply.code,
        "param": None,
    }
    return {"error": {**error, **reply.openai}}


def all_of(conditions: list[Json]) -> Json:
    """Return the condition that all of these hold."""
    return conditions[0] if len(conditions) == 1 else {"and_filter": {"filters": conditions}}


def any_of(conditions: list[Json]) -> Json:
    """Return the condition that one of these holds."""
    return conditions[0] if len(conditions) == 1 else {"or_filter": {"filters": conditions}}


def status(operator: str, value: int) -> Json:
    """Return the condition on the code of an answer; `operator` is EQ or GE."""
    # Envoy demands a runtime key, through which nobody changes the number.
    comparison = {"default_value": value, "runtime_key": "plinth.unused"}
    return {"status_code_filter": {"comparison": {"op": operator, "value": comparison}}}


def flagged(*flags: str) -> Json:
    """Return the condition that Envoy noted one of these flags."""
    return {"response_flag_filter": {"flags": list(flags)}}


def sent(name: str) -> Json:
    """Return the condition that the request has this header."""
    return {"header_filter": {"header": {"name": name, "present_match": True}}}


def not_sent(name: str) -> Json:
    """Return the condition that the request lacks this header."""
    absent = {"name": name, "present_match": True, "invert_match": True}
    return {"header_filter": {"header": absent}}


def details(exact: str) -> Json:
    """Match the reason that Envoy notes; RBAC sets its metadata only after it has answered."""
    return holds(f"response.code_details == '{exact}'")


def denied_by(policy: str) -> Json:
    """Match what a policy of RBAC refused."""
    return details(f"rbac_access_denied_matched_policy[{policy}]")


def kept_out(reason: str) -> Json:
    """Match what the gate refused for this reason."""
    return details(f"{DENIED}[{reason}]")


def holds(expression: str) -> Json:
    """Return the condition that an expression of CEL is true; what it lacks makes it false."""
    kind = "extensions.access_loggers.filters.cel.v3.ExpressionFilter"
    return {"extension_filter": typed("holds", kind, expression=expression)}
