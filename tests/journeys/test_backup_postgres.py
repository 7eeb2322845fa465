"""A store on PostgreSQL is backed up as an SQLite file, as of one moment; it needs a server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from plinth.kit.errors import Conflict
from plinth.kit.files import write_json
from plinth.kit.home import Home
from plinth.kit.settings import load_settings
from plinth.store import tables
from plinth.store.schema import newest_revision
from plinth.store.session import Database
from plinth.upkeep.backup import back_up
from plinth.upkeep.probes.records import probe_store
from plinth.upkeep.restore import restore
from plinth.upkeep.upgrade import upgrade
from plinth.upkeep.version import check_startable, standing
from tests.control.plane import TEAM, Plane, make_plane, open_database
from tests.journeys.postgres_server import PASSWORD
from tests.journeys.postgres_stand import Databases, SteppedDatabase
from tests.store.test_schema import future
from tests.upkeep.scene import scene_of
from tests.upkeep.stand import PORT, add_files, add_tracking, add_usage, new_place


@pytest.fixture
def plane(databases: Databases) -> Iterator[Plane]:
    """Give a control plane on PostgreSQL whose home has something of everything."""
    # One of its own: a test makes it look newer.
    with databases.new() as url, make_plane(lambda _path: opened_at(url)) as made:
        home = made.home
        home.database.unlink(missing_ok=True)
        write_json(home.node_file, {"port": PORT, "address": f"http://127.0.0.1:{PORT}"})
        (home.root / "settings.toml").write_text(f'database = "{url}"\ntrace_days = 7\n')
        add_files(made)
        add_usage(made, "one")
        add_tracking(home)
        yield made


def opened_at(url: str) -> Database:
    database = SteppedDatabase(url)
    database.migrate()
    return database


def rows_of(database: Database) -> dict[str, list[Any]]:
    with database.read() as connection:
        return {
            table.name: [
                tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))
            ]
            for table in tables.metadata.sorted_tables
        }


def opened(home: Home) -> Database:
    return open_database(home.database)


def test_every_row_is_in_the_backup_and_in_the_restored_home(plane: Plane, tmp_path: Path) -> None:
    made = back_up(plane.home, tmp_path / "b.tar")
    assert (made["store"], made["schema"], made["missing"]) == ("postgresql", newest_revision(), [])
    assert made["counts"]["store"]["data_version"] == 1
    home = Home(new_place())
    notes = restore(home, tmp_path / "b.tar")["notes"]
    assert "SQLite in this home now" in notes[0]
    assert load_settings(home.root).database == ""
    database = opened(home)
    new, old = rows_of(database), rows_of(plane.database)
    database.close()
    assert new.keys() == old.keys()
    for name in new.keys() - {"data_version"}:
        assert new[name] == old[name], name
    assert str(home.storage) in repr(new["data_version"])


def test_it_is_as_of_one_moment_while_rows_are_written(plane: Plane, tmp_path: Path) -> None:
    """Each transaction writes an event and a price: a torn copy would have unequal counts."""
    stop = threading.Event()
    now = plane.clock.now()
    with plane.database.read() as connection:
        events = len(connection.execute(select(tables.event)).all())

    def write() -> None:
        while not stop.is_set():
            with plane.write() as connection:
                event = {"subject": "x", "at": now, "phase": "x", "reason": "x", "message": "x"}
                connection.execute(insert(tables.event).values(**event))
                price = {"sku": "x", "amount": "1", "currency": "EUR", "created_by": "admin"}
                times = {"valid_from": now, "created_at": now}
                connection.execute(insert(tables.price).values(**price, **times))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        made = [back_up(plane.home, tmp_path / f"{n}.tar") for n in range(3)]
    finally:
        stop.set()
        writer.join()
    counts = [each["counts"]["store"] for each in made]
    assert [each["event"] - events for each in counts] == [each["price"] for each in counts]
    assert counts[-1]["price"] > counts[0]["price"] >= 0


def test_a_newer_store_is_refused_there_too(plane: Plane, tmp_path: Path) -> None:
    future(plane.database)
    for refused in (
        lambda: back_up(plane.home, tmp_path / "b.tar"),
        lambda: upgrade(plane.home),
        lambda: standing(plane.home),
        plane.database.migrate,
    ):
        with pytest.raises(Conflict, match=r"9\.9\.0"):
            refused()
    # `plinth up` does not wait for a database of another machine; the control plane refuses.
    check_startable(plane.home)
    finding = probe_store(scene_of(plane.home, settings=load_settings(plane.home.root)))
    assert finding.status == "failed"


def test_a_doctor_asks_it_and_says_no_password(plane: Plane) -> None:
    settings = load_settings(plane.home.root)
    finding = probe_store(scene_of(plane.home, settings=settings))
    assert (finding.status, "PostgreSQL answers" in finding.fact) == ("ok", True)
    (plane.home.root / "settings.toml").write_text(
        settings.database.join(('database = "', '"\n')).replace(PASSWORD, "wrong-word")
    )
    wrong = load_settings(plane.home.root)
    finding = probe_store(scene_of(plane.home, settings=wrong))
    assert finding.status == "failed"
    assert "wrong-word" not in finding.fact + str(finding.todo)


def test_the_audit_logs_numbers_go_on_in_the_restored_home(plane: Plane, tmp_path: Path) -> None:
    row = {"at": plane.clock.now(), "principal": "admin", "name": "admin", "action": "write"}
    row |= {"subject": f"team/{TEAM}", "outcome": "done", "detail": {}, "origin": "local"}
    with plane.write() as connection:
        connection.execute(insert(tables.audit).values(**row))
    back_up(plane.home, tmp_path / "b.tar")
    home = Home(new_place())
    restore(home, tmp_path / "b.tar")
    database = opened(home)
    with database.write() as connection:
        before = connection.execute(select(tables.audit.c.id)).scalars().all()
        connection.execute(insert(tables.audit).values(**row))
        after = connection.execute(select(tables.audit.c.id)).scalars().all()
    database.close()
    assert len(after) == len(before) + 1
    assert max(after) > max(before)
