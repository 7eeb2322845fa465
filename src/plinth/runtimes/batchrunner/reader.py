"""Read the rows of one mini-batch: as an Arrow table, with the rows that cannot be read beside it.

Text comes as text: what it means is decided by the model's signature, value by value.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from .json_rows import JsonRows, first_names, json_rows
from .order import Hopeless, InputFile, Order
from .records import (
    Unreadable,
    csv_records,
    fields_of,
    header_names,
    index_records,
    json_records,
)
from .rows import BadRow, Rows, is_text, only_text, shown
from .work import Index, rows_of

_PIECE_BYTES = 1 << 20
_CSV, _PARQUET = (".csv",), (".parquet",)
# A field in quotes as it should be; what differs is for the reader that takes one row at a time.
_QUOTED = re.compile(rb'(?:\A|(?<=[,\n]))"[^"]*+(?:""[^"]*+)*+"(?=[,\r\n]|\Z)')


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
    ending = path.suffix.lower()
    if path.stat().st_size == 0 and ending not in _PARQUET:
        return Index(number, 0)
    try:
        if ending in _PARQUET:
            return Index(number, int(pq.ParquetFile(path).metadata.num_rows))
        with path.open("rb") as stream:
            if ending in _CSV:
                header_names(next(csv_records(stream), b""))
                stream.seek(0)
                return index_records(number, csv_records(stream), size, header=True)
            return index_records(number, json_records(stream), size, header=False)
    except (Unreadable, pa.ArrowException, OSError) as err:
        raise Hopeless(f"`{path.name}` cannot be read: {err}") from err


def open_file(path: Path, index: Index, size: int) -> ParquetRows | TextRows:
    """Return what reads the mini-batches of a file, best in their order."""
    if path.suffix.lower() in _PARQUET:
        return ParquetRows(path, index, size)
    return TextRows(path, index, size)


def kept_types(order: Order) -> dict[str, pa.DataType | None]:
    """Return the type of each column that is passed on: that of the first file that has it.

    None where none has it. Whoever asks, and however often, gets the same.
    """
    found: dict[str, pa.DataType | None] = dict.fromkeys(order.keep)
    for number in range(len(order.files)):
        if all(found.values()):
            break
        for name, kind in _types_in(order.path_of(number)).items():
            if name in found and found[name] is None and not pa.types.is_null(kind):
                found[name] = kind
    return found


def _types_in(path: Path) -> dict[str, pa.DataType]:
    if path.stat().st_size == 0:
        return {}
    try:
        if path.suffix.lower() in _PARQUET:
            return {field.name: _plain(field.type) for field in pq.read_schema(path)}
        with path.open("rb") as stream:
            is_csv = path.suffix.lower() in _CSV
            first = next(csv_records(stream) if is_csv else json_records(stream), b"")
        return dict.fromkeys(header_names(first) if is_csv else first_names(first), pa.string())
    except (Unreadable, pa.ArrowException, OSError):
        # Who reads this file says so.
        return {}


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_other_text = pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return pa.string() if is_other_text else kind


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
        self._name = path.name
        self.columns = tuple(self._file.schema_arrow.names)

    def read(self, batch: int, columns: Sequence[str] | None = None) -> Rows:
        """Return the rows of a mini-batch, of all columns or of those that are named."""
        _only_once(self._name, self.columns, columns)
        start, stop = rows_of(self._index, batch, self._size)
        parts = []
        for group in range(len(self._ends) - 1):
            first, end = self._ends[group], self._ends[group + 1]
            if end <= start or first >= stop:
                continue
            table = self._read_group(group, columns)
            parts.append(table.slice(max(0, start - first), min(stop, end) - max(start, first)))
        return only_text(pa.concat_tables(parts), range(start, stop))

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
        # Each line of JSON has its own.
        self.columns: tuple[str, ...] = ()
        self._all = self._names()
        if self._is_csv:
            self.columns = self._all

    def read(self, batch: int, columns: Sequence[str] | None = None) -> Rows | JsonRows:
        """Return the rows of a mini-batch, of all columns or of those that are named."""
        if self._is_csv:
            _only_once(self._path.name, self.columns, columns)
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
        names = self._all if columns is None else columns
        return json_rows(content, first, names, exactly=columns is None)

    def _names(self) -> tuple[str, ...]:
        with self._path.open("rb") as stream:
            if self._is_csv:
                return header_names(next(csv_records(stream), b""))
            return first_names(next(json_records(stream), b"{}"))

    def _parsed(self, content: bytes, count: int, columns: Sequence[str] | None) -> pa.Table | None:
        """Return all rows at once, or None where one of them is in the way.

        Both ways must agree on every row, whatever stands beside it: what they read differently,
        a quote in a wrong place or half of a line's end, is for the slower one.
        """
        if content.count(b"\r") != content.count(b"\r\n") or b'"' in _QUOTED.sub(b"", content):
            return None
        names = [f"{at}\0{name}" for at, name in enumerate(self.columns)]
        chosen = [at for at, name in enumerate(self.columns) if columns is None or name in columns]
        try:
            table = pyarrow.csv.read_csv(
                pa.BufferReader(content),
                pyarrow.csv.ReadOptions(column_names=names, use_threads=False),
                pyarrow.csv.ParseOptions(newlines_in_values=True),
                pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    include_columns=[names[at] for at in chosen],
                    strings_can_be_null=False,
                ),
            )
        except pa.ArrowException:
            return None
        if table.num_rows != count:
            return None
        return table.rename_columns([self.columns[at] for at in chosen])

    def _row_by_row(self, content: bytes, first: int, columns: Sequence[str] | None) -> Rows:
        bad, places, kept = [], [], []
        chosen = [at for at, name in enumerate(self.columns) if columns is None or name in columns]
        for place, record in enumerate(csv_records(io.BytesIO(content), at_start=False), first):
            values, why = self._values(record, chosen)
            if why:
                bad.append(BadRow(place, why, shown(record)))
                continue
            places.append(place)
            kept.append(values)
        arrays = [pa.array(column, pa.string()) for column in _turned(kept, len(chosen))]
        names = [self.columns[at] for at in chosen]
        return Rows(pa.table(dict(zip(names, arrays))), places, tuple(bad))  # noqa: B905 - as many

    def _values(self, record: bytes, chosen: Sequence[int]) -> tuple[list[str], str]:
        """Return the chosen values, or why there are none. What is not read may hold any bytes."""
        try:
            fields = fields_of(record.decode(errors="surrogateescape"), strict=True)
        except (csv.Error, Unreadable) as err:
            return [], f"not a row of CSV: {err}"
        if len(fields) != len(self.columns):
            return [], f"has {len(fields)} values, the header has {len(self.columns)}"
        values = [fields[at] for at in chosen]
        for at, value in zip(chosen, values):  # noqa: B905 - as many
            if not is_text(value):
                return [], f"`{self.columns[at]}` is not UTF-8"
        return values, ""


def _turned(rows: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    return [[row[at] for row in rows] for at in range(width)]


def _only_once(file: str, names: Sequence[str], wanted: Sequence[str] | None) -> None:
    """Return if each column that is read has a name of its own. Raises Hopeless otherwise."""
    counts = Counter(names)
    twice = [name for name in counts if counts[name] > 1 and (wanted is None or name in wanted)]
    if twice:
        listed = ", ".join(f"`{name}`" for name in twice)
        raise Hopeless(f"`{file}` has {listed} more than once as the name of a column")
