"""Text from tokens: whole characters only, and nothing past a stop string, wherever it is cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plinth.runtimes.llmserver.text import Detokenizer, StopScanner


def decode(tokens: Sequence[int]) -> str:
    """Decode tokens that are bytes, as a byte-level tokenizer does."""
    return bytes(tokens).decode(errors="replace")


def spaced(tokens: Sequence[int]) -> str:
    """Decode tokens that are words, as a tokenizer does that drops the space of the first."""
    return "".join(f" w{token}" for token in tokens).removeprefix(" ")


def streamed(detokenizer: Detokenizer, parts: Iterable[Sequence[int]]) -> list[str]:
    return [*(detokenizer.add(part) for part in parts), detokenizer.end()]


@given(st.text(max_size=20), st.integers(1, 7))
def test_a_character_of_several_tokens_comes_whole(text: str, size: int) -> None:
    tokens = text.encode()
    parts = [list(tokens[at : at + size]) for at in range(0, len(tokens), size)]
    pieces = streamed(Detokenizer(decode), parts)
    assert "".join(pieces) == text
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in pieces)


def test_a_tokenizer_that_writes_the_first_token_another_way_loses_nothing() -> None:
    assert streamed(Detokenizer(spaced), [[1], [2], [3, 4], [5]]) == [
        *("w1", " w2", " w3 w4", " w5", "")
    ]


def test_a_broken_character_is_not_held_back_for_ever() -> None:
    detokenizer = Detokenizer(decode)
    pieces = [detokenizer.add([0x80]) for _ in range(200)]
    assert pieces[:4] == ["", "", "", "\ufffd"]
    assert len("".join([*pieces, detokenizer.end()])) == 200


def test_what_is_broken_at_the_end_is_sent_as_it_is() -> None:
    assert streamed(Detokenizer(decode), [[0x61], [0xE6]]) == ["a", "", "\ufffd"]


def scanned(stops: Sequence[str], pieces: Sequence[str]) -> tuple[list[str], bool]:
    scanner = StopScanner(stops)
    sent = [*(scanner.add(piece) for piece in pieces), scanner.end()]
    return sent, scanner.found


@pytest.mark.parametrize(
    ("stops", "pieces", "sent", "found"),
    [
        ([], ["a", "b"], ["a", "b", ""], False),
        (["X"], ["aXb", "c"], ["a", "", ""], True),
        (["END"], ["aE", "N", "Db"], ["a", "", "", ""], True),
        (["END"], ["aE", "Nx"], ["a", "ENx", ""], False),
        (["END"], ["aEN"], ["a", "EN"], False),
        (["aab"], ["a", "a", "a", "b"], ["", "", "a", "", ""], True),
        (["later", "now"], ["no", "w later"], ["", "", ""], True),
        (["ab", "abc"], ["xabc"], ["x", ""], True),
        (["abb", "b"], ["ab", "b"], ["a", "", ""], True),
        (["abb", "b"], ["abb"], ["a", ""], True),
    ],
)
def test_nothing_past_a_stop_string_is_sent(
    stops: list[str], pieces: list[str], sent: list[str], found: bool
) -> None:
    assert scanned(stops, pieces) == (sent, found)


@given(
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=4),
    st.lists(st.text("abc", max_size=4), max_size=8),
)
def test_it_is_the_same_however_the_text_is_cut(stops: list[str], pieces: list[str]) -> None:
    whole = "".join(pieces)
    places = [(whole.find(stop) + len(stop), whole.find(stop)) for stop in stops if stop in whole]
    sent, found = scanned(stops, pieces)
    assert found == bool(places)
    assert "".join(sent) == (whole[: min(places)[1]] if places else whole)
