"""Read the rows of one mini-batch: as an Arrow table, with the rows that cannot be read beside it.

Text comes as text: what it means is decided by the model's signature, value by value.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from .order import Hopeless, InputFile
from .records import Unreadable, csv_records, index_records, json_records
from .work import Index, rows_of

_PIECE_BYTES = 1 << 20
# How much of a row that cannot be answered is kept beside its error.
LONGEST_CONTENT = 2000
_CSV, _JSON, _PARQUET = (".csv",), (".jsonl", ".ndjson"), (".parquet",)


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


def check_digest(path: Path, file: InputFile) -> None:
    """Return if the file has the bytes that it was added with. Raises Hopeless otherwise."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while piece := stream.read(_PIECE_BYTES):
                digest.update(piece)
    except OSError as err:
        raise Hopeless(f"`{file.name}` cannot be read: {err.strerror}") from err
    if digest.hexdigest() != file.digest:
        raise Hopeless(
            f"`{file.name}` is damaged: its digest is {digest.hexdigest()[:12]}, it was added with "
            f"{file.digest[:12]}"
        )


def index_file(number: int, path: Path, size: int) -> Index:
    """Count the rows of a file. Raises Hopeless when it has none that can be told apart."""
    if path.stat().st_size == 0:
        return Index(number, 0)
    ending = path.suffix.lower()
    try:
        if ending in _PARQUET:
            return Index(number, int(pq.ParquetFile(path).metadata.num_rows))
        with path.open("rb") as stream:
            if ending in _CSV:
                return index_records(number, csv_records(stream), size, header=True)
            return index_records(number, json_records(stream), size, header=False)
    except (Unreadable, pa.ArrowException, OSError) as err:
        raise Hopeless(f"`{path.name}` cannot be read: {err}") from err


def open_file(path: Path, index: Index, size: int) -> ParquetRows | TextRows:
    """Return what reads the mini-batches of a file, best in their order."""
    if path.suffix.lower() in _PARQUET:
        return ParquetRows(path, index, size)
    return TextRows(path, index, size)


class ParquetRows:
    """Reads mini-batches of a Parquet file; each row group is decoded once when read in order."""

    def __init__(self, path: Path, index: Index, size: int) -> None:
        self._file = pq.ParquetFile(path, memory_map=True)
        self._index, self._size = index, size
        ends = [0]
        for group in range(self._file.metadata.num_row_groups):
            ends.append(ends[-1] + self._file.metadata.row_group(group).num_rows)
        self._ends = ends
        self._group: tuple[int, pa.Table] | None = None
        self.columns = tuple(self._file.schema_arrow.names)

    def read(self, batch: int, columns: Sequence[str] | None = None) -> Rows:
        """Return the rows of a mini-batch, of all columns or of those that are named."""
        start, stop = rows_of(self._index, batch, self._size)
        parts = []
        for group in range(len(self._ends) - 1):
            first, end = self._ends[group], self._ends[group + 1]
            if end <= start or first >= stop:
                continue
            table = self._read_group(group, columns)
            parts.append(table.slice(max(0, start - first), min(stop, end) - max(start, first)))
        return Rows(pa.concat_tables(parts), range(start, stop), ())

    def _read_group(self, group: int, columns: Sequence[str] | None) -> pa.Table:
        if self._group is None or self._group[0] != group:
            self._group = None
            names = None if columns is None else list(columns)
            table = self._file.read_row_group(group, columns=names, use_threads=False)
            self._group = (group, table)
        return self._group[1]


class TextRows:
    """Reads mini-batches of CSV or of JSON lines; every value of CSV is text."""

    def __init__(self, path: Path, index: Index, size: int) -> None:
        self._path, self._index, self._size = path, index, size
        self._is_csv = path.suffix.lower() in _CSV
        self.columns: tuple[str, ...] = self._header() if self._is_csv else ()

    def read(self, batch: int, columns: Sequence[str] | None = None) -> Rows:
        """Return the rows of a mini-batch; of JSON all names that occur are columns."""
        first, stop = rows_of(self._index, batch, self._size)
        begin, end = self._index.offsets[batch], self._index.offsets[batch + 1]
        with self._path.open("rb") as stream:
            stream.seek(begin)
            content = stream.read(end - begin)
        if self._is_csv:
            quick = self._parsed(content, stop - first, columns)
            if quick is not None:
                return Rows(quick, range(first, stop), ())
            return self._row_by_row(content, first, columns)
        return _json_rows(content, first)

    def _header(self) -> tuple[str, ...]:
        with self._path.open("rb") as stream:
            header = next(csv_records(stream), b"")
        text = header.decode("utf-8-sig", errors="replace").lstrip()
        names = next(csv.reader(io.StringIO(text, newline="")), [])
        return tuple(names)

    def _parsed(self, content: bytes, count: int, columns: Sequence[str] | None) -> pa.Table | None:
        """Return all rows at once, or None where one of them is in the way."""
        if len(set(self.columns)) != len(self.columns):
            raise Hopeless(f"`{self._path.name}` has two columns of one name")
        chosen = [name for name in self.columns if columns is None or name in columns]
        try:
            table = pyarrow.csv.read_csv(
                pa.BufferReader(content),
                pyarrow.csv.ReadOptions(column_names=list(self.columns), use_threads=False),
                pyarrow.csv.ParseOptions(newlines_in_values=True),
                pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(self.columns, pa.string()),
                    include_columns=chosen,
                    strings_can_be_null=False,
                ),
            )
        except pa.ArrowException:
            return None
        return table if table.num_rows == count else None

    def _row_by_row(self, content: bytes, first: int, columns: Sequence[str] | None) -> Rows:
        bad, places, kept = [], [], []
        chosen = [at for at, name in enumerate(self.columns) if columns is None or name in columns]
        for place, record in enumerate(csv_records(io.BytesIO(content)), first):
            values, why = self._values(record)
            if why:
                bad.append(BadRow(place, why, shown(record)))
                continue
            places.append(place)
            kept.append(values)
        arrays = [pa.array([row[at] for row in kept], pa.string()) for at in chosen]
        names = [self.columns[at] for at in chosen]
        return Rows(pa.table(dict(zip(names, arrays))), places, tuple(bad))  # noqa: B905 - as many

    def _values(self, record: bytes) -> tuple[list[str], str]:
        try:
            text = record.decode()
            values = next(csv.reader(io.StringIO(text.rstrip("\r\n"), newline=""), strict=True))
        except UnicodeDecodeError as err:
            return [], f"byte {err.start + 1} is not UTF-8"
        except (csv.Error, StopIteration) as err:
            return [], f"not a row of CSV: {err}"
        if len(values) != len(self.columns):
            return [], f"has {len(values)} values, the header has {len(self.columns)}"
        return values, ""


def shown(record: bytes) -> str:
    """Return a row as it is kept beside its error."""
    return record.decode(errors="replace").rstrip("\r\n")[:LONGEST_CONTENT]


def _json_rows(content: bytes, first: int) -> Rows:
    bad, places, kept = [], [], []
    for place, record in enumerate(json_records(io.BytesIO(content)), first):
        try:
            value = json.loads(record)
        except ValueError as err:
            bad.append(BadRow(place, f"not JSON: {err}", shown(record)))
            continue
        if not isinstance(value, dict):
            why = f"is {type(value).__name__}, not an object with names"
            bad.append(BadRow(place, why, shown(record)))
            continue
        places.append(place)
        kept.append(value)
    names = dict.fromkeys(name for row in kept for name in row)
    columns = {name: _json_column([row.get(name) for row in kept]) for name in names}
    table = pa.table(columns) if columns else pa.table({})
    return Rows(table, places, tuple(bad))


def _json_column(values: list[Any]) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= {int, float} and kinds != {int}:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    if len(kinds) == 1 and kinds <= {int, bool, str}:
        try:
            return pa.array(values)
        except (pa.ArrowException, OverflowError):
            pass
    texts = [
        value if isinstance(value, str) or value is None else json.dumps(value) for value in values
    ]
    return pa.array(texts, pa.string())
