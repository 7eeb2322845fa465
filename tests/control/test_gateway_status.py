"""How the gateway stands is told by any control plane, also when parts of it are down."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from plinth.control.gateway_status import gateway_status, metrics_text
from plinth.control.loop import Periodic
from plinth.control.published import Published, Record
from plinth.domain.serving import External
from plinth.domain.traffic import Deployment, EndpointRoute, Upstream
from plinth.gateway.admin import Acknowledgement, Admin
from plinth.kit.errors import Permanent
from plinth.metering.ledger import Ledger
from tests.control.plane import Plane
from tests.control.test_metering import CHAT, access_log, line

HERE = Deployment(id="r_a", upstreams=(Upstream(socket="/r_a.0.sock"),))


def status(plane: Plane) -> dict[str, Any]:
    return gateway_status(plane.context, plane.parts, lambda *_: True, lambda _: True)


def test_what_envoy_says_of_itself_is_told_by_kind(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Admin, "acknowledged", lambda _: {"rds": Acknowledgement("v7", 2)})
    monkeypatch.setattr(Admin, "listeners", lambda _: ["127.0.0.1:1"])
    Record(plane.home).write_routes(
        [EndpointRoute(name="chat", team="ops", deployments=(HERE,))], lambda: None
    )
    published = Published("v7", {}, frozenset(), {}, is_guarded=True, is_settled=False)
    Record(plane.home).write(published, lambda: None)
    found = status(plane)
    assert (found["version"], found["is_settled"], found["is_guarded"]) == ("v7", False, True)
    assert found["kinds"] == {"rds": {"version": "v7", "refused": 2}}
    assert found["listeners"] == ["127.0.0.1:1"]
    assert (found["endpoints"], found["ready_endpoints"], found["deployments"]) == (1, 1, 1)


def test_what_elsewhere_does_not_answer_is_told_to_who_may_see_its_endpoint(plane: Plane) -> None:
    external = External(url="https://1.1.1.1/v1", protocol="openai")
    ones = [Deployment(id=f"chat.{name}", name=name, external=external) for name in "ab"]
    route = EndpointRoute(name="chat", team="ops", deployments=tuple(ones))
    Record(plane.home).write_routes([route], lambda: None)
    old = {"chat.b": "it holds a space"}
    Record(plane.home).write(Published("v", {}, frozenset(), {}, credentials=old), lambda: None)
    ill = {"state": "unhealthy", "since": "2026-11-23T10:00:00+00:00", "why": "gone"}
    note = {"chat.a": ill, "chat.b": {**ill, "state": "healthy"}}
    (plane.home.gateway / "health.json").write_text(json.dumps(note))
    found = status(plane)
    assert found["unhealthy"] == {"chat.a": {"since": ill["since"], "why": "gone"}}
    assert found["credentials"] == old
    hidden = gateway_status(plane.context, plane.parts, lambda *_: False, lambda _: True)
    assert (hidden["unhealthy"], hidden["credentials"]) == ({}, {})


def test_why_the_newest_configuration_is_not_in_effect_is_told(plane: Plane) -> None:
    def refuse() -> None:
        raise Permanent("Envoy refuses it")

    periodic = Periodic("gateway", refuse, 1.0)
    periodic.last_error = "Envoy refuses it"
    plane.parts = replace(plane.parts, periodic=(periodic,))
    found = status(plane)
    assert (found["error"], found["is_running"]) == ("Envoy refuses it", False)


def test_the_last_minute_is_of_the_log_and_not_of_the_ledger(plane: Plane) -> None:
    begun = plane.clock.now().timestamp()
    access_log(plane).write_bytes(line(**CHAT, start=str(begun)) + line(start=str(begun - 90)))
    assert status(plane)["by_endpoint"].keys() == {"chat"}
    assert status(plane)["traffic"]["requests"] == 1


def test_a_control_plane_that_reads_no_log_answers_as_the_one_that_does(plane: Plane) -> None:
    access_log(plane).write_bytes(line(**CHAT))
    plane.parts.metering.collect()
    text = metrics_text(plane.context, lambda _team: True)
    assert "plinth_requests_total{" in text
    with closing(Ledger(plane.home.ledger)) as other:
        context = replace(plane.context, ledger=other)
        assert metrics_text(context, lambda _team: True) == text


def test_who_may_see_nothing_gets_an_empty_page(plane: Plane) -> None:
    access_log(plane).write_bytes(line(**CHAT))
    plane.parts.metering.collect()
    assert metrics_text(plane.context, lambda _team: False) == ""
