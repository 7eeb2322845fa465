"""Usage is shown to those who may see the team."""

from __future__ import annotations

from datetime import UTC, datetime

from plinth.domain.access import Role
from plinth.domain.usage import Gap
from tests.api.service import OTHER, TEAM, Service


def test_a_team_sees_what_it_used(service: Service) -> None:
    plane = service.plane
    run = plane.submit()
    plane.until(lambda: plane.run(run).phase == "running")
    plane.step(30)
    (row,) = service.call(service.caller(Role.VIEWER), "GET", "/usage").json()
    assert (row["team"], row["workload"]) == (TEAM, "job/train")
    assert row["training_seconds"] >= 30
    assert service.call(service.caller(Role.VIEWER, OTHER), "GET", "/usage").json() == []


def test_everybody_who_is_charged_may_see_what_may_be_missing(service: Service) -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    gap = Gap(source="ends:a", position="1", reason="killed", started_at=at, ended_at=at)
    ledger = service.plane.context.ledger
    ledger.commit("ends:a", [], expected=None, cursor="1", gaps=[gap])
    for team in (TEAM, OTHER):
        answer = service.call(service.caller(Role.VIEWER, team), "GET", "/usage/gaps")
        assert answer.json() == [gap.model_dump(mode="json")]
