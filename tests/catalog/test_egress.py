"""What it costs to move data, worked out by hand from the list."""

from __future__ import annotations

from decimal import Decimal

from plinth.catalog.egress import load_egress
from tests.catalog.imported import catalog_with

EGRESS = load_egress()


def test_between_regions_each_gb_costs_the_same() -> None:
    price = EGRESS.between("eastus", "westeurope")
    assert price is not None
    assert (price.amount, price.currency, price.unit) == (Decimal("0.02"), "USD", "GB")


def test_within_a_region_it_is_free() -> None:
    price = EGRESS.between("eastus", "eastus")
    assert price is not None
    assert price.amount == 0


def test_to_the_internet_the_steps_add_up() -> None:
    # 100 GB free, 10,000 at 0.087, 400 at 0.083.
    total = EGRESS.to_internet("eastus", 10_500)
    assert total is not None
    assert total.amount == Decimal("903.2")
    free = EGRESS.to_internet("eastus", 100)
    assert free is not None
    assert free.amount == 0


def test_the_last_step_has_no_end() -> None:
    # 100 free, 10,000 at 0.087, 40,000 at 0.083, 100,000 at 0.07, 49,900 at 0.05.
    total = EGRESS.to_internet("eastus", 200_000)
    assert total is not None
    assert total.amount == Decimal(870 + 3320 + 7000 + 2495)


def test_elsewhere_the_way_to_the_internet_is_unknown() -> None:
    assert EGRESS.to_internet("westeurope", 10) is None


def test_an_imported_price_lies_over_the_list() -> None:
    egress = catalog_with(
        *("prices", "egress,region,amount,currency"),
        *("inter-region,westeurope,0.01,EUR", "internet,,0.05,EUR"),
    ).egress
    stated = egress.between("westeurope", "eastus")
    assert stated is not None
    assert (stated.amount, stated.currency) == (Decimal("0.01"), "EUR")
    assert stated.source.is_override
    others = egress.between("eastus", "westeurope")
    assert others is not None
    assert others.currency == "USD"
    total = egress.to_internet("uksouth", 200)
    assert total is not None
    assert total.amount == Decimal("10.00")


def test_storage_has_three_tiers() -> None:
    assert {each.tier for each in EGRESS.storage} == {"hot", "cool", "archive"}
    assert all(each.price.unit == "GB-month" for each in EGRESS.storage)
