"""The prices that Plinth brings have a source, and mistakes in their file are said."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from plinth.catalog.prices import load_prices, read_prices
from plinth.domain.load import LoadError

ROW = """prices:
  - sku: local.cpu_hour
    amount: "0.03"
    currency: EUR
    valid_from: 2026-11-01
    source: somewhere
    checked: 2026-11-02
"""


def test_every_price_says_where_it_comes_from_and_when_that_was_checked() -> None:
    prices = {price.sku: price for price in load_prices()}
    tokens = {"gateway.input_tokens", "gateway.output_tokens"}
    assert set(prices) == {"local.cpu_hour", "local.memory_gb_hour", "gateway.request", *tokens}
    assert all(price.source.endswith(")") and "(2026-" in price.source for price in prices.values())
    assert {price.currency for price in prices.values()} == {"USD"}
    assert prices["gateway.request"].amount == 0
    assert {prices[sku].amount for sku in tokens} == {0}


def test_the_local_prices_follow_from_the_list_prices_that_their_source_names() -> None:
    d2s, e2s = Decimal("0.096"), Decimal("0.126")
    gib = (e2s - d2s) / 8
    cpu = (d2s - 8 * gib) / 2
    prices = {price.sku: price.amount for price in load_prices()}
    assert prices["local.cpu_hour"] == cpu
    assert prices["local.memory_gb_hour"] == (gib * 10**9 / 2**30).quantize(Decimal("1e-7"))


def test_a_row_holds_from_the_beginning_of_its_day() -> None:
    (price,) = read_prices(ROW.encode())
    assert price.valid_from == datetime(2026, 11, 1, tzinfo=UTC)
    assert price.source == "somewhere (2026-11-02)"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("local.cpu_hour", "local.gpu", "is not a SKU"),
        ('"0.03"', '"-1"', "is not a price"),
        ('"0.03"', "0.03", "amount"),
        ("EUR", "euro", "currency"),
        ("source: somewhere", "sauce: somewhere", "sauce"),
        ("prices:\n", f"{ROW}", "stands twice"),
    ],
)
def test_a_mistake_in_the_file_is_said(old: str, new: str, said: str) -> None:
    with pytest.raises(LoadError, match=said):
        read_prices(ROW.replace(old, new, 1).encode())
