"""The verb on members."""

from __future__ import annotations

from plinth.domain.access import Role
from tests.cli.terminal import Terminal

ANNA = ("anna", "--on-team", "research")


def test_a_members_key_alone_is_on_stdout(terminal: Terminal) -> None:
    said = terminal("members", "add", *ANNA, "--role", "contributor", "--days", "7")
    assert said.code == 0
    assert said.out.startswith("plk_")
    assert said.out.count("\n") == 1
    assert "`anna` is contributor of team `research`" in said.err
    assert terminal.service.call(said.out.strip(), "GET", "/whoami").status_code == 200


def test_members_come_change_and_go(terminal: Terminal) -> None:
    key = terminal("members", "add", *ANNA, "--json").json["token"]
    assert "anna" in terminal("members").out
    assert "anna" in terminal("members", "list", "--on-team", "research").out
    assert "anna" not in terminal("members", "list", "--on-team", "default").out
    assert "anna" in terminal("members", "--on-team", "research").out
    assert "anna" not in terminal("members", "--on-team", "default").out
    said = terminal("members", "set-role", *ANNA, "--role", "operator")
    assert "`anna` is operator of team `research`" in said.err
    (anna,) = terminal("members", "list", "--on-team", "research", "--json").json
    assert (anna["role"], anna["keys"]) == ("operator", 1)
    assert "no member of team `research` any more" in terminal("members", "remove", *ANNA).err
    assert terminal.service.call(key, "GET", "/whoami").status_code == 401
    assert terminal("members", "list", "--on-team", "research", "--json").json == []


def test_answers_are_json_for_programs(terminal: Terminal) -> None:
    made = terminal("members", "add", *ANNA, "--json").json
    changed = terminal("members", "set-role", *ANNA, "--role", "operator", "--json").json
    assert (changed["id"], changed["role"]) == (made["principal"]["id"], "operator")
    removed = terminal("members", "remove", *ANNA, "--json").json
    assert removed == {"removed": "anna", "team": "research", "principal": changed["id"]}


def test_a_name_that_is_taken_is_told_with_the_way_to_another_key(terminal: Terminal) -> None:
    terminal("members", "add", *ANNA)
    said = terminal("members", "add", *ANNA)
    assert said.code == 1
    assert "hint: `plinth keys create anna --team research` makes another key" in said.err


def test_who_may_not_is_told_why(terminal: Terminal) -> None:
    terminal.key = terminal.service.caller(Role.VIEWER)
    said = terminal("members", "add", *ANNA)
    assert said.code == 1
    assert "this needs role `operator` on team `research`" in said.err
    assert "no members" in terminal("members").err
