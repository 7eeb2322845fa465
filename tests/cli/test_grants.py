"""The verb on grants."""

from __future__ import annotations

from plinth.domain.access import Role
from tests.cli.terminal import Terminal


def test_roles_are_given_shown_and_taken(terminal: Terminal) -> None:
    terminal("teams", "add", "fresh")
    words = ["grants", "give", "viewer", "--to-team", "fresh", "--on-team", "research"]
    given = terminal(*words, "--json").json
    listed = terminal("grants").out
    assert given["id"] in listed
    assert "team fresh" in listed
    assert "taken away" in terminal("grants", "take", given["id"]).err
    assert given["id"] not in terminal("grants", "list").out
    said = terminal("grants", "give", "viewer", "--to-principal", "admin", "--on-team", "research")
    assert "plinth grants take g_" in said.err


def test_who_has_a_role_is_shown_by_name(terminal: Terminal) -> None:
    made = terminal("members", "add", "anna", "--on-team", "research", "--role", "operator")
    assert made.code == 0
    (line,) = [line for line in terminal("grants").out.splitlines() if "anna" in line]
    assert "operator" in line


def test_a_grant_that_means_nothing_is_refused_before_it_is_sent(terminal: Terminal) -> None:
    assert "one of `--to-team`" in terminal("grants", "give", "viewer").err
    said = terminal("grants", "give", "viewer", "--to-team", "ops", "--endpoint", "x")
    assert "hint: add `--on-team TEAM`" in said.err


def test_who_may_not_give_is_told_which_role_it_needs(terminal: Terminal) -> None:
    terminal.key = terminal.service.caller(Role.CONTRIBUTOR)
    said = terminal("grants", "give", "viewer", "--to-team", "other", "--on-team", "research")
    assert said.code == 1
    assert "this needs role `operator` on team `research`" in said.err
    assert "has `contributor`" in said.err
