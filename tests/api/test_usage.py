"""Usage is shown to those who may see the team."""

from __future__ import annotations

from plinth.domain.access import Role
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
