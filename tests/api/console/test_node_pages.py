"""The node's page is for those who may see the node."""

from __future__ import annotations

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
