"""Tokens a minute as callers meet them: Envoy with Plinth's whole configuration, and the guard.

A journey because the guard reads what Envoy's filters write about a body, and Envoy's log.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from plinth.domain.serving import Limit, TrafficPolicy
from plinth.gateway.guard.limit import GuardedLimit
from plinth.gateway.guard_filter import GUARD_CLUSTER
from tests.journeys.gateway_stand import Answer, Gateway, eventually, running_gateway
from tests.journeys.guard_process import GuardProcess, running_guard
from tests.journeys.openai_stand import USAGE, OpenAIServer, chat_endpoint

CHAT = "/v1/chat/completions"
LEFT = "x-ratelimit-remaining-tokens"
LIMIT = 10_000


@pytest.fixture(scope="module")
def guard() -> Iterator[GuardProcess]:
    """Start the guard once; each endpoint of the tests has a limit of its own."""
    with running_guard() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(guard: GuardProcess, free_port: Callable[[], int]) -> Iterator[Gateway]:
    with running_gateway(free_port()) as running:
        # Each has a home of its own: the one's socket and the other's log are where they look.
        (running.root / "run" / f"{GUARD_CLUSTER}.sock").symlink_to(guard.socket)
        guard.access_log.symlink_to(running.state.access_log)
        yield running


@pytest.fixture(scope="module")
def server(gateway: Gateway) -> Iterator[OpenAIServer]:
    found = OpenAIServer("blue", gateway.root / "run" / "r_blue.0.1.sock")
    yield found
    found.end()


class Limited:
    """An endpoint of 10,000 tokens a minute for each team, and who asks it."""

    def __init__(self, name: str, gateway: Gateway, guard: GuardProcess) -> None:
        self.name, self.gateway, self.guard = name, gateway, guard
        self.key = gateway.key()

    def ask(self, path: str = CHAT, **more: Any) -> Answer:
        body = {"model": self.name, "messages": [{"role": "user", "content": "hi"}], **more}
        headers = {"content-type": "application/json"}
        content = json.dumps(body).encode()
        return self.gateway.ask(path, self.key, method="POST", headers=headers, body=content)

    def left(self) -> int:
        """Return what is left when nothing runs, less than what this very question needs."""
        return int(self.ask(max_tokens=0).headers[LEFT])


@pytest.fixture
def limited(
    request: pytest.FixtureRequest, gateway: Gateway, server: OpenAIServer, guard: GuardProcess
) -> Limited:
    """Have an endpoint of the test's own, so that nothing that others used counts."""
    name = f"e-{abs(hash(request.node.name)) % 10**8}"
    limit = Limit(each="team", tokens_per_minute=LIMIT)
    endpoint = chat_endpoint(name, server, policy=TrafficPolicy(limits=(limit,)))
    free = chat_endpoint("free", server)
    guard.limit(GuardedLimit(f"{name}:0", LIMIT, endpoint=name, each="team"))
    gateway.apply(endpoints=(endpoint, free), is_guarded=True)
    server.gap_s, server.breaks_off, server.refuses = 0.0, False, False
    found = Limited(name, gateway, guard)
    assert eventually(lambda: LEFT in found.ask(max_tokens=0).headers)
    return found


def test_a_chat_is_reserved_by_its_bound_and_settled_by_its_usage(limited: Limited) -> None:
    before = limited.left()
    answer = limited.ask(max_tokens=5000)
    assert answer.status == 200
    assert int(answer.headers[LEFT]) < before - 4900
    used = USAGE["total_tokens"]
    assert isinstance(used, int)
    # Its own usage, and that of the question before it.
    assert eventually(lambda: before - 60 * used < limited.left())


def test_a_stream_is_settled_by_the_usage_at_its_end(limited: Limited) -> None:
    before = limited.left()
    answer = limited.ask(max_tokens=5000, stream=True)
    assert answer.status == 200
    assert b"[DONE]" in answer.body
    assert eventually(lambda: limited.left() > before - 2000)


def test_over_the_limit_the_caller_is_told_in_openais_shape(limited: Limited) -> None:
    answer = limited.ask(max_tokens=9999)
    assert answer.status == 429
    error = answer.json["error"]
    assert (error["type"], error["code"]) == ("tokens", "rate_limit_exceeded")
    assert error["plinth"]["limit"] == f"{limited.name}:0"
    assert error["plinth"]["team"] == "ops"
    assert "team `ops` at endpoint" in error["message"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-should-retry"] == "false"
    assert len(answer.headers["x-plinth-id"]) == 36


def test_parallel_callers_get_what_there_is_and_no_more(
    limited: Limited, server: OpenAIServer
) -> None:
    server.gap_s = 0.3
    assert eventually(lambda: limited.left() > LIMIT - 1000)
    answers: list[Answer] = []

    def ask() -> None:
        answers.append(limited.ask(max_tokens=2950, stream=True))

    threads = [threading.Thread(target=ask) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.status for each in answers) == [200] * 3 + [429] * 37
    refused = next(each for each in answers if each.status == 429)
    assert refused.headers["retry-after"] == "1"
    assert refused.json["error"]["plinth"]["reserved"] > 8900


def test_an_error_of_the_model_costs_nothing(limited: Limited, server: OpenAIServer) -> None:
    server.refuses = True
    statuses = [limited.ask(max_tokens=9000).status for _ in range(2)]
    assert 429 in statuses
    server.refuses = False
    assert eventually(lambda: limited.left() > LIMIT - 1000)


def test_an_endpoint_without_a_limit_of_tokens_makes_no_call(limited: Limited) -> None:
    free = Limited("free", limited.gateway, limited.guard)
    assert free.ask(max_tokens=90_000).status == 200
    assert LEFT not in free.ask().headers


def test_while_the_guard_is_away_callers_are_served_and_counted_later(limited: Limited) -> None:
    assert eventually(lambda: limited.left() > LIMIT - 1000)
    limited.guard.kill()
    assert [limited.ask(max_tokens=9000).status for _ in range(60)] == [200] * 60
    limited.guard.start()
    assert eventually(lambda: LEFT in limited.ask(max_tokens=0).headers)
    assert eventually(lambda: limited.left() < LIMIT - 60 * 15)
