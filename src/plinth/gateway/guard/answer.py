"""What callers are told of their limits: OpenAI's headers, and the body of a refusal."""

from __future__ import annotations

import json
import math
from typing import Any

from plinth.gateway.guard import message
from plinth.gateway.guard.core import Admitted, Refused
from plinth.gateway.guard.limit import Asked, GuardedLimit
from plinth.gateway.guard.window import WINDOW_S


def admit(given: Admitted) -> bytes:
    """Return the message for Envoy: the reservation's id, and what the tightest limit has left."""
    # What was reserved just now leaves last: a window after it was used.
    headers = _headers(given.limit, given.remaining, WINDOW_S)
    return message.admitted(given.reservation.id.encode(), headers)


def refuse(refused: Refused) -> bytes:
    """Return the message for Envoy that makes it answer 429."""
    body = json.dumps({"error": error(refused)}, ensure_ascii=False).encode()
    headers = [
        (b"content-type", b"application/json"),
        *_headers(refused.limit, refused.remaining, math.ceil(refused.reset_s)),
    ]
    if refused.is_never:
        # OpenAI's clients obey it: trying again would be refused again.
        headers.append((b"x-should-retry", b"false"))
    else:
        headers.append((b"retry-after", b"%d" % retry_after_s(refused)))
    return message.refused(body, headers)


def refuse_unreadable() -> bytes:
    """Return the message for Envoy that refuses what cannot be read: it may be anything."""
    text = "the limits of this request cannot be found out; `max_tokens` must be a short number"
    value = {"message": text, "type": "invalid_request_error", "code": "invalid", "param": None}
    headers = [(b"content-type", b"application/json"), (b"x-should-retry", b"false")]
    return message.refused(json.dumps({"error": value}).encode(), headers)


def retry_after_s(refused: Refused) -> int:
    """Return the whole seconds after which trying again is of use."""
    return max(1, math.ceil(refused.wait_s))


def error(refused: Refused) -> dict[str, Any]:
    """Return the error in OpenAI's shape; `plinth` says which limit and what counts for it."""
    limit = refused.limit
    return {
        "message": _never(refused) if refused.is_never else _later(refused),
        "type": limit.unit,
        "code": "rate_limit_exceeded",
        "param": None,
        "plinth": {
            "limit": limit.id,
            "team": refused.asked.team,
            "endpoint": refused.asked.endpoint,
            "per_minute": limit.per_minute,
            "used": refused.used,
            "reserved": refused.reserved,
            "requested": refused.need.total,
            "resets_in_s": math.ceil(refused.reset_s),
        },
    }


def _later(refused: Refused) -> str:
    limit, need = refused.limit, refused.need
    held = ""
    if refused.reserved:
        held = f" and {refused.reserved:,} are reserved by requests that have not ended"
    return (
        f"limit `{limit.id}`: {_whose(limit, refused.asked)} may use {limit.per_minute:,} "
        f"{limit.unit} in 60 s; {refused.used:,} were used{held}. This request may need "
        f"{need.total:,} ({need.input:,} of input, {need.output:,} of output). "
        f"Try again in {retry_after_s(refused)} s."
    )


def _never(refused: Refused) -> str:
    limit, need = refused.limit, refused.need
    if need.input >= limit.per_minute:
        remedy = "send a shorter input"
    elif refused.asked.max_tokens is None:
        remedy = f"send `max_tokens`, of at most {limit.per_minute - need.input:,}"
    else:
        most = limit.per_minute - need.input
        remedy = f"lower the most tokens of output (times `n`) to at most {most:,}"
    return (
        f"limit `{limit.id}`: {_whose(limit, refused.asked)} may use {limit.per_minute:,} "
        f"{limit.unit} in 60 s, so this request is never admitted: it may need {need.total:,} "
        f"({need.input:,} of input, {need.output:,} of output). Hint: {remedy}."
    )


def _whose(limit: GuardedLimit, asked: Asked) -> str:
    """Name those whom the limit is for."""
    if limit.key is not None or limit.each == "key":
        who = f"key `{asked.key}`"
    elif limit.team is not None or limit.each == "team":
        who = f"team `{asked.team}`"
    else:
        who = "all callers together"
    return who if limit.endpoint is None else f"{who} at endpoint `{limit.endpoint}`"


def _headers(limit: GuardedLimit, remaining: int, reset_s: int) -> list[tuple[bytes, bytes]]:
    unit = limit.unit.encode()
    return [
        (b"x-ratelimit-limit-" + unit, b"%d" % limit.per_minute),
        (b"x-ratelimit-remaining-" + unit, b"%d" % remaining),
        (b"x-ratelimit-reset-" + unit, _duration(reset_s)),
    ]


def _duration(seconds: int) -> bytes:
    """Write seconds as OpenAI does: `12s`, `1m0s`."""
    minutes, rest = divmod(seconds, 60)
    return b"%dm%ds" % (minutes, rest) if minutes else b"%ds" % rest
