"""Copy SQLite databases while others write to them, and look into them without changing them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from plinth.kit.errors import Permanent, PlinthError, Temporary

# MLflow holds its write lock for up to this long, and so may we hold our read lock.
_PATIENCE_S = 20.0
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy the database as it stands at one moment, and check the copy.

    Writers in WAL mode go on meanwhile; others (MLflow) wait for as long as the copying takes.
    Raises Permanent when the database is damaged, Temporary when it is busy or the disk is full.
    """
    with _translated(source), open_sqlite(source) as reading, _new(target) as writing:
        # All pages in one step: in several, each write of another process would begin it anew.
        reading.backup(writing)
    damage = check_sqlite(target)
    if damage is not None:
        raise damaged(source, damage)


def check_sqlite(path: Path, *, thorough: bool = False) -> str | None:
    """Return the first thing that is wrong with the file, or None.

    `thorough`: compare the indexes with their tables too, which takes several times as long.
    """
    try:
        with open_sqlite(path) as connection:
            pragma = "integrity_check" if thorough else "quick_check"
            (first, *_) = connection.execute(f"pragma {pragma}(1)").fetchone()
    except sqlite3.DatabaseError as err:
        if isinstance(err, sqlite3.OperationalError) and _code(err) in _BUSY:
            raise
        return str(err)
    return None if first == "ok" else str(first)


@contextmanager
def open_sqlite(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database that exists. Raises sqlite3.OperationalError when it does not."""
    # Not `mode=ro`: a journal that a kill left behind must be played back before anybody reads.
    address = f"file:{quote(str(path))}?mode=rw"
    with closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE_S)) as connection:
        connection.execute(f"pragma busy_timeout = {int(_PATIENCE_S * 1000)}")
        yield connection


def ask(path: Path, query: str) -> list[tuple[object, ...]]:
    """Return the rows of a query; none when the table is missing.

    Raises Permanent when the database is damaged, Temporary when it is busy.
    """
    with _translated(path), open_sqlite(path) as connection:
        try:
            return connection.execute(query).fetchall()
        except sqlite3.OperationalError as err:
            if "no such" in str(err):
                return []
            raise


def counts(path: Path) -> dict[str, int]:
    """Return how many rows each table has."""
    names = ask(path, "select name from sqlite_master where type = 'table' order by name")
    found = {}
    for (name,) in names:
        rows = ask(path, f'select count(*) from "{name}"')
        found[str(name)] = int(str(rows[0][0])) if rows else 0
    return found


def damaged(path: Path, how: str) -> Permanent:
    """Return the error for a database that SQLite itself calls damaged."""
    return Permanent(
        f"the database `{path}` is damaged: {how}",
        hint="restore the last backup into a new home: `plinth restore FILE --home DIR`",
        code="database_damaged",
    )


@contextmanager
def _new(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as connection:
        # Half a copy is of no use to anybody, so nothing is waited for.
        connection.execute("pragma synchronous = off")
        connection.execute("pragma journal_mode = off")
        yield connection


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as err:
        raise _error(path, err) from err


def _error(path: Path, err: sqlite3.DatabaseError) -> PlinthError:
    code = _code(err)
    if code in _BUSY:
        return Temporary(f"the database `{path}` was busy for {_PATIENCE_S:.0f} s", hint="again")
    if code in _FULL:
        hint = "free some space, then again"
        return Temporary(f"`{path}` cannot be copied: {err}", hint=hint, code="disk_full")
    if isinstance(err, sqlite3.OperationalError):
        return Permanent(f"the database `{path}` cannot be opened: {err}")
    return damaged(path, str(err))


def _code(err: sqlite3.DatabaseError) -> int:
    # The lower byte is the kind; the rest says more about it.
    return getattr(err, "sqlite_errorcode", 0) & 0xFF
