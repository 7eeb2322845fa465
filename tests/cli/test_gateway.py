"""The gateway is shown for people and as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from plinth.cli import gateway
from plinth.control.published import Published, Record, Refused
from plinth.domain.serving import External, TrafficPolicy
from plinth.domain.traffic import Deployment, EndpointRoute, Upstream
from plinth.gateway.admin import Acknowledgement, Admin
from tests.api.service import TEAM
from tests.cli.terminal import Terminal
from tests.control.test_comparison import keep
from tests.control.test_metering import CHAT, access_log, line

HERE = Deployment(id="r_a", name="blue", upstreams=(Upstream(socket="/r_a.0.sock"),))
GREEN = Deployment(id="r_b", name="green", upstreams=(Upstream(socket="/r_b.0.sock"),))
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


def test_the_status_says_what_elsewhere_does_not_answer(watched: Terminal) -> None:
    home = watched.service.plane.home
    external = External(url="https://1.1.1.1/v1", protocol="openai")
    away = Deployment(id="chat.main", name="main", external=external)
    record = Record(home)
    record.write_routes([ROUTE.model_copy(update={"deployments": (away,)})], lambda: None)
    old = {"chat.main": "it holds a space"}
    record.write(Published("v7", {}, frozenset(), {}, credentials=old), lambda: None)
    ill = {"state": "unhealthy", "since": "2026-11-23T10:00:00+00:00", "why": "gone"}
    (home.gateway / "health.json").write_text(json.dumps({"chat.main": ill}))
    said = watched("gateway", "status").err
    assert "`chat.main` is unhealthy for " in said
    assert "`chat.main` has no new credential: it holds a space" in said


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
    assert cut.endswith("(the connection failed) cut")


def test_what_was_refused_by_a_limit_has_gone_to_nobody(watched: Terminal) -> None:
    plane = watched.service.plane
    limited = {"code": 429, "details": "local_rate_limited", "flags": "RL", "attempts": 0}
    with access_log(plane).open("ab") as log:
        log.write(line(id="full", team=TEAM, **{**CHAT, **limited}))
    (full,) = watched("gateway", "tail", "--once", "--last", "1").out.splitlines()
    assert "->" not in full
    assert "(a limit of requests is used up) full" in full


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


def test_an_endpoint_that_there_is_not_is_said(watched: Terminal) -> None:
    said = watched("gateway", "tail", "--endpoint", "nosuch")
    assert said.code == 1
    assert "there is no endpoint `nosuch`" in said.err


def test_answers_are_shown_beside_those_of_the_copies(terminal: Terminal) -> None:
    plane = terminal.service.plane
    plane.apply()
    keep(plane.home.gateway, "0a", "/v2/models/delay/infer", "{}")
    said = terminal("gateway", "pairs", "delay")
    assert "same" in said.out
    # Once for each side: what was answered, and not what is around it.
    assert said.out.count("p [0.5]") == 2
    assert "outputs" not in said.out
    assert "1 of 1 are the same" in said.err
    (pair,) = terminal("gateway", "pairs", "delay", "--json").json
    assert (pair["same"], pair["difference"]) == (True, None)
    assert (pair["answer_content"], pair["shadow_content"]) == ("p [0.5]", "p [0.5]")
    assert "outputs" in pair["answer"]


@pytest.mark.parametrize(
    ("policy", "deployments", "words"),
    [
        ({}, (HERE,), "`delay` has no `mirror`"),
        ({"traffic": {"blue": 100}, "mirror": {"green": 5}}, (), "no deployment of `delay` is"),
        (
            {"traffic": {"blue": 50, "green": 50}, "mirror": {"green": 5}},
            (HERE, GREEN),
            "needs one deployment that serves all",
        ),
        (
            {"traffic": {"blue": 100}, "mirror": {"green": 5}},
            (HERE, GREEN),
            "no pair of answers of `delay` is kept yet",
        ),
    ],
)
def test_why_there_are_no_pairs_is_said(
    terminal: Terminal, policy: Any, deployments: tuple[Deployment, ...], words: str
) -> None:
    plane = terminal.service.plane
    plane.apply()
    traffic = TrafficPolicy.model_validate(policy)
    route = EndpointRoute(name="delay", team=TEAM, deployments=deployments, policy=traffic)
    Record(plane.home).write_routes([route], lambda: None)
    assert words in terminal("gateway", "pairs", "delay").err


@pytest.mark.parametrize(
    ("answer", "copy", "shown"),
    [
        ("yes", "no", ("yes", "503: no")),
        ("a\nb", "a b", ("a b", "503: a b")),
        ("x" * 100, "x" * 100, ("x" * 60 + "...", "503: " + "x" * 60 + "...")),
        # Long ones are shown from shortly before where they differ.
        (
            "x" * 80 + "one",
            "x" * 80 + "two" + "y" * 90,
            ("..." + "x" * 20 + "one", "503: ..." + "x" * 20 + "two" + "y" * 37 + "..."),
        ),
    ],
)
def test_answers_stand_side_by_side_where_they_differ(
    answer: str, copy: str, shown: tuple[str, str]
) -> None:
    pair = {"answer_content": answer, "shadow_content": copy, "status": 200, "shadow_status": 503}
    assert gateway._beside(pair) == shown
