"""What was sent is told back on one line and never at length."""

from __future__ import annotations

import pytest

from plinth.kit.excerpt import LONGEST, excerpt


@pytest.mark.parametrize("text", ["", "flights", "a b", "Überfluß", "x" * LONGEST])
def test_what_is_short_and_printable_stays(text: str) -> None:
    assert excerpt(text) == text


def test_what_is_long_is_cut_and_says_so() -> None:
    assert excerpt("x" * 1_000_000) == "x" * (LONGEST - 1) + "…"
    assert excerpt("abcdef", 4) == "abc…"
    assert len(excerpt("\x00" * 100)) == LONGEST


def test_what_cannot_be_printed_is_escaped() -> None:
    assert excerpt("a\nb\x1b[31m\u202e") == r"a\nb\x1b[31m\u202e"
    assert excerpt("\ud800") == r"\ud800"


def test_any_value_is_shown() -> None:
    assert excerpt(12) == "12"
