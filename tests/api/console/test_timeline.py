"""Requests are counted by minute, those that failed apart, and only what the visitor may see."""

from __future__ import annotations

import json
from datetime import timedelta

from plinth.control.metering import access_log
from plinth.domain.access import Role
from tests.api.console.person import Person
from tests.api.service import LONELY, TEAM, Service


def log_line(service: Service, *, minutes_ago: float, code: int, team: str = TEAM) -> None:
    start = service.plane.clock.now() - timedelta(minutes=minutes_ago)
    line = {
        "id": f"r-{minutes_ago}-{code}",
        "start": f"{start.timestamp():.6f}",
        "ms": 12,
        "principal": "p_1",
        "team": team,
        "route": "endpoint:delay",
        "cluster": "deployment:r_1",
        "upstream": "/x.sock",
        "method": "POST",
        "path": "/v2/models/delay/infer",
        "code": code,
        "details": "via_upstream",
        "flags": "-",
        "key": "k_1",
        "rx": 10,
        "tx": 10,
        "attempts": 1,
    }
    path = access_log(service.plane.home)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as log:
        log.write(json.dumps(line) + "\n")


def test_requests_of_the_last_minutes_are_drawn(service: Service, person: Person) -> None:
    service.plane.apply(name="delay")
    for minutes_ago, code in ((1, 200), (1.2, 200), (5, 503), (90, 200)):
        log_line(service, minutes_ago=minutes_ago, code=code)
    page = person.page("/endpoints/delay")
    assert "<strong>3</strong> requests" in page
    assert "<strong>1</strong> failed" in page
    assert "<strong>12 ms</strong> median" in page
    assert "at most 2 requests in one" in page


def test_requests_of_another_team_are_not_counted(service: Service) -> None:
    service.plane.apply(name="delay")
    log_line(service, minutes_ago=1, code=200, team=LONELY)
    viewer = Person(service, service.caller(Role.VIEWER, TEAM))
    assert "<strong>0</strong> requests" in viewer.page("/endpoints/delay")
