"""The prices that operators stated. Append-only: a later row for the same time replaces one."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, insert, select

from plinth.domain.money import Price
from plinth.store import tables


def source_of(name: str, stated_at: datetime) -> str:
    """Return what a stated price says of where it comes from."""
    return f"stated by `{name}` on {stated_at:%Y-%m-%d}"


def add_price(connection: Connection, price: Price) -> None:
    """Write down a price that somebody stated: `stated_by` and `stated_at` are set."""
    connection.execute(
        insert(tables.price).values(
            sku=price.sku,
            # As text: SQLite has no exact decimals.
            amount=f"{price.amount:f}",
            currency=price.currency,
            valid_from=price.valid_from,
            created_at=price.stated_at,
            created_by=price.stated_by,
        )
    )


def list_prices(connection: Connection) -> list[Price]:
    """Return every price ever stated, in the order in which they were."""
    table, principal = tables.price, tables.principal
    rows = connection.execute(
        select(table, principal.c.name.label("name"))
        .outerjoin(principal, principal.c.id == table.c.created_by)
        .order_by(table.c.id)
    )
    return [
        Price(
            sku=row.sku,
            amount=Decimal(row.amount),
            currency=row.currency,
            valid_from=row.valid_from,
            source=source_of(row.name or row.created_by, row.created_at),
            stated_by=row.created_by,
            stated_at=row.created_at,
        )
        for row in rows
    ]
