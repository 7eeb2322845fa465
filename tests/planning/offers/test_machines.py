from __future__ import annotations

from typing import Any

from plinth.domain.platform import Offer, PriceTier
from plinth.planning.offers.machines import machines_of
from tests.catalog.imported import catalog_with
from tests.planning.bought import CATALOG
from tests.planning.rules.placed import need


def offers(
    region: str = "eastus", tier: PriceTier = "pay-as-you-go", **train: Any
) -> tuple[Offer, ...]:
    return machines_of(CATALOG).offers(need(part="train", train=train), tier, region)


def test_the_cheapest_size_that_is_large_enough_is_offered() -> None:
    # 4 processors and 16 GiB: F4s_v2 has 8 GiB; D4s_v5 is 0.192, E4s_v5 0.252 USD.
    (offer,) = offers(resources={"cpu": 4, "memory": "16GiB"})
    assert (offer.sku, offer.cpu, offer.memory) == ("D4s_v5", 4, 16 * 2**30)
    assert (offer.region, offer.tier, offer.currency) == ("eastus", "pay-as-you-go", "USD")
    assert str(offer.price_per_hour) == "0.192"
    assert offer.accelerator is None


def test_an_accelerator_is_only_taken_where_it_is_asked_for() -> None:
    (offer,) = offers(resources={"cpu": 30, "memory": "200GiB"})
    assert offer.accelerator is None
    (with_it,) = offers(resources={"cpu": 4, "memory": "16GiB", "accelerator": "A100"})
    assert with_it.sku == "NC24ads_A100_v4"
    assert with_it.accelerator is not None
    assert (with_it.accelerator.kind, with_it.accelerator.count) == ("A100", 1)


def test_a_kind_without_a_price_is_read_off_the_names_of_sizes() -> None:
    (offer,) = offers("swedencentral", resources={"cpu": 4, "accelerator": "h200:8"})
    assert offer.sku == "ND96isr_H200_v5"
    assert offer.price_per_hour is None
    assert offer.available is True


def test_more_accelerators_than_any_size_has_get_the_largest() -> None:
    (offer,) = offers(resources={"cpu": 4, "accelerator": "A100:16"})
    assert offer.accelerator is not None
    assert (offer.sku, offer.accelerator.count) == ("ND96asr_v4", 8)


def test_where_nothing_is_large_enough_the_largest_says_what_there_is() -> None:
    (offer,) = offers(resources={"cpu": 500, "memory": "16GiB"})
    assert offer.cpu == 96
    assert offer.accelerator is None


def test_each_size_that_was_measured_is_offered_too() -> None:
    found = offers(
        resources={"cpu": 4, "memory": "16GiB"},
        demand={"measured": {"D8s_v5": "3h", "Standard_D4s_v5": "5h", "no-such-size": "1h"}},
    )
    assert [each.sku for each in found] == ["D4s_v5", "D8s_v5"]


def test_what_a_region_does_not_sell_is_left_out_and_eastus_is_unknown() -> None:
    asked = {"cpu": 90, "memory": "16GiB", "accelerator": "A100:8"}
    sold = next(
        region for region in CATALOG.regions.names if CATALOG.skus.offered("ND96asr_v4", region)
    )
    unsold = next(
        region
        for region in CATALOG.regions.names
        if CATALOG.skus.offered("ND96asr_v4", region) is False
    )
    assert offers(sold, resources=asked)[0].available is True
    assert offers(unsold, resources=asked) == ()
    assert offers("eastus", resources=asked)[0].available is None


def test_spot_has_its_own_prices_and_its_own_regions() -> None:
    (offer,) = offers(tier="spot", resources={"cpu": 4, "memory": "16GiB"})
    assert (offer.sku, str(offer.price_per_hour)) == ("D4s_v5", "0.040531")


def test_an_imported_size_and_price_are_taken() -> None:
    facts = catalog_with("skus", "sku,cpu,memory", "M128s,128,2000GiB")
    wanted = need(part="train", train={"resources": {"cpu": 100, "memory": "1000GiB"}})
    (offer,) = machines_of(facts).offers(wanted, "pay-as-you-go", "eastus")
    assert (offer.sku, offer.cpu, offer.price_per_hour) == ("M128s", 128, None)


def test_the_same_question_gets_the_same_objects() -> None:
    first, second = (offers(resources={"cpu": 4, "memory": "16GiB"}) for _ in range(2))
    assert first is second
