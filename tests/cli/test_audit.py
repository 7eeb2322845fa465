"""The verb that shows who did what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from plinth.cli.audit import _time
from plinth.domain.access import Role
from tests.cli.terminal import Terminal


def test_who_did_what_is_a_table_and_json(terminal: Terminal) -> None:
    terminal("teams", "add", "fresh")
    last = terminal("audit-log").out.splitlines()[-1]
    assert last.split()[3:9] == ["admin", "add", "team/fresh", "fresh", "done", "local"]
    entry = terminal("audit-log", "--json").json[-1]
    assert (entry["name"], entry["action"], entry["subject"]) == ("admin", "add", "team/fresh")


def test_a_refusal_is_shown_with_its_rule(terminal: Terminal) -> None:
    run = terminal.service.plane.submit()
    admin, terminal.key = terminal.key, terminal.service.caller(Role.VIEWER)
    assert terminal("stop", run).code == 1
    terminal.key = admin
    said = terminal("audit-log", "--outcome", "denied", "--team", "research")
    assert "this needs role `contributor`" in said.out
    assert "role-too-low" in said.out


def test_entries_are_filtered_by_each_option(terminal: Terminal) -> None:
    terminal("teams", "add", "fresh")
    terminal("keys", "create", "dash", "--team", "fresh")
    subjects = [
        ("--action", "create"),
        ("--who", "admin"),
        ("--team", "fresh"),
        ("--since", "2000-01-01"),
    ]
    for option, value in subjects:
        assert "key/k_" in terminal("audit-log", option, value).out, option
    for option, value in (("--subject", "team/fresh"), ("--action", "add")):
        assert "key/k_" not in terminal("audit-log", option, value).out, option
    assert "no entries" in terminal("audit-log", "--until", "2000-01-01").err


def test_a_full_page_says_how_to_go_on(terminal: Terminal) -> None:
    terminal("teams", "add", "fresh")
    page = terminal("audit-log", "--limit", "1")
    (entry,) = terminal("audit-log", "--limit", "1", "--json").json
    assert f"--before {entry['id']}" in page.err
    assert "team/fresh" not in terminal("audit-log", "--before", str(entry["id"])).out


def test_who_operates_nothing_reads_nothing(terminal: Terminal) -> None:
    terminal.key = terminal.service.caller(Role.CONTRIBUTOR)
    assert "no entries that you may read" in terminal("audit-log").err
    said = terminal("audit-log", "--team", "research")
    assert said.code == 1
    assert "this needs role `operator` on team `research`" in said.err


def test_a_time_is_read_as_utc_or_as_how_long_ago() -> None:
    assert _time(None) is None
    assert _time("2026-11-23T14:00") == "2026-11-23T14:00:00+00:00"
    assert _time("2026-11-23T14:00+02:00") == "2026-11-23T14:00:00+02:00"
    ago = _time("2h")
    assert ago is not None
    assert abs(datetime.now(UTC) - timedelta(hours=2) - datetime.fromisoformat(ago)) < timedelta(
        minutes=1
    )


@pytest.mark.parametrize("text", ["yesterday", "99999999999d", "-1h", ""])
def test_what_is_no_time_is_said(terminal: Terminal, text: str) -> None:
    said = terminal("audit-log", "--since", text)
    assert said.code == 1
    assert "is not a time" in said.err
    assert "2h" in said.err
