"""Usage x prices -> charges. Pure: no file, no clock, and nothing is rounded.

Called for every bill. A price is looked up at the beginning of a sum's period, so sums are cut
wherever a price changes: `PriceBook.changes` says where.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
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


def rate_all(sums: Iterable[UsageSum], book: PriceBook) -> Iterator[Charge]:
    """Return the charges for usage within whose periods no price changes.

    Each token is charged once: cached input that has a price of its own is taken off the input, so
    is reasoning off the output; without one it pays what the whole pays.
    """
    found = list(sums)
    taken: defaultdict[UsageSum, int] = defaultdict(int)
    for usage in found:
        whole = usage.meter.part_of
        if whole is not None and _token_price(usage, book) is not None:
            taken[_alike(usage, whole)] += usage.millionths
    for usage in found:
        alike = _alike(usage, usage.meter)
        less = min(taken[alike], usage.millionths) if alike in taken else 0
        if less:
            taken[alike] -= less
            usage = replace(usage, millionths=usage.millionths - less)  # noqa: PLW2901
        if usage.meter.part_of is None or _token_price(usage, book) is not None:
            yield from rate(usage, book)


def _alike(usage: UsageSum, meter: Meter) -> UsageSum:
    """Return what is the same for a part and for its whole; either may be estimated alone."""
    return replace(usage, meter=meter, millionths=0, estimated=False)


def rate(usage: UsageSum, book: PriceBook) -> tuple[Charge, ...]:
    """Return the charges for one meter's usage within which no price changes.

    A replica's seconds are charged for its processors and for its memory. Where a fact is missing
    (the size of a replica of an older Plinth, a price) the charge is unpriced and keeps its
    quantity.
    """
    if usage.meter is Meter.REQUESTS:
        requests = EXACT.multiply(Decimal(usage.millionths), _MILLIONTH)
        return (_charge(usage, GATEWAY, Measure.REQUEST, requests, book),)
    if not usage.meter.is_of_replica:
        return (_charge_tokens(usage, book),)
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


def _charge_tokens(usage: UsageSum, book: PriceBook) -> Charge:
    measure = Measure(usage.meter.value)
    tokens = EXACT.multiply(Decimal(usage.millionths), _MILLIONTH)
    price = _token_price(usage, book)
    if price is not None:
        return Charge(usage, measure, price.sku, tokens, price)
    sku = f"{usage.workload}.{measure}"
    why = f"`{sku}` had no price then"
    if usage.deployment is not None:
        why = f"what `{usage.deployment}` charges is its provider's, and `{sku}` was not stated"
    return Charge(usage, measure, sku, tokens, None, why)


def _token_price(usage: UsageSum, book: PriceBook) -> Price | None:
    """Return the price of an endpoint's tokens: its own, or that of all models that run here.

    Who has a price of its own has it for all: a part without one pays what its whole pays.
    """
    whole = usage.meter.part_of or usage.meter
    place = str(usage.workload)
    if book.at(f"{place}.{whole}", usage.since) is None:
        if usage.deployment is not None:
            return None
        place = GATEWAY
    return book.at(f"{place}.{usage.meter}", usage.since)
