"""Verbs on teams and keys."""

from __future__ import annotations

from plinth.domain.access import Role
from tests.cli.terminal import Terminal


def test_a_key_alone_is_on_stdout(terminal: Terminal) -> None:
    said = terminal("keys", "create", "dash", "--team", "research")
    assert said.code == 0
    assert said.out.startswith("plk_")
    assert said.out.count("\n") == 1
    assert "is not shown again" in said.err


def test_keys_are_listed_and_revoked(terminal: Terminal) -> None:
    key = terminal("keys", "create", "dash", "--team", "research", "--json").json
    assert key["id"] in terminal("keys").out
    assert key["token"] not in terminal("keys", "list", "--json").out
    of_team = terminal("keys", "list", "--team", "research", "--json").json
    assert key["id"] in {each["id"] for each in of_team}
    assert {each["principal"]["team"] for each in of_team} == {"research"}
    assert key["id"] not in terminal("keys", "list", "--team", "default").out
    assert "there is no team `nobody`" in terminal("keys", "list", "--team", "nobody").err
    assert "revoked" in terminal("keys", "revoke", key["id"]).err
    assert terminal("keys", "revoke", key["id"], "--json").json == {"revoked": key["id"]}
    assert "revoked" in terminal("keys", "list").out


def test_a_key_that_has_ended_does_not_look_as_if_it_counted(terminal: Terminal) -> None:
    terminal("keys", "create", "brief", "--team", "research")
    assert " until 20" in terminal("keys", "list").out
    terminal.service.plane.clock.advance(3e6)
    (line,) = [each for each in terminal("keys", "list").out.splitlines() if " brief " in each]
    assert " expired 20" in line


def test_teams_are_added_and_listed_with_the_number_of_their_members(terminal: Terminal) -> None:
    assert "members add NAME --on-team fresh" in terminal("teams", "add", "fresh").err
    assert terminal("teams", "add", "fresher", "--json").json["name"] == "fresher"
    terminal("members", "add", "anna", "--on-team", "fresh")
    (line,) = [line for line in terminal("teams").out.splitlines() if line.startswith("fresh ")]
    assert line.split()[:2] == ["fresh", "1"]


def test_who_may_not_is_told_why(terminal: Terminal) -> None:
    terminal.key = terminal.service.caller(Role.VIEWER)
    said = terminal("keys", "create", "x", "--team", "research")
    assert said.code == 1
    assert "this needs role `operator` on team `research`" in said.err
    assert "no keys that you manage" in terminal("keys").err
