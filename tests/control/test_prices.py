"""Prices are stated from a time on; what is before it stays as it was."""

from __future__ import annotations

from datetime import timedelta

import pytest

from plinth.control.prices import (
    NewPrice,
    all_prices,
    open_book,
    other_currencies,
    replaced_at,
    state_price,
)
from plinth.domain.money import Price
from plinth.kit.errors import Invalid
from tests.control.plane import Plane


def state(plane: Plane, sku: str = "local.cpu_hour", amount: str = "0.05", **fields: str) -> Price:
    new = NewPrice(sku=sku, amount=amount, **{"currency": "USD", **fields})
    with plane.write() as connection:
        return state_price(connection, plane.context, plane.actor(), new)


def test_a_price_holds_from_now_if_nothing_else_is_said(plane: Plane) -> None:
    plane.clock.advance(61.5)
    price = state(plane)
    assert price.stated_at == plane.clock.now()
    assert price.valid_from == plane.clock.now() - timedelta(seconds=1.5)
    assert price.stated_by == plane.actor().principal.id
    with plane.database.read() as connection:
        book = open_book(connection)
    now = plane.clock.now()
    assert book.at("local.cpu_hour", now) == price
    before = book.at("local.cpu_hour", now - timedelta(seconds=2))
    assert before is None or before.stated_by is None


def test_a_price_from_now_can_be_corrected_by_the_time_that_is_shown(plane: Plane) -> None:
    plane.clock.advance(61.5)
    wrong = state(plane, amount="5")
    right = state(plane, amount="0.05", valid_from=f"{wrong.valid_from:%Y-%m-%dT%H:%M}")
    with plane.database.read() as connection:
        book = open_book(connection)
    assert [price for price in book.prices() if price.stated_by] == [right]


def test_a_price_holds_until_the_next_of_its_sku(plane: Plane) -> None:
    later = state(plane, valid_from="2026-12-01")
    state(plane, sku="local.memory_gb_hour", valid_from="2026-11-15")
    price = state(plane, valid_from="2026-11-01")
    with plane.database.read() as connection:
        book = open_book(connection)
    assert replaced_at(book, price) == later.valid_from
    assert replaced_at(book, later) is None


def test_all_that_was_ever_stated_is_kept(plane: Plane) -> None:
    for amount in ("0.05", "0.06"):
        state(plane, amount=amount, valid_from="2026-11-01")
    with plane.database.read() as connection:
        found = [price for price in all_prices(connection) if price.sku == "local.cpu_hour"]
        counts = open_book(connection).prices()
    assert [str(price.amount) for price in found] == ["0.033", "0.05", "0.06"]
    assert [price in counts for price in found] == [True, False, True]


def test_another_currency_beside_it_is_named(plane: Plane) -> None:
    price = state(plane, currency="EUR")
    with plane.database.read() as connection:
        book = open_book(connection)
    # Requests cost 0, in any currency.
    assert other_currencies(book, price) == {"local.memory_gb_hour": "USD"}
    price = state(plane, sku="local.memory_gb_hour", currency="EUR")
    with plane.database.read() as connection:
        assert other_currencies(open_book(connection), price) == {}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"sku": "moon.cpu_hour"}, "prices are for `gateway`, `local`"),
        ({"sku": "cpu"}, "is not a SKU"),
        ({"sku": "endpoint/moon.input_tokens"}, "there is no endpoint `moon`"),
        ({"amount": "1,5"}, "is not a price"),
        ({"amount": "-1"}, "is not a price"),
        ({"currency": "Euro"}, "is not a currency"),
        ({"valid_from": "tomorrow"}, "is not a day or a time"),
    ],
)
def test_what_cannot_be_a_price_is_refused_and_not_kept(
    plane: Plane, fields: dict[str, str], said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        state(plane, **fields)
    with plane.database.read() as connection:
        assert len(all_prices(connection)) == 5
