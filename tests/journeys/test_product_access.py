"""Members and the audit log through the real gateway: who left is refused, who called is known."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from tests.journeys.one_node import with_teams
from tests.journeys.plinth_node import Plinth, kill, wait_for

TEAM = "research"


@pytest.fixture(scope="module")
def plinth(one_node: Plinth) -> Plinth:
    return with_teams(one_node, TEAM)


def add(plinth: Plinth, name: str, *options: str) -> str:
    """Make a member; return the key."""
    return plinth.cli("members", "add", name, "--on-team", TEAM, *options).out.strip()


def log(plinth: Plinth, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = plinth.cli("audit-log", *options, "--json").json
    return found


def test_the_gateway_refuses_at_once_who_left(plinth: Plinth) -> None:
    caller = plinth.http(add(plinth, "anna"))
    # Without an endpoint's work: any valid key is answered.
    assert caller.get("/v2").status_code == 200
    plinth.cli("members", "remove", "anna", "--on-team", TEAM)
    wait_for(lambda: caller.get("/v2").status_code == 401, "the end of the membership")
    assert caller.get("/api/v1/whoami").status_code == 401
    actions = [entry["action"] for entry in log(plinth, "--subject", "member/anna")]
    assert actions == ["add", "remove"]


def test_the_log_knows_the_callers_address_and_the_requests_id(plinth: Plinth) -> None:
    headers = {"x-forwarded-for": "6.6.6.6", "x-request-id": "mine", "x-plinth-id": "mine"}
    caller = plinth.http(plinth.home.admin_token.read_text())
    answer = caller.post("/api/v1/teams", json={"name": "fresh"}, headers=headers)
    assert answer.status_code == 201
    (entry,) = log(plinth, "--subject", "team/fresh")
    # For a caller on this machine Envoy writes one of the machine's own addresses.
    assert ip_address(entry["origin"]) != ip_address("6.6.6.6")
    assert entry["request_id"] == answer.headers["x-plinth-id"] != "mine"
    assert (entry["name"], entry["outcome"]) == ("admin", "done")


def test_who_is_refused_reads_the_rule_and_so_does_the_operator(plinth: Plinth) -> None:
    key, operator = add(plinth, "ben"), add(plinth, "cleo", "--role", "operator")
    said = plinth.cli("keys", "create", "x", "--team", TEAM, check=False, PLINTH_KEY=key)
    assert said.code == 1
    assert f"this needs role `operator` on team `{TEAM}`, and `ben` has `viewer`" in said.err

    def seen() -> bool:
        shown = plinth.cli("audit-log", "--who", "ben", "--outcome", "denied", PLINTH_KEY=operator)
        return "this needs role `operator`" in shown.out and "role-too-low" in shown.out

    # It is written after the answer was sent.
    wait_for(seen, "the entry of the refusal")


def test_the_log_survives_the_kill_of_the_control_plane(plinth: Plinth) -> None:
    plinth.cli("teams", "add", "kept")
    before = log(plinth, "--limit", "1000")
    kill(plinth.pid_of("control"))
    wait_for(plinth.is_up, "the control plane's return")
    assert log(plinth, "--limit", "1000")[: len(before)] == before
