"""What a part of an application costs on a real platform, for the tests of offers and costs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from plinth.catalog.catalog import Catalog
from plinth.domain.inventory import Inventory, Owned
from plinth.domain.need import Need
from plinth.domain.plan import CostLine, MonthCost
from plinth.domain.platform import Offer, PriceTier
from plinth.planning.context import Context
from plinth.planning.offers.month import month_cost
from plinth.planning.offers.offers import Offers
from tests.planning.rules.placed import TODAY, need, platform

CATALOG = Catalog()
DOLLARS = Context(currency="USD", today=TODAY)
SMALL = {"cpu": 2, "memory": "8GiB"}


def owning(**fields: Any) -> Context:
    """Return a context in which the organisation owns one thing."""
    owned = Owned.model_validate({"name": "ours", **fields})
    return DOLLARS.model_copy(update={"inventory": Inventory(owned=(owned,))})


def offered(
    wanted: Need,
    name: str,
    region: str = "eastus",
    tier: PriceTier = "pay-as-you-go",
    *,
    catalog: Catalog = CATALOG,
    context: Context = DOLLARS,
) -> tuple[Offer, ...]:
    """Return what a real platform offers there."""
    return Offers(catalog, context).offers(wanted, platform(name), tier, region)


def cost(
    wanted: Need,
    name: str,
    region: str = "eastus",
    tier: PriceTier = "pay-as-you-go",
    *,
    catalog: Catalog = CATALOG,
    context: Context = DOLLARS,
    **offer: Any,
) -> MonthCost:
    """Return what the first offer there costs for a month; `offer` are fields that it gets."""
    first = offered(wanted, name, region, tier, catalog=catalog, context=context)[0]
    placed = first.model_copy(update=offer)
    count = Offers(catalog, context).count(wanted, placed)
    return month_cost(wanted, platform(name), placed, count, catalog, context)


def online(**fields: Any) -> Need:
    """Return the need of an online part; `fields` are its own."""
    return need(part="online", online=fields)


def cents(amount: Decimal | None) -> str:
    """Return an amount to the cent, as a bill says it."""
    assert amount is not None
    return f"{amount:.2f}"


def line(found: MonthCost, words: str) -> CostLine:
    """Return the one line that has the words in its name."""
    (one,) = (each for each in found.lines if words in each.what)
    return one
