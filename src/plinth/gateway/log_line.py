"""One line of Envoy's access log: its fields in their order, between signs that no field can hold.

Of JSON with these fields Envoy takes more than twice as long to write a line. The sign is a control
character: Envoy refuses it in headers and paths, of callers and of servers, what our own filter
notes of bodies has none (`native/`), and the rest are our own names and Envoy's words. So nobody
can write a field of somebody else's, nor a second line (tests/conformance/test_log_line.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from plinth.gateway.envoy_types import Json

SEPARATOR = "\x1f"
# Each line begins with it, so that other fields, some day, are told from these.
FORM = "1"
# The fields by their place; `listener.LOG_FIELDS` says what they are. A new one comes last.
NAMES = (
    *("id", "start", "ms", "principal", "team", "key", "line", "route", "cluster", "upstream"),
    *("method", "path", "code", "details", "flags", "rx", "tx", "attempts", "served", "unserved"),
    *("first_ms", "asked", "told", "rid", "owner"),
)
_JSON = b"{"


def behind(line: bytes) -> list[int]:
    """Return where in a line another one may begin, whose beginning a killed writer left half.

    It has all its signs, so it begins so many of them before the end.
    """
    before, *fields = line.rsplit(SEPARATOR.encode(), len(NAMES))
    is_whole = len(fields) == len(NAMES) and before.endswith(FORM.encode())
    return [len(before) - len(FORM)] if is_whole else []


def log_format(fields: Mapping[str, str]) -> Json:
    """Return how Envoy writes a line with these fields; what is absent stays empty."""
    line = SEPARATOR.join((FORM, *(fields.get(name, "") for name in NAMES)))
    return {"text_format_source": {"inline_string": f"{line}\n"}, "omit_empty_values": True}


def write_line(values: Mapping[str, Any]) -> bytes:
    """Return the line that Envoy would write of these values."""
    texts = (values.get(name) for name in NAMES)
    line = SEPARATOR.join((FORM, *("" if text is None else str(text) for text in texts)))
    return f"{line}\n".encode()


def read_line(line: bytes) -> Mapping[str, Any]:
    """Return the fields of a line by name, None for an empty one.

    Lines of JSON, which an older Plinth wrote, are read too. Raises ValueError for what is neither.
    """
    if line.startswith(_JSON):
        # JSON that begins so is an object.
        found: Mapping[str, Any] = json.loads(line)
        return found
    form, *texts = line.decode(errors="replace").rstrip("\n").split(SEPARATOR)
    if form != FORM or len(texts) != len(NAMES):
        raise ValueError("a line of the access log has other fields than it should")
    return {name: text or None for name, text in zip(NAMES, texts, strict=True)}
