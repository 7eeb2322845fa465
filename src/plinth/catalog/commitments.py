"""Discounts for committing to machines for years: averages, which a quote should replace."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from plinth.catalog.table import Source, data_bytes, read_table

FILE = "commitments.csv"
_COLUMNS = ("commitment", "months", "upfront", "discount")


@dataclass(frozen=True, slots=True)
class Commitment:
    """One way to commit. `upfront`: the part paid at once, 0 to 1.

    `discount`: the part of the hourly price that is saved, 0 to 1, on average over all series.
    """

    name: str
    months: int
    upfront: Decimal
    discount: Decimal
    source: Source


@cache
def load_commitments() -> tuple[Commitment, ...]:
    """Return the commitments that Plinth brings, the least discount first."""
    return read_commitments(data_bytes(FILE))


def read_commitments(content: bytes) -> tuple[Commitment, ...]:
    """Read a file of commitments."""
    table = read_table(content, FILE, _COLUMNS)
    found = (
        Commitment(name, int(months), Decimal(upfront), Decimal(discount), table.source)
        for name, months, upfront, discount in table.rows
    )
    return tuple(sorted(found, key=lambda each: each.discount))
