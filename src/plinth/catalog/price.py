"""A price as a list states it: amount, currency, unit, tier, source. Nothing is converted here."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation
from enum import StrEnum

from plinth.catalog.table import Source

USD = "USD"
HOUR = "hour"
# How many single things the units of meters are.
COUNTS = {"1": 1, "100": 100, "1K": 1000, "1M": 1_000_000}
# What would be rounded raises instead.
EXACT = Context(prec=80, traps=[Inexact, InvalidOperation])
_MILLION = 1_000_000


class Tier(StrEnum):
    """How capacity is bought: `spot` and `low-priority` may be taken back at any time.

    Low priority is what Azure ML and Batch call their spare capacity.
    """

    STANDARD = "standard"
    SPOT = "spot"
    LOW_PRIORITY = "low-priority"


@dataclass(frozen=True, slots=True)
class ListPrice:
    """What one `unit` costs: `hour`, `GB`, `GB-month`, `1K`, `1M`. Exactly as it is stated."""

    amount: Decimal
    currency: str
    unit: str
    source: Source

    @property
    def per_million(self) -> Decimal | None:
        """What a million costs, where the unit is a number of things; else None."""
        count = COUNTS.get(self.unit)
        return None if count is None else EXACT.multiply(self.amount, Decimal(_MILLION // count))

    def to_json(self) -> dict[str, object]:
        """Return it for programs; the amount as text, since a float would round it."""
        return {
            "amount": format(self.amount, "f"),
            "currency": self.currency,
            "unit": self.unit,
            "source": self.source.to_json(),
        }
