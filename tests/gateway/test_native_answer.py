"""What our own filter reads in answers, however they are cut into pieces."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n", "\r\r", "\n\r\n", "\r\n\r"])
@pytest.mark.parametrize("last", ["data: [DONE]END", "data: [DONE]", "data:[DONE]\n", ""])
def test_a_stream_is_read_alike_wherever_it_is_cut(end: str, last: str) -> None:
    last = last.replace("END", end)
    sent, kept = (each.encode() for each in streamed(end, last=last))
    expected = read([sent])
    assert expected[0] == kept
    told = {"answered": "gpt-5", "usage": {"total_tokens": 7}, "events": 3 + last.endswith(end)}
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


@pytest.mark.parametrize(
    "said",
    [
        {"choices": [{"message": {"usage": {"a": 9}, "model": "x"}}]},
        {"error": {"usage": {"a": 9}, "response": {"usage": {"a": 9}}}},
        {"message": [{"usage": {"a": 9}}], "response": {"x": {"usage": {"a": 9}}}},
        {"response": {"message": {"usage": {"a": 9}, "model": "x"}}},
        {"usages": {"a": 9}, "model": {"model": "x"}, '"usage': {"a": 9}},
    ],
)
def test_what_stands_deeper_in_an_answer_is_no_usage_of_its(said: Any) -> None:
    plain = {"usage": {"a": 1}, "model": "m"}
    for sent in ({**said, **plain}, {**plain, **said, "model": "m"}):
        told = {"answered": "m", "usage": {"a": 1}}
        text = json.dumps(sent).encode()
        assert read([text], kind="application/json")[1] == told
        frames = [bytes([each]) for each in b"data: " + text + b"\n\n"]
        assert read(frames)[1] == {**told, "events": 1}
    assert "usage" not in (read([json.dumps(said).encode()], kind="application/json")[1] or {})


@pytest.mark.parametrize("name", ["response", "message"])
def test_events_that_hold_an_answer_say_its_usage(name: str) -> None:
    sent = event({name: {"model": "m", "x": "y" * 70_000, "usage": {"a": 1}}, "type": "start"})
    sent += event({"usage": {"b": 2}})
    told = {"answered": "m", "usage": {"b": 2}, "usage_first": {"a": 1}, "events": 2}
    for size in (1, 999, 100_000):
        frames = cut(sent.encode(), *range(size, len(sent), size))
        assert read(frames) == (sent.encode(), told)


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


BASE = {"id": "1", "object": "x", "created": 1, "model": "m", "choices": [], "usage": {"a": 1}}
MORE = {"system_fingerprint": None, "service_tier": "x", "obfuscation": "y"}
ONLY = json.dumps(BASE)


@pytest.mark.parametrize(
    "sent",
    [
        ONLY,
        f": comment\nevent: usage\nid: 1\ndata:{ONLY}",
        f"data:   {ONLY} \nretry: 1",
        *(json.dumps({**BASE, **more}) for more in (MORE, {"choices": None}, {"usage": {}})),
        json.dumps({"usage": {"a": "b" * 30_000}, "choices": []}),
        '{"choices":[ ],"usage": {"a":1}}',
    ],
)
def test_an_event_that_only_says_what_we_asked_for_is_hidden(sent: str) -> None:
    text = sent if "data:" in sent else f"data: {sent}"
    assert read([text.encode() + b"\n\n"])[0] == b""
    assert read([text.encode()])[0] == b""


@pytest.mark.parametrize(
    "sent",
    [
        *(json.dumps({**BASE, name: 1}) for name in ("error", "citations", "delta", "Usage")),
        *(json.dumps({**BASE, "choices": each}) for each in ([1], {}, "", 0, False)),
        *(json.dumps({**BASE, "usage": each}) for each in (None, [], 7, "{}")),
        json.dumps({"choices": [{"choices": [], "usage": {"a": 1}}]}),
        json.dumps({"usage": {"a": 1}}),
        json.dumps({"choices": []}),
        '{"usage":{"a":1},"choices":[],"choices":[]}',
        '{"usage":{"a":1},"choices":[]',
        ONLY[:-1],
        f"[{ONLY}]",
        f"x{ONLY}",
        f"{ONLY}\ndata: more",
        f"{ONLY}\ndata",
        f"more\ndata: {ONLY}",
        f"more\rdata: {ONLY}",
        f"\n: {ONLY}",
    ],
)
def test_an_event_that_says_anything_else_is_passed_on(sent: str) -> None:
    for text in (f"data: {sent}\n\n", f"data: {sent}"):
        assert read([text.encode()])[0] == text.encode()


@pytest.mark.parametrize("field", ["", "event", "ddata", "datas", "data ", "Data", "id", " data"])
def test_other_fields_are_no_data(field: str) -> None:
    text = f"{field}: {ONLY}\n\n".encode()
    assert read([text]) == (text, {"events": 0})


ALLOWED = {*BASE, *MORE}
LINE = re.compile(rb"([^\r\n]*)(\r\n|\r|\n)")


def plainly(sent: bytes) -> tuple[bytes, list[Any], int]:
    """Return what is kept of a stream, its usages and how many events it has, read as a whole."""
    kept, usages, events, event, data = b"", [], 0, b"", []
    for line, end in [*LINE.findall(sent), (LINE.sub(b"", sent), b"")]:
        event += line + end
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value)
        if line and end:
            continue
        events += bool(data and end)
        said = _object(b"\n".join(data))
        usages += _usages(said)
        is_only = isinstance(said.get("usage"), dict) and said.get("choices", 0) in ([], None)
        if not (len(data) == 1 and is_only and set(said) <= ALLOWED):
            kept += event
        event, data = b"", []
    return kept, usages, events


def _usages(answer: dict[str, Any]) -> list[Any]:
    found = []
    for name, value in answer.items():
        if name == "usage":
            found.append(value)
        elif name in ("response", "message") and isinstance(value, dict):
            found.append(value.get("usage"))
    return [each for each in found if isinstance(each, dict)]


def _object(text: bytes) -> dict[str, Any]:
    """Return the object that a text begins with: what stands behind it is not waited for."""
    try:
        value, _ = json.JSONDecoder().raw_decode(text.decode().lstrip())
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


VALUES = st.recursive(
    st.sampled_from([None, 1, -2.5, True, "", 'say "usage":{}', "\\", "}]", "\u2028"]),
    lambda it: st.one_of(
        st.lists(it, max_size=2),
        st.dictionaries(st.sampled_from(["usage", "choices", "response", "x"]), it, max_size=2),
    ),
    max_leaves=4,
)
OBJECTS = st.dictionaries(st.sampled_from(["usage", "choices", "id", "error", "model"]), VALUES)
LINES = st.one_of(
    st.builds(lambda each: "data: " + json.dumps(each), st.one_of(OBJECTS, VALUES)),
    st.builds(lambda more: "data:" + json.dumps({**BASE, **more}), OBJECTS),
    st.sampled_from(["", "", ": ping", "data", "data:", "event: " + ONLY, "data: [DONE]", "datax"]),
)
ENDS = st.sampled_from(["\n", "\r", "\r\n", "\n\n", "\r\r", "\r\n\r\n"])


@given(st.lists(st.tuples(LINES, ENDS), max_size=8), LINES, st.data())
def test_streams_are_read_as_python_reads_them(
    lines: list[tuple[str, str]], last: str, data: Any
) -> None:
    sent = "".join(map("".join, [*lines, (last,)])).encode()
    kept, usages, events = plainly(sent)
    places = data.draw(st.lists(st.integers(0, len(sent)), max_size=9))
    expected = {"usage": usages[-1]} if usages else {}
    if usages and usages[0] != usages[-1]:
        expected["usage_first"] = usages[0]
    for frames in (cut(sent, *places), [bytes([each]) for each in sent], [sent]):
        out, told = read(frames)
        assert out == kept
        if told is None:
            assert not sent
            continue
        told.pop("answered", None)
        assert told == {**expected, "events": events}
        assert read(frames, ASKS)[0] == sent


INNER = st.dictionaries(st.sampled_from(["usage", "model", "x"]), VALUES)
ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        name: st.one_of(VALUES, INNER) for name in ("usage", "response", "message", "choices")
    },
)


@given(ANSWERS, st.integers(0, 60), st.sampled_from([None, 1]))
def test_texts_are_read_as_python_reads_them(answer: Any, short: int, indent: int | None) -> None:
    usages = _usages(answer)
    text = json.dumps(answer, indent=indent).encode()
    for frames in ([text], [bytes([each]) for each in text], cut(text, len(text) // 2)):
        told = read(frames, kind="application/json")[1]
        assert (told or {}).get("usage") == (usages[-1] if usages else None)
    read([text[: len(text) - short]], kind="application/json")


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
