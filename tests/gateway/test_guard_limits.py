from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plinth.gateway.guard.limit import Asked, GuardedLimit, LimitTable
from plinth.gateway.guard.limit_file import LimitFile, parse_limits, write_limits
from plinth.gateway.guard.unit import UNIT, command, journal_file, limits_file, needs_guard
from plinth.kit.errors import Invalid
from plinth.kit.home import Home

LIMIT = {"id": "support/team/research", "per_minute": 10_000}


def test_what_the_control_plane_writes_the_guard_reads(tmp_path: Path) -> None:
    limits = [
        GuardedLimit("a", 5, endpoint="support", each="key", owner="support"),
        GuardedLimit("b", 7, team="ops", most_input_tokens=4096, default_max_tokens=9),
    ]
    write_limits(tmp_path / "guard.json", limits, "v7")
    found = LimitFile(tmp_path / "guard.json").read_if_changed()
    assert found is not None
    assert found.version == "v7"
    assert found.matching(Asked("support", "ops", "k")) == [limits[1], limits[0]]


def test_the_file_is_read_when_it_was_replaced_and_not_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "guard.json"
    file = LimitFile(path)
    assert file.read_if_changed() is None
    write_limits(path, [GuardedLimit("a", 5)], "1")
    assert _count(file.read_if_changed()) == 1
    assert file.read_if_changed() is None
    write_limits(path, [GuardedLimit("b", 5)], "2")
    found = file.read_if_changed()
    assert found is not None
    assert found.version == "2"
    path.unlink()
    assert _count(file.read_if_changed()) == 0
    assert file.read_if_changed() is None


def _count(found: LimitTable | None) -> int | None:
    return None if found is None else len(found)


def test_a_limit_needs_a_name_and_a_number_and_a_newer_one_may_say_more() -> None:
    found = parse_limits(json.dumps({"version": 1, "limits": [LIMIT | {"newer": 1}]}).encode())
    assert found.matching(Asked()) == [GuardedLimit(LIMIT["id"], 10_000)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": ""},
        {"id": None},
        {"per_minute": 0},
        {"per_minute": True},
        {"per_minute": "10"},
        {"unit": "money"},
        {"unit": ["tokens"]},
        {"each": "model"},
        {"team": 7},
        {"default_max_tokens": None},
        {"most_input_tokens": -1},
    ],
)
def test_a_limit_that_cannot_be_is_refused_by_its_field(wrong: dict[str, Any]) -> None:
    content = json.dumps({"version": "1", "limits": [LIMIT | wrong]}).encode()
    with pytest.raises(Invalid, match=next(iter(wrong))):
        parse_limits(content)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"version": "1"}', b'{"version": "1", "limits": 7}', b"null"]
)
def test_a_file_of_another_shape_is_refused(content: bytes) -> None:
    with pytest.raises(Invalid, match="limits"):
        parse_limits(content)


def test_an_account_is_the_limits_or_of_each_team_or_key_under_it() -> None:
    asked = Asked("support", "ops", "k_1")
    assert GuardedLimit("a", 1).account(asked) == "a"
    assert GuardedLimit("a", 1, each="team").account(asked) == "a:ops"
    assert GuardedLimit("a", 1, each="key").account(asked) == "a:k_1"


def test_the_guard_is_a_unit_only_where_something_is_limited() -> None:
    home = Home(Path("/home/plinth"))
    assert not needs_guard([])
    assert needs_guard([GuardedLimit("a", 1)])
    assert UNIT == "guard"
    assert limits_file(home) == home.gateway / "guard.json"
    assert journal_file(home) == home.gateway / "guard.journal"
    assert command(home)[-3:] == ("plinth.gateway.guard.process", "--home", "/home/plinth")
