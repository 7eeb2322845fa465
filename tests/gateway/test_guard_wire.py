"""The guard's HTTP/2, told by hand what Envoy sends."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plinth.gateway.guard.wire import Connection
from plinth.kit.errors import Invalid

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8


def frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
    head = len(content).to_bytes(3, "big") + bytes((kind, flags))
    return head + stream.to_bytes(4, "big") + content


def grpc(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def ask(stream: int, message: bytes) -> bytes:
    return frame(HEADERS, 4, stream, b"\x82\x86") + frame(DATA, 1, stream, grpc(message))


def frames(content: bytes) -> list[tuple[int, int, int, bytes]]:
    found = []
    while content:
        length = int.from_bytes(content[:3], "big")
        stream = int.from_bytes(content[5:9], "big")
        found.append((content[3], content[4], stream, content[9 : 9 + length]))
        content = content[9 + length :]
    return found


class Spoken:
    """A connection whose answers echo the question; what begins with `r` is a reservation."""

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []
        self.given_back: list[str] = []
        self.answer_bytes = 0
        self.connection = Connection(self.decide, self.given_back.extend)
        assert self.say(PREFACE + frame(SETTINGS, 0, 0)) == [(SETTINGS, 1, 0, b"")]

    def decide(self, messages: Sequence[bytes]) -> list[tuple[bytes, str | None]]:
        self.batches.append(list(messages))
        padding = b"." * self.answer_bytes
        return [
            (each + padding, each.decode() if each.startswith(b"r") else None) for each in messages
        ]

    def say(self, content: bytes) -> list[tuple[int, int, int, bytes]]:
        return frames(self.connection.receive(content))


def test_an_answer_is_headers_one_message_and_trailers_that_end_the_stream() -> None:
    head, data, trailers = Spoken().say(ask(7, b"hello"))
    assert head[:3] == (HEADERS, 4, 7)
    assert head[3].startswith(b"\x88")
    assert b"application/grpc" in head[3]
    assert data == (DATA, 0, 7, grpc(b"hello"))
    assert trailers[:3] == (HEADERS, 5, 7)
    assert trailers[3].endswith(b"grpc-status\x010")


def test_what_comes_together_is_decided_together() -> None:
    spoken = Spoken()
    spoken.say(ask(1, b"a") + ask(3, b"b") + ask(5, b"c"))
    assert spoken.batches == [[b"a", b"b", b"c"]]


@given(st.lists(st.integers(1, 120), max_size=20))
def test_where_the_bytes_are_cut_changes_nothing(cuts: list[int]) -> None:
    whole = PREFACE + frame(SETTINGS, 0, 0) + ask(1, b"one") + ask(3, b"two")
    spoken = Spoken.__new__(Spoken)
    spoken.batches, spoken.given_back, spoken.answer_bytes = [], [], 0
    connection = Connection(spoken.decide, spoken.given_back.extend)
    out, place = b"", 0
    for cut in [*cuts, len(whole)]:
        out += connection.receive(whole[place : place + cut])
        place += cut
    assert [message for batch in spoken.batches for message in batch] == [b"one", b"two"]
    assert [each[2] for each in frames(out) if each[0] == DATA] == [1, 3]


def test_a_message_in_several_padded_frames_is_one() -> None:
    spoken = Spoken()
    first, last = grpc(b"hello")[:3], grpc(b"hello")[3:]
    padded = b"\x02" + first + b"\0\0"
    spoken.say(frame(HEADERS, 4, 1) + frame(DATA, 8, 1, padded) + frame(DATA, 1, 1, last))
    assert spoken.batches == [[b"hello"]]


def test_a_request_that_is_given_up_before_it_is_decided_reserves_nothing() -> None:
    spoken = Spoken()
    assert spoken.say(ask(1, b"r-1") + frame(RESET, 0, 1, b"\0\0\0\x08")) == []
    assert (spoken.batches, spoken.given_back) == ([], [])


def test_a_reservation_whose_answer_nobody_waited_for_is_given_back_once() -> None:
    spoken = Spoken()
    spoken.say(ask(1, b"r-1") + ask(3, b"x"))
    for _ in range(2):
        spoken.say(frame(RESET, 0, 1, b"\0\0\0\x08") + frame(RESET, 0, 3, b"\0\0\0\x08"))
    assert spoken.given_back == ["r-1"]


def test_pings_are_answered_and_answers_to_ours_are_not() -> None:
    spoken = Spoken()
    assert spoken.say(frame(PING, 0, 0, b"12345678")) == [(PING, 1, 0, b"12345678")]
    assert spoken.say(frame(PING, 1, 0, b"12345678") + frame(SETTINGS, 1, 0)) == []


def test_no_more_is_sent_than_the_other_side_has_room_for() -> None:
    spoken = Spoken()
    spoken.answer_bytes = 10_000
    found = spoken.say(b"".join(ask(1 + 2 * number, b"a") for number in range(10)))
    assert len([each for each in found if each[0] == DATA]) == 6
    found = spoken.say(frame(WINDOW, 0, 0, (100_000).to_bytes(4, "big")))
    assert [each[2] for each in found if each[0] == DATA] == [13, 15, 17, 19]


def test_room_is_given_for_what_was_read_and_a_long_message_never_waits_for_it() -> None:
    settings = frames(Connection(lambda _: [], lambda _: None).start())[0][3]
    room = int.from_bytes(settings[2:], "big")
    spoken = Spoken()
    granted = 65_535
    for _ in range(room // 16_384 - 1):
        out = spoken.say(frame(DATA, 0, 1, b"x" * 16_384))
        granted += sum(int.from_bytes(each[3], "big") for each in out if each[0] == WINDOW)
        granted -= 16_384
        assert granted > 16_384
    out = spoken.say(frame(DATA, 1, 1, b"x"))
    assert spoken.batches == [[b"\xff"]]
    assert [each[0] for each in out] == [HEADERS, DATA, HEADERS]


@pytest.mark.parametrize("content", [b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"\0" * 30])
def test_what_is_no_http2_is_ended(content: bytes) -> None:
    with pytest.raises(Invalid, match="no HTTP/2"):
        Connection(lambda _: [], lambda _: None).receive(content)


def test_a_frame_that_is_too_long_is_ended() -> None:
    with pytest.raises(Invalid, match="20000 bytes"):
        Spoken().say(frame(DATA, 0, 1, b"x" * 20_000))


def test_goodbye_names_the_last_request_that_was_answered() -> None:
    spoken = Spoken()
    spoken.say(ask(9, b"a"))
    ((kind, _, _, content),) = frames(spoken.connection.goodbye())
    assert (kind, content) == (GOAWAY, b"\0\0\0\x09\0\0\0\0")


def test_a_guards_answer_goes_through_as_it_is() -> None:
    answer = json.dumps({"a": 1}).encode()
    assert Spoken().say(ask(1, answer))[1][3] == grpc(answer)
