"""Times are aware and in UTC, in and out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select
from sqlalchemy.exc import StatementError

from plinth.store.identities import add_team, find_team
from plinth.store.session import Database
from plinth.store.tables import metadata, team
from tests.store.rows import NOW


def test_a_naive_time_is_refused(database: Database) -> None:
    with pytest.raises(StatementError, match="has no zone"), database.write() as connection:
        add_team(connection, "research", datetime(2026, 1, 1))


def test_a_time_of_another_zone_is_the_same_moment(database: Database) -> None:
    local = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    with database.write() as connection:
        add_team(connection, "research", local)
        found = find_team(connection, "research")
    assert found is not None
    assert found.created_at == NOW
    assert found.created_at.tzinfo is UTC


def test_times_compare_as_moments_whatever_their_zone(database: Database) -> None:
    east = timezone(timedelta(hours=14))
    with database.write() as connection:
        add_team(connection, "research", NOW)
        later = (NOW + timedelta(microseconds=1)).astimezone(east)
        assert connection.execute(select(team.c.name).where(team.c.created_at < later)).all()
        assert not connection.execute(select(team.c.name).where(team.c.created_at >= later)).all()


def test_every_row_that_is_reconciled_has_a_lease() -> None:
    leased = {t.name for t in metadata.tables.values() if "lease_token" in t.c}
    assert leased == {"run", "endpoint", "openai_batch", "workspace"}
    assert all({"due_at", "lease_until"} <= set(metadata.tables[name].c.keys()) for name in leased)
