"""What our own filter reads in answers, however they are cut into pieces."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterable
from typing import Any

import pytest

from tests.gateway.native_stand import Stream

STREAM = "text/event-stream; charset=utf-8"
ASKS = b'{"model":"chat","stream":true,"stream_options":{"include_usage":true}}'
LEAVES = b'{"model":"chat","stream":true}'


def event(value: Any, end: str = "\n\n") -> str:
    return f"data: {json.dumps(value)}{end}"


def streamed(end: str = "\n\n", *, last: str = "data: [DONE]\n\n") -> tuple[str, str]:
    """Return a stream, and what a caller gets of it who did not ask for usage."""
    base = {"model": "gpt-5", "object": "chunk"}
    words = [
        event({**base, "choices": [{"delta": {"content": it}}]}, end) for it in ("a", '"usage"')
    ]
    begin = f": ping{end}" + "".join(words)
    usage = event({**base, "choices": [], "usage": {"total_tokens": 7}}, end)
    return begin + usage + last, begin + last


def read(
    frames: Iterable[bytes], body: bytes = LEAVES, kind: str = STREAM, **more: Any
) -> tuple[bytes, Any]:
    """Return what the caller gets, and what the log is told."""
    with Stream() as stream:
        stream.ask(body)
        out = stream.answer(frames, kind, **more)
    return out, stream.told


def cut(text: bytes, *places: int) -> list[bytes]:
    bounds = [0, *sorted(places), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(bounds)]


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n"])
@pytest.mark.parametrize("last", ["data: [DONE]\n\n", "data: [DONE]", "data:[DONE]\n", ""])
def test_a_stream_is_read_alike_wherever_it_is_cut(end: str, last: str) -> None:
    sent, kept = (each.encode() for each in streamed(end, last=last))
    expected = read([sent])
    assert expected[0] == kept
    told = {"answered": "gpt-5", "usage": {"total_tokens": 7}, "events": 4 + last.endswith("\n\n")}
    assert expected[1] == told
    for place in range(len(sent) + 1):
        assert read(cut(sent, place)) == expected, place
    assert read([bytes([each]) for each in sent]) == expected
    assert read([*cut(sent, 30), b""]) == expected


def test_a_caller_who_asked_gets_every_byte() -> None:
    sent = streamed()[0].encode()
    for frames in ([sent], [bytes([each]) for each in sent]):
        out, told = read(frames, ASKS)
        assert out == sent
        assert told["usage"] == {"total_tokens": 7}


def test_an_end_without_an_empty_line_is_not_lost() -> None:
    assert read([b'data: {"choices":[{}]}'])[0] == b'data: {"choices":[{}]}'
    usage = b'data: {"choices":[],"usage":{"a":1}}'
    assert read([usage]) == (b"", {"usage": {"a": 1}, "events": 0})


def test_of_a_stream_that_breaks_off_the_log_is_told_what_came() -> None:
    pieces = [
        event({"model": "m", "usage": {"in": 1}}).encode(),
        b'data: {"usage":{"in":1,"out":2}}',
    ]
    out, told = read(pieces, is_cut=True)
    assert out == pieces[0]
    assert told == {
        "answered": "m",
        "usage": {"in": 1, "out": 2},
        "usage_first": {"in": 1},
        "events": 1,
    }


def test_what_has_no_end_is_passed_on_and_never_held_without_bound() -> None:
    sent = b"data: " + b"x" * 200_000 + b"\n\n" + streamed()[0].encode()
    out, told = read(cut(sent, *range(0, len(sent), 16_384)))
    assert len(out) >= 200_000
    assert told["usage"] == {"total_tokens": 7}


def test_an_event_with_a_length_of_its_server_becomes_shorter() -> None:
    sent, kept = (each.encode() for each in streamed())
    with Stream() as stream:
        stream.ask(LEAVES)
        assert stream.answer([sent], STREAM, content_length=str(len(sent))) == kept
        assert stream.header(2, "content-length") is None


def test_a_text_is_read_alike_wherever_it_is_cut() -> None:
    value = {"id": "1", "model": "gpt-5", "text": 'say \\"usage\\": {', "usage": {"a": {"b": [1]}}}
    sent = json.dumps(value, indent=1).encode()
    expected = (sent, {"answered": "gpt-5", "usage": {"a": {"b": [1]}}})
    for place in range(len(sent) + 1):
        assert read(cut(sent, place), kind="application/json") == expected, place
    assert read([bytes([each]) for each in sent], kind="application/json") == expected


def test_of_a_large_text_only_its_end_is_kept() -> None:
    rest = json.dumps({"usage": {"a": 1}})[1:]
    sent = b'{"model":"m","data":"' + b"x" * 300_000 + b'",' + rest.encode()
    out, told = read(cut(sent, *range(0, len(sent), 5000)), kind="application/json")
    assert (out, told) == (sent, {"answered": "m", "usage": {"a": 1}})


@pytest.mark.parametrize(
    "sent",
    [
        b'{"usage":7}',
        b'{"usage":{"a":',
        b'{"usage":{"a":/**/1}}',
        b'{"usage":{"a":"' + b"x" * 4100 + b'"}}',
        b'{"text":"\\"usage\\":{}"}',
        b"",
    ],
)
def test_what_is_no_usage_is_none(sent: bytes) -> None:
    assert read([sent], kind="application/json")[1] is None


def test_other_answers_are_not_looked_at() -> None:
    assert read([b'{"usage":{"a":1}}'], kind="text/plain")[1] is None
    with Stream(part="none") as stream:
        stream.ask(b"x")
        stream.answer([b'{"usage":{"a":1}}'])
    assert stream.told is None


def test_a_name_that_an_answer_gives_itself_stands_in_the_log_as_it_can() -> None:
    told = read(['{"model":"é", "usage":{}}'.encode()], kind="application/json")[1]
    assert told["answered"] == "??"
    told = read([b'{"model":"%s","usage":{}}' % (b"m" * 500)], kind="application/json")[1]
    assert told["answered"] == "m" * 200


def test_random_pieces_of_random_answers_end_nothing() -> None:
    chance = random.Random(3)
    parts = (b'"usage"', b'"model"', b":", b"{", b"}", b'"', b"\\", b"\n", b"\r\n", b"data: ", b"[")
    parts += (b'"choices"', b"]", b"[DONE]", b" ", b"\x00", b"\xff", b"x" * 5000, b'{"a":1}')
    for _ in range(1500):
        frames = [b"".join(chance.choices(parts, k=chance.randrange(9))) for _ in range(4)]
        kind = chance.choice([STREAM, "application/json"])
        body = chance.choice([ASKS, LEAVES])
        out, _ = read(frames, body, kind, is_cut=chance.random() < 0.3)
        if body is ASKS or kind != STREAM:
            assert out == b"".join(frames)


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ({"limit": "60, 60;w=60", "remaining": "58", "reset": "0"}, ("60", "58", "2s")),
        ({"limit": "60", "remaining": "60", "reset": "0"}, ("60", "60", "0s")),
        ({"limit": "7", "remaining": "0", "reset": "3"}, ("7", "0", "60s")),
        ({"limit": "4000000000", "remaining": "3999999999", "reset": "0"}, (None, None, None)),
        ({"limit": "x", "remaining": "1", "reset": "0"}, (None, None, None)),
        ({}, (None, None, None)),
    ],
)
def test_limits_are_told_in_the_names_that_openai_gives_them(
    given: dict[str, str], becomes: tuple[str | None, ...]
) -> None:
    with Stream() as stream:
        stream.ask(b'{"model":"chat"}')
        stream.answer([], **{f"x_ratelimit_{name}": value for name, value in given.items()})
    names = ("limit", "remaining", "reset")
    found = tuple(stream.header(2, f"x-ratelimit-{name}-requests") for name in names)
    assert found == becomes
    if given.get("limit") != "x":
        assert not any(stream.header(2, f"x-ratelimit-{name}") for name in names)
