"""A contradiction names the fields that are to blame."""

from __future__ import annotations

from plinth.domain.contradiction import Contradiction


def test_a_contradiction_says_everything_in_one_text_and_keeps_the_fields() -> None:
    both = Contradiction((("a",), "one thing"), (("b", 0), "another"))
    assert str(both) == "one thing; another"
    assert both.found == ((("a",), "one thing"), (("b", 0), "another"))
    assert isinstance(both, ValueError)
