"""How a server elsewhere is, from what Envoy has counted between two looks."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.control.endpoints.health import Health, HealthWatch, Seen, judge, read_health
from plinth.control.published import Published, Record
from plinth.domain.serving import External, TrafficPolicy
from plinth.domain.serving import Health as Check
from plinth.domain.traffic import Deployment, EndpointRoute
from plinth.gateway.admin import Admin, Host
from tests.control.plane import Plane

WELL = Health("healthy", "t0", "it answered the newest requests")
ILL = Health("unhealthy", "t0", "it could not be reached")
CHAT = External(url="https://1.1.1.1/v1", protocol="openai")


def state(
    before: Health | None, then: Seen | None, now: Seen, *, has_check: bool = False
) -> tuple[str, str] | None:
    found = judge(before, then, now, has_check=has_check, at="t1")
    return None if found is None else (found.state, found.since)


@pytest.mark.parametrize(
    ("before", "then", "now", "expected"),
    [
        # Nobody has asked it anything.
        (None, None, Seen(), None),
        (None, Seen(), Seen(), None),
        # Its requests since the last look.
        (None, Seen(), Seen(succeeded=1), ("healthy", "t1")),
        (None, Seen(), Seen(failed=1), ("unhealthy", "t1")),
        (WELL, Seen(5, 0), Seen(5, 2), ("unhealthy", "t1")),
        (WELL, Seen(5, 0), Seen(6, 2), ("healthy", "t0")),
        (ILL, Seen(5, 2), Seen(6, 2), ("healthy", "t1")),
        (ILL, Seen(5, 2), Seen(5, 3), ("unhealthy", "t0")),
        # Nothing new.
        (ILL, Seen(5, 2), Seen(5, 2), ("unhealthy", "t0")),
        # A control plane that has just started keeps what was noted.
        (ILL, None, Seen(5, 2), ("unhealthy", "t0")),
        (None, None, Seen(5, 2), None),
        (None, None, Seen(0, 2), ("unhealthy", "t1")),
        # Envoy counts anew, as of another server.
        (ILL, Seen(0, 2), Seen(), None),
        (ILL, Seen(0, 2), Seen(1, 0), ("healthy", "t1")),
    ],
)
def test_requests_tell_how_a_server_is(
    before: Health | None, then: Seen | None, now: Seen, expected: tuple[str, str] | None
) -> None:
    assert state(before, then, now) == expected


def test_where_it_is_checked_the_checks_decide() -> None:
    assert state(None, Seen(), Seen(succeeded=9), has_check=True) is None
    assert state(WELL, Seen(), Seen(succeeded=9, checked=False), has_check=True) == (
        "unhealthy",
        "t1",
    )
    assert state(ILL, Seen(), Seen(failed=9, checked=True), has_check=True) == ("healthy", "t1")
    found = judge(None, Seen(), Seen(checked=True), has_check=True, at="t1")
    assert found is not None
    assert found.is_asked


def test_a_name_that_leads_nowhere_is_told_when_it_is_seen_twice() -> None:
    nowhere = Seen(is_found=False)
    assert state(None, None, nowhere) is None
    assert state(None, nowhere, nowhere) == ("unhealthy", "t1")


def test_a_name_that_is_found_now_says_nothing_of_its_server_yet() -> None:
    nowhere = Seen(is_found=False)
    lost = judge(None, nowhere, nowhere, has_check=False, at="t0")
    assert state(lost, nowhere, Seen()) is None
    assert state(lost, nowhere, Seen(succeeded=1)) == ("healthy", "t1")
    assert state(lost, nowhere, nowhere) == ("unhealthy", "t0")


def test_the_servers_of_a_deployment_are_summed_up() -> None:
    both = [Host(1, 2), Host(3, 4, fails_check=True, is_unchecked=True)]
    assert Seen.of(both) == Seen(4, 6, checked=True)
    assert Seen.of([Host(0, 0, fails_check=True)]).checked is False
    assert Seen.of([]).is_found is False


def test_envoys_numbers_are_read_with_those_that_it_leaves_out(
    monkeypatch: pytest.MonkeyPatch, plane: Plane
) -> None:
    dead = {
        "stats": [{"name": "cx_connect_fail", "value": "2"}, {"name": "rq_success"}],
        "health_status": {"failed_active_health_check": True, "pending_active_hc": True},
    }
    answer = {"cluster_statuses": [{"name": "a", "host_statuses": [dead]}, {"name": "b"}]}
    monkeypatch.setattr(Admin, "_ask", lambda *_: answer)
    with Admin(plane.home.socket("envoy-admin")) as admin:
        assert admin.hosts() == {"a": [Host(0, 2, fails_check=True, is_unchecked=True)], "b": []}


def test_what_is_seen_is_noted_for_every_control_plane_and_kept(
    monkeypatch: pytest.MonkeyPatch, plane: Plane
) -> None:
    hosts: dict[str, Any] = {
        "external:chat.a": [Host(0, 0)],
        "bounded:chat.a": [Host(0, 0)],
        "external:sure.main": [Host(0, 0, fails_check=True)],
    }
    monkeypatch.setattr(Admin, "hosts", lambda _: hosts)
    sure = Deployment(id="sure.main", name="main", external=CHAT)
    policy = TrafficPolicy(health=Check(path="/health"))
    route = EndpointRoute(name="sure", team="ops", deployments=(sure,), policy=policy)
    Record(plane.home).write_routes([route], lambda: None)
    published = Published("v", {}, frozenset({"r_a", "chat.a", "sure.main"}), {})
    watch = HealthWatch(plane.context, lambda: published)
    watch.look()
    assert {name: each.state for name, each in read_health(plane.home).items()} == {
        "sure.main": "unhealthy"
    }
    hosts["bounded:chat.a"] = [Host(0, 1)]
    watch.look()
    noted = read_health(plane.home)
    assert noted["chat.a"].state == "unhealthy"
    HealthWatch(plane.context, lambda: published).look()
    assert read_health(plane.home) == noted


def test_without_a_model_elsewhere_envoy_is_not_asked(plane: Plane) -> None:
    HealthWatch(plane.context, lambda: None).look()
    published = Published("v", {}, frozenset({"r_a"}), {})
    HealthWatch(plane.context, lambda: published).look()
    assert read_health(plane.home) == {}
