"""What went out to a server elsewhere does not go out again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from plinth.gateway.external import provider
from plinth.gateway.inner import inner_listeners, inner_routes
from plinth.gateway.way_back import LOOP_STATUS, mark_of
from tests.gateway.upstreams import chat, external, hosted, state

MARK = "plinth-abc"
TWO = chat(external("a"), hosted("b"), failover=("a", "b"))


def hosts(folder: Path, mark: str) -> dict[str, list[dict[str, Any]]]:
    (found,) = inner_routes(state(folder, TWO, mark=mark))
    return {each["name"]: each["routes"] for each in found["virtual_hosts"]}


def test_a_mark_is_of_one_plinth_and_tells_nothing_of_it() -> None:
    assert mark_of("node", "/home") == mark_of("node", "/home") != mark_of("node", "/other")
    assert "node" not in mark_of("node", "/home")


def test_before_every_way_out_what_carries_our_mark_is_refused(tmp_path: Path) -> None:
    found = hosts(tmp_path, MARK)
    assert len(found) == 2
    for refused, *_ in found.values():
        assert refused["direct_response"] == {"status": LOOP_STATUS}
        (header,) = refused["match"]["headers"]
        assert header == {"name": "cdn-loop", "string_match": {"contains": MARK}}


def test_the_mark_is_appended_to_those_of_others(tmp_path: Path) -> None:
    made = json.dumps(provider("p", TWO.deployments[0], TWO, state(tmp_path, TWO, mark=MARK)))
    header = {"key": "cdn-loop", "value": MARK}
    said = {"append": {"header": header, "append_action": "APPEND_IF_EXISTS_OR_ADD"}}
    assert json.dumps(said) in made


def test_without_a_mark_nothing_is_marked_or_refused(tmp_path: Path) -> None:
    assert all("direct_response" not in route[0] for route in hosts(tmp_path, "").values())
    made = provider("p", TWO.deployments[0], TWO, state(tmp_path, TWO))
    assert "cdn-loop" not in json.dumps(made)


def test_a_loop_is_told_as_one(tmp_path: Path) -> None:
    said = json.dumps(inner_listeners(state(tmp_path)))
    assert "leads back to this Plinth" in said
