"""Deployments that are dead, hang, or change under open streams: the caller notices none of it.

A journey because it is Envoy that notices, passes over and tries again.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from plinth.gateway import snapshot, xds
from plinth.kit.errors import Permanent
from tests.conformance.upstream_stand import Behaviour, Request, hang, says
from tests.journeys.gateway_stand import Answer, eventually
from tests.journeys.spill_stand import BODY, CHAT, Stand, running_stand

ORDER = ("one", "two")
ATTEMPT_S = 0.3


@pytest.fixture
def stand(free_port: Callable[[], int]) -> Iterator[Stand]:
    """Give each test an Envoy of its own: it remembers whom it passes over."""
    with running_stand(free_port) as running:
        yield running


def server_of(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    return answer.headers["x-name"]


def refuses_first(name: str, status: int, times: int) -> Behaviour:
    """Refuse so many of every request's attempts, then answer."""
    asked: Counter[str] = Counter()

    async def behave(request: Request) -> None:
        asked[request.headers["x-mine"]] += 1
        is_enough = asked[request.headers["x-mine"]] > times
        await request.reply(200 if is_enough else status, headers={"x-name": name})

    return behave


@pytest.mark.parametrize("status", [429, 503])
def test_four_tries_go_to_and_fro(stand: Stand, status: int) -> None:
    one = stand.external("one", refuses_first("one", status, 2))
    two = stand.hosted("two", refuses_first("two", status, 1))
    stand.apply(one, two, failover=ORDER)
    for number in range(20):
        answer = stand.ask(x_mine=str(number))
        assert server_of(answer) == "two"
        assert stand.line(answer)["attempts"] == 4


@pytest.mark.parametrize("kind", ["hosted", "external"])
def test_a_dead_one_costs_no_request_and_is_asked_again_when_it_is_back(
    stand: Stand, kind: str
) -> None:
    one = getattr(stand, kind)("one", says("one"))
    stand.apply(one, stand.external("two", says("two")), failover=ORDER)
    assert {server_of(stand.ask()) for _ in range(5)} == {"one"}
    stand.servers["one"].stop()
    assert {server_of(stand.ask()) for _ in range(40)} == {"two"}
    if kind == "hosted":
        (stand.gateway.root / "run" / "one.sock").unlink(missing_ok=True)
    stand.servers["one"].start()
    assert eventually(lambda: server_of(stand.ask()) == "one", 20)


def test_one_that_hangs_costs_an_attempt_at_first_and_then_nothing(stand: Stand) -> None:
    one, two = stand.external("one", hang), stand.external("two", says("two"))
    stand.apply(one, two, failover=ORDER, timeouts={"attempt": ATTEMPT_S})
    assert {server_of(stand.ask()) for _ in range(8)} == {"two"}
    assert len(stand.servers["one"].seen) == 3
    assert {server_of(stand.ask()) for _ in range(20)} == {"two"}
    # It is tried once more every few seconds.
    assert len(stand.servers["one"].seen) < 10
    stand.servers["one"].behaviour = says("one")
    assert eventually(lambda: server_of(stand.ask()) == "one", 20)


def test_an_attempts_time_is_not_that_of_a_stream(stand: Stand) -> None:
    one = stand.external("one", lambda request: request.stream(4, 2 * ATTEMPT_S))
    two = stand.external("two", says("two"))
    stand.apply(one, two, failover=ORDER, timeouts={"attempt": ATTEMPT_S})
    answer = stand.ask()
    assert answer.status == 200
    assert answer.body.count(b"data:") == 4


def test_one_that_says_it_is_ill_is_not_asked(stand: Stand) -> None:
    async def ill(request: Request) -> None:
        await request.reply(500 if request.path == "/healthz" else 200, headers={"x-name": "one"})

    one, two = stand.external("one", ill), stand.external("two", says("two"))
    stand.apply(one, two, failover=ORDER, health={"path": "/healthz", "interval": 0.2})
    assert eventually(lambda: server_of(stand.ask()) == "two")
    assert {server_of(stand.ask()) for _ in range(10)} == {"two"}
    stand.servers["one"].behaviour = says("one")
    assert eventually(lambda: server_of(stand.ask()) == "one")
    asked = {each.path: each.headers for each in stand.servers["one"].seen}
    assert "authorization" not in asked["/healthz"]


def read_stream(stand: Stand, found: list[int]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stand.gateway.state.port, timeout=60)
    with closing(connection):
        key = stand.gateway.key()
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        connection.request("POST", CHAT, BODY, headers)
        found.append(connection.getresponse().read().count(b"data:"))


@pytest.mark.parametrize("kind", ["hosted", "external"])
def test_streams_last_while_what_is_behind_the_endpoint_changes(stand: Stand, kind: str) -> None:
    """Even the deployment's own cluster goes away under them."""
    one = getattr(stand, kind)("one", lambda request: request.stream(50, 0.15))
    two = stand.external("two", says("two"))
    stand.apply(one, two, failover=ORDER)
    found: list[int] = []
    callers = [threading.Thread(target=read_stream, args=(stand, found)) for _ in range(20)]
    for caller in callers:
        caller.start()
    assert eventually(lambda: len(stand.servers["one"].seen) == 20)
    for turn in range(10):
        stand.apply(two, one, failover=ORDER[::-1], retries=turn % 3)
        stand.apply(two, max_body=1000 + turn)
        assert server_of(stand.ask()) == "two"
    for caller in callers:
        caller.join()
    # Longer than Envoy keeps the connections of a listener that was replaced.
    assert found == [50] * 20


def test_one_that_is_overloaded_slows_no_other(stand: Stand) -> None:
    stand.apply(stand.external("main", hang), timeouts={"request": 30})
    (slow,) = stand.gateway.state.endpoints
    quick = slow.model_copy(
        update={"name": "quick", "deployments": (stand.hosted("quick", says("quick")),)}
    )
    quick = quick.model_copy(update={"policy": type(slow.policy)()})
    stand.gateway.apply(endpoints=(slow, quick))
    waiting = [threading.Thread(target=stand.ask, daemon=True) for _ in range(100)]
    for each in waiting:
        each.start()
    assert eventually(lambda: len(stand.servers["main"].seen) == 100)
    times = []
    for _ in range(100):
        began = time.monotonic()
        assert server_of(stand.ask(BODY.replace(b"chat", b"quick"))) == "quick"
        times.append(time.monotonic() - began)
    assert sorted(times)[50] < 0.1
    stand.servers["main"].stop()
    for each in waiting:
        each.join(30)


def test_a_refused_cluster_leaves_the_old_ones_and_says_why(stand: Stand) -> None:
    stand.apply(stand.external("main", says("main")))
    rendered = snapshot.render(stand.gateway.state)
    broken = json.loads(json.dumps(rendered.clusters.items))
    provider = next(each for each in broken if each["name"] == "external:chat.main")
    context = {"validation_context": {"trusted_ca": {"inline_string": "no certificate"}}}
    provider["transport_socket"] = {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/"
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": context,
        },
    }
    folder = stand.gateway.root / "gateway"
    before = (folder / "cds" / "cds.pb").read_bytes()
    refused = replace(rendered, clusters=snapshot.resources(broken))
    with pytest.raises(Permanent, match=r"(?i)certificate"):
        xds.apply(refused, folder, stand.gateway.admin)
    assert (folder / "cds" / "cds.pb").read_bytes() == before
    assert server_of(stand.ask()) == "main"
    xds.apply(rendered, folder, stand.gateway.admin)


def test_who_traces_is_not_disturbed(stand: Stand) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    for deployment in (stand.hosted("main"), stand.external("main2")):
        stand.apply(deployment.model_copy(update={"name": "main"}))
        answer = stand.ask(traceparent=trace, tracestate="x=1")
        headers = answer.json["headers"]
        assert (headers["traceparent"], headers["tracestate"]) == (trace, "x=1")
        assert headers["x-request-id"] == answer.headers["x-plinth-id"]


@pytest.mark.parametrize("protocol", ["openai", "azure-openai"])
def test_no_caller_writes_a_query_that_says_another_thing_elsewhere(
    stand: Stand, protocol: str
) -> None:
    port = stand.external("main").external
    assert port is not None
    url = port.url.removesuffix("/v1") if protocol == "azure-openai" else port.url
    stand.apply(
        stand.external("main", protocol=protocol, url=url), stand.hosted("spare"), failover=["main"]
    )
    for query in ("x=%26api-version=2099-01-01", "a=%0d%0aX-Y:z", "a=%20b", "%41=%23", "a=%"):
        answer = stand.ask(path=f"{CHAT}?{query}")
        assert answer.status == 400, query
        error = json.loads(answer.body)["error"]
        assert (error["code"], error["type"]) == ("invalid", "invalid_request_error")
        line = stand.line(answer)
        assert line["attempts"] == 1
        assert "escaped-query" in line["unserved"]
    assert stand.servers["main"].seen == stand.servers["spare"].seen == []
    path = json.loads(stand.ask(path=f"{CHAT}?x=1&api-version=old&y=a+b").body)["path"]
    version = "?api-version=2024-10-21&" if protocol == "azure-openai" else "?"
    assert path.endswith(f"{version}x=1&y=a+b"), path
