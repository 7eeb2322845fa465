"""The file of limits, which the control plane replaces as a whole and the guard reads again.

`write_limits` is the control plane's half, `LimitFile` the guard's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from plinth.gateway.guard.cost import UNITS
from plinth.gateway.guard.limit import GuardedLimit, LimitTable
from plinth.kit.errors import Invalid
from plinth.kit.files import write_json

_FIELDS = tuple(each.name for each in fields(GuardedLimit))


def write_limits(path: Path, limits: Sequence[GuardedLimit], version: str) -> None:
    """Replace the guard's limits; it sees them within a tenth of a second."""
    write_json(path, {"version": version, "limits": [asdict(limit) for limit in limits]})


class LimitFile:
    """The file of limits, read again when it was replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None

    def read_if_changed(self) -> LimitTable | None:
        """Return the limits if they are others than before; a file that is not there has none.

        Raises Invalid once for each content that cannot be read.
        """
        try:
            state = self._path.stat()
            seen = (state.st_ino, state.st_mtime_ns, state.st_size)
            if seen == self._seen:
                return None
            content = self._path.read_bytes()
        except FileNotFoundError:
            was_there, self._seen = self._seen is not None, None
            return LimitTable() if was_there else None
        self._seen = seen
        return parse_limits(content)


def parse_limits(content: bytes) -> LimitTable:
    """Read the file's content. Raises Invalid for all of it when one limit cannot be."""
    try:
        value = json.loads(content)
        listed, version = value["limits"], str(value["version"])
    except (ValueError, KeyError, TypeError) as err:
        raise Invalid(f"the guard's limits cannot be read: {err}") from err
    if not isinstance(listed, list):
        raise Invalid("`limits` of the guard is no list")
    return LimitTable((_limit(each) for each in listed), version)


def _limit(value: Any) -> GuardedLimit:
    if not isinstance(value, Mapping):
        raise Invalid(f"a limit of the guard is `{str(value)[:40]}`; an object is accepted")
    # A field that is not given has its default; a newer control plane may write more of them.
    given = {name: value[name] for name in _FIELDS if name in value}
    for name in ("id", "per_minute", *given):
        if not _CHECKS[name](given.get(name)):
            raise Invalid(f"`{name}` of a limit of the guard is `{str(given.get(name))[:40]}`")
    return GuardedLimit(**given)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "id": lambda value: isinstance(value, str) and value != "",
    "per_minute": _is_count,
    "unit": lambda value: isinstance(value, str) and value in UNITS,
    "each": lambda value: value in (None, "team", "key"),
    "default_max_tokens": _is_count,
    "most_input_tokens": lambda value: value is None or _is_count(value),
    **dict.fromkeys(("endpoint", "team", "key", "model", "owner"), _is_text),
}
