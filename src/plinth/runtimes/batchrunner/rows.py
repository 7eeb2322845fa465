"""Rows of a mini-batch as they were read, and those of them that could not be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

# How much of a row that cannot be answered is kept beside its error.
LONGEST_CONTENT = 2000


@dataclass(frozen=True)
class BadRow:
    """A row that is set aside. `place`: its row in the file, from 0."""

    place: int
    error: str
    content: str


@dataclass(frozen=True)
class Rows:
    """Rows of a mini-batch. `places`: the row in the file of each row of the table."""

    table: pa.Table
    places: Sequence[int]
    bad: tuple[BadRow, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that were read."""
        return tuple(self.table.column_names)

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column as the file has it."""
        return self.table[name]

    def content(self, at: int) -> str:
        """Return a row as JSON, to be kept beside its error."""
        return _as_json(self.table, at)


def shown(record: bytes) -> str:
    """Return a row of text as it is kept beside its error."""
    return record.decode(errors="replace").rstrip("\r\n")[:LONGEST_CONTENT]


def is_text(value: str) -> bool:
    """Tell whether a text that was read with `surrogateescape` was UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def only_text(table: pa.Table, places: Sequence[int]) -> Rows:
    """Return rows with those set aside that hold a text which is none: not UTF-8.

    Parquet's readers do not look, and whoever makes a text of it later fails for all rows.
    """
    errors: dict[int, str] = {}
    for name in table.column_names:
        if not _is_valid(table[name]):
            for at in range(table.num_rows):
                if at not in errors and not _is_valid(table[name].take([at])):
                    errors[at] = f"`{name}` is not UTF-8"
    if not errors:
        return Rows(table, places, ())
    bad = tuple(BadRow(places[at], errors[at], _as_json(table, at)) for at in sorted(errors))
    good = [at for at in range(table.num_rows) if at not in errors]
    return Rows(table.take(pa.array(good, pa.int64())), [places[at] for at in good], bad)


def _is_valid(column: pa.ChunkedArray) -> bool:
    if pa.types.is_primitive(column.type):
        return True
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _as_json(table: pa.Table, at: int) -> str:
    row = {name: _value(table[name].slice(at, 1)) for name in table.column_names}
    return json.dumps(row, default=str)[:LONGEST_CONTENT]


def _value(one: pa.ChunkedArray) -> Any:
    try:
        return one[0].as_py()
    except UnicodeDecodeError:
        text = pa.types.is_string(one.type) or pa.types.is_large_string(one.type)
        return one.cast(pa.large_binary())[0].as_py().decode(errors="replace") if text else None
