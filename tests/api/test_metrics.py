"""Counters are scraped as Prometheus reads them, of the teams that one may see."""

from __future__ import annotations

from plinth.domain.access import Role
from tests.api.service import OTHER, TEAM, Service
from tests.control.test_metering import CHAT, access_log, line


def scrape(service: Service, key: str) -> dict[str, float]:
    """Return the samples by series."""
    answer = service.call(key, "GET", "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = (each.rpartition(" ") for each in answer.text.splitlines() if each[0] != "#")
    return {series: float(value) for series, _, value in samples}


def test_what_came_is_counted_by_team_endpoint_and_deployment(service: Service) -> None:
    plane = service.plane
    lines = [line(team=team, id=team, **CHAT) for team in (TEAM, OTHER)]
    access_log(plane).write_bytes(b"".join([*lines, line(route="api")]))
    assert set(scrape(service, service.admin)) == {
        *("plinth_usage_gaps", "plinth_unreadable_lines"),
        "plinth_counters_created_timestamp_seconds",
    }
    plane.parts.metering.collect()
    labels = f'team="{TEAM}",endpoint="chat",deployment="r_a"'
    place = 'endpoint="chat",deployment="r_a"'
    whole = scrape(service, service.admin)
    assert whole[f'plinth_requests_total{{{labels},code="2xx"}}'] == 1
    assert whole[f'plinth_tokens_total{{{labels},meter="input_tokens"}}'] == 90
    assert whole[f'plinth_request_duration_seconds_bucket{{{place},le="0.25"}}'] == 2
    assert whole[f"plinth_request_duration_seconds_count{{{place}}}"] == 2
    assert whole['plinth_other_requests_total{code="2xx"}'] == 1
    assert whole["plinth_counters_created_timestamp_seconds"] == plane.clock.now().timestamp()

    # The control plane starts anew, and goes on counting where it was.
    plane.restart()
    assert scrape(service, service.admin) == whole
    own = scrape(service, service.caller(Role.VIEWER))
    assert own.items() <= whole.items()
    assert own.keys() == {series for series in whole if f'team="{TEAM}"' in series}
    assert scrape(service, service.caller()) == {}
