"""What Envoy's own filters make of the bodies of requests.

They are why Plinth reads OpenAI's bodies by a filter of its own, which `test_module.py` is about.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
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
    listener,
    routes,
    running_envoy,
    to,
    typed,
)

JSON_TO_METADATA = "extensions.filters.http.json_to_metadata.v3.JsonToMetadata"
TRANSFORM = "extensions.filters.http.transform.v3.TransformConfig"
LOG = {
    "code": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "route": "%ROUTE_NAME%",
    "noted": "%DYNAMIC_METADATA(noted)%",
    "path": "%PATH(NQ:ORIG_OR_PATH)%",
}


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
