from __future__ import annotations

import json
import os
import re
import uuid
from pathlib import Path
from typing import Any

import pytest

from plinth.domain.traffic import Deployment
from plinth.gateway import shadow
from tests.gateway.upstreams import chat, external, hosted

SPLIT = {"traffic": {"a": 100, "b": 0}, "mirror": {"b": 12.5}}


@pytest.mark.parametrize(("percent", "numerator"), [(100, 1_000_000), (0.01, 100), (12.5, 125_000)])
def test_any_share_is_written_in_millionths(percent: float, numerator: int) -> None:
    share = shadow.mirror_policy("r_b", percent)["runtime_fraction"]["default_value"]
    assert share == {"numerator": numerator, "denominator": "MILLION"}


def test_one_request_of_64_is_kept() -> None:
    ids = [str(uuid.UUID(int=number << 112, version=4)) for number in range(1 << 16)]
    assert sum(re.fullmatch(shadow.SAMPLED, each) is not None for each in ids) == 1 << 10


def test_answers_are_paired_only_where_one_deployment_gives_them() -> None:
    assert shadow.paired(chat(hosted("a"), hosted("b"), **SPLIT)) == hosted("a")
    both = {"traffic": {"a": 50, "b": 50}, "mirror": {"b": 1}}
    order = {"failover": ("a", "b"), "mirror": {"b": 1}}
    for policy in (both, order, {"traffic": {"a": 100, "b": 0}}):
        assert shadow.paired(chat(hosted("a"), hosted("b"), **policy)) is None


def test_what_is_not_ready_gets_no_copies_and_no_cluster() -> None:
    empty = Deployment(id="r_b", name="b")
    assert shadow.shadow_clusters(chat(hosted("a"), empty, **SPLIT)) == []
    assert shadow.shadow_hosts(chat(hosted("a"), empty, **SPLIT)) == []


def test_a_copy_says_who_owns_it_and_ends_at_some_time() -> None:
    first, second = shadow.shadow_hosts(chat(hosted("a"), external("b"), **SPLIT))
    assert first["domains"] == ["shadow.to.chat.b"]
    assert second["domains"] == ["pair.to.r_a"]
    (route,) = first["routes"]
    assert route["metadata"]["filter_metadata"] == {"plinth": {"owner": "ops"}}
    assert route["route"]["cluster"] == "deployment:chat.b"
    assert route["route"]["timeout"] == "600s"


def trace(request_id: str, body: str, status: int = 200) -> str:
    asked = [{"key": ":path", "value": "/v1"}, {"key": "x-request-id", "value": request_id}]
    answered = [{"key": ":status", "value": str(status)}]
    found: dict[str, Any] = {
        "request": {"headers": asked, "body": {"as_string": "{}"}},
        "response": {"headers": answered, "body": {"as_string": body, "truncated": True}},
    }
    return json.dumps({"http_buffered_trace": found})


def test_pairs_are_what_both_sides_wrote_whole(tmp_path: Path) -> None:
    folder = tmp_path / "pairs"
    folder.mkdir()
    (folder / "pairs_1.json").write_text(trace("one", "a"))
    (folder / "shadow_9.json").write_text(trace("one", "b", 503))
    (folder / "pairs_2.json").write_text(trace("two", "alone"))
    (folder / "shadow_3.json").write_text(trace("three", "half")[:50])
    (folder / "pairs_3.json").write_text(trace("three", "a"))
    (folder / "pairs_4.json").write_text('{"http_buffered_trace": {"request": {}}}')
    (pair,) = shadow.pairs(tmp_path)
    assert (pair.request_id, pair.path, pair.request) == ("one", "/v1", "{}")
    assert (pair.answer.body, pair.shadow.body, pair.shadow.status) == ("a", "b", 503)
    assert pair.answer.is_cut


def test_the_oldest_go_first(tmp_path: Path) -> None:
    (tmp_path / "pairs").mkdir()
    for number in range(5):
        path = tmp_path / "pairs" / f"pairs_{number}.json"
        path.touch()
        os.utime(path, (number, number))
    assert shadow.prune(tmp_path, most=2) == 3
    assert {each.stem for each in (tmp_path / "pairs").iterdir()} == {"pairs_3", "pairs_4"}
    assert shadow.prune(tmp_path / "nowhere") == 0
