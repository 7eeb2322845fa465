"""Provisioned throughput: how many units, what they cost, and what goes beyond them (H10).

The units hold the average load while anybody asks, and what is above goes to a standard deployment
of the same model; where the throughput must be guaranteed they hold the peak. Without a trace the
load's shape is not known, so it is taken to fall evenly from the peak; the range holds for every
shape. `plinth size --trace` replays a real one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from plinth.catalog.catalog import Catalog
from plinth.catalog.meter_name import Counted
from plinth.catalog.names import spelling
from plinth.catalog.price import ListPrice
from plinth.catalog.provisioned import ProvisionedModel, load_provisioned
from plinth.domain.application import HOURS_PER_MONTH, OnlineDemand
from plinth.domain.inventory import Inventory, Owned
from plinth.domain.need import Need
from plinth.domain.platform import Offer, Processed
from plinth.planning.offers.month_price import Bought, Costed, cost_line, plain
from plinth.planning.offers.month_tokens import (
    STANDARD,
    hosting_lines,
    model_prices,
    shortened,
    token_lines,
)

PROVISIONED = "azure-openai-provisioned"
# As `plinth size` assumes where no source says it.
WEIGHT = Decimal(4)
EXACT_TOOL = "`plinth size --trace FILE` replays a real load"
_KINDS: Mapping[Processed, str] = {
    "region": "Regional",
    "data-zone": "DataZone",
    "global": "Global",
}
_OPENAI = "openai"
_FAMILIES = ("deepseek", "llama", "mistral", "grok", "fireworks")
_NONE: frozenset[str] = frozenset()
_MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class Load:
    """Weighted tokens a minute: an output token counts as several of input.

    `mean`: while anybody asks at all; `peak`: in the busiest minute.
    """

    mean: Fraction
    peak: Fraction

    def spilled(self, capacity: Fraction) -> tuple[Fraction, Fraction, Fraction]:
        """Return the share of the tokens above a capacity: least, expected, most.

        Least: the load never changes. Most: it is at its peak, or nothing. Expected: it falls
        evenly from the peak, to nothing where the average is at most half of it.
        """
        mean, peak = self.mean, self.peak
        if mean == 0 or capacity >= peak:
            return Fraction(0), Fraction(0), Fraction(0)
        least = max(Fraction(0), 1 - capacity / mean)
        most = 1 - capacity / peak
        lowest = max(Fraction(0), 2 * mean - peak)
        if capacity <= lowest:
            return least, least, most
        if lowest == 0:
            return least, (1 - capacity / peak) ** 2, most
        return least, (peak - capacity) ** 2 / (4 * (peak - mean) * mean), most


@lru_cache(maxsize=1)
def _rows() -> Mapping[tuple[str, str], ProvisionedModel]:
    # The file does not change while a process runs.
    return {
        (spelling(shortened(row.model)), row.deployment_type): row
        for row in load_provisioned()
        if row.is_offered
    }


def provisioned_row(model: str, processed: Processed) -> ProvisionedModel | None:
    """Return what one unit does for a model; None: it is not sold so, or nobody knows."""
    return _rows().get((spelling(shortened(model)), _KINDS[processed]))


@lru_cache(maxsize=256)
def unit_prices(model: str, processed: Processed, catalog: Catalog) -> Mapping[str, ListPrice]:
    """Return what a unit costs for an hour, by region: as is stated for the model, or its family.

    OpenAI's models share one price, and so do those of each other maker.
    """
    prices = model_prices(catalog)
    own = prices.by_region(model, Counted.PROVISIONED, processed, _NONE)
    family = next((each for each in _FAMILIES if spelling(model).startswith(each)), _OPENAI)
    suffix = family if family == _OPENAI else f"{family}-models"
    listed = prices.by_region(
        f"provisioned-managed-{suffix}", Counted.PROVISIONED, processed, _NONE
    )
    return {**listed, **own}


def load_of(need: Need, row: ProvisionedModel) -> Load | None:
    """Return the load in weighted tokens a minute; None: nobody said how large requests are."""
    demand = need.demand
    if not isinstance(demand, OnlineDemand):
        return None
    if demand.input_tokens is None or demand.output_tokens is None:
        return None
    weight = row.output_weight or WEIGHT
    each = Fraction(demand.input_tokens + weight * demand.output_tokens) * _MINUTE_S
    mean = Fraction(str(demand.requests_per_second)) * each
    return Load(mean, Fraction(str(demand.peak)) * each)


def units_for(need: Need, row: ProvisionedModel, owned: int = 0) -> int:
    """Return how many units to use: for the average, or the peak where it must be guaranteed.

    `owned`: so many are paid for already, so as many of them as the peak needs are used.
    """
    load = load_of(need, row)
    if load is None:
        return max(row.minimum, owned)
    for_peak = _whole(load.peak, row)
    if need.requirements.guaranteed_throughput:
        return for_peak
    return max(_whole(load.mean, row), min(owned, for_peak))


def _whole(wanted: Fraction, row: ProvisionedModel) -> int:
    """Return the units that do so many tokens a minute: the fewest that can be bought."""
    least = math.ceil(wanted / row.input_tokens_per_minute)
    steps = math.ceil(max(0, least - row.minimum) / row.increment)
    return row.minimum + steps * row.increment


def owned_units(inventory: Inventory, offer: Offer) -> tuple[Owned, ...]:
    """Return every entry of units for the offer's model that can be used in its region.

    Those that are bound to the region first, then by name, in whatever order they were stated.
    """
    if not inventory.owned:
        return ()
    found = [
        each
        for each in inventory.of(PROVISIONED)
        if each.units
        and each.model is not None
        and spelling(each.model) == spelling(offer.model or "")
        and each.region in (None, offer.region)
    ]
    return tuple(sorted(found, key=lambda each: (each.region is None, each.name)))


def units_owned(inventory: Inventory, offer: Offer) -> int:
    """Return how many units the organisation has for the offer's model in its region."""
    return sum(each.units or 0 for each in owned_units(inventory, offer))


def unit_lines(need: Need, bought: Bought, inventory: Inventory) -> tuple[Costed, ...]:
    """Return what the units cost, and what goes beyond them."""
    offer, units, catalog = bought.offer, bought.count, bought.catalog
    row = provisioned_row(offer.model or "", offer.processed_in or "global")
    base = _base_lines(need, bought, inventory)
    if row is None:
        return base
    load = load_of(need, row)
    if load is None:
        how = "nobody said how large requests are; state `demand.input_tokens` and `output_tokens`"
        return (*base, cost_line(None, what="beyond the units", amount=None, how=how))
    capacity = Fraction(units * row.input_tokens_per_minute)
    least, expected, most = load.spilled(capacity)
    if most == 0:
        return base
    beyond = token_lines(need, STANDARD, offer, catalog)
    burst = (_burst_line(line, (least, expected, most)) for line in beyond)
    return (*base, *burst, *hosting_lines(need, STANDARD, offer, catalog))


def _base_lines(need: Need, bought: Bought, inventory: Inventory) -> tuple[Costed, ...]:
    """Return what the units cost, and as many again in the second region where there is one."""
    used: dict[str, int] = {}
    found = list(_lines_in(need, bought, inventory, used))
    standby = bought.offer.standby
    if standby is not None:
        second = bought.offer.model_copy(update={"region": standby, "standby": None})
        for each in _lines_in(need, replace(bought, offer=second), inventory, used):
            what = f"standby in {standby}: {each.line.what}"
            found.append(replace(each, line=each.line.model_copy(update={"what": what})))
    return tuple(found)


def _lines_in(
    need: Need, bought: Bought, inventory: Inventory, used: dict[str, int]
) -> Iterator[Costed]:
    """Yield what the units of one region cost. `used`: by name, what was taken; it is added to."""
    left = bought.count
    for owned in owned_units(inventory, bought.offer):
        taken = min(left, (owned.units or 0) - used.get(owned.name, 0))
        if taken:
            used[owned.name] = used.get(owned.name, 0) + taken
            left -= taken
            yield _owned_line(owned, taken)
    if left:
        base = _base_line(bought.offer, left, bought.catalog)
        yield _as_untuned(base) if need.tuned else base


def _as_untuned(costed: Costed) -> Costed:
    how = f"{costed.line.how}; a tuned one is taken to need as many units at the same price"
    return replace(costed, line=costed.line.model_copy(update={"how": how, "estimated": True}))


def _owned_line(owned: Owned, units: int) -> Costed:
    what, each = f"{units} provisioned units of `{owned.name}`", owned.price_per_hour
    if not each:
        how = "you have them, so they are not charged again"
        return cost_line(None, what=what, amount=Decimal(0), how=how)
    return cost_line(
        owned.currency,
        what=what,
        amount=units * HOURS_PER_MONTH * each,
        how=f"{units} units x {HOURS_PER_MONTH} h x {plain(each)} {owned.currency}, as you reckon",
        source="plinth inventory",
    )


def _base_line(offer: Offer, units: int, catalog: Catalog) -> Costed:
    what = f"{units} provisioned units for {offer.model}"
    price = unit_prices(offer.model or "", offer.processed_in or "global", catalog).get(
        offer.region
    )
    if offer.tier == "reserved":
        how = "what a reservation costs is in no list; `plinth size --reserved-price` takes a quote"
        return cost_line(None, what=what, amount=None, how=how)
    if price is None:
        how = "no price of a unit is known; `plinth catalog import` (kind: prices) states one"
        return cost_line(None, what=what, amount=None, how=how)
    return cost_line(
        price.currency,
        what=what,
        amount=units * HOURS_PER_MONTH * price.amount,
        how=f"{units} units x {HOURS_PER_MONTH} h x {plain(price.amount)} {price.currency}",
        source=str(price.source),
    )


def _burst_line(line: Costed, shares: tuple[Fraction, Fraction, Fraction]) -> Costed:
    """Return the part of a line of tokens that goes beyond the units."""
    whole = line.line.amount
    what = f"{line.line.what}, beyond the units"
    if whole is None:
        return cost_line(None, what=what, amount=None, how=line.line.how)
    least, expected, most = (_times(whole, share) for share in shares)
    low, middle, high = (f"{float(share) * 100:.1f} %" for share in shares)
    return cost_line(
        line.currency,
        what=what,
        amount=expected,
        low=least,
        high=most,
        estimated=True,
        how=(
            f"{middle} of {line.line.how}; {low} to {high}, by how even the load is: taken to fall "
            f"evenly from its peak; {EXACT_TOOL}"
        ),
        source=line.line.source,
    )


def _times(amount: Decimal, share: Fraction) -> Decimal:
    return amount * share.numerator / share.denominator
