"""Discounts for committing."""

from __future__ import annotations

from decimal import Decimal

from plinth.catalog.commitments import load_commitments


def test_longer_and_earlier_paid_is_cheaper() -> None:
    found = {each.name: each for each in load_commitments()}
    assert found["3yr-all-upfront"].discount == Decimal("0.62")
    assert found["1yr-no-upfront"].upfront == 0
    assert [each.discount for each in load_commitments()] == sorted(
        each.discount for each in found.values()
    )


def test_each_is_a_part_of_the_price_and_says_where_it_comes_from() -> None:
    for each in load_commitments():
        assert 0 < each.discount < 1
        assert 0 <= each.upfront <= 1
        assert each.months in (12, 36)
        assert "averages" in each.source.text
