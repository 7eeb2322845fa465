"""Verbs on data and models."""

from __future__ import annotations

from tests.api.service import TEAM
from tests.cli.terminal import Terminal


def test_a_file_is_added_listed_and_shown(terminal: Terminal) -> None:
    assert "no data yet" in terminal("data").err
    file = terminal.write("flights.csv", "a,b\n1,x\n2,y\n")
    said = terminal("data", "add", "flights", file, "--team", TEAM)
    assert "flights@1: 2 rows, 2 columns" in said.err
    again = terminal("data", "add", "flights", file, "--team", TEAM)
    assert "(known before)" in again.err
    assert terminal("data", "add", "flights", file, "--team", TEAM, "--json").json["version"] == 1
    assert "flights@1" in terminal("data", "list").out
    shown = terminal("data", "show", "flights", "--team", TEAM).out
    assert all(word in shown for word in ("COLUMN", "BIGINT", "digest"))
    assert terminal("data", "show", "flights@1", "--team", TEAM, "--json").json["rows"] == 2


def test_what_is_no_file_or_no_version_is_said(terminal: Terminal) -> None:
    assert "is not a file" in terminal("data", "add", "x", "nowhere.csv").err
    assert "is not a data version" in terminal("data", "show", "X@@").err
    assert "has no data version" in terminal("data", "show", "flights@7").err


def test_models_are_listed_with_their_aliases(terminal: Terminal) -> None:
    assert "no models yet" in terminal("models").err
    terminal.service.plane.tracking.add_model(TEAM, "delay", ("champion",))
    assert "@champion" in terminal("models").out


def test_every_list_is_json_for_programs(terminal: Terminal) -> None:
    for words in (
        ["data"],
        ["data", "list"],
        ["models"],
        ["models", "list"],
        ["teams"],
        ["teams", "list"],
        ["members"],
        ["members", "list"],
        ["grants"],
        ["grants", "list"],
        ["audit-log"],
        ["keys"],
        ["keys", "list"],
        ["usage"],
    ):
        said = terminal(*words, "--json")
        assert (said.code, said.err) == (0, ""), words
        assert isinstance(said.json, list), words
    assert set(terminal("list", "--json").json) == {"endpoints", "runs", "workspaces"}
    assert set(terminal("version", "--json").json) == {"version"}


def test_what_changed_between_two_versions_is_shown(terminal: Terminal) -> None:
    for content in ("a,b\n1,x\n2,y\n", "b,c\nx,1\ny,2\nz,3\n"):
        file = terminal.write("flights.csv", content)
        terminal("data", "add", "flights", file, "--team", TEAM)
    said = terminal("data", "diff", "flights@1", "flights@2", "--team", TEAM)
    for words in ("flights@1", "flights@2", "+1", "column c", "added", "column a", "removed"):
        assert words in said.out, words
    shown = terminal("data", "diff", "flights@1", "flights@2", "--team", TEAM, "--json")
    assert shown.json["rows"] == 1
    same = terminal("data", "diff", "flights@2", "flights", "--team", TEAM)
    assert "have the same bytes" in same.err
    assert "is not a data version" in terminal("data", "diff", "flights@1", "X@@").err
