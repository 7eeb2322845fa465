"""T4: of the sizes that were tried, which are both fast and cheap enough to be chosen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from plinth.catalog.catalog import Catalog
from plinth.catalog.names import spelling
from plinth.catalog.price import Tier
from plinth.catalog.skus import Sku
from plinth.domain.application import TrainDemand
from plinth.domain.need import Need
from plinth.domain.plan import Verdict
from plinth.planning.context import Placement
from plinth.planning.rules.rule import listed, not_ok, ok, unknown

# The one region whose prices the catalog brings; elsewhere they are an estimate.
_LISTED = "eastus"


def size_measured(need: Need, placement: Placement) -> Verdict | None:
    """Tell whether no other size that was tried is faster and cheaper: time x price of one run."""
    demand = need.demand
    if not isinstance(demand, TrainDemand) or not demand.measured or placement.offer.model:
        return None
    here = _plain(placement.offer.sku)
    hours = {name: seconds / 3600 for name, seconds in demand.measured.items()}
    name = next((each for each in hours if _plain(each) == here), None)
    if name is None:
        return unknown("T4", f"`{placement.offer.sku}` was not tried; {listed(hours)} were")
    prices = _prices(hours, placement)
    if name not in prices.of_hour:
        return unknown(
            "T4",
            f"one run takes {hours[name]:.3g} h on `{name}`, which has no price in "
            f"`{prices.region}`; `plinth catalog import` adds it",
        )
    runs = {
        each: Decimal(hours[each]) * price * need.instances
        for each, price in prices.of_hour.items()
    }
    took = f"{hours[name]:.3g} h and {prices.written(runs[name])} a run"
    for other, cost in runs.items():
        faster, cheaper = hours[other] <= hours[name], cost <= runs[name]
        same = hours[other] == hours[name] and cost == runs[name]
        if faster and cheaper and not same and _could_do(need, placement, other):
            beaten = f"`{other}` does it in {hours[other]:.3g} h for {prices.written(cost)}"
            return not_ok("T4", f"slower and dearer than a size that was tried: {took}; {beaten}")
    return ok("T4", f"{took}: nothing that was tried is both faster and cheaper")


@dataclass(frozen=True, slots=True)
class _Prices:
    """What an hour of each size costs that has a price in a region, in one currency."""

    region: str
    currency: str
    of_hour: Mapping[str, Decimal]

    def written(self, amount: Decimal) -> str:
        """Write an amount, and where its prices are from."""
        return f"{amount:,.2f} {self.currency} (`{self.region}`)"


def _prices(names: Iterable[str], placement: Placement) -> _Prices:
    """Return the prices of the region where all sizes have one, else those of the one listed."""
    wanted, catalog, tier = tuple(names), placement.catalog, _tier(placement)
    here = _in_region(catalog, wanted, placement.offer.region, tier)
    # Prices of two regions are not compared with each other.
    return here if len(here.of_hour) == len(wanted) else _in_region(catalog, wanted, _LISTED, tier)


def _in_region(catalog: Catalog, names: tuple[str, ...], region: str, tier: Tier) -> _Prices:
    found = {name: catalog.skus.price(name, region, tier) for name in names}
    prices = {name: price for name, price in found.items() if price is not None}
    currencies = {price.currency for price in prices.values()}
    if len(currencies) != 1:
        # Nor are those of two currencies.
        return _Prices(region, "", {})
    amounts = {name: price.amount for name, price in prices.items()}
    return _Prices(region, currencies.pop(), amounts)


def _could_do(need: Need, placement: Placement, name: str) -> bool:
    """Tell whether a size could be taken instead: sold there, and as large as is asked for."""
    skus = placement.catalog.skus
    if name not in skus or not _is_large_enough(need, skus.find(name)):
        return False
    return skus.offered(name, placement.offer.region, _tier(placement)) is not False


def _is_large_enough(need: Need, sku: Sku) -> bool:
    needed = need.resources
    if sku.cpu is None or sku.memory is None:
        return False
    if sku.cpu < needed.cpu or sku.memory < needed.memory:
        return False
    wanted = needed.accelerator
    if wanted is None:
        return True
    return sku.accelerator == wanted.kind and (sku.accelerators or 0) >= wanted.count


def _tier(placement: Placement) -> Tier:
    return Tier.SPOT if placement.offer.tier == "spot" else Tier.STANDARD


def _plain(name: str) -> str:
    """`Standard_D8s_v5` and `D8s v5` are one size."""
    return spelling(name).removeprefix("standard")
