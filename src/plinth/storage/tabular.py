"""Look into a data file: how many rows, which columns of which types.

Called when a data version is made. The file is a stranger's: duckdb may read this one file and
nothing else, load no extension, and use a bounded amount of memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from plinth.domain.model import Column
from plinth.kit.errors import Invalid

_READERS = {
    ".parquet": "read_parquet(?)",
    # Left to itself, duckdb skips lines until the rest looks regular, and says nothing.
    ".csv": "read_csv(?, header = true, delim = ',', skip = 0, sample_size = -1)",
    ".jsonl": "read_json(?, format = 'newline_delimited')",
    ".ndjson": "read_json(?, format = 'newline_delimited')",
}
_MEMORY = "512MB"
_REASON_LENGTH = 300
_GLOB_CHARACTERS = "*?["


@dataclass(frozen=True, slots=True)
class Table:
    """What a data file holds."""

    rows: int
    columns: tuple[Column, ...]


def inspect(path: Path, *, file_name: str | None = None) -> Table:
    """Read the whole file once and return its rows and columns.

    The format follows from the ending of `file_name` (default: of `path`): `.parquet`, `.csv`,
    `.jsonl`, `.ndjson`. Types are duckdb's names. Raises Invalid for another ending, an empty
    or missing file, and one that is not what its ending says.
    """
    name = file_name or path.name
    reader = _READERS.get(Path(name).suffix.lower())
    if reader is None:
        raise Invalid(
            f"`{name}` is no data file that Plinth can read; it reads {', '.join(_READERS)}",
            hint="write it as Parquet: the types stay with the data",
        )
    _check_file(path, name)
    with _locked_down(path) as connection:
        try:
            described = connection.execute(f"describe select * from {reader}", [str(path)])
            columns = tuple(Column(name=row[0], type=row[1]) for row in described.fetchall())
            rows = _count(connection, reader, path)
        except duckdb.Error as err:
            raise Invalid(
                f"`{name}` cannot be read as {Path(name).suffix[1:]}: {_reason(err, path, name)}",
                hint="check that the file is complete and that its ending names its format",
            ) from err
    _check_names(columns, name)
    return Table(rows, columns)


def _check_file(path: Path, name: str) -> None:
    if not path.is_file():
        raise Invalid(f"`{name}` is not a file")
    if path.stat().st_size == 0:
        raise Invalid(f"`{name}` is empty")
    if any(character in str(path) for character in _GLOB_CHARACTERS):
        raise Invalid(f"the path of `{name}` has one of {_GLOB_CHARACTERS} in it; rename it")


def _check_names(columns: tuple[Column, ...], name: str) -> None:
    for column in columns:
        if not column.name.strip() or not column.name.isprintable():
            raise Invalid(
                f"`{name}` has a column named {column.name!r}",
                hint="give every column a printable name; a CSV file's first line holds them",
            )


def _locked_down(path: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "memory_limit": _MEMORY,
            "threads": "1",
            # Nothing may spill onto the disk beside somebody's data.
            "temp_directory": "",
        }
    )
    # The path itself stays readable; the rest of the machine does not.
    connection.execute("set allowed_paths = [$path]", {"path": str(path)})
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection


def _count(connection: duckdb.DuckDBPyConnection, reader: str, path: Path) -> int:
    # Every value is hashed, so that every page is decoded: a count trusts the footer's statistics.
    row = connection.execute(
        f"select count(*), max(hash(columns(*))) from {reader}", [str(path)]
    ).fetchone()
    assert row is not None  # an aggregate without groups has one row
    return int(row[0])


def _reason(err: duckdb.Error, path: Path, name: str) -> str:
    lines = str(err).strip().splitlines() or ["no reason given"]
    reason = lines[0].removeprefix("Invalid Input Error: ").replace(str(path), name)
    return reason[:_REASON_LENGTH]
