"""What it costs to move and to keep data: out to the internet, between regions, in storage.

The planner asks what a GB costs from one region to another. The list has one region for the way to
the internet and one rate for the way between regions, so both are unknown elsewhere until imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache

from plinth.catalog.price import USD, ListPrice
from plinth.catalog.table import Source, data_bytes, read_table

EGRESS = "egress.csv"
STORAGE = "storage.csv"
INTERNET = "internet"
INTER_REGION = "inter-region"
GB = "GB"
_EGRESS_COLUMNS = ("path", "region", "from_gb", "to_gb", "usd_gb")
_STORAGE_COLUMNS = ("sku", "tier", "region", "usd_gb_month")

# (path, region); the region None: every region that has no price of its own.
EgressKey = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Step:
    """The price of one GB while a month's sum is from `from_gb` to `to_gb`; None: no end."""

    from_gb: int
    to_gb: int | None
    price: ListPrice


@dataclass(frozen=True, slots=True)
class StorageTier:
    """What one GB costs for a month in a tier (`hot`, `cool`, `archive`) of a region."""

    sku: str
    tier: str
    region: str
    price: ListPrice


@dataclass(frozen=True, slots=True)
class Egress:
    """Every price of moving and keeping data. GB are 10^9 bytes."""

    paths: Mapping[EgressKey, tuple[Step, ...]]
    storage: tuple[StorageTier, ...]
    overrides: Mapping[EgressKey, ListPrice] = field(default_factory=dict)

    def between(self, origin: str, target: str) -> ListPrice | None:
        """Return what one GB costs from one region to another; None: unknown.

        Within a region it is 0: the list knows no price for that, and neither does Azure.
        """
        steps = self._steps(INTER_REGION, origin)
        if steps is None:
            return None
        price = steps[0].price
        if origin == target:
            return ListPrice(Decimal(0), price.currency, GB, price.source)
        return price

    def to_internet(self, region: str, gb: int) -> ListPrice | None:
        """Return what `gb` GB in one month cost out of a region, in all; None: unknown."""
        steps = self._steps(INTERNET, region)
        if steps is None:
            return None
        total = Decimal(0)
        for step in steps:
            end = gb if step.to_gb is None else min(gb, step.to_gb)
            total += max(0, end - step.from_gb) * step.price.amount
        first = steps[0].price
        return ListPrice(total, first.currency, f"{gb} {GB}", first.source)

    def _steps(self, path: str, region: str) -> tuple[Step, ...] | None:
        for where in (region, None):
            stated = self.overrides.get((path, where))
            if stated is not None:
                return (Step(0, None, stated),)
        return self.paths.get((path, region)) or self.paths.get((path, None))


@cache
def load_egress() -> Egress:
    """Return the prices that Plinth brings."""
    return read_egress(data_bytes(EGRESS), data_bytes(STORAGE))


def read_egress(egress: bytes, storage: bytes) -> Egress:
    """Read the files of prices for moving data and for keeping it."""
    table = read_table(egress, EGRESS, _EGRESS_COLUMNS)
    paths: dict[EgressKey, tuple[Step, ...]] = {}
    for path, region, start, end, amount in table.rows:
        step = Step(int(start), int(end) if end else None, _price(amount, GB, table.source))
        key = (path, region or None)
        paths[key] = (*paths.get(key, ()), step)
    kept = read_table(storage, STORAGE, _STORAGE_COLUMNS)
    tiers = tuple(
        StorageTier(sku, tier, region, _price(amount, "GB-month", kept.source))
        for sku, tier, region, amount in kept.rows
    )
    return Egress(paths, tiers)


def _price(amount: str, unit: str, source: Source) -> ListPrice:
    return ListPrice(Decimal(amount), USD, unit, source)
