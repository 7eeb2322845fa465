"""Errors as OpenAI's clients read them, where the addresses are OpenAI's.

Ours has `code`, `message` and `hint`; theirs has `type` and `param` too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request

_PLACE = "/api/v1/openai/"
_MALFORMED, _INVALID = 422, 400
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_OURS_FROM = 500


def in_openais_shape(request: Request, body: Mapping[str, Any], status: int) -> dict[str, Any]:
    """Return the body of an error, with what OpenAI's clients look for where they call."""
    if not request.url.path.startswith(_PLACE):
        return dict(body)
    if "type" in body["error"]:
        return dict(body)  # It has the shape already, and says which parameter.
    kind = "server_error" if status >= _OURS_FROM else "invalid_request_error"
    return {"error": {**body["error"], "type": _TYPES.get(status, kind), "param": None}}


def status_of(request: Request, status: int) -> int:
    """Return the status of an error: OpenAI calls malformed what it calls invalid."""
    is_theirs = request.url.path.startswith(_PLACE)
    return _INVALID if is_theirs and status == _MALFORMED else status
