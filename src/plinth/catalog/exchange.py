"""Exchange rates that the organisation stated, each with its day. Plinth brings none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from plinth.catalog.price import EXACT, ListPrice
from plinth.catalog.table import Source
from plinth.kit.errors import Invalid


@dataclass(frozen=True, slots=True)
class ExchangeRate:
    """One unit of `origin` is `rate` units of `target`, on the source's day."""

    origin: str
    target: str
    rate: Decimal
    source: Source

    def __str__(self) -> str:
        """Write it for people: `1 USD = 0.92 EUR (rates.csv 2026-11-01, ...)`."""
        return f"1 {self.origin} = {self.rate:f} {self.target} ({self.source})"


@dataclass(frozen=True, slots=True)
class Exchange:
    """Every rate, by (from, to). A rate holds in the direction in which it was stated only."""

    rates: Mapping[tuple[str, str], ExchangeRate]

    def __iter__(self) -> Iterator[ExchangeRate]:
        return iter(self.rates.values())

    def rate(self, origin: str, target: str) -> ExchangeRate | None:
        """Return the stated rate; None: nobody stated one."""
        return self.rates.get((origin, target))

    def convert(self, price: ListPrice, target: str) -> tuple[ListPrice, ExchangeRate | None]:
        """Return the price in another currency, exactly, and the rate that was used.

        The rate is None where the price is in that currency already. Raises Invalid when nobody
        stated the rate: nothing is converted silently.
        """
        if price.currency == target:
            return price, None
        rate = self.rate(price.currency, target)
        if rate is None:
            known = ", ".join(f"{one} to {other}" for one, other in sorted(self.rates)) or "none"
            raise Invalid(
                f"no rate from {price.currency} to {target} is known; known: {known}",
                hint="state one with `plinth catalog import FILE` (kind: exchange-rates)",
            )
        amount = EXACT.multiply(price.amount, rate.rate)
        return replace(price, amount=amount, currency=target), rate
