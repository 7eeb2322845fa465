"""What our own filter makes of requests, against a reading of JSON in Python.

Everything here runs in the library that Envoy loads; what stands in for Envoy is `native_stand.py`.
"""

from __future__ import annotations

import json
import random
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.native_stand import Stream, whole

PLAIN = frozenset((string.ascii_letters + string.digits + ",:+-. \t\r\n").encode())
WORD = frozenset((string.ascii_letters + string.digits + ".+-").encode())
SPACE = b" \t\r\n"
MOST_TOKENS, MOST_CHOICES = 10**9, 10**9
NOBODY = (403, "", "plinth_denied[none]")
TOKENS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
CHOICES = ("n", "best_of")
KNOWN = ("model", "stream", "stream_options", "include_usage", *TOKENS, *CHOICES, "prompt")
# What bodies and attacks on them are made of.
PARTS = (
    *(b'"model"', b'"chat"', b'"stream"', b"true", b"null", b"7", b"-1e9", b'"n"', b'"a\\"b"'),
    *(b"{", b"}", b"[", b"]", b":", b",", b'"', b"\\", b" ", b"\n", b"//", b"/*", b"'", b"\x00"),
    *(
        b'"Model"',
        b'"MAX_tokens"',
        b"\xff",
        b"_",
        b'"mod\\u0065l"',
        b'"\\\\"',
        b'{"a":[1,{"b":"]"}]}',
        b"\xc3\xa9",
        b"#",
    ),
)


class _Unreadable(Exception):
    pass


class _Reader:
    """Find the members of an object as the rules say, in the plainest way that there is."""

    def __init__(self, text: bytes) -> None:
        self.text, self.at = text, 0

    def members(self) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        self._mark(b"{")
        if self._peek() != b"}":
            while True:
                name = self._value()
                if name[:1] != b'"' or b"\\" in name or name in found:
                    raise _Unreadable
                if (low := name[1:-1].lower()) != name[1:-1] and low.decode("latin1") in KNOWN:
                    raise _Unreadable
                self._mark(b":")
                found[name] = self._value()
                if self._peek() == b"}":
                    break
                self._mark(b",")
        self._mark(b"}")
        if self._peek():
            raise _Unreadable
        return found

    def _peek(self) -> bytes:
        while self.text[self.at : self.at + 1] and self.text[self.at] in SPACE:
            self.at += 1
        return self.text[self.at : self.at + 1]

    def _mark(self, mark: bytes) -> None:
        if self._peek() != mark:
            raise _Unreadable
        self.at += 1

    def _value(self) -> bytes:
        first, begin = self._peek(), self.at
        if first == b'"':
            self._text()
        elif first in (b"{", b"["):
            self._brackets()
        else:
            while self.text[self.at : self.at + 1] and self.text[self.at] in WORD:
                self.at += 1
            if self.at == begin:
                raise _Unreadable
        return self.text[begin : self.at]

    def _text(self) -> None:
        self.at += 1
        while self.text[self.at : self.at + 1] != b'"':
            if self.at >= len(self.text):
                raise _Unreadable
            self.at += 2 if self.text[self.at : self.at + 1] == b"\\" else 1
        self.at += 1

    def _brackets(self) -> None:
        depth = 0
        while True:
            each = self.text[self.at : self.at + 1]
            if each == b'"':
                self._text()
                continue
            if each in (b"{", b"[", b"}", b"]") and each:
                depth += 1 if each in b"{[" else -1
            elif not each or each[0] not in PLAIN:
                raise _Unreadable
            self.at += 1
            if depth == 0:
                return
            if depth > 100:
                raise _Unreadable


def asked_for(body: bytes) -> bytes | None:
    """Return the model that a body names, or None where it is refused."""
    try:
        model = _Reader(body).members().get(b'"model"', b"")
    except _Unreadable:
        return None
    return model[1:-1] if model[:1] == b'"' else None


def is_name(model: bytes) -> bool:
    rest = frozenset((string.ascii_lowercase + string.digits + "-").encode())
    return 0 < len(model) <= 40 and model[:1].islower() and set(model) <= rest and model.isascii()


def check(body: bytes) -> Stream:
    """Hold the filter to the reading above."""
    stream = whole(body)
    model = asked_for(body)
    if model is None:
        assert stream.sent is not None, body
        assert (stream.sent[0], stream.sent[2]) == (400, "plinth_unreadable"), body
        assert stream.place is None, body
    elif is_name(model):
        assert (stream.place, stream.sent) == (model.decode(), None), body
    else:
        assert (stream.place, stream.sent) == (None, NOBODY), body
    return stream


def test_five_thousand_random_bodies_are_read_as_python_reads_them() -> None:
    chance = random.Random(5)
    for _ in range(5000):
        body = b"".join(chance.choices(PARTS, k=chance.randrange(12)))
        if chance.random() < 0.7:
            body = b'{"model":"chat",' + body + b"}"
        check(body)


def test_damaged_bodies_are_read_as_python_reads_them() -> None:
    chance = random.Random(7)
    for _ in range(1500):
        body = bytearray(chat(chance))
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(body))
            body[at : at + chance.randrange(3)] = chance.choice(PARTS)
        check(bytes(body))


def chat(chance: random.Random) -> bytes:
    """Return a body as clients send it."""
    messages = [
        {"role": "user", "content": chance.choice(["hi", 'say "\\model\\"', "\u2028é", "{}[]"])}
        for _ in range(chance.randrange(3))
    ]
    body: dict[str, Any] = {"model": "chat", "messages": messages, "temperature": 0.5}
    if chance.random() < 0.5:
        body |= {"stream": True, "stream_options": chance.choice([None, {}, {"x": 1}])}
    return json.dumps(body, indent=chance.choice([None, 1])).encode()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "its syntax"),
        (b"[]", "its syntax"),
        (b'{"model":"a"', "its syntax"),
        (b'{"model":"a"} x', "its syntax"),
        (b'{"model":"a",}', "its syntax"),
        (b'{"model":"a",/**/"b":1}', "its syntax"),
        (b'{"model":"a","b":' + b"[" * 101 + b"]" * 101 + b"}", "its syntax"),
        (b'{"model":"a","model":"b"}', "it holds `model` twice"),
        (b'{"' + b"x" * 50 + b'":1,"' + b"x" * 50 + b'":1}', f"it holds `{'x' * 40}` twice"),
        (b'{"mod\\u0065l":"b"}', "a name in it is written with escapes"),
        *(
            (b'{"model":"a","%s":1}' % name, "a name in it is written in another case")
            for name in (b"Model", b"MODEL", b"Stream", b"MAX_TOKENS", b"N", b"best_Of", b"Prompt")
        ),
        (
            b"{" + b",".join(b'"m%d":1' % number for number in range(513)) + b"}",
            "it has more than 512 names",
        ),
    ],
)
def test_what_two_programs_could_read_differently_is_refused(body: bytes, why: str) -> None:
    sent = whole(body).sent
    assert sent is not None
    assert sent[:2] == (400, f"the body is no JSON object that can be read: {why}")


@pytest.mark.parametrize("body", [b"{}", b'{"model":7}', b'{"model":null}', b'{"model":["a"]}'])
def test_a_body_must_name_its_model(body: bytes) -> None:
    assert whole(body).sent == (
        400,
        "the body must name the model: `model` is a text",
        "plinth_unreadable",
    )


def test_what_is_no_name_of_an_endpoint_is_granted_to_nobody() -> None:
    for model in ("Chat", "a" * 41, "9a", "", "a/b", "endpoint:a", "a\\u0062"):
        stream = whole(json.dumps({"model": "x"}).replace("x", model).encode())
        assert (stream.place, stream.sent, stream.is_chosen_anew) == (None, NOBODY, False)
        assert stream.asked["model"] == model.replace("\\", "?")


@given(st.binary(max_size=200), st.data())
def test_in_how_many_pieces_a_body_comes_makes_no_difference(noise: bytes, data: Any) -> None:
    body = b'{"stream":true,"model":"chat","x":"' + noise + b'"}'
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=30)))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    expected = whole(body)
    for with_trailers in (False, True):
        with Stream() as stream:
            stream.ask(pieces, with_trailers=with_trailers)
        assert (stream.got, stream.place, stream.sent) == (
            expected.got,
            expected.place,
            expected.sent,
        )


def test_a_body_that_was_held_before_is_not_read_twice() -> None:
    body = b'{"model":"chat","stream":true}'
    with Stream(is_held_before=True) as stream:
        stream.pieces[1] = [body]
        stream.pieces[1].clear()
        stream.ask(body)
    assert stream.got == whole(body).got


@pytest.mark.parametrize(
    ("options", "becomes"),
    [
        (None, b'{"stream_options":{"include_usage":true},"model":"chat","stream":true}'),
        (b"null", b'{"include_usage":true}'),
        (b"{}", b'{"include_usage":true}'),
        (b'{ "x" : 1}', b'{"include_usage":true, "x" : 1}'),
        (b'{"include_usage": false, "x":1}', b'{"include_usage": true, "x":1}'),
        (b'{"include_usage":true}', b'{"include_usage":true}'),
        (b"7", b"7"),
        (b'{"x":1,"x":2}', b'{"x":1,"x":2}'),
    ],
)
def test_a_stream_is_asked_for_its_usage(options: bytes | None, becomes: bytes) -> None:
    body = b'{"model":"chat","stream":true}'
    if options is None:
        assert whole(body).got == becomes
        return
    body = b'{"model":"chat","stream_options":%s,"stream":true}'
    stream = whole(body % options)
    assert stream.got == body % becomes
    if becomes != options:
        assert stream.header(0, "content-length") == str(len(body % becomes))


def test_only_streams_that_hide_their_usage_are_asked_for_it() -> None:
    body = b'{"model":"chat","stream":true}'
    for path in ("/v1/responses", "/v1/embeddings", "/v1/chat/completions/x"):
        assert whole(body, path=path).got == body
    assert whole(body, path="/v1/completions?x=/v1/responses").got != body


@pytest.mark.parametrize(
    ("body", "becomes"),
    [
        (b"{}", b'{"model":"chat"}'),
        (b' { "n":1}', b' {"model":"chat", "n":1}'),
        (b'{"model":null}', b'{"model":"chat"}'),
        (b'{"model": "gpt-5", "n":1}', b'{"model": "chat", "n":1}'),
        (b'{"model":"chat"}', b'{"model":"chat"}'),
    ],
)
def test_azures_form_becomes_the_one_of_all(body: bytes, becomes: bytes) -> None:
    path = "/openai/deployments/chat/chat/completions?api-version=2"
    stream = whole(body, path=path)
    assert (stream.got, stream.place) == (becomes, "chat")
    assert stream.header(0, ":path") == "/v1/chat/completions"


def test_azures_stream_is_named_and_asked_at_once() -> None:
    stream = whole(b'{"stream":true}', path="/openai/deployments/chat/completions")
    assert stream.got == (b'{"model":"chat","stream_options":{"include_usage":true},"stream":true}')
    assert whole(b'{"model":7}', path="/openai/deployments/chat/completions").sent is not None


@pytest.mark.parametrize(
    ("kind", "is_taken"),
    [
        *((it, True) for it in ("application/json", "Application/JSON ; charset=UTF-8")),
        ('application/json;charset="utf-8"', True),
        *((it, False) for it in ("", "text/json", "application/jsonl", "application/json, x")),
        ("application/json; charset=latin1", False),
    ],
)
def test_only_json_in_utf_8_is_read(kind: str, is_taken: bool) -> None:
    stream = whole(b'{"model":"chat"}', content_type=kind)
    assert (stream.sent is None) is is_taken
    if stream.sent is not None:
        assert stream.sent[0] == 415


def test_no_compressed_body_is_read() -> None:
    assert whole(b'{"model":"chat"}', content_encoding="Identity").sent is None
    sent = whole(b'{"model":"chat"}', content_encoding="gzip").sent
    assert sent is not None
    assert sent[0] == 415
    with Stream() as stream:
        stream.ask([], content_encoding="identity")
    assert stream.sent is not None


@pytest.mark.parametrize("path", ["/v1/embeddings", "/openai/deployments/chat/embeddings?x=1"])
def test_embeddings_put_no_tokens_out_whatever_they_say(path: str) -> None:
    for body in (b'{"model":"chat","input":["a"]}', b'{"model":"chat","max_tokens":50,"n":3}'):
        with Stream(marks={"limited": True}) as stream:
            stream.ask(body, path)
        assert stream.notes[("plinth", "max_tokens")] == "0"
        assert stream.notes[("plinth", "len")] == str(len(body))
        assert ("plinth", "n") not in stream.notes


def test_what_is_noted_is_what_the_log_and_the_guard_ask_for() -> None:
    body = b'{"model":"chat","max_tokens":7,"max_completion_tokens":50,"n":3,"stream":true}'
    with Stream(marks={"limited": True, "endless": True}) as stream:
        stream.ask(body, x_plinth_team="ops", x_plinth_key="k_1")
    assert stream.asked == {"stream": True, "max": 150}
    notes = {key: value for (space, key), value in stream.notes.items() if space == "plinth"}
    assert notes.pop("asked")
    assert notes == {
        "limited": "yes",
        "endpoint": "chat",
        "team": "ops",
        "key": "k_1",
        "max_tokens": "150",
        "len": str(len(body)),
    }
    assert stream.header(0, "x-envoy-upstream-rq-timeout-ms") == "0"
    assert stream.header(0, "x-plinth-length") == str(len(body))


@pytest.mark.parametrize(
    ("body", "choices"),
    [
        (b'{"model":"chat","n":4}', "4"),
        (b'{"model":"chat","n":2,"best_of":5,"max_tokens":null}', "5"),
        (b'{"model":"chat","n":5000}', "5000"),
        (b'{"model":"chat","n":"x"}', str(MOST_CHOICES)),
        (b'{"model":"chat","n":1}', None),
        (b'{"model":"chat"}', None),
        (b'{"model":"chat","n":4,"max_tokens":3}', None),
    ],
)
def test_the_guard_is_told_how_many_answers_where_nothing_says_how_long(
    body: bytes, choices: str | None
) -> None:
    with Stream(marks={"limited": True}) as stream:
        stream.ask(body)
    assert stream.notes.get(("plinth", "n")) == choices


@pytest.mark.parametrize(
    ("prompt", "count"),
    [
        *((given, 1) for given in ('"a"', "null", "[]", "[ ]", '["a"]', "[1, 2, 3]", "7")),
        *((given, 1) for given in ('{"id": "p", "variables": [1, "a"]}', "[[1, 2]]")),
        ('["a" , "b,]", "c\\""]', 3),
        ("[[1, 2], [3], []]", 3),
        ('["a", [1], {"b": ["c", "d"]}, 5]', 3),
        ("[" + ",".join(['""'] * 70_000) + "]", 70_000),
        ('["a",,"b"]', len('["a",,"b"]')),
    ],
)
def test_every_prompt_of_a_list_may_have_answers_as_long(prompt: str, count: int) -> None:
    for more, field, each in (
        ('"max_tokens":20,"n":2', "max_tokens", 40),
        ('"best_of":3', "n", 3),
    ):
        with Stream(marks={"limited": True}) as stream:
            stream.ask(f'{{"model":"chat",{more},"prompt":{prompt}}}'.encode())
        assert stream.notes[("plinth", field)] == str(each * count)


def test_what_no_request_can_want_is_a_number_that_the_guard_can_read() -> None:
    body = b'{"model":"chat","max_tokens":9e99,"n":9e99,"prompt":[' + b'"",' * 9999 + b'""]}'
    with Stream(marks={"limited": True}) as stream:
        stream.ask(body)
    assert stream.notes[("plinth", "max_tokens")] == "1" + "0" * 15


def test_where_nothing_is_to_say_nothing_is_noted() -> None:
    assert whole(b'{"model":"chat","max_tokens":null,"n":3}').notes == {}


COUNTS = st.one_of(
    st.sampled_from([None, 0, 1, -1, 2.5, "9", True, [], {}, MOST_TOKENS, MOST_TOKENS + 1, 10**30]),
    st.integers(-5, 2000),
)


@given(st.dictionaries(st.sampled_from(TOKENS + CHOICES), COUNTS))
def test_the_most_that_any_server_could_read_counts(counts: dict[str, Any]) -> None:
    def largest(names: tuple[str, ...], most: int) -> int | None:
        found = [counts[name] for name in names if counts.get(name) is not None]
        are = [type(it) is int and 0 <= it <= most for it in found]
        return max((it if ok else most for it, ok in zip(found, are, strict=True)), default=None)

    tokens = largest(TOKENS, MOST_TOKENS)
    choices = max(1, largest(CHOICES, MOST_CHOICES) or 1)
    expected = None if tokens is None else {"max": min(10**15, tokens * choices)}
    assert whole(json.dumps({"model": "chat", **counts}).encode()).asked == expected


def test_the_model_is_called_what_a_server_elsewhere_calls_it() -> None:
    with Stream(part="rename", marks={"model": '"gpt-5"'}) as stream:
        stream.ask(b'{"n":1,"model":"chat"}', content_type="x/y")
    assert (stream.got, stream.place) == (b'{"n":1,"model":"gpt-5"}', None)
    with Stream(part="rename", marks={"model": '"gpt-5"'}) as stream:
        stream.ask(b"no json")
    assert stream.sent is not None
    assert stream.sent[0] == 400


def test_without_a_part_nothing_is_read() -> None:
    for part in ("none", "answer"):
        with Stream(part=part) as stream:
            stream.ask(b"no json", content_type="x/y")
        assert (stream.got, stream.sent) == (b"no json", None)
