"""A price as a list states it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from plinth.catalog.price import ListPrice
from plinth.catalog.table import Source

SOURCE = Source("list", "a list", date(2026, 8, 21), "MIT")


@pytest.mark.parametrize(
    ("amount", "unit", "million"),
    [
        ("0.0025", "1K", "2.5"),
        ("2.5", "1M", "2.5"),
        ("0.002", "1", "2000"),
        ("0.1", "100", "1000"),
    ],
)
def test_a_price_for_a_million_is_exact(amount: str, unit: str, million: str) -> None:
    assert ListPrice(Decimal(amount), "USD", unit, SOURCE).per_million == Decimal(million)


def test_an_hour_is_no_number_of_things() -> None:
    assert ListPrice(Decimal(1), "USD", "hour", SOURCE).per_million is None


def test_the_amount_is_a_text_for_programs() -> None:
    shown = ListPrice(Decimal("0.0000001"), "USD", "1", SOURCE).to_json()
    assert shown["amount"] == "0.0000001"
