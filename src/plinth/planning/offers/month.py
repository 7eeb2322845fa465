"""What a month costs: one offer for one need, line by line, each with its arithmetic.

Whoever plans asks it for thousands of places, so equal ones share one answer. Amounts are exact
decimals, in the currency of the price list; another one needs a rate that somebody stated.
"""

from __future__ import annotations

from collections.abc import Hashable
from decimal import Decimal
from functools import lru_cache

from plinth.catalog.catalog import Catalog
from plinth.catalog.exchange import Exchange
from plinth.domain.inventory import Inventory
from plinth.domain.need import Need
from plinth.domain.plan import CostLine, MonthCost
from plinth.domain.platform import Offer, Platform
from plinth.planning.context import Context
from plinth.planning.offers.month_machines import machine_lines
from plinth.planning.offers.month_price import Bought, Costed, price_list
from plinth.planning.offers.month_tokens import (
    STANDARD,
    hosting_lines,
    model_prices,
    same_prices,
    token_lines,
)
from plinth.planning.offers.month_units import PROVISIONED, unit_lines, unit_prices

# So many answers are kept; whoever plans for longer than that begins anew.
_MOST = 20_000


class _Answers:
    """The costs that were reckoned for one catalog. An object's id is a key while it is held."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.prices = price_list(catalog)
        self.models = model_prices(catalog)
        self.has_surcharges = any(each.kind == "platform-prices" for each in catalog.imports)
        self.known: dict[Hashable, tuple[MonthCost, Need, Platform, Context]] = {}

    def key(
        self, need: Need, platform: Platform, offer: Offer, count: int, context: Context
    ) -> Hashable:
        """Return all that the cost depends on. Where no list tells regions apart, they share it."""
        return (
            *(id(need), id(platform), id(context)),
            *(offer.sku, offer.tier, offer.model, offer.processed_in, offer.price_per_hour),
            *(
                offer.currency,
                offer.standby,
                count,
                self._alike(need, platform.name, offer, context),
            ),
        )

    def _alike(self, need: Need, platform: str, offer: Offer, context: Context) -> Hashable:
        """Return what is the same for regions that cost the same."""
        if offer.model is None:
            if self.has_surcharges:
                return offer.region
            return self.prices.price_region(offer.sku, offer.region)
        if platform == PROVISIONED:
            if context.inventory.owned:
                return offer.region
            place = offer.processed_in or "global"
            unit = unit_prices(offer.model, place, self.catalog).get(offer.region)
            return id(unit), same_prices(need, STANDARD, offer, self.models)
        return same_prices(need, platform, offer, self.models)


@lru_cache(maxsize=4)
def _answers(catalog: Catalog) -> _Answers:
    return _Answers(catalog)


def month_cost(  # noqa: PLR0917 - what a cost depends on, and each caller has them by name
    need: Need, platform: Platform, offer: Offer, count: int, catalog: Catalog, context: Context
) -> MonthCost:
    """Return what a month of `count` offers costs; a line whose amount is not known has None.

    In the context's currency where the list is in it, or a rate to it was stated; else in the
    list's own, which `currency` says.
    """
    answers = _answers(catalog)
    key = answers.key(need, platform, offer, count, context)
    found = answers.known.get(key)
    if found is not None:
        return found[0]
    lines = _lines(need, platform, Bought(offer, count, catalog), context.inventory)
    cost = _in_one_currency(lines, catalog.exchange, context.currency)
    if len(answers.known) >= _MOST:
        answers.known.clear()
    answers.known[key] = (cost, need, platform, context)
    return cost


def _lines(
    need: Need, platform: Platform, bought: Bought, inventory: Inventory
) -> tuple[Costed, ...]:
    if bought.offer.model is None:
        return machine_lines(need, platform, bought)
    if platform.name == PROVISIONED:
        return unit_lines(need, bought, inventory)
    found = token_lines(need, platform.name, bought.offer, bought.catalog)
    return (*found, *hosting_lines(need, platform.name, bought.offer, bought.catalog))


def _in_one_currency(lines: tuple[Costed, ...], exchange: Exchange, wanted: str) -> MonthCost:
    """Return the lines in the currency that is wanted, if the rates to it were stated.

    Else in the currency that they have; where they have several, those that no rate leads to the
    first of become unknown.
    """
    found = {each.currency: None for each in lines if each.currency is not None}
    currencies = tuple(found)
    target = wanted
    if not all(each == wanted or exchange.rate(each, wanted) for each in currencies):
        target = currencies[0]
    return MonthCost.model_construct(
        currency=target, lines=tuple(_converted(each, exchange, target) for each in lines)
    )


def _converted(costed: Costed, exchange: Exchange, target: str) -> CostLine:
    line, currency = costed.line, costed.currency
    if currency is None or currency == target:
        return line
    rate = exchange.rate(currency, target)
    if rate is None:
        how = (
            f"{line.how}; no rate from {currency} to {target} is known, `plinth catalog import` "
            "(kind: exchange-rates) states one"
        )
        return line.model_copy(update={"amount": None, "low": None, "high": None, "how": how})

    def times(amount: Decimal | None) -> Decimal | None:
        return None if amount is None else amount * rate.rate

    update = {
        "amount": times(line.amount),
        "low": times(line.low),
        "high": times(line.high),
        "how": f"{line.how}; {rate}",
    }
    return line.model_copy(update=update)
