"""Usage x prices -> charges. Pure: no file, no clock, and nothing is rounded.

Called for every bill. A price is looked up at the beginning of a sum's period, so sums are cut
wherever a price changes: `PriceBook.changes` says where.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

from plinth.domain.money import EXACT, GATEWAY, Charge, Measure, Price, Sku
from plinth.domain.usage import Meter, UsageSum

_MILLIONTH = Decimal(1).scaleb(-6)
_GB_MILLIONTH = Decimal(1).scaleb(-15)
# What Plinth brings, by the time it is valid from, and what operators stated.
_Rows: TypeAlias = tuple[dict[datetime, Price], dict[datetime, Price]]


class PriceBook:
    """Every price of every SKU over time.

    What an operator stated wins over what Plinth brings from its `valid_from` on, for good; of two
    statements for the same time the later one counts.
    """

    def __init__(self, brought: Iterable[Price], stated: Iterable[Price]) -> None:
        """Take the catalog's prices, and the stated ones in the order they were stated."""
        rows: defaultdict[str, _Rows] = defaultdict(lambda: ({}, {}))
        for price in brought:
            rows[price.sku][0][price.valid_from] = price
        for price in stated:
            rows[price.sku][1][price.valid_from] = price
        self._prices = {sku: _timeline(*found) for sku, found in rows.items()}

    def prices(self) -> list[Price]:
        """Return the prices that count, by SKU and time; replaced ones are not among them."""
        return [price for sku in sorted(self._prices) for price in self._prices[sku]]

    def at(self, sku: str, moment: datetime) -> Price | None:
        """Return the price in force, or None where there is none."""
        timeline = self._prices.get(sku, [])
        place = bisect_right(timeline, moment, key=lambda price: price.valid_from)
        return timeline[place - 1] if place else None

    def changes(self, since: datetime, until: datetime) -> set[datetime]:
        """Return the moments within (since, until) at which any price changes."""
        return {price.valid_from for price in self.prices() if since < price.valid_from < until}


def _timeline(brought: dict[datetime, Price], stated: dict[datetime, Price]) -> list[Price]:
    first = min(stated, default=None)
    kept = [price for at, price in brought.items() if first is None or at < first]
    return sorted([*kept, *stated.values()], key=lambda price: price.valid_from)


def rate(usage: UsageSum, book: PriceBook) -> tuple[Charge, ...]:
    """Return the charges for usage within which no price changes.

    A replica's seconds are charged for its processors and for its memory. Where a fact is missing
    (the size of a replica of an older Plinth, a price) the charge is unpriced and keeps its
    quantity.
    """
    if usage.meter is Meter.REQUESTS:
        requests = EXACT.multiply(Decimal(usage.millionths), _MILLIONTH)
        return (_charge(usage, GATEWAY, Measure.REQUEST, requests, book),)
    if usage.platform is None or usage.cpu is None or usage.memory_bytes is None:
        seconds = EXACT.multiply(Decimal(usage.millionths), _MILLIONTH)
        why = "the size of the replica was not recorded"
        return (Charge(usage, None, None, seconds, None, why),)
    # `str` gives the number as it was declared: 0.1, not the binary fraction next to it.
    cpu_millionths = EXACT.multiply(Decimal(str(usage.cpu)), Decimal(usage.millionths))
    cpu = EXACT.multiply(cpu_millionths, _MILLIONTH)
    memory = EXACT.multiply(Decimal(usage.memory_bytes * usage.millionths), _GB_MILLIONTH)
    return (
        _charge(usage, usage.platform, Measure.CPU_HOUR, cpu, book),
        _charge(usage, usage.platform, Measure.MEMORY_GB_HOUR, memory, book),
    )


def _charge(
    usage: UsageSum, place: str, measure: Measure, quantity: Decimal, book: PriceBook
) -> Charge:
    sku = str(Sku(place=place, measure=measure))
    price = book.at(sku, usage.since)
    why = None if price is not None else f"`{sku}` had no price then"
    return Charge(usage, measure, sku, quantity, price, why)
