"""What Envoy's own filters make of bodies, and what Lua may do with them: the request's side.

Plinth reads OpenAI's bodies by a Lua program of its own (`gateway/openai.lua`). The first tests say
why; the others hold what the program relies on.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conformance.stand import (
    Answer,
    Envoy,
    Json,
    Upstream,
    answering,
    cluster,
    config,
    listener,
    routes,
    running_envoy,
    streaming,
    to,
    typed,
)

LUA = "extensions.filters.http.lua.v3.Lua"
PER_ROUTE = "extensions.filters.http.lua.v3.LuaPerRoute"
JSON_TO_METADATA = "extensions.filters.http.json_to_metadata.v3.JsonToMetadata"
TRANSFORM = "extensions.filters.http.transform.v3.TransformConfig"
BUFFER = "extensions.filters.http.buffer.v3"
LOG = {
    "code": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "route": "%ROUTE_NAME%",
    "noted": "%DYNAMIC_METADATA(noted)%",
    "path": "%PATH(NQ:ORIG_OR_PATH)%",
}
# Read the body, choose the route anew, and do as that route says.
CHOOSE = """
function envoy_on_request(handle)
  local body = handle:body(true)
  local text = body:getBytes(0, body:length())
  local headers = handle:headers()
  headers:replace("x-place", string.match(text, "to=(%a+)") or "nowhere")
  handle:clearRouteCache()
  local told = handle:metadata():get("told")
  if told == "shorten" then body:setBytes("short") end
  if told == "refuse" then handle:respond({[":status"] = "415"}, "refused by lua") end
  if told == "endless" then headers:replace("x-envoy-upstream-rq-timeout-ms", "0") end
  if told == "rename" then headers:replace(":path", "/renamed") end
  handle:streamInfo():dynamicMetadata():set("noted", "length", #text)
  handle:streamInfo():dynamicMetadata():set("noted", "text", "7")
end
function envoy_on_response(handle)
  local count = 0
  for chunk in handle:bodyChunks() do
    count = count + 1
    handle:streamInfo():dynamicMetadata():set("noted", "chunks", count)
    local text = chunk:getBytes(0, chunk:length())
    if string.find(text, "secret", 1, true) then chunk:setBytes("") end
  end
end
"""
FAULTY = "function envoy_on_request(handle) error('oops') end"


def _place(name: str, told: str) -> Json:
    metadata = {"filter_metadata": {"lua": {"told": told}}}
    route = to("up", route={"timeout": "0.3s"}, name=name, metadata=metadata)
    return {
        "name": name,
        "domains": [name],
        "routes": [route],
        "typed_per_filter_config": _runs("choose"),
    }


def _runs(source: str) -> Json:
    return {"lua": config(PER_ROUTE, name=source)}


def _lua_listener() -> Json:
    whole = {"buffer": config(f"{BUFFER}.BufferPerRoute", buffer={"max_request_bytes": 3_000_000})}
    refused = {"status": 403, "body": {"inline_string": "nowhere"}}
    first = {
        "name": "first",
        "match": {"path": "/first"},
        "direct_response": refused,
        "typed_per_filter_config": _runs("choose"),
    }
    large = {**first, "match": {"path": "/large"}}
    large["typed_per_filter_config"] = {**_runs("choose"), **whole}
    faulty = {**first, "match": {"path": "/faulty"}, "typed_per_filter_config": _runs("faulty")}
    plain = to("up", {"path": "/plain"}, name="plain")
    places = [_place(name, name) for name in ("shorten", "refuse", "endless", "rename", "keep")]
    sources = {"choose": {"inline_string": CHOOSE}, "faulty": {"inline_string": FAULTY}}
    set_first = {"append": {"header": {"key": "x-place", "value": "host:%REQ(:AUTHORITY)%"}}}
    mutations = [{"remove": "x-place"}, set_first]
    kind = "extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
    return listener(
        [
            typed("buffer", f"{BUFFER}.Buffer", max_request_bytes=1),
            typed("lua", LUA, source_codes=sources),
        ],
        {
            "vhost_header": "x-place",
            "typed_per_filter_config": {
                "buffer": config(f"{BUFFER}.BufferPerRoute", disabled=True)
            },
            "virtual_hosts": [
                {"name": "rest", "domains": ["*"], "routes": [first, large, faulty, plain]},
                *places,
            ],
        },
        name="lua",
        log_fields=LOG,
        early_header_mutation_extensions=[typed("early", kind, mutations=mutations)],
    )


def _model(on_error: str = "ERROR") -> Json:
    def note(value: str) -> Json:
        return {"metadata_namespace": "noted", "key": "model", "value": value}

    rule = {
        "selectors": [{"key": "model"}],
        "on_present": {"metadata_namespace": "noted", "key": "model"},
        "on_missing": note("MISSING"),
        "on_error": note(on_error),
    }
    return typed("model", JSON_TO_METADATA, request_rules={"rules": [rule]})


def _merge() -> Json:
    merged = {"stream_options": {"include_usage": True}}
    body = {"action": "MERGE", "body_format": {"json_format": merged}}
    return typed("merge", TRANSFORM, request_transformation={"body_transformation": body})


@dataclass
class Stand:
    """The Envoy of this module, and the server behind it."""

    envoy: Envoy
    upstream: Upstream
    count: int = 0

    def ask(self, body: bytes, path: str = "/", *, to_listener: str, **headers: str) -> Answer:
        """Send a body; `line` and `seen` tell afterwards what became of it."""
        self.upstream.seen.clear()
        self.count += 1
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.envoy.ask(path, body, headers=named, listener=to_listener)

    @property
    def line(self) -> Json:
        """The access log's last line."""
        return self.envoy.log(self.count)[-1]

    @property
    def seen(self) -> bytes:
        """What the server got."""
        return self.upstream.seen[0].body


@pytest.fixture(scope="module")
def running() -> Iterator[Stand]:
    """Start one Envoy with a listener for each filter."""
    upstream = Upstream()
    listeners = [
        _lua_listener(),
        listener([_model()], routes(to("up")), name="metadata", log_fields=LOG),
        listener([_merge()], routes(to("up")), name="merge", log_fields=LOG),
    ]
    with running_envoy(listeners, [cluster("up", upstream.port)]) as envoy:
        yield Stand(envoy, upstream)
    upstream.end()


@pytest.fixture
def stand(running: Stand) -> Stand:
    """Return it with a server that answers plainly."""
    running.upstream.answer = answering({"ok": True})
    return running


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (b'{"model":"a","model":"b"}', "b"),
        (b'{"mod\\u0065l":"a"}', "a"),
        (b'{"model":["a"]}', "MISSING"),
        (b'{"model":7}', 7),
        (b'{"model":"a"}{"model":"b"}', "ERROR"),
        (b'{"model":"a","x":' + b"[" * 5000 + b"]" * 5000 + b"}", "ERROR"),
    ],
    ids=["twice", "escaped", "array", "number", "two documents", "bomb"],
)
def test_json_to_metadata_passes_what_two_parsers_read_differently(
    stand: Stand, body: bytes, model: Any
) -> None:
    assert stand.ask(body, to_listener="metadata").status == 200
    assert stand.line["noted"]["model"] == model
    assert stand.seen == body


def test_json_to_metadata_takes_one_spelling_of_the_content_type_by_itself(stand: Stand) -> None:
    for kind in ("application/json; charset=utf-8", "Application/JSON"):
        stand.ask(b'{"model":"a"}', to_listener="metadata", content_type=kind)
        assert stand.line["noted"]["model"] == "ERROR"


def test_transform_writes_a_body_anew_and_loses_order_and_digits(stand: Stand) -> None:
    stand.ask(b'{"z":1,"a":{"y":1,"b":2},"seed":9007199254740993}', to_listener="merge")
    assert list(json.loads(stand.seen)) == ["a", "seed", "stream_options", "z"]
    assert list(json.loads(stand.seen)["a"]) == ["b", "y"]
    assert json.loads(stand.seen)["seed"] == 9007199254740992


def test_transform_merges_no_deeper_than_the_first_level(stand: Stand) -> None:
    stand.ask(b'{"stream_options":{"mine":1}}', to_listener="merge")
    assert json.loads(stand.seen) == {"stream_options": {"include_usage": True}}


def test_transform_sends_what_it_cannot_read_as_it_is(stand: Stand) -> None:
    body = b'{"a":1,"a":2}'
    assert stand.ask(body, to_listener="merge").status == 200
    assert stand.seen == body


def test_lua_reads_a_body_and_chooses_the_virtual_host_anew(stand: Stand) -> None:
    assert stand.ask(b"to=keep", "/first", to_listener="lua").status == 200
    assert stand.line["route"] == "keep"
    noted = stand.line["noted"]
    assert (noted["length"], noted["text"]) == (7, "7")
    assert stand.ask(b"to=absent", "/first", to_listener="lua").status == 403
    assert (stand.line["route"], stand.line["details"]) == ("first", "direct_response")


def test_the_header_that_chooses_the_virtual_host_is_set_before_anything_is_routed(
    stand: Stand,
) -> None:
    answer = stand.ask(b"x", "/plain", to_listener="lua", x_place="keep", host="keep")
    assert (answer.status, stand.line["route"]) == (200, "plain")


def test_lua_sees_the_metadata_of_the_route_that_was_chosen_anew(stand: Stand) -> None:
    answer = stand.ask(b"to=refuse", "/first", to_listener="lua")
    assert (answer.status, answer.body) == (415, b"refused by lua")
    assert stand.line["details"] == "lua_response"


def test_lua_replaces_a_body_and_its_length(stand: Stand) -> None:
    stand.ask(b"to=shorten " + b"x" * 5000, "/first", to_listener="lua")
    assert stand.seen == b"short"
    assert stand.upstream.seen[0].header("content-length") == "5"


def test_lua_changes_the_path_that_the_server_gets(stand: Stand) -> None:
    stand.ask(b"to=rename", "/first", to_listener="lua")
    assert stand.upstream.seen[0].path == "/renamed"


def test_lua_ends_the_time_limit_of_a_route(stand: Stand) -> None:
    stand.upstream.answer = streaming([b"a"] * 3, gap_s=0.2)
    answer = stand.ask(b"to=endless", "/first", to_listener="lua")
    assert (answer.status, answer.body) == (200, b"aaa")


def test_an_error_in_lua_leaves_the_request_on_its_first_route(stand: Stand) -> None:
    assert stand.ask(b"to=keep", "/faulty", to_listener="lua").status == 403


def test_lua_runs_only_where_a_route_names_its_program(stand: Stand) -> None:
    assert stand.ask(b"to=refuse", "/plain", to_listener="lua").status == 200
    assert stand.line["noted"] is None


def test_lua_sees_an_answer_in_pieces_and_takes_one_away(stand: Stand) -> None:
    stand.upstream.answer = streaming([b"one ", b"secret ", b"two"], gap_s=0.05)
    answer = stand.ask(b"to=keep", "/first", to_listener="lua")
    assert answer.body == b"one two"
    assert stand.line["noted"]["chunks"] >= 3


def test_what_lua_noted_of_a_stream_that_breaks_off_is_in_the_log(stand: Stand) -> None:
    stand.upstream.answer = streaming([b"one ", b"two"], gap_s=0.05, is_cut=True)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        stand.ask(b"to=keep", "/first", to_listener="lua")
    assert stand.line["noted"]["chunks"] == 2


def test_a_body_beyond_the_connections_buffer_is_refused_to_lua(stand: Stand) -> None:
    body = b"to=keep " + b"x" * 1_200_000
    # It may answer while the body is still being sent.
    with suppress(ConnectionError):
        assert stand.ask(body, "/first", to_listener="lua").status == 413
    assert stand.line["details"] == "request_payload_too_large"


def test_the_buffer_filter_before_lua_lets_larger_bodies_be_read(stand: Stand) -> None:
    body = b"to=keep " + b"x" * 1_200_000
    assert stand.ask(body, "/large", to_listener="lua").status == 200
    assert stand.seen == body
