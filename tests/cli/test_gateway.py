"""The gateway is shown for people and as JSON."""

from __future__ import annotations

import json

import pytest

from plinth.cli import gateway
from plinth.control.published import Published, Record, Refused
from plinth.domain.serving import TrafficPolicy
from plinth.domain.traffic import Deployment, EndpointRoute, Upstream
from plinth.gateway.admin import Acknowledgement, Admin
from tests.api.service import TEAM
from tests.cli.terminal import Terminal
from tests.control.test_comparison import keep
from tests.control.test_metering import CHAT, access_log, line

HERE = Deployment(id="r_a", name="blue", upstreams=(Upstream(socket="/r_a.0.sock"),))
ROUTE = EndpointRoute(
    name="chat",
    team=TEAM,
    protocol="openai",
    deployments=(HERE,),
    policy=TrafficPolicy.model_validate(
        {"traffic": {"blue": 100}, "limits": [{"each": "team", "requests_per_minute": 60}]}
    ),
)


@pytest.fixture
def watched(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    plane = terminal.service.plane
    monkeypatch.setattr(Admin, "acknowledged", lambda _: {"rds": Acknowledgement("v7", 0)})
    monkeypatch.setattr(Admin, "listeners", lambda _: ["127.0.0.1:8470"])
    record = Record(plane.home)
    record.write_routes([ROUTE], lambda: None)
    refused = {"chat": Refused("v1", "no such thing")}
    record.write(Published("v7", {}, frozenset(), {}, refused), lambda: None)
    begun = {"start": str(plane.clock.now().timestamp()), "team": TEAM}
    lines = [
        line(id="good", first_ms=20, **CHAT, **begun),
        line(id="cut", **{**CHAT, "usage": None}, **begun, code=503, flags="UF", attempts=2),
    ]
    access_log(plane).write_bytes(b"".join(lines))
    return terminal


def test_the_status_shows_version_listener_traffic_and_what_was_refused(watched: Terminal) -> None:
    said = watched("gateway", "status")
    assert "The gateway is running; configuration v7" in said.out
    assert "listens: 127.0.0.1:8470" in said.out
    assert "1 of 1 endpoints ready, 1 deployments" in said.out
    assert "1 (50.0%)" in said.out
    assert "Envoy refuses `chat`, which stays as it was: no such thing" in said.err
    assert watched("gateway", "status", "--json").json["traffic"]["requests"] == 2


def test_a_gateway_that_is_down_is_said(terminal: Terminal) -> None:
    said = terminal("gateway", "status")
    assert "The gateway is not running; configuration none yet" in said.out
    assert "Envoy does not answer" in said.err
    assert "no endpoint was asked anything" in said.err


def test_routes_are_rows_of_deployments_with_their_part(watched: Terminal) -> None:
    said = watched("gateway", "routes")
    for word in ("chat", "openai", "blue", "100 %", "here, 1 replica", "60 requests a minute"):
        assert word in said.out
    assert "`chat`: /v1 with model `chat` and /openai/deployments/chat" in said.err
    (row,) = watched("gateway", "routes", "--json").json
    assert row["deployments"][0]["id"] == "r_a"


def test_no_routes_say_what_to_do(terminal: Terminal) -> None:
    assert "`plinth apply FILE`" in terminal("gateway", "routes").err


def test_requests_are_lines_for_people(watched: Terminal) -> None:
    good, cut = watched("gateway", "tail", "--once").out.splitlines()
    assert f"200 {TEAM} chat -> r_a POST /v1/chat/completions 250 ms, first after 20 ms" in good
    assert "90+30 tokens good" in good
    assert "503" in cut
    assert "attempt 2" in cut
    assert cut.endswith("UF cut")


def test_requests_are_objects_for_programs(watched: Terminal) -> None:
    out = watched("gateway", "tail", "--once", "--json", "--endpoint", "chat", "--last", "1").out
    (found,) = [json.loads(each) for each in out.splitlines()]
    assert (found["id"], found["code"]) == ("cut", 503)


def test_requests_are_followed_until_one_has_seen_enough(
    watched: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Waits:
        waits = 0

        @classmethod
        def sleep(cls, _seconds: float) -> None:
            cls.waits += 1
            if cls.waits > 2:
                raise KeyboardInterrupt
            with access_log(watched.service.plane).open("ab") as log:
                log.write(line(id=f"new-{cls.waits}", team=TEAM, **CHAT))

    monkeypatch.setattr(gateway, "time", Waits)
    said = watched("gateway", "tail", "--json")
    found = [json.loads(each)["id"] for each in said.out.splitlines()]
    assert (said.code, found) == (130, ["good", "cut", "new-1", "new-2"])


def test_answers_are_shown_beside_those_of_the_copies(terminal: Terminal) -> None:
    plane = terminal.service.plane
    plane.apply()
    assert "no pair of answers of `delay` is kept yet" in terminal("gateway", "pairs", "delay").err
    keep(plane.home.gateway, "0a", "/v2/models/delay/infer", "{}")
    said = terminal("gateway", "pairs", "delay")
    assert "same" in said.out
    assert "1 of 1 are the same" in said.err
    (pair,) = terminal("gateway", "pairs", "delay", "--json").json
    assert (pair["same"], pair["difference"]) == (True, None)
