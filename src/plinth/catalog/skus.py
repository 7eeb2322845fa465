"""Sizes of virtual machines: what they hold, where they are sold, and what they cost.

The planner asks three things of a size in a region: is it offered (yes, no, unknown), what does it
cost in a tier (or unknown), what does it hold. "Offered" is Azure's price list: that it is sold
there says nothing about capacity or about a subscription's quota.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache

from plinth.catalog.names import nearest, spelling
from plinth.catalog.price import HOUR, USD, ListPrice, Tier
from plinth.catalog.table import Source, Table, data_bytes, read_region_sets, read_table
from plinth.kit.errors import Invalid

SIZES = "vm_sizes.csv.gz"
SETS = "vm_regions.csv.gz"
PRICES = "vm_prices.csv"
_SIZE_COLUMNS = ("sku", "series", "standard", "spot", "low_priority")
_PRICE_COLUMNS = (
    *("sku", "region", "cpu", "memory_gib", "usd_hour", "spot_usd_hour"),
    *("accelerator", "accelerators", "accelerator_memory_gib"),
)
_GIB = 2**30
# The letters of the series, the processors, those that are left of them, features, version.
_NAME = re.compile(r"([A-Z]+)(\d+)(?:-(\d+))?[A-Za-z0-9_]*?(?:_v(\d+))?")
# In these the number is a place in a list, not processors.
_NUMBERED = frozenset({("A", 1), ("D", 1), ("D", 2), ("DS", 1), ("DS", 2), ("G", 1), ("GS", 1)})
_ACCELERATOR = re.compile(
    r"N.*?(GB200|H200|H100|A100|A10(?!0)|T4|MI300X|V620|V710|MA35D|RTX6K)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Sku:
    """One size. `cpu` in processors, `memory` and `accelerator_memory` (of each) in bytes.

    None: unknown. `cpu_is_derived`: read out of the name by Azure's naming rule, not stated.
    `accelerator`: its kind; its number may be unknown all the same. A size without accelerators
    has `accelerators` 0.
    """

    name: str
    series: str
    cpu: float | None
    memory: int | None
    accelerator: str | None
    accelerators: int | None
    accelerator_memory: int | None
    cpu_is_derived: bool
    source: Source


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether a size is offered in a region. None: unknown, and then there is no source."""

    offered: bool | None
    source: Source | None


@dataclass(frozen=True, slots=True)
class SkuRegions:
    """The regions in which a size is sold, by tier."""

    by_tier: Mapping[Tier, frozenset[str]]
    source: Source


PriceKey = tuple[str, str | None, Tier]
AvailabilityKey = tuple[str, str, Tier]


@dataclass(frozen=True, slots=True)
class SkuOverrides:
    """What imports state of sizes. Keys start with the spelling of the size's name.

    A price whose region is None holds in every region that has none of its own.
    """

    facts: Mapping[str, Sku] = field(default_factory=dict)
    availability: Mapping[AvailabilityKey, tuple[bool, Source]] = field(default_factory=dict)
    prices: Mapping[PriceKey, ListPrice] = field(default_factory=dict)


class Skus:
    """Every size that is known, with availability and prices."""

    def __init__(
        self,
        skus: Iterable[Sku],
        sold: Mapping[str, SkuRegions],
        prices: Mapping[PriceKey, ListPrice],
        overrides: SkuOverrides,
    ) -> None:
        self._skus = {spelling(sku.name): sku for sku in skus}
        self._sold = sold
        self._prices = prices
        self._overrides = overrides
        sets = {id(held): held for each in sold.values() for held in each.by_tier.values()}
        self.covered_regions = frozenset[str]().union(*sets.values())

    def __iter__(self) -> Iterator[Sku]:
        return iter(self._skus.values())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _key(name) in self._skus

    def __len__(self) -> int:
        return len(self._skus)

    def find(self, name: str) -> Sku:
        """Return a size: `D4s_v5`, `Standard_D4s_v5` and `D4s v5` are one.

        Raises Invalid with the nearest name.
        """
        found = self._skus.get(_key(name))
        if found is None:
            close = nearest(name, (each.name for each in self))
            meant = f"; did you mean `{close}`?" if close else ""
            raise Invalid(
                f"`{name[:60]}` is not a size that the catalog knows{meant}",
                hint="`plinth catalog skus` lists them; `plinth catalog import` adds one",
            )
        return found

    def availability(self, sku: str, region: str, tier: Tier = Tier.STANDARD) -> Availability:
        """Return whether a size is sold in a region, with the source that says so.

        Unknown where no table covers the region, or the size is in none.
        """
        key = _key(sku)
        stated = self._overrides.availability.get((key, region, tier))
        if stated is not None:
            return Availability(*stated)
        sold = self._sold.get(key)
        if sold is None or region not in self.covered_regions:
            return Availability(None, None)
        return Availability(region in sold.by_tier[tier], sold.source)

    def offered(self, sku: str, region: str, tier: Tier = Tier.STANDARD) -> bool | None:
        """Return whether a size is sold in a region; None: unknown."""
        return self.availability(sku, region, tier).offered

    def price(self, sku: str, region: str, tier: Tier = Tier.STANDARD) -> ListPrice | None:
        """Return what an hour of one machine costs in a region, Linux; None: unknown."""
        key = _key(sku)
        for prices, where in (
            (self._overrides.prices, region),
            (self._overrides.prices, None),
            (self._prices, region),
        ):
            price = prices.get((key, where, tier))
            if price is not None:
                return price
        return None

    def priced_regions(self, sku: str) -> tuple[str | None, ...]:
        """Return the regions in which a size has a price in some tier; None: in every region."""
        key = _key(sku)
        both = (*self._prices, *self._overrides.prices)
        found = {where for name, where, _ in both if name == key}
        return tuple(sorted(found, key=lambda where: where or ""))

    def with_overrides(self, overrides: SkuOverrides) -> Skus:
        """Return the sizes with what imports state; their facts complete or replace ours."""
        skus = dict(self._skus)
        for key, stated in overrides.facts.items():
            known = skus.get(key)
            skus[key] = stated if known is None else _completed(known, stated)
        return Skus(skus.values(), self._sold, self._prices, overrides)


@cache
def load_skus() -> Skus:
    """Return the sizes that Plinth brings."""
    return read_skus(data_bytes(SIZES), data_bytes(SETS), data_bytes(PRICES))


def read_skus(sizes: bytes, sets: bytes, prices: bytes) -> Skus:
    """Read the files of sizes, of the regions that sell them, and of the prices of some."""
    regions = read_region_sets(sets, SETS)
    listed = read_table(sizes, SIZES, _SIZE_COLUMNS)
    priced = read_table(prices, PRICES, _PRICE_COLUMNS)
    facts = {spelling(row[0]): row for row in priced.rows}
    skus: list[Sku] = []
    sold: dict[str, SkuRegions] = {}
    # Most sizes share their three sets with others; one mapping for each is a third of the time.
    mappings: dict[tuple[str, str, str], SkuRegions] = {}
    for name, series, standard, spot, low in listed.rows:
        key = spelling(name)
        row = facts.get(key)
        skus.append(
            _derived(name, series, listed.source)
            if row is None
            else _stated(name, series, row, priced.source)
        )
        shared = mappings.get((standard, spot, low))
        if shared is None:
            by_tier = (regions[standard], regions[spot], regions[low])
            shared = SkuRegions(dict(zip(Tier, by_tier, strict=True)), listed.source)
            mappings[standard, spot, low] = shared
        sold[key] = shared
    return Skus(skus, sold, _prices(priced), SkuOverrides())


def cpu_of_name(name: str) -> int | None:
    """Return the processors that a size's name states, by Azure's naming rule; None: not there.

    The number behind the letters, or behind `-` where some are switched off; not in the oldest
    series, where it only counts the sizes.
    """
    match = _NAME.fullmatch(name)
    if match is None or (match[1], int(match[4] or 1)) in _NUMBERED:
        return None
    # `D2s` of version 1 is written `DS2`; the letters in front tell them apart.
    return int(match[3] or match[2]) or None


def accelerator_of_name(name: str) -> str | None:
    """Return the kind of accelerator that a size's name states; None: none is named."""
    match = _ACCELERATOR.match(name)
    return match[1].upper() if match else None


def _derived(name: str, series: str, source: Source) -> Sku:
    cpu = cpu_of_name(name)
    # Azure's sizes with accelerators, and only those, start with N.
    count = None if name.startswith("N") else 0
    return Sku(
        *(name, series, cpu, None, accelerator_of_name(name), count, None),
        cpu_is_derived=cpu is not None,
        source=source,
    )


def _stated(name: str, series: str, row: list[str], source: Source) -> Sku:
    _, _, cpu, memory, _, _, kind, count, each = row
    return Sku(
        name=name,
        series=series,
        cpu=float(cpu),
        memory=int(memory) * _GIB,
        accelerator=kind or None,
        accelerators=int(count) if count else (None if kind else 0),
        accelerator_memory=int(each) * _GIB if each else None,
        cpu_is_derived=False,
        source=source,
    )


def _prices(priced: Table) -> dict[PriceKey, ListPrice]:
    prices: dict[PriceKey, ListPrice] = {}
    for sku, region, _, _, standard, spot, *_ in priced.rows:
        for tier, amount in ((Tier.STANDARD, standard), (Tier.SPOT, spot)):
            if amount:
                price = ListPrice(Decimal(amount), USD, HOUR, priced.source)
                prices[spelling(sku), region, tier] = price
    return prices


def _completed(known: Sku, stated: Sku) -> Sku:
    return replace(
        stated,
        name=known.name,
        series=known.series,
        cpu=known.cpu if stated.cpu is None else stated.cpu,
        cpu_is_derived=known.cpu_is_derived and stated.cpu is None,
        memory=known.memory if stated.memory is None else stated.memory,
        accelerator=stated.accelerator or known.accelerator,
        accelerators=known.accelerators if stated.accelerators is None else stated.accelerators,
        accelerator_memory=stated.accelerator_memory or known.accelerator_memory,
    )


def _key(name: str) -> str:
    return spelling(name).removeprefix("standard")
