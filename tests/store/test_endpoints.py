"""Endpoints: the intent is changed, the rest is kept."""

from __future__ import annotations

from sqlalchemy import select

from plinth.store import tables
from plinth.store.endpoints import (
    StoredEndpoint,
    add_endpoint,
    delete_endpoint,
    find_endpoint,
    list_endpoints,
    want,
)
from plinth.store.events import Event, add_event, list_events
from plinth.store.session import Database
from tests.store.rows import ENDPOINT, NOW, later, run_in


def test_an_endpoint_is_due_at_once_and_again_when_its_intent_changes(database: Database) -> None:
    with database.write() as connection:
        for run in ("r_a", "r_b"):
            run_in(connection, run, workload=ENDPOINT)
        endpoint = StoredEndpoint(
            name="delay",
            team="research",
            next="r_a",
            created_at=NOW,
            created_by="admin",
            updated_at=NOW,
        )
        add_endpoint(connection, endpoint)
        assert find_endpoint(connection, "delay") == endpoint
        want(connection, "delay", desired="stop", next_run="r_b", now=later(5))
        changed = endpoint.model_copy(
            update={"desired": "stop", "next": "r_b", "updated_at": later(5)}
        )
        assert list_endpoints(connection) == [changed]
        assert connection.execute(select(tables.endpoint.c.due_at)).scalar() == later(5)
        event = Event(at=NOW, phase="run", reason="Serving", message="x")
        add_event(connection, "endpoint/delay", event)
        delete_endpoint(connection, "delay")
        assert find_endpoint(connection, "delay") is None
        assert list_events(connection, "endpoint/delay") == []
