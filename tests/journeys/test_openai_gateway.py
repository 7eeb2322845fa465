"""OpenAI's protocol as callers meet it: a real Envoy before servers that speak it.

A journey because which endpoint a body goes to is decided by a program that runs in Envoy only.
"""

from __future__ import annotations

import gzip
import http.client
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from plinth.domain.serving import Limit, Timeouts, TrafficPolicy
from plinth.domain.traffic import Deployment, EndpointRoute
from plinth.gateway.access_log import AccessRecord
from plinth.gateway.log_line import read_line
from tests.journeys.gateway_stand import Answer, Gateway, eventually, running_gateway
from tests.journeys.openai_stand import OpenAIServer, chat_endpoint

CHAT = "/v1/chat/completions"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def gateway(free_port: Callable[[], int]) -> Iterator[Gateway]:
    """Start Envoy once."""
    with running_gateway(free_port()) as running:
        yield running


@pytest.fixture(scope="module")
def servers(gateway: Gateway) -> Iterator[dict[str, OpenAIServer]]:
    """Start two servers of models."""
    found = {
        name: OpenAIServer(name, gateway.root / "run" / f"r_{name}.0.1.sock")
        for name in ("blue", "green")
    }
    yield found
    for server in found.values():
        server.end()


@pytest.fixture
def blue(servers: dict[str, OpenAIServer]) -> OpenAIServer:
    """Return the first server, as good as new."""
    for server in servers.values():
        server.asked.clear()
        server.gap_s, server.breaks_off, server.refuses = 0.0, False, False
        server.goes_on.set()
    return servers["blue"]


@pytest.fixture
def ready(gateway: Gateway, blue: OpenAIServer) -> Gateway:
    """Have a model, one without a deployment, and one of the other protocol."""
    delay = EndpointRoute(name="delay", team="ops", callers=("p_ann",))
    gateway.apply(endpoints=(chat_endpoint("chat", blue), chat_endpoint("away"), delay))
    return gateway


def post(gateway: Gateway, body: Any, path: str = CHAT, **more: Any) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    key = more.pop("key", None) or gateway.key()
    headers = {**JSON, **more.pop("headers", {})}
    return gateway.ask(path, key, method="POST", body=content, headers=headers, **more)


def line_of(gateway: Gateway, answer: Answer) -> dict[str, Any]:
    """Return the line that the access log has of this answer."""
    wanted = answer.headers["x-plinth-id"]
    found: list[dict[str, Any]] = []

    def is_written() -> bool:
        lines = (gateway.root / "access.log").read_bytes().splitlines()
        found[:] = [dict(line) for line in map(read_line, lines) if line["id"] == wanted]
        return bool(found)

    assert eventually(is_written)
    return found[0]


def record_of(gateway: Gateway, answer: Answer) -> AccessRecord:
    wanted = answer.headers["x-plinth-id"]
    assert eventually(lambda: any(each.request_id == wanted for each in gateway.records()))
    return next(each for each in gateway.records() if each.request_id == wanted)


def _cut() -> Any:
    return pytest.raises((http.client.IncompleteRead, ConnectionError))


@pytest.mark.parametrize("path", [CHAT, "/v1/completions", "/v1/embeddings"])
def test_the_model_in_the_body_chooses_the_endpoint(
    ready: Gateway, blue: OpenAIServer, path: str
) -> None:
    body = b'{"messages": [], "seed": 9007199254740993, "z": {"b": 1, "a": 1.0}, "model": "chat"}'
    answer = post(ready, body, path)
    assert answer.status == 200
    # Byte for byte: the order of names in a schema is the order in which a model answers.
    assert (blue.asked[0].path, blue.asked[0].body) == (path, body)
    record = record_of(ready, answer)
    assert (record.endpoint, record.deployment) == ("chat", "r_blue")


@pytest.mark.parametrize(
    "path", [f"/openai/deployments/chat/{kind}" for kind in ("chat/completions", "embeddings")]
)
@pytest.mark.parametrize("given", ['"model": "gpt-4o", ', '"model":"chat",', '"model": null,', ""])
def test_azures_addresses_lead_to_the_same_servers(
    ready: Gateway, blue: OpenAIServer, path: str, given: str
) -> None:
    body = f'{{{given}"messages": []}}'.encode()
    headers = {"api-key": ready.key(), **JSON}
    answer = ready.ask(f"{path}?api-version=2024-10-21", method="POST", body=body, headers=headers)
    assert answer.status == 200
    asked = blue.asked[0]
    assert asked.path == path.replace("/openai/deployments/chat", "/v1")
    assert asked.json == {"model": "chat", "messages": []}
    assert record_of(ready, answer).endpoint == "chat"


def test_a_server_learns_no_key_and_nothing_of_the_gateways_own_headers(
    ready: Gateway, blue: OpenAIServer
) -> None:
    lies = {"x-plinth-place": "endpoint:away", "x-plinth-length": "1", "x-plinth-team": "else"}
    assert post(ready, {"model": "chat"}, headers=lies).status == 200
    seen = blue.asked[0].headers
    assert "plk_" not in str(seen)
    assert not {"x-plinth-place", "x-plinth-length", "authorization", "api-key"} & set(seen)
    assert seen["x-plinth-team"] == "ops"


def test_a_host_of_the_callers_choice_is_no_endpoint(ready: Gateway) -> None:
    for host in ("endpoint:chat", "chat", "host:mlflow.localhost"):
        answer = ready.ask("/anything", ready.key(), headers={"host": host})
        assert answer.status in (400, 404)


def test_what_is_not_granted_looks_just_like_what_is_absent(ready: Gateway) -> None:
    stranger = ready.key("p_bob", "sales")
    answers = [
        post(ready, {"model": name}, key=stranger)
        for name in ("chat", "away", "delay", "absent", "Not A Name", "x" * 500_000)
    ]
    azure = [
        post(ready, {}, f"/openai/deployments/{name}/chat/completions?api-version=1", key=stranger)
        for name in ("chat", "absent")
    ]
    assert {answer.status for answer in (*answers, *azure)} == {403}
    assert len({answer.body for answer in (*answers, *azure)}) == 1
    error = answers[0].json["error"]
    assert (error["type"], error["code"]) == ("permission_error", "denied")


def test_errors_have_openais_shape(ready: Gateway) -> None:
    away = post(ready, {"model": "away"})
    assert (away.status, away.json["error"]["type"]) == (503, "server_error")
    assert "no ready deployment" in away.json["error"]["message"]
    wrong = post(ready, {"model": "delay"})
    assert (wrong.status, wrong.json["error"]["code"]) == (403, "denied")
    assert "`/v2/models/NAME` for models of" in wrong.json["error"]["message"]
    nothing = ready.ask("/v1/nothing", ready.key())
    assert (nothing.status, nothing.json["error"]["type"]) == (404, "invalid_request_error")
    keyless = ready.ask(CHAT, method="POST", headers=JSON, body=b"{}")
    assert (keyless.status, keyless.json["error"]["type"]) == (401, "authentication_error")


def test_an_openai_endpoint_is_not_found_at_the_other_address_which_says_why(
    ready: Gateway,
) -> None:
    answer = ready.ask("/v2/models/chat/infer", ready.key(), method="POST", body=b"{}")
    assert answer.status == 403
    assert "`/v1` for those that speak OpenAI's" in answer.json["error"]


DEEP = b"[" * 200 + b"]" * 200
REFUSED_BODIES = {
    "twice": b'{"model":"chat","model":"other"}',
    "twice, one with escapes": b'{"model":"chat","mod\\u0065l":"other"}',
    "an array": b'{"model":["chat"]}',
    "a number": b'{"model":7}',
    "null": b'{"model":null}',
    "none": b'{"messages":[]}',
    "no object": b'["model","chat"]',
    "no JSON": b"{model: chat}",
    "a comment": b'{"model":"chat","a":[/*"*/],"model":"b"}',
    "quotes of another kind": b"{'model':'chat'}",
    "two documents": b'{"model":"chat"}{"model":"b"}',
    "a byte order mark": b'\xef\xbb\xbf{"model":"chat"}',
    "UTF-16": '{"model":"chat"}'.encode("utf-16"),
    "a bomb": b'{"model":"chat","a":' + DEEP + b"}",
    "cut off": b'{"model":"chat","a":"',
    "empty": b"",
}


@pytest.mark.parametrize("what", REFUSED_BODIES)
def test_what_two_parsers_may_read_differently_is_refused(
    ready: Gateway, blue: OpenAIServer, what: str
) -> None:
    answer = post(ready, REFUSED_BODIES[what])
    assert (answer.status, answer.json["error"]["code"]) == (400, "invalid")
    assert "body" in answer.json["error"]["message"]
    assert not blue.asked


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-encoding": "gzip"},
    ],
)
def test_a_body_that_the_gateway_does_not_read_is_refused(
    ready: Gateway, blue: OpenAIServer, headers: dict[str, str]
) -> None:
    body = gzip.compress(b'{"model":"chat"}') if "content-encoding" in headers else b"{}"
    assert post(ready, body, headers=headers).status == 415
    assert not blue.asked


def test_the_usual_ways_to_say_json_are_understood(ready: Gateway) -> None:
    for kind in ("application/json; charset=utf-8", "Application/JSON", "application/json"):
        assert post(ready, {"model": "chat"}, headers={"content-type": kind}).status == 200


def test_a_chunked_body_is_read_too(ready: Gateway, blue: OpenAIServer) -> None:
    head = f"POST {CHAT} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {ready.key()}\r\n"
    head += "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", ready.state.port), timeout=10) as raw:
        raw.sendall(head.encode() + b'9\r\n{"model":\r\n')
        raw.sendall(b'7\r\n"chat"}\r\n0\r\n\r\n')
        assert raw.recv(65536).startswith(b"HTTP/1.1 200")
    assert blue.asked[0].json == {"model": "chat"}


def test_a_body_larger_than_the_endpoint_takes_is_refused_to_its_callers(
    ready: Gateway, blue: OpenAIServer
) -> None:
    small = TrafficPolicy(max_body=100_000)
    ready.apply(endpoints=(chat_endpoint("chat", blue, policy=small),))
    body = {"model": "chat", "x": "y" * 200_000}
    answer = post(ready, body)
    assert answer.status == 413
    assert "at most 100000 bytes" in answer.json["error"]["message"]
    assert post(ready, body, key=ready.key("p_bob", "sales")).status == 403
    large = TrafficPolicy(max_body=8_000_000)
    ready.apply(endpoints=(chat_endpoint("chat", blue, policy=large),))
    body["x"] = "y" * 6_000_000
    assert post(ready, body).status == 200
    assert blue.asked[-1].json == body


STREAM = {"model": "chat", "messages": [], "stream": True}


def test_a_caller_who_did_not_ask_for_usage_sees_none_and_it_is_counted(
    ready: Gateway, blue: OpenAIServer
) -> None:
    answer = post(ready, STREAM)
    assert blue.asked[0].json == {**STREAM, "stream_options": {"include_usage": True}}
    assert answer.body.count(b"data: ") == 5
    assert b"usage" not in answer.body
    assert answer.body.endswith(b"data: [DONE]\n\n")
    line = line_of(ready, answer)
    assert json.loads(line["asked"]) == {"stream": True}
    told = json.loads(line["told"])
    assert told["usage"]["total_tokens"] == 15
    assert (told["events"], told["answered"]) == (6, "chat")


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"include_usage": True}, {"include_usage": True}),
        ({"include_usage": False, "a": [1]}, {"include_usage": True, "a": [1]}),
        ({"a": "b"}, {"include_usage": True, "a": "b"}),
        ({}, {"include_usage": True}),
        (None, {"include_usage": True}),
    ],
)
def test_what_else_a_caller_says_of_its_stream_stays(
    ready: Gateway, blue: OpenAIServer, given: Any, sent: Any
) -> None:
    answer = post(ready, {**STREAM, "stream_options": given})
    assert blue.asked[0].json == {**STREAM, "stream_options": sent}
    assert (b"total_tokens" in answer.body) == (given == {"include_usage": True})


def test_the_first_word_does_not_wait_for_the_last(ready: Gateway, blue: OpenAIServer) -> None:
    blue.goes_on.clear()
    connection = ready.connect()
    headers = {**JSON, "authorization": f"Bearer {ready.key()}"}
    connection.request("POST", CHAT, json.dumps(STREAM), headers)
    answer = connection.getresponse()
    assert b"one" in answer.readline()
    blue.goes_on.set()
    answer.read()
    connection.close()


def test_a_stream_has_no_time_limit_and_a_plain_answer_has(
    ready: Gateway, blue: OpenAIServer
) -> None:
    short = TrafficPolicy(timeouts=Timeouts(request=0.3), retries=0)
    ready.apply(endpoints=(chat_endpoint("chat", blue, policy=short),))
    blue.gap_s = 0.2
    connection = ready.connect()
    headers = {**JSON, "authorization": f"Bearer {ready.key()}"}
    connection.request("POST", CHAT, json.dumps(STREAM), headers)
    with _cut():
        connection.getresponse().read()
    connection.close()
    ready.apply(endpoints=(chat_endpoint("chat", blue),))
    assert b"[DONE]" in post(ready, STREAM).body


def test_a_stream_that_breaks_off_leaves_how_far_it_came(
    ready: Gateway, blue: OpenAIServer
) -> None:
    blue.breaks_off = True
    connection = ready.connect()
    headers = {**JSON, "authorization": f"Bearer {ready.key()}"}
    connection.request("POST", CHAT, json.dumps(STREAM), headers)
    answer = connection.getresponse()
    request_id = answer.getheader("x-plinth-id") or ""
    with _cut():
        answer.read()
    connection.close()
    line = line_of(ready, Answer(200, {"x-plinth-id": request_id}, b""))
    told = json.loads(line["told"])
    assert (told["events"], told.get("usage")) == (4, None)


def test_an_answers_usage_is_written_down_whole(ready: Gateway) -> None:
    line = line_of(ready, post(ready, {"model": "chat", "max_tokens": 7, "n": 2}))
    told = json.loads(line["told"])
    assert told["usage"]["prompt_tokens_details"] == {"cached_tokens": 3}
    assert told["answered"] == "chat-2026"
    assert json.loads(line["asked"]) == {"max": 14}


def test_traffic_is_shared_as_the_file_says(
    ready: Gateway, servers: dict[str, OpenAIServer], blue: OpenAIServer
) -> None:
    green = servers["green"]
    policy = TrafficPolicy(
        traffic={"blue": 80, "green": 20}, match={"green": {"x-variant": "green"}}
    )
    ready.apply(endpoints=(chat_endpoint("chat", blue, green, policy=policy),))
    for _ in range(100):
        assert post(ready, {"model": "chat"}).status == 200
    assert 5 <= len(green.asked) <= 40
    before = len(green.asked)
    for _ in range(10):
        post(ready, {"model": "chat"}, headers={"x-variant": "green"})
    assert len(green.asked) == before + 10
    only_green = TrafficPolicy(traffic={"blue": 0, "green": 100})
    ready.apply(endpoints=(chat_endpoint("chat", blue, green, policy=only_green),))
    blue.asked.clear()
    post(ready, {"model": "chat"})
    assert not blue.asked


def test_a_limit_of_requests_counts_for_each_by_itself(ready: Gateway, blue: OpenAIServer) -> None:
    limits = (
        Limit(team="sales", requests_per_minute=2),
        Limit(each="key", requests_per_minute=4),
    )
    policy = TrafficPolicy(limits=limits)
    endpoint = chat_endpoint("chat", blue, policy=policy, caller_teams=("sales", "ops"))
    ready.apply(endpoints=(endpoint,))
    sales = ready.key("p_bob", "sales", "k_sales")
    answers = [post(ready, {"model": "chat"}, key=sales) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    error = answers[2].json["error"]
    assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
    assert "team `sales` with key `k_sales`" in error["message"]
    assert 0 < int(answers[2].headers["retry-after"]) <= 60
    remaining = [answer.headers["x-ratelimit-remaining-requests"] for answer in answers]
    assert remaining == ["1", "0", "0"]
    first, second = (ready.key("p_ann", "ops", name) for name in ("k_first", "k_second"))
    statuses = [post(ready, {"model": "chat"}, key=first).status for _ in range(5)]
    assert statuses == [200] * 4 + [429]
    assert post(ready, {"model": "chat"}, key=second).status == 200
    # Another endpoint comes, and no bucket is filled again; with an equal limit it has its own.
    alike = chat_endpoint(
        "alike", blue, policy=TrafficPolicy(limits=limits[1:]), caller_teams=("ops",)
    )
    ready.apply(endpoints=(endpoint, chat_endpoint("away"), alike))
    assert post(ready, {"model": "chat"}, key=first).status == 429
    statuses = [post(ready, {"model": "alike"}, key=first).status for _ in range(5)]
    assert statuses == [200] * 4 + [429]


def test_the_platform_checks_a_candidate_by_its_own_protocol(
    ready: Gateway, blue: OpenAIServer
) -> None:
    candidate = Deployment(id="r_next", upstreams=chat_endpoint("x", blue).deployments[0].upstreams)
    ready.apply(endpoints=(chat_endpoint("chat", candidates=(candidate,)),))
    path = f"/internal/deployments/r_next{CHAT}"
    platform = ready.key(ready.state.platform, "plinth")
    assert post(ready, {"model": "chat"}, path, key=platform).status == 200
    assert blue.asked[0].path == CHAT
    assert post(ready, {"model": "chat"}, path).status == 403


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/chat", "/openai/models?api-version=1"])
def test_the_control_plane_lists_the_models(ready: Gateway, path: str) -> None:
    answer = ready.ask(path, ready.key())
    assert answer.json["server"] == "control"
    assert answer.json["path"].startswith("/api/v1/openai/models")
    assert "authorization" in {name.lower() for name in answer.json["headers"]}
    assert ready.ask(path).status == 401
