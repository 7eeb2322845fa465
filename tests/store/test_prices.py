"""Prices come back exactly as they were stated, in their order."""

from __future__ import annotations

from decimal import Decimal

from plinth.domain.money import Price
from plinth.store.prices import add_price, list_prices
from plinth.store.session import Database
from tests.store.rows import NOW, later, principal_in


def stated(amount: str, by: str, **changes: object) -> Price:
    fields = {
        "sku": "local.cpu_hour",
        "amount": Decimal(amount),
        "currency": "EUR",
        "valid_from": NOW,
        "source": "x",
        "stated_by": by,
        "stated_at": later(1),
    }
    return Price.model_validate(fields | changes)


def test_prices_keep_every_digit_who_stated_them_and_their_order(database: Database) -> None:
    amounts = ["0.1", "123456789012.000000000000000001", "0.000000000000000001", "0.10"]
    with database.write() as connection:
        who = principal_in(connection, "ops")
        for amount in amounts:
            add_price(connection, stated(amount, who.id))
        add_price(connection, stated("7", "p_gone", valid_from=later(60)))
    with database.read() as connection:
        found = list_prices(connection)
    assert [str(price.amount) for price in found[:-1]] == [
        "0.1",
        "123456789012.000000000000000001",
        "1E-18",
        "0.10",
    ]
    assert found[0] == stated("0.1", who.id, source=f"stated by `{who.name}` on 2026-01-02")
    assert found[-1].source == "stated by `p_gone` on 2026-01-02"
    assert found[-1].valid_from == later(60)
