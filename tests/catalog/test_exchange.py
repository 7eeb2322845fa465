"""Currencies are converted at a stated rate or not at all."""

from __future__ import annotations

from decimal import Decimal

import pytest

from plinth.catalog.exchange import Exchange
from plinth.catalog.price import ListPrice
from plinth.kit.errors import Invalid
from tests.catalog.imported import catalog_with
from tests.catalog.test_price import SOURCE

PRICE = ListPrice(Decimal("0.192"), "USD", "hour", SOURCE)


def exchange() -> Exchange:
    return catalog_with("exchange-rates", "from,to,rate", "USD,EUR,0.9187").exchange


def test_a_price_is_converted_exactly_and_the_rate_is_told() -> None:
    price, rate = exchange().convert(PRICE, "EUR")
    assert (price.amount, price.currency, price.unit) == (Decimal("0.1763904"), "EUR", "hour")
    assert str(rate) == "1 USD = 0.9187 EUR (ours.csv 2026-11-20, imported 2026-11-22)"


def test_a_price_in_that_currency_stays_as_it_is() -> None:
    assert Exchange({}).convert(PRICE, "USD") == (PRICE, None)


def test_without_a_rate_nothing_is_converted() -> None:
    with pytest.raises(Invalid, match="no rate from USD to GBP is known; known: USD to EUR"):
        exchange().convert(PRICE, "GBP")
    with pytest.raises(Invalid, match="known: none"):
        Exchange({}).convert(PRICE, "EUR")


def test_a_rate_holds_in_its_direction_only() -> None:
    euros = ListPrice(Decimal(1), "EUR", "hour", SOURCE)
    with pytest.raises(Invalid, match="no rate from EUR to USD"):
        exchange().convert(euros, "USD")
