"""The rows of a restored store are made true for the home that they are now in."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, select, update

from plinth.domain.run import Phase
from plinth.store import tables
from plinth.store.events import list_events
from plinth.store.relocation import end_attempts, free_leases, move_addresses
from plinth.store.runs import find_run, list_attempts
from plinth.store.session import Database
from tests.store.rows import ENDPOINT, NOW, attempt_of, later, run_in

MADE_AT = later(100)
RESTORED_AT = later(86_400)
DIGEST = "0" * 64


def set_attempt(database: Database, run_id: str, **values: Any) -> None:
    with database.write() as connection:
        connection.execute(
            update(tables.attempt).where(tables.attempt.c.run == run_id).values(**values)
        )


def test_what_ran_ends_when_it_was_last_seen(database: Database) -> None:
    with database.write() as connection:
        attempt_of(connection, run_in(connection, "r_a", phase=Phase.RUNNING))
    set_attempt(database, "r_a", phase="running", started_at=later(10), seen_at=later(90))
    with database.write() as connection:
        assert end_attempts(connection, MADE_AT, RESTORED_AT) == ["r_a"]
        (attempt,) = list_attempts(connection, ["r_a"])
        events = list_events(connection, "run/r_a")
        due = connection.execute(select(tables.run.c.due_at)).scalar_one()
    assert (attempt.phase, attempt.ended_at) == (Phase.FAILED, later(90))
    assert "this node knows nothing of it" in str(attempt.reason)
    assert (events[-1].reason, events[-1].at) == ("Restored", RESTORED_AT)
    assert due == RESTORED_AT


def test_what_was_never_seen_ends_when_it_began(database: Database) -> None:
    with database.write() as connection:
        attempt_of(connection, run_in(connection, "r_a", phase=Phase.RUNNING))
    set_attempt(database, "r_a", phase="running", started_at=later(10))
    with database.write() as connection:
        end_attempts(connection, MADE_AT, RESTORED_AT)
        assert list_attempts(connection, ["r_a"])[0].ended_at == later(10)


def test_what_ended_or_never_began_is_left_alone(database: Database) -> None:
    with database.write() as connection:
        attempt_of(connection, run_in(connection, "r_a", phase=Phase.SUCCEEDED))
        attempt_of(connection, run_in(connection, "r_b", phase=Phase.STARTING))
    set_attempt(database, "r_a", phase="succeeded", started_at=later(1), ended_at=later(2))
    with database.write() as connection:
        before = list_attempts(connection, ["r_a", "r_b"])
        assert end_attempts(connection, MADE_AT, RESTORED_AT) == []
        assert list_attempts(connection, ["r_a", "r_b"]) == before
        rows = connection.execute(select(tables.run.c.id, tables.run.c.due_at)).all()
    assert {row.id: row.due_at for row in rows} == {"r_a": NOW, "r_b": RESTORED_AT}


def test_a_deployment_that_was_starting_gets_its_whole_time_again(database: Database) -> None:
    with database.write() as connection:
        for run_id, phase in (("r_a", Phase.STARTING), ("r_b", Phase.RUNNING)):
            attempt_of(connection, run_in(connection, run_id, workload=ENDPOINT, phase=phase))
        connection.execute(update(tables.run).values(started_at=later(5)))
    for run_id in ("r_a", "r_b"):
        set_attempt(database, run_id, phase="running", started_at=later(10))
    with database.write() as connection:
        assert end_attempts(connection, MADE_AT, RESTORED_AT) == ["r_a", "r_b"]
        starting, running = find_run(connection, "r_a"), find_run(connection, "r_b")
    assert (starting.phase, starting.started_at) == (Phase.PENDING, None)
    assert (running.phase, running.started_at) == (Phase.RUNNING, later(5))


def test_leases_and_duties_of_the_old_home_are_over(database: Database) -> None:
    with database.write() as connection:
        run_in(connection, "r_a", phase=Phase.RUNNING)
        lease = {"lease_token": "l_x", "lease_until": later(60), "due_at": later(60)}
        connection.execute(update(tables.run).values(**lease))
        duty = {"name": "meter", "holder": "old", "until": later(60)}
        connection.execute(insert(tables.duty).values(**duty))
        free_leases(connection, RESTORED_AT)
        table = tables.run
        row = connection.execute(
            select(table.c.lease_token, table.c.lease_until, table.c.due_at)
        ).one()
        assert tuple(row) == (None, None, RESTORED_AT)
        assert connection.execute(select(tables.duty)).all() == []


def test_addresses_below_the_old_home_move_wherever_they_stand(database: Database) -> None:
    old, new = "file:///old/storage/", "file:///new/storage/"
    version = {"uri": f"{old}data/x", "name": "f", "note": "see file:///old/storage/data/x"}
    with database.write() as connection:
        run_in(connection, "r_a")
        run_in(connection, "r_b")
        values = {"data": {"flights": version}, "lineage": {"data": [version]}}
        connection.execute(update(tables.run).where(tables.run.c.id == "r_a").values(**values))
        for number, uri in enumerate((f"{old}data/x", "s3://bucket/x"), start=1):
            connection.execute(insert(tables.data_version).values(**data_row(number, uri)))
        assert move_addresses(connection, {old: new}) == 3
        table = tables.data_version
        query = select(table.c.uri).order_by(table.c.version)
        uris = connection.execute(query).scalars().all()
        row = connection.execute(
            select(tables.run.c.data, tables.run.c.lineage).where(tables.run.c.id == "r_a")
        ).one()
    assert uris == [f"{new}data/x", "s3://bucket/x"]
    moved = {**version, "uri": f"{new}data/x"}
    assert row.data == {"flights": moved}
    assert row.lineage == {"data": [moved]}


def test_a_home_in_the_same_place_changes_no_row(database: Database) -> None:
    with database.write() as connection:
        run_in(connection, "r_a")
        connection.execute(insert(tables.data_version).values(**data_row(1, "file:///h/storage/x")))
        assert move_addresses(connection, {"file:///h/storage/": "file:///h/storage/"}) == 0


def data_row(number: int, uri: str) -> dict[str, Any]:
    return {
        "team": "research",
        "name": "flights",
        "version": number,
        "digest": f"{number:064d}",
        "uri": uri,
        "file_name": "f.csv",
        "size_bytes": 1,
        "rows": 1,
        "columns": [],
        "created_by": "admin",
        "created_at": NOW,
    }
