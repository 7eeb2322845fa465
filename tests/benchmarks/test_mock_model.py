import json

from benchmarks.mock_model import Asked, answer, events, message, split

_BODY = b'{"model": "m", "stream": true}'


def _request(body: bytes, headers: bytes) -> bytes:
    return b"POST /v1/chat/completions HTTP/1.1\r\n" + headers + b"\r\n\r\n" + body


def test_a_request_is_read_once_it_is_whole() -> None:
    whole = _request(_BODY, b"Content-Length: %d" % len(_BODY))

    assert split(whole[:-1]) is None
    assert split(whole + b"GET") == (
        Asked("/v1/chat/completions", {"model": "m", "stream": True}),
        b"GET",
    )


def test_a_request_in_chunks_is_read() -> None:
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(_BODY), _BODY)
    whole = _request(chunks, b"transfer-encoding: chunked")

    assert split(whole[:-1]) is None
    found = split(whole)
    assert found is not None
    assert found[0].body == {"model": "m", "stream": True}


def test_the_answer_says_at_which_socket_it_was_given() -> None:
    chat = answer(Asked("/v1/chat/completions", {"model": "m"}), "blue")
    infer = answer(Asked("/v2/models/m/infer", {}), "green")

    assert (chat["system_fingerprint"], chat["model"]) == ("blue", "m")
    assert (infer["id"], infer["model_name"]) == ("green", "m")


def test_a_stream_says_its_usage_only_where_it_is_asked_to() -> None:
    plain = list(events(Asked("/v1/chat/completions", {}), "blue"))
    asked = {"stream_options": {"include_usage": True}}
    with_usage = list(events(Asked("/v1/chat/completions", asked), "blue"))

    assert plain[-1] == with_usage[-1] == b"data: [DONE]\n\n"
    assert len(with_usage) == len(plain) + 1
    assert json.loads(with_usage[-2].removeprefix(b"data: "))["usage"]["completion_tokens"] == 16


def test_an_answer_has_the_length_that_it_says() -> None:
    head, _, body = message({"a": 1}).partition(b"\r\n\r\n")

    assert b"content-length: %d" % len(body) in head
