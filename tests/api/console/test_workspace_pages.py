"""A workspace's page leads its owner into it, and nobody else."""

from __future__ import annotations

from typing import Any

from plinth.domain.access import Role
from tests.api.console.person import Person
from tests.api.service import TEAM, Service


def opened(service: Service, **fields: Any) -> None:
    body = {"kind": "workspace", "name": "eda", "team": TEAM, **fields}
    service.as_admin("PUT", "/workspaces/eda", json=body)


def test_a_workspace_stands_in_the_table_once_and_has_a_page(
    service: Service, person: Person
) -> None:
    opened(service)
    page = person.page("/")
    assert page.count(">eda</a>") == 1
    assert 'href="/workspaces/eda"' in page
    shown = person.page("/workspaces/eda")
    assert "jupyterlab" in shown
    assert 'action="/workspaces/eda/stop"' in shown


def test_its_owner_stops_and_starts_it(service: Service, person: Person) -> None:
    opened(service)
    stopped = person.ask("/workspaces/eda/stop", "POST")
    assert (stopped.status_code, stopped.headers["location"]) == (303, "/workspaces/eda")
    assert 'action="/workspaces/eda/start"' not in person.page("/workspaces/eda")
    with service.plane.write() as connection:
        connection.exec_driver_sql("update run set phase = 'stopped'")
    assert 'action="/workspaces/eda/start"' in person.page("/workspaces/eda")
    assert person.ask("/workspaces/eda/start", "POST").status_code == 303
    assert service.as_admin("GET", "/workspaces/eda")["desired"] == "run"


def test_somebody_else_of_the_team_sees_it_and_gets_no_button(service: Service) -> None:
    opened(service)
    other = Person(service, service.caller(Role.CONTRIBUTOR, TEAM))
    page = other.page("/workspaces/eda")
    assert '<form method="post"' not in page
    assert "Open jupyterlab" not in page
    assert other.ask("/workspaces/eda/stop", "POST").status_code == 403
