"""What our own filter, a dynamic module, relies on in Envoy.

The interface of modules is Envoy's, and changes with it: shapes, calls, and what each call does.
What the filter itself makes of bodies is for `tests/gateway/test_native_request.py` and its like.
"""

from __future__ import annotations

import http.client
import itertools
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from plinth.gateway.module import module_settings
from plinth.gateway.openai_filter import (
    CALLER,
    OPENAI_FILTER,
    RENAME,
    openai_filter,
    rename_model,
    run_part,
    told,
    usage_filters,
)
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

BUFFER = "extensions.filters.http.buffer.v3"
EARLY = "extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
PATH = "/v1/chat/completions"
LOG = {
    "code": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "route": "%ROUTE_NAME%",
    "noted": "%DYNAMIC_METADATA(plinth)%",
    "told": "%DYNAMIC_METADATA(plinth.usage:told)%",
}
USAGE = b'data: {"choices":[],"usage":{"a":1}}\n\n'


def _place(name: str, **marks: bool) -> Json:
    route = to("up", route={"timeout": "0.3s"}, name=name, **(told(**marks) if marks else {}))
    rules = {OPENAI_FILTER: module_settings("granted", "everybody")}
    host = {"name": name, "domains": [f"endpoint:{name}"], "routes": [route]}
    return host if name == "closed" else {**host, "typed_per_filter_config": rules}


def _chosen_by_body() -> Json:
    """Return a listener as the gateway's: a first route, and others by what the body says."""
    refused = {"status": 403, "body": {"inline_string": "nowhere"}}
    first = {
        "name": "first",
        "match": {"path": PATH},
        "direct_response": refused,
        "typed_per_filter_config": run_part(CALLER),
    }
    whole = {"buffer": config(f"{BUFFER}.BufferPerRoute", buffer={"max_request_bytes": 3_000_000})}
    large = {**first, "match": {"path": "/v1/completions"}}
    large["typed_per_filter_config"] = {**run_part(CALLER), **whole}
    set_first = {"append": {"header": {"key": "x-plinth-place", "value": "host"}}}
    return listener(
        [
            {**typed("buffer", f"{BUFFER}.Buffer", max_request_bytes=1), "disabled": True},
            openai_filter(),
        ],
        {
            "vhost_header": "x-plinth-place",
            "virtual_hosts": [
                {
                    "name": "rest",
                    "domains": ["*"],
                    "routes": [first, large, to("up", name="plain")],
                },
                _place("keep"),
                _place("closed"),
                _place("endless", endless=True),
                _place("limited", limited=True),
            ],
        },
        name="body",
        log_fields=LOG,
        early_header_mutation_extensions=[typed("early", EARLY, mutations=[set_first])],
        request_id_extension={
            "typed_config": config(
                "extensions.request_id.uuid.v3.UuidRequestIdConfig", pack_trace_reason=False
            )
        },
    )


@dataclass
class Stand:
    """The Envoy of this module, and the server behind it."""

    envoy: Envoy
    upstream: Upstream
    count: int = 0

    def ask(
        self, body: bytes, path: str = PATH, *, to_listener: str = "body", **headers: str
    ) -> Answer:
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
    """Start one Envoy with a listener for each way in which the filter is used."""
    upstream = Upstream()
    renamed = {"name": "renamed", **to("up", {"path": "/renamed"}), **rename_model('a "b"')}
    listeners = [
        _chosen_by_body(),
        listener([openai_filter()], routes(renamed, to("up")), name="rename", log_fields=LOG),
        listener(usage_filters(), routes(to("up")), name="answers", log_fields=LOG),
    ]
    with running_envoy(listeners, [cluster("up", upstream.port)]) as envoy:
        yield Stand(envoy, upstream)
    upstream.end()


@pytest.fixture
def stand(running: Stand) -> Stand:
    """Return it with a server that answers plainly."""
    running.upstream.answer = answering({"ok": True, "usage": {"a": 1}})
    return running


def body(model: str, **more: object) -> bytes:
    return json.dumps({"model": model, **more}).encode()


def test_envoy_knows_the_version_of_the_interface(stand: Stand) -> None:
    words = (stand.envoy.root / "envoy.log").read_text()
    assert "ABI version" not in words
    assert "Deprecated field" not in words


def test_a_disabled_filter_is_made_where_the_first_route_has_settings_for_it(stand: Stand) -> None:
    assert stand.ask(b"no json", "/plain").status == 200
    assert stand.line["told"] is None
    assert stand.ask(b"no json").status == 400


def test_a_route_is_chosen_anew_by_a_header_that_the_module_sets(stand: Stand) -> None:
    assert stand.ask(body("keep")).status == 200
    assert stand.line["route"] == "keep"
    assert stand.upstream.seen[0].header("x-plinth-length") == str(len(body("keep")))
    for name, route in (("absent", "first"), ("closed", "closed")):
        assert stand.ask(body(name)).status == 403
        assert (stand.line["route"], stand.line["details"]) == (route, "plinth_denied[none]")
        assert stand.upstream.seen == []


def test_the_settings_of_the_first_route_hold_for_the_answer(stand: Stand) -> None:
    assert stand.ask(body("keep")).status == 200
    assert json.loads(stand.line["told"]) == {"usage": {"a": 1}}


def test_the_metadata_of_the_new_route_are_seen(stand: Stand) -> None:
    stand.ask(body("limited"), x_plinth_team="ops")
    assert stand.line["noted"] == {
        "limited": "yes",
        "endpoint": "limited",
        "team": "ops",
        "len": str(len(body("limited"))),
    }


def test_a_module_ends_the_time_limit_of_a_route(stand: Stand) -> None:
    stand.upstream.answer = streaming([b"data: a\n\n"] * 3, gap_s=0.2)
    answer = stand.ask(body("endless", stream=True))
    assert (answer.status, answer.body) == (200, b"data: a\n\n" * 3)


def test_a_refusal_has_its_own_words_and_details(stand: Stand) -> None:
    answer = stand.ask(b"{")
    assert (answer.status, b"its syntax" in answer.body) == (400, True)
    assert stand.line["details"] == "plinth_unreadable"
    assert stand.upstream.seen == []


def test_a_changed_body_has_its_new_length(stand: Stand) -> None:
    stand.ask(body("keep", stream=True))
    assert json.loads(stand.seen)["stream_options"] == {"include_usage": True}
    assert stand.upstream.seen[0].header("content-length") == str(len(stand.seen))


@pytest.mark.parametrize("size", [0, 1, 16_384, 300_000])
@pytest.mark.parametrize("ends", ["with a piece", "alone", "with a trailer"])
def test_a_body_in_pieces_is_read_and_changed_as_one(stand: Stand, size: int, ends: str) -> None:
    sent = body("keep", stream=True, pad="x" * size)
    cuts = [0, 5, 9, *range(10_000, len(sent), 40_000), len(sent)]
    pieces = [sent[a:b] for a, b in itertools.pairwise(cuts)]
    head = f"POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
    chunks = [b"%x\r\n%s\r\n" % (len(each), each) for each in pieces]
    end = {"with a trailer": b"0\r\nx-a: b\r\n\r\n"}.get(ends, b"0\r\n\r\n")
    stand.upstream.seen.clear()
    stand.count += 1
    with stand.envoy.connect("body") as connection:
        connection.sendall(head.encode() + b"transfer-encoding: chunked\r\n\r\n")
        for chunk in chunks[:-1]:
            connection.sendall(chunk)
        connection.sendall(chunks[-1] + (b"" if ends == "alone" else end))
        if ends == "alone":
            connection.sendall(end)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 200
    assert json.loads(stand.seen).pop("stream_options") == {"include_usage": True}
    assert json.loads(stand.seen)["pad"] == "x" * size
    assert len(stand.seen) == len(sent) + len('"stream_options":{"include_usage":true},')


def test_a_body_beyond_the_connections_buffer_is_refused(stand: Stand) -> None:
    # It may answer while the body is still being sent.
    with suppress(ConnectionError):
        assert stand.ask(body("keep", pad="x" * 1_200_000)).status == 413
    assert stand.line["details"] == "request_payload_too_large"


def test_the_buffer_filter_before_it_lets_larger_bodies_be_read(stand: Stand) -> None:
    sent = body("keep", stream=True, pad="x" * 1_200_000)
    assert stand.ask(sent, "/v1/completions").status == 200
    assert len(stand.seen) == len(sent) + len('"stream_options":{"include_usage":true},')


def test_a_piece_of_an_answer_can_be_taken_away(stand: Stand) -> None:
    stand.upstream.answer = streaming(
        [b"data: 1\n\n", USAGE[:9], USAGE[9:], b"data: 2"], gap_s=0.02
    )
    assert stand.ask(body("keep", stream=True)).body == b"data: 1\n\ndata: 2"
    assert json.loads(stand.line["told"]) == {"usage": {"a": 1}, "events": 2}


def test_an_answer_without_its_length_comes_in_chunks(stand: Stand) -> None:
    stand.upstream.answer = answering(b"data: 1\n\n" + USAGE, content_type="text/event-stream")
    answer = stand.ask(body("keep", stream=True))
    assert (answer.body, "content-length" in answer.headers) == (b"data: 1\n\n", False)


def test_what_is_noted_at_the_end_of_a_stream_that_breaks_off_is_in_the_log(stand: Stand) -> None:
    stand.upstream.answer = streaming([USAGE, b"data: 2"], gap_s=0.05, is_cut=True)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        stand.ask(body("keep", stream=True))
    assert json.loads(stand.line["told"]) == {"usage": {"a": 1}, "events": 1}


def test_a_route_names_the_model_that_stands_in_its_metadata(stand: Stand) -> None:
    stand.ask(body("keep"), "/renamed", to_listener="rename")
    assert json.loads(stand.seen) == {"model": 'a "b"'}
    stand.ask(body("keep"), "/other", to_listener="rename")
    assert stand.seen == body("keep")
    assert run_part(RENAME)[OPENAI_FILTER]["filter_name"] == RENAME


def test_what_a_server_says_leaves_the_log_one_text_of_json_a_line(stand: Stand) -> None:
    usage = b'{"a":"\xff\xc3\xa9\x00\x1f\n\\u2028"}'
    stand.upstream.answer = answering(b'{"model":"\xc3\xa9","usage":' + usage + b"}")
    assert stand.ask(body("keep")).status == 200
    assert stand.line["code"] == 200
    assert stand.line["told"].startswith('{"answered":"??","usage":{"a":"')


def test_a_filter_without_routes_of_its_own_reads_every_answer(stand: Stand) -> None:
    stand.ask(b"x", "/any", to_listener="answers")
    assert json.loads(stand.line["told"]) == {"usage": {"a": 1}}
