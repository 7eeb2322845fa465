"""Every row of one store in another one, of this schema or of an earlier one."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import insert, select

from plinth.store import tables
from plinth.store.copying import copy_tables
from plinth.store.runs import find_run
from plinth.store.schema import migrate_to
from plinth.store.session import Database
from tests.control.plane import make_plane, open_database
from tests.store.rows import NOW, attempt_of, run_in
from tests.store.test_migrations import FIRST


def empty(path: Path, revision: str = "head") -> Database:
    database = open_database(path)
    with database.write() as connection:
        migrate_to(connection, revision)
        connection.execute(tables.release.delete()) if revision == "head" else None
    return database


def rows_of(database: Database) -> dict[str, list[object]]:
    with database.read() as connection:
        return {
            table.name: [
                tuple(row)
                for row in connection.execute(select(table).order_by(*table.primary_key)).all()
            ]
            for table in tables.metadata.sorted_tables
        }


def test_every_table_is_copied_with_times_and_json(tmp_path: Path) -> None:
    target = empty(tmp_path / "copy.db")
    with make_plane() as plane:
        run_id = plane.submit()
        plane.until(lambda: bool(plane.attempts(run_id)))
        plane.apply()
        with plane.write() as connection:
            row = {"sku": "x", "amount": "0.1", "currency": "EUR", "created_by": "admin"}
            times = {"valid_from": NOW, "created_at": NOW}
            connection.execute(insert(tables.price).values(**row, **times))
        with plane.database.read() as source, target.write() as connection:
            counts = copy_tables(source, connection)
        assert rows_of(target) == rows_of(plane.database)
        assert counts == {name: len(rows) for name, rows in rows_of(plane.database).items()}
        assert counts["run"] == 2
        assert counts["release"] == 1
        with target.read() as connection:
            assert find_run(connection, run_id) == plane.run(run_id)
    target.close()


def test_more_rows_than_fit_at_once_are_all_copied(database: Database, tmp_path: Path) -> None:
    with database.write() as connection:
        values = [
            {"subject": f"run/{n}", "at": NOW, "phase": "pending", "reason": "x", "message": ""}
            for n in range(2500)
        ]
        connection.execute(insert(tables.event), values)
    target = empty(tmp_path / "copy.db")
    with database.read() as source, target.write() as connection:
        assert copy_tables(source, connection)["event"] == 2500
    assert rows_of(target) == rows_of(database)
    target.close()


def test_the_append_only_audit_log_is_copied_too(database: Database, tmp_path: Path) -> None:
    with database.write() as connection:
        row = {"at": NOW, "principal": "admin", "name": "admin", "action": "write"}
        row |= {"subject": "team/x", "outcome": "done", "detail": {"a": 1}, "origin": "local"}
        connection.execute(insert(tables.audit).values(**row))
    target = empty(tmp_path / "copy.db")
    with database.read() as source, target.write() as connection:
        assert copy_tables(source, connection)["audit"] == 1
    assert rows_of(target) == rows_of(database)
    target.close()


def test_a_store_of_the_first_schema_is_copied_as_it_is(tmp_path: Path) -> None:
    source, target = (empty(tmp_path / f"{name}.db", "0001") for name in ("old", "copy"))
    with source.write() as connection:
        for statement in filter(str.strip, FIRST.split(";")):
            connection.exec_driver_sql(statement)
    with source.read() as reading, target.write() as writing:
        counts = copy_tables(reading, writing)
    assert (counts["run"], counts["attempt"], "audit" in counts) == (1, 1, False)
    query = "select run, number, started_at, handle from attempt"
    with source.read() as first, target.read() as second:
        assert first.exec_driver_sql(query).all() == second.exec_driver_sql(query).all()
    for database in (source, target):
        database.close()


def test_attempts_come_after_what_they_refer_to(database: Database, tmp_path: Path) -> None:
    with database.write() as connection:
        attempt_of(connection, run_in(connection, "r_a"))
    target = empty(tmp_path / "copy.db")
    with database.read() as source, target.write() as connection:
        copy_tables(source, connection)
        assert connection.exec_driver_sql("pragma foreign_key_check").all() == []
    target.close()
