import pytest

from benchmarks.caller import Answer, Heard, is_whole, unchunked

_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 4"
_CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked"


@pytest.mark.parametrize(
    ("head", "body", "expected"),
    [
        (_LENGTH, b"abc", False),
        (_LENGTH, b"abcd", True),
        (_CHUNKED, b"4\r\nabcd\r\n", False),
        (_CHUNKED, b"4\r\nabcd\r\n0\r\n\r\n", True),
    ],
)
def test_an_answer_is_whole_when_its_head_says_so(head: bytes, body: bytes, expected: bool) -> None:
    assert is_whole(head, body) is expected


def test_chunks_are_joined() -> None:
    assert unchunked(b"4\r\nabcd\r\n2\r\nef\r\n0\r\n\r\n") == b"abcdef"


def test_every_answer_but_200_failed() -> None:
    heard = Heard()
    for status in (200, 503, 0):
        heard.add(Answer(status, b"said", 0.1, 0.2))

    assert heard.failed == 2
    with pytest.raises(RuntimeError, match="503"):
        heard.all_answered()
