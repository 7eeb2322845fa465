"""The rows of a mini-batch of JSON lines: values by name, each as it stands in its line.

What becomes of a value depends on itself and the model's signature, and never on the rows beside
it: which those are is for the size of mini-batches to say.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from .records import json_records
from .rows import BadRow, shown

_NATURAL = (int, float, bool, str)


@dataclass(frozen=True)
class JsonRows:
    """Rows of a mini-batch. `values`: by name, one for each place. `records`: the lines."""

    values: dict[str, list[Any]]
    records: Sequence[bytes]
    places: Sequence[int]
    bad: tuple[BadRow, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names that were asked for: a line that lacks one has no value there."""
        return tuple(self.values)

    def column(self, name: str) -> pa.Array:
        """Return a column as text: what JSON has no one type for has one in the output."""
        return pa.array([_text(value) for value in self.values[name]], pa.string())

    def content(self, at: int) -> str:
        """Return a row to be kept beside its error."""
        return shown(self.records[at])


def first_names(record: bytes) -> tuple[str, ...]:
    """Return the names in a line, in their order; none when it is no object."""
    value, _ = _read(record)
    return tuple(value)


def json_rows(content: bytes, first: int, names: Sequence[str], *, exactly: bool) -> JsonRows:
    """Read the lines of a mini-batch. `exactly`: a line that has other names is set aside."""
    bad: list[BadRow] = []
    places: list[int] = []
    records: list[bytes] = []
    kept: list[dict[str, Any]] = []
    for place, record in enumerate(json_records(io.BytesIO(content)), first):
        value, why = _read(record)
        if not why and exactly and value.keys() != set(names):
            why = "has other names than the file's first row, and the model takes a matrix of all"
        if why:
            bad.append(BadRow(place, why, shown(record)))
            continue
        places.append(place)
        records.append(record)
        kept.append(value)
    values = {name: [row.get(name) for row in kept] for name in names}
    return JsonRows(values, records, places, tuple(bad))


def natural(values: Sequence[Any]) -> pa.Array:
    """Return values of one kind as an array. Raises ValueError for what has none, or several."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) > 1 or not kinds <= set(_NATURAL):
        raise ValueError("of several kinds")
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError) as err:
        raise ValueError(str(err)) from err


def as_said(value: Any) -> str:
    """Return a value as its line has it, for a message; a text without its quotes."""
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)


def _read(record: bytes) -> tuple[dict[str, Any], str]:
    try:
        value = json.loads(record)
    except RecursionError:
        return {}, "is nested too deeply"
    except ValueError as err:
        return {}, f"not JSON: {err}"
    if not isinstance(value, dict):
        return {}, f"is {type(value).__name__}, not an object with names"
    return value, ""


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:  # Half of a character, which only JSON can write.
            return json.dumps(value)
        return value
    return json.dumps(value)
