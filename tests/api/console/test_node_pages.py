"""The node's page is for those who may see the node."""

from __future__ import annotations

from typing import Any

from plinth.api.console.node_pages import chosen
from plinth.domain.access import Role
from tests.api.console.person import Person
from tests.api.service import TEAM, Service


def test_the_node_is_shown_also_while_its_agent_is_down(person: Person) -> None:
    page = person.page("/node")
    assert "<h2>Units</h2>" in page
    assert "The node agent does not answer" in page


def test_a_teams_viewer_is_not_led_to_it_and_finds_nothing(service: Service) -> None:
    viewer = Person(service, service.caller(Role.VIEWER, TEAM))
    assert 'href="/node"' not in viewer.page("/")
    assert viewer.ask("/node").status_code == 404


def test_what_runs_stands_first_and_of_what_ended_the_newest() -> None:
    units: list[dict[str, Any]] = [
        {"id": f"old-{day}", "phase": "exited", "ended_at": f"2026-01-{day:02}"}
        for day in range(1, 26)
    ]
    units.append({"id": "envoy", "phase": "running", "ended_at": None})
    shown, older = chosen(units)
    assert [each["id"] for each in shown[:2]] == ["envoy", "old-25"]
    assert (len(shown), shown[-1]["id"], older) == (21, "old-6", 5)
