"""The gateway's reading of JSON, held to Python's own: whatever passes, both read alike.

A journey because the program that reads runs in Envoy only.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.journeys.gateway_stand import Gateway, ask, running_gateway
from tests.journeys.openai_stand import OpenAIServer, chat_endpoint

CHAT = "/v1/chat/completions"
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(['"', "\\", '\\"', "}", "]", '"model":"other"', "\u2028"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=20,
)
# A name with escapes, or one of ours in another case, is refused on the first level, so none is
# made there.
NAMES = st.text(
    st.characters(codec="ascii", exclude_characters='"\\', min_codepoint=32, max_codepoint=126),
    max_size=9,
).filter(lambda name: name.lower() not in {"n", "model", "stream", "best_of"} or name.islower())
BODIES = st.dictionaries(NAMES, VALUES, max_size=6)
STYLES = st.sampled_from([{}, {"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}])


class Behind:
    """A gateway, a connection to it, and the server behind it."""

    def __init__(self, gateway: Gateway, server: OpenAIServer) -> None:
        self.gateway, self.server = gateway, server
        self.key = gateway.key()
        self.connection: http.client.HTTPConnection = gateway.connect()

    def post(self, body: bytes) -> tuple[int, bytes | None]:
        """Send a body; return the status, and what the server got if it got anything."""
        self.server.asked.clear()
        headers = {"content-type": "application/json"}
        answer = ask(self.connection, CHAT, self.key, method="POST", headers=headers, body=body)
        return answer.status, self.server.asked[0].body if self.server.asked else None


@pytest.fixture(scope="module")
def behind(free_port: Callable[[], int]) -> Iterator[Behind]:
    """Have one model behind a gateway."""
    with running_gateway(free_port()) as gateway:
        server = OpenAIServer("blue", gateway.root / "run" / "r_blue.0.1.sock")
        gateway.apply(endpoints=(chat_endpoint("chat", server),))
        found = Behind(gateway, server)
        yield found
        found.connection.close()
        server.end()


def _encode(value: Any, style: dict[str, Any]) -> bytes:
    # Half a character can be named in JSON, but is no UTF-8.
    return json.dumps(value, **style).encode("utf-8", "replace")


@settings(max_examples=60)
@given(BODIES, STYLES, st.integers(0, 6))
def test_what_python_writes_passes_byte_for_byte(
    behind: Behind, body: dict[str, Any], style: dict[str, Any], place: int
) -> None:
    body.pop("stream", None)
    pairs = [(name, value) for name, value in body.items() if name != "model"]
    pairs.insert(place, ("model", "chat"))
    sent = _encode(dict(pairs), style)
    assert behind.post(sent) == (200, sent)


@settings(max_examples=60)
@given(BODIES, STYLES, st.none() | BODIES)
def test_a_stream_is_asked_for_its_usage_and_for_nothing_else(
    behind: Behind, body: dict[str, Any], style: dict[str, Any], options: dict[str, Any] | None
) -> None:
    request = {**body, "model": "chat", "stream": True, "stream_options": options}
    status, received = behind.post(_encode(request, style))
    assert status == 200
    wanted = {**request, "stream_options": {**(options or {}), "include_usage": True}}
    expected = json.loads(_encode(wanted, style))
    assert received is not None
    assert json.loads(received) == expected
    assert list(json.loads(received)) == list(request)


def _damaged(body: bytes, at: int, change: bytes, taken: int) -> bytes:
    at %= len(body)
    return body[:at] + change + body[at + taken :]


@settings(max_examples=120)
@given(
    BODIES,
    st.integers(0, 10_000),
    st.binary(max_size=2) | st.sampled_from([b'"', b"\\", b"{", b"}", b",", b":", b'"model":"b",']),
    st.integers(0, 3),
)
def test_of_damaged_bodies_none_passes_that_names_another_model(
    behind: Behind, body: dict[str, Any], at: int, change: bytes, taken: int
) -> None:
    body.pop("stream", None)
    sent = _damaged(_encode({**body, "model": "chat"}, {}), at, change, taken)
    status, received = behind.post(sent)
    if received is None:
        assert status in (400, 403)
        return
    assert received == sent
    try:
        read = json.loads(received)
    except ValueError:
        return  # Broken within a value: every server refuses it.
    assert read["model"] == "chat"
