"""What an hour of a machine costs, size by size: listed, or estimated with a range and why.

`offers.py` chooses sizes by it, `month_machines.py` multiplies it. Nothing here decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache

from plinth.catalog.catalog import Catalog
from plinth.catalog.commitments import load_commitments
from plinth.catalog.names import spelling
from plinth.catalog.price import ListPrice, Tier
from plinth.catalog.skus import Sku
from plinth.domain.plan import CostLine
from plinth.domain.platform import Offer, PriceTier
from plinth.domain.resources import Accelerator

# Where the brought list has its prices.
HOME = "eastus"
# What other regions ask against East US. Azure's list of models' meters (2026-08-11) has 25,000
# pairs of one meter in East US and in another public region: none is below 1, 99.9 % are at most
# 1.25, and capacity that is set aside in one region (provisioned units) is at 1 to 1.2.
LOWEST = Decimal("1")
HIGHEST = Decimal("1.25")
RANGE_WORDS = (
    "the range is up to 25 % more, as far as Azure's prices for models differ by region (list of "
    "2026-08-11), and a machine's may differ more"
)
NO_PRICE = "no price of it is known; `plinth catalog import` (kind: prices) states one"
# What is paid for a year, without a payment in advance; the other ways give the range.
RESERVED = "1yr-no-upfront"
BURSTABLE = "B"
_DIGITS_SHOWN = 8
# Sizes of one series may differ by so much for each processor, and still count as one price.
_SAME = Decimal("0.01")
_DIGITS = re.compile(r"[0-9]+")
_LIST_TIER: Mapping[PriceTier, Tier] = {"spot": Tier.SPOT}


@dataclass(frozen=True, slots=True)
class Bought:
    """One offer, how many of it, and the catalog that has its prices."""

    offer: Offer
    count: int
    catalog: Catalog


@dataclass(frozen=True, slots=True)
class Costed:
    """One line of a cost and its currency; None where it has no amount, or nothing to pay."""

    line: CostLine
    currency: str | None


@dataclass(frozen=True, slots=True)
class HourPrice:
    """What an hour of one machine costs, and the range in which it is expected.

    `note`: what was assumed, for people; empty where a list states the price.
    """

    amount: Decimal
    low: Decimal
    high: Decimal
    currency: str
    source: str
    estimated: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Size:
    """A size whose processors and memory (in bytes) are known, or reckoned from its series.

    `price`: of an hour in the region that its price is listed for, to compare sizes; None: unknown.
    """

    name: str
    cpu: float
    memory: int
    accelerator: Accelerator | None
    price: Decimal | None

    @property
    def order(self) -> tuple[bool, bool, bool, Decimal, float, str]:
        """What sizes are taken by: without accelerators first, then by price.

        A burstable size (B) has all of its processors only for a while, so it comes after others.
        """
        return (
            self.accelerator is not None,
            self.name.startswith(BURSTABLE),
            self.price is None,
            self.price or Decimal(0),
            self.cpu,
            self.name,
        )


class PriceList:
    """The prices of machines of one catalog, each worked out once."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._hours: dict[tuple[str, PriceTier, str | None], HourPrice | None] = {}
        self._regions: dict[str, frozenset[str | None]] = {}
        self._sizes: dict[PriceTier, tuple[Size, ...]] = {}
        self._by_kind: dict[str, tuple[Sku, ...]] | None = None
        self._models: dict[str, tuple[Sku, ...]] | None = None

    def hour(self, sku: str, tier: PriceTier, region: str) -> HourPrice | None:
        """Return what an hour of one machine costs in a region; None: nobody knows.

        Where the region has no price, the one of East US, or of another region, is the estimate.
        """
        key = (sku, tier, self.price_region(sku, region))
        if key not in self._hours:
            self._hours[key] = self._hour(sku, tier, key[2])
        return self._hours[key]

    def price_region(self, sku: str, region: str) -> str | None:
        """Return the region if the size has a price of its own there; else None.

        All regions for which this is None have one price, and so one cost.
        """
        known = self._regions.get(sku)
        if known is None:
            known = frozenset(self._catalog.skus.priced_regions(sku))
            self._regions[sku] = known
        return region if region in known else None

    def sizes(self, tier: PriceTier) -> tuple[Size, ...]:
        """Return every size that is known well enough to say what fits, in their order."""
        if tier not in self._sizes:
            found = (self._size(sku, tier) for sku in self._catalog.skus)
            sizes = [size for size in found if size is not None]
            self._sizes[tier] = tuple(sorted(sizes, key=lambda size: size.order))
        return self._sizes[tier]

    def unstated(self, kind: str) -> tuple[Sku, ...]:
        """Return the sizes whose name says the kind of accelerator and nobody how many.

        The ones with most processors first: they surely have as many as any.
        """
        if self._by_kind is None:
            by_kind: dict[str, list[Sku]] = {}
            for sku in self._catalog.skus:
                # A size whose memory is stated has a part of an accelerator, or its row would say.
                is_unstated = sku.accelerators is None and sku.memory is None
                if sku.accelerator is not None and is_unstated and sku.cpu:
                    by_kind.setdefault(spelling(sku.accelerator), []).append(sku)
            self._by_kind = {
                name: tuple(sorted(skus, key=lambda sku: (-(sku.cpu or 0), sku.name)))
                for name, skus in by_kind.items()
            }
        return self._by_kind.get(spelling(kind), ())

    def named(self, name: str) -> Size | None:
        """Return a size by name, however it is spelled; None: unknown, or not what it holds."""
        if name not in self._catalog.skus:
            return None
        return self._size(self._catalog.skus.find(name), "pay-as-you-go")

    def _hour(self, sku: str, tier: PriceTier, region: str | None) -> HourPrice | None:
        if tier == "reserved":
            return _reserved(self.hour(sku, "pay-as-you-go", region or ""))
        found = self._listed(sku, tier, region)
        if tier != "spot" or found is None:
            return found
        usual = self.hour(sku, "pay-as-you-go", region or "")
        if usual is None:
            return found
        note = "what is interrupted is repeated, so it may cost as much as without spot"
        words = f"{found.note}; {note}" if found.note else note
        return replace(found, high=max(found.high, usual.high), note=words)

    def _listed(self, sku: str, tier: PriceTier, region: str | None) -> HourPrice | None:
        """Return the price of the region; else that of another, or of another size."""
        skus, of_tier = self._catalog.skus, _LIST_TIER.get(tier, Tier.STANDARD)
        if sku not in skus:
            return None
        # A price that an import states for no region holds in every one of them.
        price = skus.price(sku, region or "", of_tier)
        if price is not None:
            return HourPrice(*_three(price), price.currency, str(price.source))
        for other in (HOME, *(each for each in skus.priced_regions(sku) if each)):
            price = skus.price(sku, other, of_tier)
            if price is not None:
                return _elsewhere(
                    price, f"no price of this region is known: that of `{other}` is taken"
                )
        return self._scaled(skus.find(sku), of_tier)

    def _scaled(self, sku: Sku, tier: Tier) -> HourPrice | None:
        """Reckon the price from the largest size of its series that has one."""
        model = self._model_of(sku)
        price = None if model is None else self._catalog.skus.price(model.name, HOME, tier)
        if model is None or price is None or not model.cpu or sku.cpu is None:
            return None
        amount = price.amount * Decimal(str(sku.cpu)) / Decimal(str(model.cpu))
        return _elsewhere(
            replace(price, amount=amount),
            f"no price of it is known: that of `{model.name}` in `{HOME}`, by processors, is taken",
        )

    def _size(self, sku: Sku, tier: PriceTier) -> Size | None:
        cpu, memory = sku.cpu, sku.memory
        if cpu is None:
            return None
        if memory is None:
            model = self._model_of(sku)
            if model is None or model.memory is None or not model.cpu:
                return None
            memory = int(model.memory * cpu / model.cpu)
        if sku.accelerator is not None and sku.accelerators is None:
            return None
        has = None
        if sku.accelerator is not None and sku.accelerators:
            has = Accelerator(kind=sku.accelerator, count=sku.accelerators)
        price = self.hour(sku.name, tier, HOME)
        return Size(sku.name, cpu, memory, has, None if price is None else price.amount)

    def _model_of(self, sku: Sku) -> Sku | None:
        """Return the largest size that has the price and memory of its series; None: none has.

        Only names that differ in nothing but numbers are of one kind: `E8s_v5`, not `E8-2s_v5`.
        """
        # Burstable sizes do not grow evenly: B1ms has 2 GiB, B2ms 8.
        if sku.accelerators != 0 or sku.name.startswith(BURSTABLE):
            return None
        if self._models is None:
            self._models = dict(self._series())
        known = self._models.get(_shape(sku), ())
        return known[-1] if known else None

    def _series(self) -> Iterator[tuple[str, tuple[Sku, ...]]]:
        """Yield each kind of size of which two or more are listed that cost alike."""
        groups: dict[str, list[tuple[Sku, Decimal]]] = {}
        for sku in self._catalog.skus:
            if not sku.memory or not sku.cpu or sku.accelerators != 0:
                continue
            price = self._catalog.skus.price(sku.name, HOME)
            if price is not None:
                each = price.amount / Decimal(str(sku.cpu))
                groups.setdefault(_shape(sku), []).append((sku, each))
        for shape, members in groups.items():
            prices = [price for _, price in members]
            ratios = {round((sku.memory or 0) / (sku.cpu or 1)) for sku, _ in members}
            if (
                len(members) > 1
                and len(ratios) == 1
                and max(prices) - min(prices) <= _SAME * max(prices)
            ):
                ordered = sorted(members, key=lambda each: each[0].cpu or 0)
                yield shape, tuple(sku for sku, _ in ordered)


def cost_line(
    currency: str | None,
    *,
    what: str,
    amount: Decimal | None,
    how: str,
    source: str = "",
    low: Decimal | None = None,
    high: Decimal | None = None,
    estimated: bool = False,
) -> Costed:
    """Return a line of a cost. Its values are checked ones, so they are not checked again."""
    line = CostLine.model_construct(
        what=what,
        amount=amount,
        low=low,
        high=high,
        estimated=estimated,
        how=how,
        source=source,
    )
    return Costed(line, currency)


def plain(number: Decimal) -> str:
    """Write a number for people: a price in full, like `0.081062`; `59.524` for what never ends."""
    exponent = number.as_tuple().exponent
    is_short = isinstance(exponent, int) and exponent >= -_DIGITS_SHOWN
    digits = _DIGITS_SHOWN if is_short or abs(number) < 1 else 3
    return f"{number:,.{digits}f}".rstrip("0").rstrip(".")


@lru_cache(maxsize=4)
def price_list(catalog: Catalog) -> PriceList:
    """Return the prices of a catalog, which never changes."""
    return PriceList(catalog)


def _three(price: ListPrice) -> tuple[Decimal, Decimal, Decimal]:
    return price.amount, price.amount, price.amount


def _elsewhere(price: ListPrice, what: str) -> HourPrice:
    return HourPrice(
        amount=price.amount,
        low=price.amount * LOWEST,
        high=price.amount * HIGHEST,
        currency=price.currency,
        source=str(price.source),
        estimated=True,
        note=f"{what}; {RANGE_WORDS}",
    )


def _reserved(usual: HourPrice | None) -> HourPrice | None:
    """Take the average discount of a year's commitment; the others are the range."""
    if usual is None:
        return None
    discounts = {each.name: each.discount for each in load_commitments()}
    saved, source = discounts[RESERVED], load_commitments()[0].source
    note = (
        f"{plain(usual.amount)} less {saved:.0%}, the average discount for a year's commitment "
        f"with nothing paid in advance (up to {max(discounts.values()):.0%} for three years)"
    )
    return replace(
        usual,
        amount=usual.amount * (1 - saved),
        low=usual.low * (1 - max(discounts.values())),
        high=usual.high * (1 - min(discounts.values())),
        source=f"{usual.source}; discount: {source}",
        estimated=True,
        note=f"{note}; {usual.note}" if usual.note else note,
    )


def _shape(sku: Sku) -> str:
    return f"{sku.series} {_DIGITS.sub('#', sku.name)}"
