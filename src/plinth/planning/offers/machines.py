"""Which sizes of machines are large enough for a need, and which of them a region sells.

`offers.py` asks for one need, tier and region after the other. What is known of a catalog's sizes
holds for every plan, so it is worked out once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from plinth.catalog.catalog import Catalog
from plinth.catalog.names import spelling
from plinth.catalog.price import USD, Tier
from plinth.domain.application import TrainDemand
from plinth.domain.need import Need
from plinth.domain.platform import Offer, PriceTier
from plinth.domain.resources import Accelerator
from plinth.planning.offers.month_price import Size, price_list

# No size of Azure has more accelerators.
_MOST_ACCELERATORS = 8
# So many answers are kept; whoever plans for longer than that begins anew.
_MOST = 20_000

# Processors, memory in bytes, kind and number of accelerators, the sizes that were measured.
SizeKey = tuple[float, int, str | None, int, tuple[str, ...]]


class Machines:
    """The sizes of one catalog as offers."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._prices = price_list(catalog)
        self._fits: dict[tuple[SizeKey, PriceTier], tuple[Size, ...]] = {}
        self._offers: dict[tuple[SizeKey, PriceTier, str], tuple[Offer, ...]] = {}
        self._models: dict[tuple[Size, PriceTier], Offer] = {}
        self._sold: dict[tuple[str, Tier, str], bool | None] = {}

    def offers(self, need: Need, tier: PriceTier, region: str) -> tuple[Offer, ...]:
        """Return the cheapest size that is large enough and sold there, and each measured one.

        Where no size at all is large enough, the largest that is sold there; where those that are
        large enough are not sold there, none of them.
        """
        key = _size_key(need)
        found = self._offers.get((key, tier, region))
        if found is None:
            found = tuple(self._chosen(key, tier, region))
            if len(self._offers) >= _MOST:
                self._offers.clear()
                self._fits.clear()
            self._offers[key, tier, region] = found
        return found

    def _chosen(self, key: SizeKey, tier: PriceTier, region: str) -> Iterator[Offer]:
        sizes = self._fitting(key, tier)
        first = next(
            (each for each in sizes if self._is_sold(each, tier, region) is not False), None
        )
        chosen = {} if first is None else {first.name: first}
        for size in self._measured(key[-1]):
            if self._is_sold(size, tier, region) is not False:
                chosen.setdefault(size.name, size)
        return (self._offer(size, tier, region) for size in chosen.values())

    def _is_sold(self, size: Size, tier: PriceTier, region: str) -> bool | None:
        of_tier = Tier.SPOT if tier == "spot" else Tier.STANDARD
        key = (size.name, of_tier, region)
        if key not in self._sold:
            self._sold[key] = self._catalog.skus.offered(size.name, region, of_tier)
        return self._sold[key]

    def _offer(self, size: Size, tier: PriceTier, region: str) -> Offer:
        model = self._models.get((size, tier))
        if model is None:
            model = Offer.model_construct(
                sku=size.name,
                region=region,
                cpu=size.cpu,
                memory=size.memory,
                tier=tier,
                accelerator=size.accelerator,
            )
            self._models[size, tier] = model
        price = self._prices.hour(size.name, tier, region)
        update = {
            "region": region,
            "available": self._is_sold(size, tier, region),
            "price_per_hour": None if price is None else price.amount,
            "currency": USD if price is None else price.currency,
        }
        # A copy takes a third of the time of a new one.
        return model.model_copy(update=update)

    def _measured(self, names: Iterable[str]) -> Iterator[Size]:
        for name in names:
            size = self._prices.named(name)
            if size is not None:
                yield size

    def _fitting(self, key: SizeKey, tier: PriceTier) -> tuple[Size, ...]:
        """Return the sizes that are large enough, the best first; else all, the largest first."""
        if (key, tier) not in self._fits:
            cpu, memory, kind, count, _ = key
            sizes = self._prices.sizes(tier)
            found = [
                size
                for size in sizes
                if size.cpu >= cpu and size.memory >= memory and _has(size, kind, count)
            ]
            if kind is not None and not found:
                found = list(self._unstated(key))
            if not found:
                found = sorted(sizes, key=lambda size: _largest(size, kind), reverse=True)
            self._fits[key, tier] = tuple(found)
        return self._fits[key, tier]

    def _unstated(self, key: SizeKey) -> Iterator[Size]:
        """Yield sizes whose name says the kind, and nobody how many, or how much memory.

        They are taken to have what is asked for. No price is known for them, and the line of their
        cost says that nobody stated what they hold.
        """
        cpu, memory, kind, count, _ = key
        if kind is None or count > _MOST_ACCELERATORS:
            return
        for sku in self._prices.unstated(kind):
            if sku.cpu is not None and sku.cpu >= cpu and sku.accelerator is not None:
                has = Accelerator(kind=sku.accelerator, count=count)
                yield Size(sku.name, sku.cpu, sku.memory or memory, has, None)


@lru_cache(maxsize=4)
def machines_of(catalog: Catalog) -> Machines:
    """Return the sizes of a catalog, which never changes."""
    return Machines(catalog)


def _size_key(need: Need) -> SizeKey:
    resources = need.resources
    wanted = resources.accelerator
    measured = need.demand.measured if isinstance(need.demand, TrainDemand) else {}
    return (
        resources.cpu,
        resources.memory,
        None if wanted is None else wanted.kind,
        0 if wanted is None else wanted.count,
        tuple(measured),
    )


def _has(size: Size, kind: str | None, count: int) -> bool:
    if kind is None:
        return True
    has = size.accelerator
    return has is not None and spelling(has.kind) == spelling(kind) and has.count >= count


def _largest(size: Size, kind: str | None) -> tuple[int, bool, float, int, str]:
    count = 0
    if kind is not None and size.accelerator is not None and _has(size, kind, 1):
        count = size.accelerator.count
    return (count, size.accelerator is None, size.cpu, size.memory, size.name)
