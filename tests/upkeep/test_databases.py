"""SQLite files are copied as of one moment while others write, and looked into unchanged."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from plinth.kit.errors import Permanent, Temporary
from plinth.upkeep import databases
from plinth.upkeep.databases import ask, check_sqlite, copy_sqlite, counts


@contextmanager
def table(path: Path, mode: str = "wal") -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"pragma journal_mode = {mode}")
        connection.execute("create table a (n integer)")
        connection.execute("create table b (n integer)")
        yield connection


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_copy_is_whole_while_another_writes(tmp_path: Path, mode: str) -> None:
    """Each transaction writes one row into each table: a copy with unequal counts would be torn."""
    stop = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(tmp_path / "x.db", timeout=20, isolation_level=None)) as mine:
            while not stop.is_set():
                mine.execute("begin immediate")
                mine.execute("insert into a values (1)")
                mine.execute("insert into b values (1)")
                mine.execute("commit")

    with table(tmp_path / "x.db", mode):
        writer = threading.Thread(target=write)
        writer.start()
        try:
            for number in range(5):
                copy_sqlite(tmp_path / "x.db", tmp_path / f"{number}.db")
        finally:
            stop.set()
            writer.join()
        seen = [counts(tmp_path / f"{number}.db") for number in range(5)]
    assert all(each["a"] == each["b"] for each in seen)
    assert not list(tmp_path.glob("*.db-journal"))


def test_what_only_stands_in_the_log_of_changes_is_copied(tmp_path: Path) -> None:
    with table(tmp_path / "x.db") as connection:
        connection.execute("insert into a values (7)")
        assert (tmp_path / "x.db-wal").stat().st_size > 0
        copy_sqlite(tmp_path / "x.db", tmp_path / "copy.db")
    assert ask(tmp_path / "copy.db", "select n from a") == [(7,)]


def test_a_change_that_is_not_committed_is_not_copied(tmp_path: Path) -> None:
    with table(tmp_path / "x.db") as connection:
        connection.execute("begin immediate")
        connection.execute("insert into a values (7)")
        copy_sqlite(tmp_path / "x.db", tmp_path / "copy.db")
        connection.execute("rollback")
    assert counts(tmp_path / "copy.db")["a"] == 0


def damage(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table big (text text)")
        connection.executemany("insert into big values (?)", [("x" * 900,)] * 200)
        connection.commit()
    content = bytearray(path.read_bytes())
    content[4096 * 5 : 4096 * 6] = b"\xff" * 4096
    path.write_bytes(content)


def test_a_damaged_database_is_never_backed_up_in_silence(tmp_path: Path) -> None:
    damage(tmp_path / "x.db")
    assert check_sqlite(tmp_path / "x.db") is not None
    assert check_sqlite(tmp_path / "x.db", thorough=True) is not None
    with pytest.raises(Permanent) as told:
        copy_sqlite(tmp_path / "x.db", tmp_path / "copy.db")
    assert told.value.code == "database_damaged"
    assert "restore the last backup" in str(told.value.hint)


def test_another_file_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"hello, world" * 1000)
    assert check_sqlite(tmp_path / "x.db") == "file is not a database"
    with pytest.raises(Permanent, match="damaged"):
        ask(tmp_path / "x.db", "select 1 from a")


def test_no_file_is_made_by_looking(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="cannot be opened"):
        copy_sqlite(tmp_path / "absent.db", tmp_path / "copy.db")
    assert not (tmp_path / "absent.db").exists()


def test_a_missing_table_has_no_rows(tmp_path: Path) -> None:
    with table(tmp_path / "x.db"):
        assert ask(tmp_path / "x.db", "select * from absent") == []
        assert ask(tmp_path / "x.db", "select absent from a") == []
        assert check_sqlite(tmp_path / "x.db") is None


def test_a_database_that_stays_busy_is_an_error_that_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "_PATIENCE_S", 0.01)
    with table(tmp_path / "x.db", "delete") as connection:
        connection.execute("begin exclusive")
        with pytest.raises(Temporary, match="was busy"):
            ask(tmp_path / "x.db", "select 1 from a")


def test_odd_characters_in_a_path_are_no_options(tmp_path: Path) -> None:
    path = tmp_path / "a b?mode=memory#%41.db"
    with table(path) as connection:
        connection.execute("insert into a values (1)")
    assert counts(path) == {"a": 1, "b": 0}
