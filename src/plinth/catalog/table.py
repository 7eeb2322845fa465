"""Data files of the catalog: rows of text, with source, date and licence above them.

The other modules of the catalog read their file by it. Reading is pure: bytes in, rows out; only
`data_bytes` touches a file. What a row means is not known here.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib import resources

from plinth.kit.errors import Invalid

_GZIP = b"\x1f\x8b"
_NEEDED = ("name", "source", "date", "licence")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a fact comes from and the day on which it was so.

    `name` is short, for tables. `file` and `imported`: the file of `plinth catalog import` that
    states the fact and the day it was imported; None for what Plinth brings.
    """

    name: str
    text: str
    day: date
    licence: str = ""
    file: str | None = None
    imported: date | None = None

    @property
    def is_override(self) -> bool:
        """Whether the organisation itself stated the fact, by an import."""
        return self.file is not None

    def __str__(self) -> str:
        """Write it short: name and date, and for an import its file and day too."""
        if self.file is None:
            return f"{self.name} {self.day}"
        return f"{self.file} {self.day}, imported {self.imported}"

    def to_json(self) -> dict[str, str | None]:
        """Return it in full, for programs."""
        return {
            "name": self.name,
            "text": self.text,
            "date": self.day.isoformat(),
            "licence": self.licence or None,
            "file": self.file,
            "imported": self.imported.isoformat() if self.imported else None,
        }


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one data file, in the order of the columns that were asked for."""

    source: Source
    rows: list[list[str]]


def data_bytes(file: str) -> bytes:
    """Return the content of one of the data files that Plinth brings."""
    return resources.files("plinth.catalog").joinpath("data", file).read_bytes()


def read_table(content: bytes, file: str, columns: Sequence[str]) -> Table:
    """Read a data file, gzip or plain. `file` only names it in messages.

    Raises Invalid when the source is not stated, the columns are not these, or a row is too short.
    """
    text = (gzip.decompress(content) if content.startswith(_GZIP) else content).decode()
    stated: dict[str, str] = {}
    start = 0
    while text.startswith("#", start):
        end = text.index("\n", start)
        key, _, value = text[start + 1 : end].partition(":")
        stated[key.strip()] = value.strip()
        start = end + 1
    missing = [key for key in _NEEDED if not stated.get(key)]
    if missing:
        raise Invalid(f"{file}: `# {missing[0]}: ...` is missing above the columns")
    lines = list(csv.reader(text[start:].splitlines()))
    first, rows = (lines[0], lines[1:]) if lines else ([], [])
    if first != list(columns):
        raise Invalid(f"{file}: the columns are {', '.join(first)}, not {', '.join(columns)}")
    for place, row in enumerate(rows):
        if len(row) != len(first):
            line = len(stated) + 2 + place
            raise Invalid(f"{file}:{line}: {len(row)} values for {len(first)} columns")
    source = Source(
        stated["name"], stated["source"], date.fromisoformat(stated["date"]), stated["licence"]
    )
    return Table(source, rows)


def read_region_sets(content: bytes, file: str) -> dict[str, frozenset[str]]:
    """Read a file of sets of regions: many rows of another file share one. No set: empty."""
    rows = read_table(content, file, ("set", "regions")).rows
    return {"": frozenset(), **{name: frozenset(regions.split("|")) for name, regions in rows}}
