"""Each caller sees of the gateway what their teams may."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.control.published import Published, Record, Refused
from plinth.domain.access import Role
from plinth.domain.traffic import Deployment, EndpointRoute, Upstream
from plinth.kit.files import write_atomic
from tests.api.service import OTHER, TEAM, Service, error_of
from tests.control.test_comparison import keep
from tests.control.test_metering import CHAT, access_log, line

HERE = Deployment(id="r_a", upstreams=(Upstream(socket="/r_a.0.sock"),))


@pytest.fixture
def routed(service: Service) -> Service:
    """Have an endpoint of each team, one of which is refused, and three requests just now."""
    plane = service.plane
    routes = [
        EndpointRoute(name="chat", team=TEAM, protocol="openai", deployments=(HERE,)),
        EndpointRoute(name="hidden", team=OTHER),
    ]
    record = Record(plane.home)
    record.write_routes(routes, lambda: None)
    refused = {name: Refused("v1", "no such thing") for name in ("chat", "hidden")}
    record.write(Published("v7", {}, frozenset(), {}, refused), lambda: None)
    begun = {"start": str(plane.clock.now().timestamp())}
    lines = [
        line(id="ours", team=TEAM, **CHAT, **begun),
        line(id="theirs", team=OTHER, **CHAT, **begun),
        line(id="nobodys", team=None, code=401, attempts=0, details="jwt", **CHAT, **begun),
        line(id="api", team=TEAM, route="api", **begun),
        line(id="refused", team=TEAM, details="plinth_denied[none]", code=403, **CHAT, **begun),
        line(id="large", team=TEAM, code=413, details="request_payload_too_large", route="openai"),
        line(id="keyless", team=None, details="plinth_denied[no-key]", code=401, **CHAT, **begun),
    ]
    write_atomic(access_log(plane), b"".join(lines))
    plane.parts.metering.collect()
    return service


def viewer(service: Service, team: str | None = TEAM) -> str:
    return service.caller(Role.VIEWER, team)


def get(service: Service, key: str, path: str, **params: Any) -> Any:
    answer = service.call(key, "GET", path, params=params)
    assert answer.is_success, answer.text
    return answer.json()


def test_the_status_says_what_runs_and_what_was_refused_of_what_one_may_see(
    routed: Service,
) -> None:
    found = get(routed, viewer(routed), "/gateway")
    assert (found["version"], found["is_settled"], found["is_running"]) == ("v7", True, False)
    assert "Envoy does not answer" in found["envoy_error"]
    assert found["refused"] == {"chat": {"version": "v1", "reason": "no such thing"}}
    assert (found["endpoints"], found["ready_endpoints"], found["deployments"]) == (1, 1, 1)
    assert found["traffic"]["requests"] == 1
    whole = get(routed, routed.admin, "/gateway")
    assert (whole["endpoints"], whole["by_endpoint"]["chat"]["requests"]) == (2, 3)


def test_the_status_of_a_gateway_that_never_ran_is_no_error(service: Service) -> None:
    found = get(service, service.admin, "/gateway")
    assert (found["version"], found["is_running"], found["endpoints"]) == (None, False, 0)


def test_routes_are_those_of_the_endpoints_that_one_may_see(routed: Service) -> None:
    assert [each["endpoint"] for each in get(routed, viewer(routed), "/gateway/routes")] == ["chat"]
    assert [each["endpoint"] for each in get(routed, viewer(routed, OTHER), "/gateway/routes")] == [
        "hidden"
    ]
    assert get(routed, routed.caller(), "/gateway/routes") == []
    assert len(get(routed, routed.admin, "/gateway/routes")) == 2


def test_requests_are_those_of_the_teams_whose_usage_one_may_see(routed: Service) -> None:
    def seen(key: str, **params: Any) -> list[str]:
        found = get(routed, key, "/gateway/tail", **params)["requests"]
        return [each["id"] for each in found]

    assert seen(viewer(routed)) == ["ours", "refused", "large"]
    assert seen(viewer(routed, OTHER)) == ["theirs"]
    assert seen(routed.caller()) == []
    assert seen(routed.admin) == ["ours", "theirs", "nobodys", "refused", "large", "keyless"]
    assert seen(routed.admin, team=OTHER) == ["theirs"]
    assert seen(routed.admin, endpoint="chat") == ["ours", "theirs", "nobodys"]
    assert seen(routed.admin, limit=1) == ["keyless"]


def test_a_refused_request_says_why_and_not_whether_there_is_what_it_asked_for(
    routed: Service,
) -> None:
    *_, refused, large, keyless = get(routed, routed.admin, "/gateway/tail")["requests"]
    assert (refused["endpoint"], refused["deployment"], refused["code"]) == (None, None, 403)
    assert refused["why"] == "its key may not use this, or there is no such thing"
    assert (large["endpoint"], large["why"]) == (None, "the body is too large")
    assert (keyless["team"], keyless["why"]) == (None, "no key")


def test_an_endpoint_that_there_is_not_or_that_one_may_not_see_is_said(routed: Service) -> None:
    routed.plane.apply()
    stranger = viewer(routed, OTHER)
    hidden = routed.call(stranger, "GET", "/gateway/tail", params={"endpoint": "delay"})
    absent = routed.call(stranger, "GET", "/gateway/tail", params={"endpoint": "absent"})
    assert (hidden.status_code, absent.status_code) == (404, 404)
    assert error_of(hidden)["message"] == error_of(absent)["message"].replace("absent", "delay")
    # It is there, and nobody has asked it anything.
    assert get(routed, viewer(routed), "/gateway/tail", endpoint="delay")["requests"] == []
    cursor = get(routed, routed.admin, "/gateway/tail")["cursor"]
    page = get(routed, routed.admin, "/gateway/tail", endpoint="absent", after=cursor)
    assert page["requests"] == []


def test_the_next_page_begins_where_the_last_one_ended(routed: Service) -> None:
    cursor = get(routed, routed.admin, "/gateway/tail")["cursor"]
    with access_log(routed.plane).open("ab") as log:
        log.write(line(id="new", team=TEAM, **CHAT))
    page = get(routed, viewer(routed), "/gateway/tail", after=cursor)
    assert [each["id"] for each in page["requests"]] == ["new"]
    error_of(routed.call(routed.admin, "GET", "/gateway/tail", params={"after": "x"}))


def test_the_requests_of_a_team_that_one_may_not_see_are_of_no_team(routed: Service) -> None:
    key = viewer(routed)
    hidden = routed.call(key, "GET", "/gateway/tail", params={"team": OTHER})
    absent = routed.call(key, "GET", "/gateway/tail", params={"team": "absent"})
    assert (hidden.status_code, absent.status_code) == (404, 404)
    assert error_of(hidden)["message"] == error_of(absent)["message"].replace("absent", OTHER)


def test_pairs_hold_what_callers_sent_and_are_for_who_may_change_the_endpoint(
    service: Service,
) -> None:
    service.plane.apply()
    keep(service.plane.home.gateway, "0a", "/v2/models/delay/infer", "{}")
    (pair,) = get(service, service.caller(Role.CONTRIBUTOR), "/gateway/pairs/delay")
    assert pair["id"] == "0a"
    assert service.call(viewer(service), "GET", "/gateway/pairs/delay").status_code == 403
    stranger = service.caller(Role.OPERATOR, OTHER)
    assert service.call(stranger, "GET", "/gateway/pairs/delay").status_code == 404
