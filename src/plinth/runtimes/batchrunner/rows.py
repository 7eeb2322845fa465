"""Rows of a mini-batch as they were read, and those of them that could not be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

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
        row = self.table.slice(at, 1).to_pylist()[0] if self.table.num_columns else {}
        return json.dumps(row, default=str)[:LONGEST_CONTENT]


def shown(record: bytes) -> str:
    """Return a row of text as it is kept beside its error."""
    return record.decode(errors="replace").rstrip("\r\n")[:LONGEST_CONTENT]
