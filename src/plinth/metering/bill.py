"""Charges -> a bill: grouped, explained, and rounded so that its lines sum to its totals.

Pure. An amount is rounded twice, each time over everything of one currency at once: to
`DIGITS` decimals, which is what the bill keeps, and from there to coins, which is what it shows.
Both times the parts get what the whole gets (largest remainder), so nothing is lost or made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from functools import reduce
from typing import TypeAlias

from plinth.domain.money import EXACT, Charge, Measure, Money, Price, coin_digits
from plinth.domain.usage import Meter

DIGITS = 12


class Group(StrEnum):
    """What the lines of a bill can be kept apart by."""

    TEAM = "team"
    WORKLOAD = "workload"
    PRINCIPAL = "principal"
    RUN = "run"
    METER = "meter"
    SKU = "sku"
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Part:
    """One multiplication of a line: `quantity` x `price` = `cost`.

    `quantity` is in fine units; `measure`, `sku`, `price` and `cost` are None as in a Charge.
    `seen_at`: it still runs, and was counted up to then. `estimated`: nobody reported `quantity`.
    """

    meter: Meter
    measure: Measure | None
    sku: str | None
    quantity: Decimal
    price: Price | None
    cost: Money | None
    why_unpriced: str | None
    since: datetime
    until: datetime
    seen_at: datetime | None
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """What one group cost in one currency. `cost` is None where that is unknown.

    `key` has a value for each group of the bill, in its order. `shown` is `cost` in whole coins.
    """

    key: tuple[str | None, ...]
    parts: tuple[Part, ...]
    cost: Money | None
    shown: Money | None

    @property
    def seen_at(self) -> datetime | None:
        """When what still runs was last seen; None when nothing of it runs."""
        return max((part.seen_at for part in self.parts if part.seen_at), default=None)


@dataclass(frozen=True, slots=True)
class Total:
    """What all lines of one currency cost, and the same in whole coins."""

    cost: Money
    shown: Money


def _workload(charge: Charge) -> str | None:
    """Return whose usage it is; copies of requests are told apart from what callers asked for."""
    workload = charge.usage.workload
    return f"{workload} (shadow)" if charge.usage.shadow else workload


_Key: TypeAlias = tuple[str | None, ...]
_KEYS: dict[Group, Callable[[Charge], str | None]] = {
    Group.TEAM: lambda charge: charge.usage.team,
    Group.WORKLOAD: _workload,
    Group.PRINCIPAL: lambda charge: charge.usage.principal,
    Group.RUN: lambda charge: charge.usage.run,
    Group.METER: lambda charge: charge.usage.meter.value,
    Group.SKU: lambda charge: charge.sku,
    Group.DAY: lambda charge: charge.usage.since.strftime("%Y-%m-%d"),
    Group.MONTH: lambda charge: charge.usage.since.strftime("%Y-%m"),
}


def make_lines(charges: Iterable[Charge], by: Sequence[Group], currency: str) -> list[Line]:
    """Return the lines, ordered by their keys, one for each group and currency.

    What costs nothing whatever the currency (a price of 0) joins a line of its group; where there
    is none it is a line of its own in `currency`. Charges without a price are lines without cost.
    """
    groups: defaultdict[_Key, list[Part]] = defaultdict(list)
    for part, key in _merge(charges, by):
        groups[key].append(part)
    lines = [
        line
        for key in sorted(groups, key=lambda key: [(each is None, each or "") for each in key])
        for line in _lines_of(key, groups[key], currency)
    ]
    return _with_coins(_with_costs(lines))


def make_totals(lines: Iterable[Line]) -> list[Total]:
    """Return the total of each currency: the sum of its lines, both as kept and as shown."""
    totals: dict[str, Total] = {}
    for line in lines:
        if line.cost is None or line.shown is None:
            continue
        before = totals.get(line.cost.currency)
        totals[line.cost.currency] = (
            Total(line.cost, line.shown)
            if before is None
            else Total(before.cost + line.cost, before.shown + line.shown)
        )
    return [totals[currency] for currency in sorted(totals)]


def apportion(amounts: Sequence[Fraction], digits: int) -> list[Decimal]:
    """Round amounts, none of them negative, so that they sum to their rounded sum.

    The sum is rounded half up. Each amount is rounded down, and what is then missing goes to those
    that lost most, of equal ones to the first. No amount moves by a whole last digit.
    """
    scale = 10**digits
    scaled = [amount * scale for amount in amounts]
    floors = [amount.numerator // amount.denominator for amount in scaled]
    whole = sum(scaled, Fraction(0)) + Fraction(1, 2)
    missing = whole.numerator // whole.denominator - sum(floors)
    losses = sorted(range(len(scaled)), key=lambda place: floors[place] - scaled[place])
    for place in losses[:missing]:
        floors[place] += 1
    return [EXACT.scaleb(Decimal(floor), -digits) for floor in floors]


def _merge(charges: Iterable[Charge], by: Sequence[Group]) -> Iterable[tuple[Part, _Key]]:
    """Add up what has the same group, meter, SKU and price."""
    parts: dict[tuple[object, ...], tuple[Part, _Key]] = {}
    for charge in charges:
        key = tuple(_KEYS[group](charge) for group in by)
        usage, price = charge.usage, charge.price
        since = None if price is None else price.valid_from
        # Which price it is: of one SKU, no two are valid from the same time.
        state = (usage.seen_at is None, usage.estimated)
        alike = (key, usage.meter, charge.sku, since, charge.why_unpriced, state)
        found = parts.get(alike)
        if found is None:
            parts[alike] = (_part(charge), key)
            continue
        part = found[0]
        seen = [each for each in (part.seen_at, usage.seen_at) if each]
        merged = replace(
            part,
            quantity=EXACT.add(part.quantity, charge.quantity),
            since=min(part.since, usage.since),
            until=max(part.until, usage.until),
            seen_at=max(seen, default=None),
        )
        parts[alike] = (merged, key)
    return parts.values()


def _part(charge: Charge) -> Part:
    return Part(
        meter=charge.usage.meter,
        measure=charge.measure,
        sku=charge.sku,
        quantity=charge.quantity,
        price=charge.price,
        cost=None,
        why_unpriced=charge.why_unpriced,
        since=charge.usage.since,
        until=charge.usage.until,
        seen_at=charge.usage.seen_at,
        estimated=charge.usage.estimated,
    )


def _lines_of(key: _Key, parts: list[Part], currency: str) -> list[Line]:
    ordered = sorted(
        parts,
        key=lambda part: (
            *(part.meter, part.sku or "", part.since),
            *(part.seen_at is not None, part.estimated),
        ),
    )
    unpriced = tuple(part for part in ordered if part.price is None)
    costing: dict[str, list[Part]] = {}
    for part in ordered:
        if part.price is not None and part.price.amount:
            costing.setdefault(part.price.currency, []).append(part)
    free = [part for part in ordered if part.price is not None and not part.price.amount]
    if free:
        costing.setdefault(min(costing, default=currency), []).extend(free)
    lines = [
        Line(key, tuple(costing[each]), Money(amount=Decimal(0), currency=each), None)
        for each in sorted(costing)
    ]
    return [*lines, Line(key, unpriced, None, None)] if unpriced else lines


def _with_costs(lines: list[Line]) -> list[Line]:
    """Give every part its cost, rounded to DIGITS over all parts of one currency."""
    made = list(lines)
    for currency, places in _by_currency(lines).items():
        parts = [part for place in places for part in lines[place].parts]
        amounts = [part.price.cost_of(part.quantity) for part in parts if part.price]
        costs = (Money(amount=cost, currency=currency) for cost in apportion(amounts, DIGITS))
        for place in places:
            given = tuple(replace(part, cost=next(costs)) for part in lines[place].parts)
            cost = reduce(Money.__add__, (part.cost for part in given if part.cost))
            made[place] = replace(lines[place], parts=given, cost=cost)
    return made


def _with_coins(lines: list[Line]) -> list[Line]:
    """Show every line in whole coins."""
    made = list(lines)
    for currency, places in _by_currency(lines).items():
        costs = [line.cost.amount for line in (lines[place] for place in places) if line.cost]
        coins = apportion([Fraction(cost) for cost in costs], coin_digits(currency))
        for place, coin in zip(places, coins, strict=True):
            made[place] = replace(lines[place], shown=Money(amount=coin, currency=currency))
    return made


def _by_currency(lines: list[Line]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, line in enumerate(lines):
        if line.cost is not None:
            places.setdefault(line.cost.currency, []).append(place)
    return places
