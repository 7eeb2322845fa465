"""The audit log is written with the change, read by what one looks for, and never changed."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, delete, update
from sqlalchemy.exc import DBAPIError

from plinth.domain.access import Principal, PrincipalKind
from plinth.store import tables
from plinth.store.audit import Entry, Filter, StoredEntry, add_entry, list_entries
from plinth.store.session import Database
from tests.store.rows import NOW, later, plan_of

ANNA = Principal(id="p_anna", kind=PrincipalKind.USER, name="anna", team="research")
DASH = Principal(id="p_dash", kind=PrincipalKind.SERVICE, name="dash", team="ops")


def entry(**fields: Any) -> Entry:
    given = {"at": NOW, "principal": ANNA, "action": "stop", "subject": "run/r_x"}
    return Entry.model_validate({**given, **fields})


def write(database: Database, *entries: Entry) -> None:
    with database.write() as connection:
        for each in entries:
            add_entry(connection, each)


def found(database: Database, limit: int = 100, **wanted: Any) -> list[StoredEntry]:
    with database.read() as connection:
        return list_entries(connection, Filter(**wanted), limit=limit)


def test_an_entry_says_who_what_where_and_with_which_key(database: Database) -> None:
    write(
        database,
        entry(
            key="k_a",
            team="research",
            detail={"role": "viewer"},
            origin="10.0.0.7",
            request_id="abc",
        ),
    )
    (one,) = found(database)
    assert one == StoredEntry(
        id=one.id,
        at=NOW,
        principal="p_anna",
        name="anna",
        key="k_a",
        team="research",
        action="stop",
        subject="run/r_x",
        outcome="done",
        detail={"role": "viewer"},
        origin="10.0.0.7",
        request_id="abc",
    )


def test_an_entry_stands_and_falls_with_its_change(database: Database) -> None:
    def change() -> None:
        with database.write() as connection:
            add_entry(connection, entry())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change()
    assert found(database) == []


@pytest.mark.parametrize("change", [update(tables.audit).values(name="b"), delete(tables.audit)])
def test_nothing_written_can_be_changed_or_removed(database: Database, change: Any) -> None:
    write(database, entry())
    before = found(database)
    with pytest.raises(DBAPIError, match="append-only"), database.write() as connection:
        connection.execute(change)
    assert found(database) == before


def test_nor_can_it_be_replaced(database: Database) -> None:
    write(database, entry())
    before = found(database)
    columns = ", ".join(f'"{column.name}"' for column in tables.audit.columns)
    copied = f"into audit ({columns}) select {columns} from audit"
    statement = {
        "sqlite": f"insert or replace {copied}",
        "postgresql": f"insert {copied} on conflict (id) do update set name = 'b'",
    }
    with pytest.raises(DBAPIError, match="append-only"), database.write() as connection:
        connection.exec_driver_sql(statement[connection.dialect.name])
    assert found(database) == before
    write(database, entry())
    assert len(found(database)) == len(before) + 1


@pytest.mark.parametrize(
    ("wanted", "places"),
    [
        ({}, [0, 1, 2]),
        ({"since": later(1)}, [1, 2]),
        ({"until": later(1)}, [0]),
        ({"principal": "anna"}, [0, 2]),
        ({"principal": "p_dash"}, [1]),
        ({"teams": ("ops",)}, [1]),
        ({"teams": ("ops", "research")}, [0, 1]),
        ({"teams": ()}, []),
        ({"action": "give"}, [1, 2]),
        ({"subject": "run/r_x"}, [0]),
        ({"outcome": "denied"}, [2]),
    ],
)
def test_entries_are_found_by_each_of_their_parts(
    database: Database, wanted: dict[str, Any], places: list[int]
) -> None:
    entries = [
        entry(team="research"),
        entry(principal=DASH, at=later(1), team="ops", action="give", subject="grant/g_x"),
        entry(at=later(2), action="give", subject="grant", outcome="denied"),
    ]
    write(database, *entries)
    shown = [(one.name, one.subject) for one in found(database, **wanted)]
    assert shown == [(entries[p].principal.name, entries[p].subject) for p in places]


def test_pages_go_back_from_the_newest(database: Database) -> None:
    write(database, *(entry(subject=f"run/r_{number}") for number in range(5)))
    newest = found(database, limit=2)
    assert [one.subject for one in newest] == ["run/r_3", "run/r_4"]
    older = found(database, limit=2, before_id=newest[0].id)
    assert [one.subject for one in older] == ["run/r_1", "run/r_2"]
    last = found(database, limit=2, before_id=older[0].id)
    assert [one.subject for one in last] == ["run/r_0"]


def test_what_a_caller_wrote_never_keeps_an_entry_out(database: Database) -> None:
    long = "x" * 10_000
    odd = entry(
        subject=f"endpoint/a\x00b{long}",
        team=long,
        origin=long,
        request_id=long,
        principal=ANNA.model_copy(update={"name": long}),
        detail={"reason": f"\x00{long}", "count": 3},
    )
    write(database, odd)
    (one,) = found(database)
    lengths = {name: len(getattr(one, name)) for name in ("subject", "team", "origin", "name")}
    assert lengths == {"subject": 100, "team": 24, "origin": 60, "name": 80}
    assert one.subject.startswith("endpoint/a?bxx")
    assert one.detail["count"] == 3
    assert len(one.detail["reason"]) == 500


def test_one_subjects_entries_are_found_without_reading_all(database: Database) -> None:
    def query(connection: Connection) -> object:
        return list_entries(connection, Filter(subject="run/r_x"), limit=10)

    assert any("ix_audit_subject" in step for step in plan_of(database, query))
