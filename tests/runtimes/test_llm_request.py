"""What the chat server takes as a request, and how it says what it does not take."""

from __future__ import annotations

import json
from typing import Any

import pytest

from plinth.runtimes.llmserver.errors import Refused
from plinth.runtimes.llmserver.request import (
    Sampling,
    read_chat,
    read_completion,
    read_defaults,
)

HELLO = {"role": "user", "content": "hello"}


def chat(**changed: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [HELLO], **changed}).encode()


def refused(body: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        read_chat(body, Sampling())
    return caught.value


def test_a_bare_request_takes_the_models_defaults() -> None:
    defaults = read_defaults(b'{"temperature": 0.2, "top_p": 0.9, "eos_token_id": 2}')
    request = read_chat(chat(), defaults)
    assert request.sampling == Sampling(temperature=0.2, top_p=0.9)
    assert (request.model, request.messages, request.is_chat) == ("m", (HELLO,), True)
    assert not request.stream


def test_every_field_of_sampling_is_read() -> None:
    body = chat(
        max_tokens=5,
        max_completion_tokens=7,
        temperature=0,
        top_p=0.5,
        seed=-1,
        stop=["a", "b"],
        frequency_penalty=-2,
        presence_penalty=1.5,
        stream=True,
        stream_options={"include_usage": True},
        user="somebody",
        metadata={"a": "b"},
    )
    request = read_chat(body, Sampling())
    assert request.sampling == Sampling(7, 0.0, 0.5, 2**64 - 1, ("a", "b"), -2.0, 1.5)
    assert request.stream
    assert request.include_usage


def test_parts_of_text_become_one_and_a_developer_speaks_as_the_system() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages = [{"role": "developer", "content": parts}, {**HELLO, "name": "x"}]
    request = read_chat(chat(messages=messages), Sampling())
    assert request.messages == ({"role": "system", "content": "ab"}, HELLO)


def test_a_completion_has_sixteen_tokens_unless_it_asks() -> None:
    body = {"model": "m", "prompt": ["once"], "stop": "\n", "logprobs": None}
    request = read_completion(json.dumps(body).encode(), Sampling())
    assert (request.prompt, request.sampling.max_tokens) == ("once", 16)
    assert request.sampling.stop == ("\n",)
    assert not request.is_chat


@pytest.mark.parametrize("prompt", [None, "", [], ["a", "b"], [1, 2], 3])
def test_what_is_no_prompt_is_refused(prompt: Any) -> None:
    with pytest.raises(Refused, match="`prompt`"):
        read_completion(json.dumps({"model": "m", "prompt": prompt}).encode(), Sampling())


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ["m"]}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [HELLO] * 2049}, "messages"),
        ({"messages": ["hello"]}, "messages[0]"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [HELLO, {"role": "user"}]}, "messages[1].content"),
        ({"messages": [{**HELLO, "content": [{"type": "image_url"}]}]}, "messages[0].content[0]"),
        ({"messages": [{**HELLO, "content": "\ud800"}]}, "messages[0].content"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"seed": 2**63}, "seed"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"stop": ["a" * 501]}, "stop"),
        ({"stop": {"a": 1}}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": [1]}, "stream_options"),
    ],
    ids=str,
)
def test_a_wrong_field_is_named(changed: dict[str, Any], param: str) -> None:
    error = refused(chat(**changed))
    assert (error.status, error.code, error.param) == (400, "invalid_value", param)
    assert f"`{param}`" in str(error)
    body = error.to_json()["error"]
    assert (body["type"], body["message"]) == ("invalid_request_error", str(error))


@pytest.mark.parametrize(
    "changed",
    [
        {"n": 2},
        {"tools": [{"type": "function"}]},
        {"logprobs": True},
        {"response_format": {"type": "json_object"}},
        {"logit_bias": {"1": 2}},
        {"modalities": ["audio"]},
    ],
    ids=str,
)
def test_what_would_change_the_answer_is_refused_and_not_passed_over(
    changed: dict[str, Any],
) -> None:
    error = refused(chat(**changed))
    assert (error.code, error.param) == ("unsupported_parameter", next(iter(changed)))


def test_fields_that_ask_for_nothing_are_taken() -> None:
    body = chat(n=1, tools=[], logprobs=False, response_format={"type": "text"}, logit_bias={})
    assert read_chat(body, Sampling()).is_chat


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"[1]", "must be a JSON object, got list"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": NaN}', "NaN is no number of JSON"),
        (b"\xff\xfe{", "not JSON"),
        (b'{"model": "a", "model": "b"}', "`model` is given twice"),
        (b'{"model": "a", "messages": [{"role": "a", "role": "b"}]}', "`role` is given twice"),
        (b'{"x": ' + b"1" * 5000 + b"}", "not JSON"),
    ],
    ids=str,
)
def test_a_body_that_is_no_request_is_refused(body: bytes, words: str) -> None:
    assert words in str(refused(body))


def test_what_the_caller_wrote_is_shown_short_and_plain() -> None:
    error = refused(
        json.dumps({"a\n" * 5000: 1})[:-1].encode() + b', "' + b"a\\n" * 5000 + b'": 2}'
    )
    assert len(str(error)) < 200
    assert "\n" not in str(error)
