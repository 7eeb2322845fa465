"""What a line of Envoy's access log says to the guard: how much a request used in the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plinth.gateway import access_log
from plinth.gateway.guard.cost import UNITS
from plinth.gateway.guard.limit import Asked
from plinth.gateway.log_line import read_line

_FIRST_ERROR = 400
# The fields of the log that only the guard reads, and what the single counts are called there.
# Some providers report the input at the beginning of a stream and the output at its end.
_RESERVATION, _USAGES = "rid", ("usage_first", "usage")


@dataclass(frozen=True, slots=True)
class Settled:
    """A request that was reserved for has ended.

    `used`: by unit; None where nobody said: then what was reserved counts in full.
    """

    reservation: str
    used: Mapping[str, int] | None


@dataclass(frozen=True, slots=True)
class Passed:
    """A request that ended, and of which the guard was not asked, or did not answer.

    `ended_at`: seconds since 1970.
    """

    asked: Asked
    used: Mapping[str, int]
    ended_at: float


def read_ending(line: bytes) -> Settled | Passed | None:
    """Return what a line of the log says; None for a line that changes no limit."""
    value = _fields(line)
    reservation, usage = value.get(_RESERVATION), _usage(value)
    used = None if usage is None or _is_a_beginning(value, usage) else _counted(usage)
    if reservation is not None and used is not None:
        return Settled(str(reservation), used)
    if reservation is None and not used:
        return None
    records, _ = access_log.parse(line.rstrip(b"\n") + b"\n")
    if not records:
        return None
    record = records[0]
    if reservation is not None:
        return Settled(str(reservation), None if _was_served(record) else {})
    asked = Asked(endpoint=record.endpoint, team=record.team, key=record.key_id)
    return Passed(asked, used or {}, record.started_at.timestamp() + record.duration_ms / 1000)


def _fields(line: bytes) -> Mapping[str, Any]:
    """Return the fields of a line; none where it is no line of the log."""
    try:
        return access_log.unfolded(read_line(line))
    except (ValueError, RecursionError):
        return {}


def _usage(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the usage that the provider reported, or None."""
    found: dict[str, Any] = {}
    for name in _USAGES:
        text = value.get(name)
        part = _parsed(text) if isinstance(text, str) else text
        if isinstance(part, Mapping):
            # What comes later may say less: it does not undo what was said before.
            found |= {key: count for key, count in part.items() if count is not None}
    return found or None


def _is_a_beginning(value: Mapping[str, Any], usage: Mapping[str, Any]) -> bool:
    """Tell whether a cut stream said only what it began with: Anthropic's say an output of 1."""
    is_cut = value.get("flags") not in (None, "", "-")
    return is_cut and "output_tokens" in usage and "total_tokens" not in usage


def _parsed(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _counted(usage: Mapping[str, Any]) -> dict[str, int] | None:
    found = {name: unit.used(usage) for name, unit in UNITS.items()}
    counts = {name: count for name, count in found.items() if count is not None}
    return counts or None


def _was_served(record: access_log.AccessRecord) -> bool:
    """Tell whether a model may have worked for it: an error that was answered cost nothing.

    Without a code nothing was answered: the caller went away, maybe after a model had begun.
    """
    return record.code < _FIRST_ERROR if record.code else record.was_served
