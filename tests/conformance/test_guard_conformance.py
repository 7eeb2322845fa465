"""What Plinth relies on in Envoy's rate limit filter, with the real guard behind it.

The filter and the cluster are those of `gateway/guard_filter.py`; the metadata, which other
filters write in Plinth, come from the test's own headers.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from plinth.gateway.guard.limit import GuardedLimit
from plinth.gateway.guard_filter import (
    GUARD_CLUSTER,
    RESERVATION_FIELD,
    guard_cluster,
    guard_filters,
    with_guard,
)
from tests.conformance.stand import (
    Answer,
    Envoy,
    Json,
    Upstream,
    answering,
    cluster,
    eventually,
    listener,
    routes,
    running_envoy,
    streaming,
    to,
    typed,
)
from tests.journeys.guard_process import GuardProcess, running_guard

LIMIT = GuardedLimit("support/research", 10_000, endpoint="support", team="research")
USAGE = {"prompt_tokens": 20, "completion_tokens": 30, "total_tokens": 50}
# What the guard reads back; the rest of the log's fields is not there for it.
FIELDS: Json = {
    **dict.fromkeys(("principal", "cluster", "upstream", "method", "path", "model"), "-"),
    "id": "%REQ(X-REQUEST-ID)%",
    "start": "%START_TIME(%s.%6f)%",
    "ms": "%DURATION%",
    "team": "%DYNAMIC_METADATA(plinth:team)%",
    "key": "%DYNAMIC_METADATA(plinth:key)%",
    "route": "endpoint:%DYNAMIC_METADATA(plinth:endpoint)%",
    "code": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "rx": "%BYTES_RECEIVED%",
    "tx": "%BYTES_SENT%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "usage": "%RESP(x-usage)%",
    "rid": RESERVATION_FIELD,
}


ROUTES = routes(to("up", typed_per_filter_config=with_guard()))


def _from_headers() -> Json:
    rules = [
        {
            "header": f"x-{name}",
            "on_header_present": {"metadata_namespace": "plinth", "key": name, "type": "STRING"},
        }
        for name in ("limited", "team", "key", "endpoint", "max_tokens", "len")
    ]
    kind = "extensions.filters.http.header_to_metadata.v3.Config"
    return typed("marks", kind, request_rules=rules)


@dataclass
class Stand:
    """Envoy between callers and a server that says what it used, and a guard beside it."""

    envoy: Envoy
    upstream: Upstream
    guard: GuardProcess

    def ask(self, **marks: str) -> Answer:
        headers = {"x-limited": "1", "x-team": "research", "x-key": "k_1", "x-endpoint": "support"}
        headers |= {f"x-{name}": value for name, value in marks.items()}
        return self.envoy.ask("/", {"a": 1}, headers={k: v for k, v in headers.items() if v})

    def last(self) -> Json:
        """Return the newest line of the log, once everything that was asked stands there."""
        time.sleep(0.3)
        return self.envoy.log()[-1]

    def statistic(self, name: str) -> int:
        found = self.envoy.stats("ratelimit")
        return sum(value for key, value in found.items() if key.endswith(f".{name}"))

    def timeouts(self) -> int:
        """Return how many questions the guard did not answer in time."""
        name = f"cluster.{GUARD_CLUSTER}.upstream_rq_timeout"
        return self.envoy.stats("upstream_rq_timeout").get(name, 0)


@contextmanager
def standing(**more: Any) -> Iterator[Stand]:
    with ExitStack() as stack:
        guard = stack.enter_context(running_guard(LIMIT))
        upstream = Upstream(answering({"ok": 1}, headers=[("x-usage", json.dumps(USAGE))]))
        stack.callback(upstream.end)
        front = listener([_from_headers(), *guard_filters()], ROUTES, log_fields=FIELDS)
        clusters = [cluster("up", upstream.port), _without_type(guard_cluster(str(guard.socket)))]
        envoy = stack.enter_context(running_envoy([front], clusters, **more))
        # The guard reads the log in its own folder.
        guard.access_log.symlink_to(envoy.root / "access.log")
        stand = Stand(envoy, upstream, guard)
        assert eventually(lambda: "x-ratelimit-limit-tokens" in stand.ask(len="10").headers)
        yield stand


def _without_type(value: Json) -> Json:
    return {key: each for key, each in value.items() if key != "@type"}


@pytest.fixture(scope="module")
def running() -> Iterator[Stand]:
    with standing() as stand:
        yield stand


@pytest.fixture
def stand(running: Stand) -> Stand:
    """Give each test an account of its own: nothing of another's counts."""
    running.upstream.answer = answering({"ok": 1}, headers=[("x-usage", json.dumps(USAGE))])
    running.guard.limit(LIMIT, *(each(name) for name in ("a", "b", "c", "d", "e", "f", "g", "h")))
    eventually(lambda: running.ask(team="a", len="2").headers.get(LEFT) is not None)
    return running


LEFT = "x-ratelimit-remaining-tokens"


def each(team: str) -> GuardedLimit:
    return GuardedLimit(f"of-{team}", 10_000, endpoint="support", team=team)


def test_an_admitted_request_has_headers_and_its_reservation_in_the_log(stand: Stand) -> None:
    found = stand.ask(team="b", len="400", max_tokens="800")
    assert found.status == 200
    assert found.headers["x-ratelimit-limit-tokens"] == "10000"
    assert found.headers[LEFT] == "9000"
    assert found.headers["x-ratelimit-reset-tokens"] == "1m0s"
    assert "-" in stand.last()["rid"]


def test_what_the_log_says_settles_the_reservation(stand: Stand) -> None:
    stand.ask(team="c", len="400", max_tokens="8000")
    assert eventually(
        lambda: int(stand.ask(team="c", len="32", max_tokens="0").headers.get(LEFT, 0)) > 9000
    )


def test_over_the_limit_is_429_with_the_guards_body_and_headers(stand: Stand) -> None:
    assert stand.ask(team="d", len="400", max_tokens="9000").status == 200
    stand.upstream.seen.clear()
    found = stand.ask(team="d", len="400", max_tokens="9801")
    assert found.status == 429
    assert found.json["error"]["code"] == "rate_limit_exceeded"
    assert found.json["error"]["plinth"]["team"] == "d"
    assert found.headers["content-type"] == "application/json"
    assert found.headers["x-should-retry"] == "false"
    assert "x-envoy-ratelimited" not in found.headers
    assert stand.upstream.seen == []
    line = stand.last()
    assert (line["code"], line["details"], line["rid"]) == (429, "request_rate_limited", None)


def test_a_request_without_the_mark_makes_no_call(stand: Stand) -> None:
    before = stand.statistic("ok")
    assert LEFT not in stand.ask(limited="").headers
    assert stand.statistic("ok") == before


@pytest.mark.parametrize("missing", ["key", "max_tokens", "len"])
def test_a_request_that_lacks_a_value_is_asked_about_all_the_same(
    stand: Stand, missing: str
) -> None:
    marks = {"team": "e", "len": "40", "max_tokens": "10", missing: ""}
    assert LEFT in stand.ask(**marks).headers


def test_a_chunked_request_is_asked_about(stand: Stand) -> None:
    head = (
        "POST / HTTP/1.1\r\nhost: a\r\nx-limited: 1\r\nx-team: e\r\nx-endpoint: support\r\n"
        "transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    )
    found = stand.envoy.send(head.encode() + b"2\r\n{}\r\n0\r\n\r\n")
    assert LEFT.encode() in found


def test_a_route_without_settings_does_without_the_filter(stand: Stand) -> None:
    front = listener(
        [_from_headers(), *guard_filters()],
        routes(
            to("up", {"prefix": "/v2"}),
            to("up", typed_per_filter_config=with_guard()),
        ),
    )
    clusters = [
        cluster("up", stand.upstream.port),
        _without_type(guard_cluster(str(stand.guard.socket))),
    ]
    headers = {"x-limited": "1", "x-team": "h", "x-endpoint": "support", "x-len": "400"}
    with running_envoy([front], clusters) as envoy:
        assert LEFT not in envoy.ask("/v2/models", headers=headers).headers
        assert LEFT in envoy.ask("/v1/models", headers=headers).headers


def test_a_number_in_the_metadata_counts_as_missing(stand: Stand) -> None:
    """Why every filter before it writes texts."""
    kind = "extensions.filters.http.json_to_metadata.v3.JsonToMetadata"
    rule = {
        "selectors": [{"key": "max_tokens"}],
        "on_present": {"metadata_namespace": "plinth", "key": "max_tokens"},
    }
    numbers = typed("numbers", kind, request_rules={"rules": [rule]})
    front = listener([_from_headers(), numbers, *guard_filters()], ROUTES)
    clusters = [
        cluster("up", stand.upstream.port),
        _without_type(guard_cluster(str(stand.guard.socket))),
    ]
    headers = {"x-limited": "1", "x-team": "f", "x-endpoint": "support", "x-len": "400"}
    with running_envoy([front], clusters) as envoy:
        found = envoy.ask("/", {"max_tokens": 8000}, headers=headers)
    assert found.headers[LEFT] == str(10_000 - 200 - 1024)


def test_a_stream_keeps_its_reservation_until_its_end(stand: Stand) -> None:
    stand.upstream.answer = streaming([b"data: {}\n\n"] * 4, gap_s=0.1)
    found = stand.ask(team="g", len="400", max_tokens="800")
    assert (found.status, found.headers[LEFT]) == (200, "9000")
    assert stand.last()["rid"] is not None


def test_a_caller_who_leaves_early_has_a_line_with_the_reservation(stand: Stand) -> None:
    stand.upstream.answer = streaming([b"data: {}\n\n"] * 50, gap_s=0.1)
    head = (
        "POST / HTTP/1.1\r\nhost: a\r\nx-limited: 1\r\nx-team: f\r\nx-endpoint: support\r\n"
        "content-length: 2\r\n\r\n{}"
    )
    with stand.envoy.connect() as connection:
        connection.sendall(head.encode())
        connection.recv(4096)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    line = stand.last()
    assert line["rid"] is not None
    assert "DC" in line["flags"]


def test_a_long_value_is_refused_and_does_not_pass(stand: Stand) -> None:
    before = stand.statistic("failure_mode_allowed")
    found = stand.ask(max_tokens="9" * 8_000)
    assert found.status == 429
    assert stand.statistic("failure_mode_allowed") == before


def test_while_the_guard_is_away_requests_pass_at_once_and_it_is_counted() -> None:
    with standing() as stand:
        before = stand.statistic("failure_mode_allowed")
        stand.guard.kill()
        found = stand.ask(len="400", max_tokens="90000")
        assert found.status == 200
        assert LEFT not in found.headers
        assert stand.last()["rid"] is None
        assert stand.statistic("failure_mode_allowed") > before
        # Nobody waited for it until the patience ended.
        assert stand.timeouts() == 0
        stand.guard.start()
        assert eventually(lambda: LEFT in stand.ask(len="2", max_tokens="1").headers)


def test_a_guard_that_hangs_costs_a_caller_its_patience_and_no_more() -> None:
    with standing() as stand:
        assert stand.guard.process is not None
        os.kill(stand.guard.process.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            found = stand.ask(len="400", max_tokens="1000")
            assert found.status == 200
            assert time.monotonic() - began > 0.5
            assert stand.timeouts() == 1
        finally:
            os.kill(stand.guard.process.pid, signal.SIGCONT)
        # The question waited in the socket together with its end: nothing was reserved for it.
        assert eventually(
            lambda: int(stand.ask(len="2", max_tokens="0").headers.get(LEFT, 0)) > 9000
        )


def test_parallel_requests_never_get_more_than_the_limit(stand: Stand) -> None:
    stand.upstream.answer = streaming([b"data: {}\n\n"] * 3, gap_s=0.2)
    stand.guard.limit(GuardedLimit("few", 3 * 1200, endpoint="support", team="few"))
    assert eventually(lambda: LEFT in stand.ask(team="few", len="2", max_tokens="0").headers)
    time.sleep(0.8)
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(stand.ask(team="few", len="400", max_tokens="900").status)

    threads = [threading.Thread(target=ask) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 3 + [429] * 61
