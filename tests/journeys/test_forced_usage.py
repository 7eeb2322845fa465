"""Usage that only we asked for is counted and never reaches the caller, however it is sent.

A journey because the answer is changed by a program that runs in Envoy only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conformance.upstream_stand import Request
from tests.journeys.spill_stand import CHAT, Stand, running_stand

USAGE = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}
WORDS = ("one ", "two")


@pytest.fixture(scope="module")
def stand(free_port: Callable[[], int]) -> Iterator[Stand]:
    with running_stand(free_port) as running:
        yield running


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def events(request: Request) -> list[bytes]:
    """Return the stream that a request asks for."""
    base = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "chat"}
    found = [
        event({**base, "choices": [{"index": 0, "delta": {"content": word}}]}) for word in WORDS
    ]
    if (json.loads(request.body).get("stream_options") or {}).get("include_usage"):
        found.append(event({**base, "choices": [], "usage": USAGE}))
    return [*found, b"data: [DONE]\n\n"]


async def at_once(request: Request) -> None:
    """Send the whole stream with its length, as a server does that has it in memory."""
    kind = {"content-type": "text/event-stream"}
    await request.reply(200, b"".join(events(request)), headers=kind)


async def in_pieces(request: Request) -> None:
    """Send the events in chunks that end in the middle of each."""
    await request.begin(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
    whole = b"".join(events(request))
    for start in range(0, len(whole), 37):
        await request.chunk(whole[start : start + 37])
    await request.chunk(b"")


def texts(body: bytes) -> list[str]:
    return [part.removeprefix("data: ") for part in body.decode().split("\n\n") if part]


@pytest.mark.parametrize("behaviour", [at_once, in_pieces])
@pytest.mark.parametrize("place", ["here", "elsewhere"])
def test_usage_that_only_we_asked_for_is_counted_and_not_passed_on(
    stand: Stand, behaviour: Any, place: str
) -> None:
    serve = stand.hosted if place == "here" else stand.external
    stand.apply(serve(place, behaviour))
    sent = {"model": "chat", "messages": [], "stream": True}
    answer = stand.ask(json.dumps(sent).encode(), CHAT)
    assert answer.status == 200
    found = texts(answer.body)
    assert found[-1] == "[DONE]"
    contents = [json.loads(each)["choices"][0]["delta"]["content"] for each in found[:-1]]
    assert contents == list(WORDS)
    assert json.loads(stand.line(answer)["told"])["usage"] == USAGE


@pytest.mark.parametrize("behaviour", [at_once, in_pieces])
def test_usage_that_the_caller_asked_for_is_passed_on(stand: Stand, behaviour: Any) -> None:
    stand.apply(stand.hosted("main", behaviour))
    options = {"stream_options": {"include_usage": True}}
    sent = {"model": "chat", "messages": [], "stream": True, **options}
    *_, last, _done = texts(stand.ask(json.dumps(sent).encode(), CHAT).body)
    assert json.loads(last)["usage"] == USAGE
