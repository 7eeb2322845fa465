"""Copies of requests, and what Envoy writes down of sampled ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conformance.stand import Envoy, Json, eventually, running_envoy, typed
from tests.conformance.test_upstream_provider import injector, put
from tests.conformance.upstream_stand import (
    INTERNAL,
    Server,
    cluster,
    hang,
    http1,
    inner,
    outer,
    records,
    serving,
    to_inner,
    way,
)


def tap(prefix: str, pattern: str = ".*", most: int = 2000) -> Json:
    condition = {"name": "x-request-id", "string_match": {"safe_regex": {"regex": pattern}}}
    sink = {"format": "JSON_BODY_AS_STRING", "file_per_tap": {"path_prefix": prefix}}
    limits = {"max_buffered_rx_bytes": most, "max_buffered_tx_bytes": most}
    static = {
        "match": {"http_request_headers_match": {"headers": [condition]}},
        "output_config": {**limits, "sinks": [sink]},
    }
    kind = "extensions.filters.http.tap.v3.Tap"
    return typed("tap", kind, common_config={"static_config": static})


def mirrored(cluster_name: str, percent: int = 100) -> Json:
    share = {"default_value": {"numerator": percent * 10_000, "denominator": "MILLION"}}
    return {
        "cluster": cluster_name,
        "host_rewrite_literal": "shadow.to.r_a",
        "disable_shadow_host_suffix_append": True,
        "runtime_fraction": share,
    }


@pytest.fixture
def pair() -> Iterator[tuple[Envoy, Server, Server]]:
    """Give an Envoy that copies what goes to the first server to the second one."""
    with serving() as first, serving() as second:
        front = way("first", request_mirror_policies=[mirrored("shadow")])
        front["request_headers_to_remove"] = ["authorization"]
        half = way("first", "/half", request_mirror_policies=[mirrored("shadow", 50)])
        listeners = [outer([half, front]), inner("shadow", [way("second")], filters=(tap("copy"),))]
        clusters = [
            cluster("first", first.address),
            cluster("second", second.address),
            to_inner("shadow", "shadow"),
        ]
        with running_envoy(listeners, clusters, **INTERNAL) as envoy:
            yield envoy, first, second


def test_a_copy_has_the_id_and_what_the_route_made_of_the_request(
    pair: tuple[Envoy, Server, Server],
) -> None:
    envoy, first, second = pair
    envoy.ask("/", b"{}", headers={"authorization": "Bearer plk_x"})
    assert eventually(lambda: len(second.seen) == 1)
    (one,), (two,) = first.seen, second.seen
    assert two.headers["x-request-id"] == one.headers["x-request-id"]
    assert "authorization" not in two.headers
    assert two.headers["host"] == "shadow.to.r_a"
    assert eventually(lambda: len(records(envoy.root, "shadow")) == 1)
    assert records(envoy.root, "shadow")[0]["id"] == one.headers["x-request-id"]


def test_nobody_waits_for_a_copy(pair: tuple[Envoy, Server, Server]) -> None:
    envoy, _, second = pair
    second.behaviour = hang
    assert {envoy.ask("/").status for _ in range(20)} == {200}
    second.stop()
    assert {envoy.ask("/").status for _ in range(20)} == {200}


def test_a_share_of_the_requests_is_copied(pair: tuple[Envoy, Server, Server]) -> None:
    envoy, _, second = pair
    for _ in range(200):
        envoy.ask("/half")
    assert eventually(lambda: len(second.seen) > 50)
    assert len(second.seen) < 150


def traces(root: Path, prefix: str) -> list[Json]:
    """Return what is written whole; Envoy writes a file piece by piece."""
    found = []
    for path in root.glob(f"{prefix}_*.json"):
        with suppress(ValueError):
            found.append(json.loads(path.read_text())["http_buffered_trace"])
    return found


def test_a_tap_writes_both_sides_up_to_a_size(pair: tuple[Envoy, Server, Server]) -> None:
    envoy, *_ = pair
    envoy.ask("/", b"x" * 3000)
    assert eventually(lambda: len(traces(envoy.root, "copy")) == 1)
    (trace,) = traces(envoy.root, "copy")
    asked = trace["request"]["body"]
    assert (len(asked["as_string"]), asked["truncated"]) == (2000, True)
    assert trace["response"]["headers"][0]["value"] == "200"


def test_a_tap_shows_the_credential_of_the_very_request_and_not_of_the_next_hop(
    tmp_path: Path,
) -> None:
    """So a tap stands one inner listener before the provider."""
    (tmp_path / "sds").mkdir(mode=0o700)
    put(tmp_path / "sds" / "secret.json", "sk-x")
    with serving() as server:
        own = http1(injector(tmp_path / "sds" / "secret.json"))
        clusters = [
            cluster("provider", server.address, options=own),
            to_inner("near", "near"),
            to_inner("far", "far"),
            to_inner("hop", "hop"),
        ]
        listeners = [
            outer([way("near", "/near"), way("far", "/far")]),
            inner("near", [way("provider")], filters=(tap("near"),)),
            inner("far", [way("hop")], filters=(tap("far"),)),
            inner("hop", [way("provider")]),
        ]
        with running_envoy(listeners, clusters, **INTERNAL) as envoy:
            assert {envoy.ask(path).status for path in ("/near", "/far")} == {200}
            assert eventually(lambda: bool(traces(envoy.root, "far")))
            assert eventually(lambda: bool(traces(envoy.root, "near")))
            assert "sk-x" in json.dumps(traces(envoy.root, "near"))
            # The answer of this server repeats what it was sent.
            asked = [each["request"] for each in traces(envoy.root, "far")]
            assert "sk-x" not in json.dumps(asked)


def test_requests_are_told_apart_by_their_id_before_they_are_routed() -> None:
    chosen = way("first", "/")
    condition = {"safe_regex": {"regex": "[0-7].*"}}
    chosen["match"]["headers"] = [{"name": "x-request-id", "string_match": condition}]
    chosen["name"] = "chosen"
    with serving() as server:
        front = outer([chosen, way("first")])
        with running_envoy([front], [cluster("first", server.address)]) as envoy:
            for _ in range(100):
                envoy.ask("/")
            assert eventually(lambda: len(records(envoy.root)) == 100)
            for line in records(envoy.root):
                assert (line["route"] == "chosen") == (line["id"][0] in "01234567")
