"""What Envoy asks the guard: the entries of its descriptor, read as a request.

`guard_filter.py` is the other half: it has Envoy send them. A caller decides `max_tokens`,
so nothing that stands there may surprise.
"""

from __future__ import annotations

import math

from plinth.domain.tokens import MOST_TOKENS
from plinth.gateway.guard.limit import Asked
from plinth.gateway.guard.message import read_entries

DOMAIN = "plinth"
MARK = "limited"
KEY, TEAM, ENDPOINT, MODEL = "key", "team", "endpoint", "model"
MAX_TOKENS, CHOICES, LENGTH = "max_tokens", "n", "len"
# What Envoy writes for what a request does not have: an empty text would drop the whole question.
MISSING = "-"
_LONG = 16


def read_asked(message: bytes) -> Asked:
    """Read a request for a decision. Raises ValueError for what is no such message."""
    entries = read_entries(message)
    get = entries.get
    return Asked(
        endpoint=_text(get(ENDPOINT)),
        team=_text(get(TEAM)),
        key=_text(get(KEY)),
        model=_text(get(MODEL)),
        body_bytes=_count(get(LENGTH)),
        max_tokens=_count(get(MAX_TOKENS)),
        choices=max(1, _count(get(CHOICES)) or 1),
    )


def _text(value: str | None) -> str | None:
    return None if value in (None, "", MISSING) else value


def _count(value: str | None) -> int | None:
    """Return a whole number, MOST_TOKENS for more; None for what is none: it is not given."""
    if value is None or not value.isascii():
        return None
    try:
        # Numbers of JSON may have a point or an exponent; long ones take long to read exactly.
        number = int(value) if len(value) < _LONG and value.isdigit() else float(value)
    except ValueError:
        return None
    if isinstance(number, float) and not math.isfinite(number):
        return MOST_TOKENS if number > 0 else None
    return min(MOST_TOKENS, math.ceil(number)) if number >= 0 else None
