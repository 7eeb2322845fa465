"""Batches are found by id and by run, listed by page, and cancelled by intent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import select

from plinth.store import tables
from plinth.store.identities import add_team
from plinth.store.openai_batches import (
    StoredBatch,
    add_batch,
    count_active,
    find_batch,
    find_batch_of_run,
    list_batches,
    reads_file,
    want_cancel,
)
from plinth.store.session import Database
from tests.store.rows import NOW

TEAM = "research"


def batch(name: str, *, after_s: float = 0, **fields: Any) -> StoredBatch:
    given = {
        "id": f"batch_{name}",
        "team": TEAM,
        "endpoint": "/v1/embeddings",
        "input_file": "file-a",
        "window": "24h",
        "created_at": NOW + timedelta(seconds=after_s),
        "created_by": "admin",
        "expires_at": NOW + timedelta(days=1),
    }
    return StoredBatch(**{**given, **fields})


def test_it_is_kept_as_it_was_asked_and_is_due(database: Database) -> None:
    asked = batch("a", metadata={"k": "v"}, output_expires_s=3600)
    with database.write() as connection:
        add_team(connection, TEAM, NOW)
        add_batch(connection, asked)
        assert find_batch(connection, "batch_a") == asked
        assert find_batch(connection, "batch_b") is None
        table = tables.openai_batch
        assert connection.execute(select(table.c.due_at)).scalar_one() == NOW


def test_it_is_found_by_its_run(database: Database) -> None:
    with database.write() as connection:
        add_team(connection, TEAM, NOW)
        add_batch(connection, batch("a", run="r_1"))
        found = find_batch_of_run(connection, "r_1")
        assert found is not None
        assert found.id == "batch_a"
        assert find_batch_of_run(connection, "r_2") is None


def test_only_what_has_not_ended_counts_and_reads_its_file(database: Database) -> None:
    with database.write() as connection:
        add_team(connection, TEAM, NOW)
        add_batch(connection, batch("a", status="completed"))
        assert (count_active(connection, TEAM), reads_file(connection, "file-a")) == (0, None)
        add_batch(connection, batch("b", status="in_progress"))
        assert (count_active(connection, TEAM), count_active(connection, "other")) == (1, 0)
        assert reads_file(connection, "file-a") == "batch_b"
        assert reads_file(connection, "file-b") is None


def test_to_cancel_changes_the_intent_and_makes_it_due(database: Database) -> None:
    later = NOW + timedelta(seconds=5)
    with database.write() as connection:
        add_team(connection, TEAM, NOW)
        add_batch(connection, batch("a", status="in_progress", times={"in_progress": 1}))
        connection.execute(tables.openai_batch.update().values(due_at=None))
        found = find_batch(connection, "batch_a")
        assert found is not None
        want_cancel(connection, found, later)
        seen = find_batch(connection, "batch_a")
        assert seen is not None
        assert seen.status == "cancelling"
        assert seen.times == {"in_progress": 1, "cancelling": int(later.timestamp())}
        assert connection.execute(select(tables.openai_batch.c.due_at)).scalar_one() == later


def test_pages_follow_each_other(database: Database) -> None:
    with database.write() as connection:
        add_team(connection, TEAM, NOW)
        for number in range(5):
            add_batch(connection, batch(f"{number}", after_s=number // 2))
        first = list_batches(connection, TEAM, limit=3)
        rest = list_batches(connection, TEAM, limit=3, after=first[-1])
        found = [each.id for each in (*first, *rest)]
        assert found == [f"batch_{number}" for number in (4, 3, 2, 1, 0)]
        assert list_batches(connection, "other", limit=3) == []
