from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import chain, product

from plinth.catalog.catalog import Catalog
from plinth.catalog.platforms import platform_names
from plinth.domain.need import Need, needs_of
from plinth.domain.plan import MonthCost
from plinth.domain.platform import Offer, Platform
from plinth.planning.context import Context
from plinth.planning.offers.month import month_cost
from plinth.planning.offers.offers import Offers
from tests.catalog.imported import catalog_with, imported
from tests.planning.applications import at_random
from tests.planning.bought import CATALOG, DOLLARS, SMALL, cents, cost, offered, online
from tests.planning.rules.placed import TODAY, platform

EUROS = Context(currency="EUR", today=TODAY)
PLATFORMS = tuple(platform(name) for name in platform_names())
ENDPOINT = "azureml-online-endpoint"


def test_a_stated_rate_converts_every_line_and_says_so() -> None:
    catalog = catalog_with("exchange-rates", "from,to,rate", "USD,EUR,0.9")
    found = cost(online(resources=SMALL), ENDPOINT, catalog=catalog, context=EUROS)
    assert found.currency == "EUR"
    assert cents(found.amount) == "63.07"  # 70.08 x 0.9 = 63.072
    assert "1 USD = 0.9 EUR" in found.lines[0].how


def test_without_a_rate_the_cost_stays_in_the_lists_currency() -> None:
    found = cost(online(resources=SMALL), ENDPOINT, context=EUROS)
    assert (found.currency, cents(found.amount)) == ("USD", "70.08")


def test_prices_in_the_wanted_currency_need_no_rate() -> None:
    catalog = catalog_with("prices", "sku,region,amount,currency", "D2s_v5,westeurope,0.1,EUR")
    found = cost(online(resources=SMALL), ENDPOINT, "westeurope", catalog=catalog, context=EUROS)
    assert (found.currency, cents(found.amount)) == ("EUR", "73.00")
    assert not found.is_estimated


def test_lines_of_two_currencies_without_a_rate_are_not_added_up() -> None:
    catalog = Catalog(
        [
            imported("prices", "sku,region,amount,currency", "D2s_v5,westeurope,0.1,EUR"),
            imported("platform-prices", "platform,amount,currency", "aks,0.02,USD", name="b.csv"),
        ]
    )
    found = cost(online(resources=SMALL, format="onnx"), "aks", "westeurope", catalog=catalog)
    assert found.currency == "EUR"
    assert found.amount is None
    assert "no rate from USD to EUR" in found.lines[1].how


def test_the_same_question_has_one_answer_and_regions_that_cost_alike_share_it() -> None:
    wanted, there = online(resources=SMALL), platform(ENDPOINT)
    costs = [
        month_cost(wanted, there, offered(wanted, ENDPOINT, region)[0], 1, CATALOG, DOLLARS)
        for region in ("westeurope", "westeurope", "francecentral", "eastus")
    ]
    assert costs[0] is costs[1] is costs[2]
    assert costs[3] is not costs[0]
    assert costs[3].amount == costs[0].amount
    assert not costs[3].is_estimated


def test_a_count_a_standby_and_another_need_are_not_taken_for_each_other() -> None:
    wanted, there = online(resources=SMALL), platform(ENDPOINT)
    offer = offered(wanted, ENDPOINT)[0]
    second = offer.model_copy(update={"standby": "westus"})
    found = {
        cents(month_cost(wanted, there, offer, 1, CATALOG, DOLLARS).amount),
        cents(month_cost(wanted, there, offer, 3, CATALOG, DOLLARS).amount),
        cents(month_cost(wanted, there, second, 1, CATALOG, DOLLARS).amount),
    }
    assert found == {"70.08", "210.24", "140.16"}


def test_this_machine_costs_nothing_in_whatever_currency() -> None:
    local = platform("local")
    offer = offered(online(resources=SMALL), ENDPOINT)[0].model_copy(
        update={"region": "local", "price_per_hour": None, "currency": "EUR"}
    )
    found = month_cost(online(resources=SMALL), local, offer, 1, CATALOG, DOLLARS)
    assert (found.currency, found.amount) == ("USD", 0)


def some_offers(seed: int) -> Iterator[tuple[Need, Platform, Offer, int]]:
    """Yield what every platform offers to an application at random, in some of the regions."""
    offers = Offers(CATALOG, DOLLARS)
    for wanted, there in product(needs_of(at_random(seed)), PLATFORMS):
        if wanted.function in there.capability.functions:
            regions = offers.regions(wanted, there)[seed % 7 :: 20]
            for tier, region in product(offers.tiers(wanted, there), regions):
                for offer in offers.offers(wanted, there, tier, region):
                    yield wanted, there, offer, offers.count(wanted, offer)


def test_whatever_is_asked_for_every_cost_is_a_range_around_its_amount() -> None:
    asked = 0
    for wanted, there, offer, count in chain.from_iterable(map(some_offers, range(25))):
        found = month_cost(wanted, there, offer, count, CATALOG, DOLLARS)
        asked += 1
        assert count >= 1
        assert found.lines, (there.name, offer)
        for each in found.lines:
            assert each.how
            amount = each.amount or Decimal(0)
            assert (each.low or 0) <= amount <= (amount if each.high is None else each.high)
        # What was not checked when it was made is as if it had been.
        assert MonthCost.model_validate(found.model_dump()) == found
        assert Offer.model_validate(offer.model_dump()) == offer
    assert asked > 300
