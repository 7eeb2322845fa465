from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plinth.domain.tokens import MOST_TOKENS
from plinth.gateway.guard import message
from plinth.gateway.guard.limit import Asked
from plinth.gateway.guard.request import read_asked
from tests.gateway.guard_stand import OK, OVER, block, question, reply

# RateLimitRequest(domain="plinth", descriptors=[{entries: limited=1, team=research, len=412;
# hits_addend: 3}], hits_addend=1), serialised by protobuf 7.36.
BY_PROTOBUF = bytes.fromhex(
    "0a06706c696e746812300a0c0a076c696d697465641201310a100a047465616d120872657365617263680a0a0a036c"
    "656e12033431321a0208031801"
)


def test_a_question_is_read_as_protobuf_writes_it() -> None:
    found = message.read_entries(BY_PROTOBUF)
    assert found == {"limited": "1", "team": "research", "len": "412"}


@given(st.dictionaries(st.text(min_size=1, max_size=200), st.text(max_size=20_000), max_size=8))
def test_every_entry_comes_through_whatever_its_length(entries: dict[str, str]) -> None:
    pairs = b"".join(
        block(1, block(1, key.encode()) + block(2, value.encode()))
        for key, value in entries.items()
    )
    assert message.read_entries(block(1, b"d") + block(2, pairs)) == entries


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    for candidate in (content, block(2, content), block(2, block(1, content))):
        try:
            message.read_entries(candidate)
        except ValueError:
            continue


def test_a_request_is_what_its_entries_say() -> None:
    asked = read_asked(question(key="k_7", team="ops", max_tokens="64", len="412", model="m"))
    assert asked == Asked("support", "ops", "k_7", "m", 412, 64)
    assert read_asked(question(model="-", key="")) == Asked("support", "research")


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        *(("64", 64), ("64.0", 64), ("1e3", 1000), ("63.2", 64), ("0", 0)),
        *(("1e400", MOST_TOKENS), ("9" * 4000, MOST_TOKENS), ("1e30", MOST_TOKENS)),
        *((text, None) for text in ("-", "", "-5", "nan", "-1e999", "many", "٣٤", "1_0_0x")),
    ],
)
def test_what_a_caller_writes_as_max_tokens_is_a_number_or_not_given(
    text: str, tokens: int | None
) -> None:
    assert read_asked(question(max_tokens=text)).max_tokens == tokens
    assert read_asked(question(n=text)).choices == max(1, tokens or 1)


@given(st.text(max_size=60))
def test_no_text_of_a_caller_is_a_surprise(text: str) -> None:
    found = read_asked(question(max_tokens=text, len=text)).max_tokens
    assert found is None or 0 <= found <= MOST_TOKENS


def test_text_that_is_no_utf8_is_still_decided() -> None:
    pair = block(1, b"max_tokens") + block(2, b"\xff\xfe")
    assert message.read_entries(block(2, block(1, pair)))["max_tokens"] == "\ufffd\ufffd"


def test_answers_are_what_protobuf_reads() -> None:
    headers = [(b"x-a", b"1"), (b"x-b", b"y" * 200)]
    found = reply(message.admitted(b"r-1", headers))
    assert (found.code, found.reservation) == (OK, "r-1")
    assert found.headers == {"x-a": "1", "x-b": "y" * 200}
    found = reply(message.refused(b'{"a": "%s"}' % (b"z" * 20_000), headers))
    assert (found.code, len(found.body["a"])) == (OVER, 20_000)
    assert reply(message.PASSED).code == OK
