"""Endpoints: the intent is changed, the rest is kept."""

from __future__ import annotations

from sqlalchemy import select

from plinth.domain.workload import WORKLOAD, Endpoint
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

FILE = WORKLOAD.validate_python(ENDPOINT)


def test_an_endpoint_is_due_at_once_and_again_when_its_intent_changes(database: Database) -> None:
    with database.write() as connection:
        for run in ("r_a", "r_b"):
            run_in(connection, run, workload=ENDPOINT)
        endpoint = StoredEndpoint(
            name="delay",
            team="research",
            workload=FILE,
            next={"blue": "r_a"},
            created_at=NOW,
            created_by="admin",
            updated_at=NOW,
        )
        add_endpoint(connection, endpoint)
        assert find_endpoint(connection, "delay") == endpoint
        want(connection, "delay", desired="stop", now=later(5), next={"blue": "r_b"})
        changed = endpoint.model_copy(
            update={"desired": "stop", "next": {"blue": "r_b"}, "updated_at": later(5)}
        )
        assert list_endpoints(connection) == [changed]
        assert connection.execute(select(tables.endpoint.c.due_at)).scalar() == later(5)
        event = Event(at=NOW, phase="run", reason="Serving", message="x")
        add_event(connection, "endpoint/delay", event)
        delete_endpoint(connection, "delay")
        assert find_endpoint(connection, "delay") is None
        assert list_events(connection, "endpoint/delay") == []


def test_a_file_is_kept_as_it_was_written_and_versions_tell_files_apart(database: Database) -> None:
    other = WORKLOAD.validate_python({**ENDPOINT, "replicas": 2, "resources": {"cpu": 2}})
    assert isinstance(FILE, Endpoint)
    assert isinstance(other, Endpoint)
    with database.write() as connection:
        run_in(connection, "r_a", workload=ENDPOINT)
        endpoint = StoredEndpoint(
            name="delay",
            team="research",
            workload=other,
            before=FILE,
            created_at=NOW,
            created_by="admin",
            updated_at=NOW,
        )
        add_endpoint(connection, endpoint)
        found = find_endpoint(connection, "delay")
    assert found == endpoint
    # A size that was stated is a limit, a default is none.
    assert found.workload.resources.model_fields_set == {"cpu"}
    assert endpoint.version == found.version
    assert endpoint.version != endpoint.model_copy(update={"workload": FILE}).version
