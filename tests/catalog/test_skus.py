"""Sizes: what they hold, where they are offered, what they cost, and what is unknown of them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from plinth.catalog.price import Tier
from plinth.catalog.skus import accelerator_of_name, cpu_of_name, load_skus
from plinth.kit.errors import Invalid
from tests.catalog.imported import catalog_with

SKUS = load_skus()
GIB = 2**30


@pytest.mark.parametrize("name", ["D4s_v5", "Standard_D4s_v5", "d4s v5", "standard d4s-v5"])
def test_a_size_is_found_however_it_is_spelled(name: str) -> None:
    assert SKUS.find(name).name == "D4s_v5"
    assert name in SKUS


def test_a_mistaken_size_gets_the_nearest_one() -> None:
    with pytest.raises(Invalid, match=r"`D4s_v55` is not a size.*; did you mean `D4s_v5`\?"):
        SKUS.find("D4s_v55")


def test_a_size_is_offered_where_the_table_says_so() -> None:
    assert SKUS.offered("D4s_v5", "westeurope") is True
    assert SKUS.offered("ND96isr_H100_v5", "koreasouth") is False
    assert SKUS.availability("D4s_v5", "westeurope").source is not None


def test_what_no_table_covers_is_unknown_and_not_no() -> None:
    for region in ("eastus", "usgovvirginia", "chinaeast"):
        answer = SKUS.availability("D4s_v5", region)
        assert (answer.offered, answer.source) == (None, None)
    assert SKUS.offered("NoSuchSize", "westeurope") is None


def test_a_size_without_spot_is_not_offered_as_spot() -> None:
    assert SKUS.offered("B2s", "westeurope") is True
    assert SKUS.offered("B2s", "westeurope", Tier.SPOT) is False
    assert SKUS.offered("D4s_v5", "westeurope", Tier.SPOT) is True


def test_prices_are_exact_and_unknown_where_nobody_stated_them() -> None:
    price = SKUS.price("Standard_D4s_v5", "eastus")
    assert price is not None
    assert (price.amount, price.currency, price.unit) == (Decimal("0.192"), "USD", "hour")
    spot = SKUS.price("D4s_v5", "eastus", Tier.SPOT)
    assert spot is not None
    assert spot.amount == Decimal("0.040531")
    assert SKUS.price("D4s_v5", "westeurope") is None
    assert SKUS.price("B2s", "eastus", Tier.SPOT) is None
    assert SKUS.priced_regions("D4s_v5") == ("eastus",)
    assert SKUS.priced_regions("D96s_v5") == ()


def test_the_twenty_sizes_with_prices_are_known_wholly() -> None:
    stated = [each for each in SKUS if each.memory is not None]
    assert len(stated) == 20
    size = SKUS.find("ND96isr_H100_v5")
    assert (size.cpu, size.memory, size.accelerator) == (96, 1900 * GIB, "H100")
    assert (size.accelerators, size.accelerator_memory) == (8, 80 * GIB)
    assert SKUS.find("D4s_v5").accelerators == 0


def test_a_part_of_an_accelerator_is_not_counted_as_one() -> None:
    size = SKUS.find("NV6ads_A10_v5")
    assert (size.accelerator, size.accelerators, size.accelerator_memory) == ("A10", None, None)


def test_the_number_in_a_name_agrees_with_every_stated_one() -> None:
    stated = [each for each in SKUS if each.cpu is not None and not each.cpu_is_derived]
    assert len(stated) == 20
    assert all(cpu_of_name(each.name) == each.cpu for each in stated)


@pytest.mark.parametrize(
    ("name", "cpu"),
    [
        ("D96ads_v6", 96),
        ("E16-4ads_v5", 4),
        ("F2s_v2", 2),
        ("HB120-16rs_v3", 16),
        ("NC48ads_A100_v4", 48),
        ("M48-24s_1_v3", 24),
        ("D3_v2", None),
        ("DS14-4_v2", None),
        ("A7", None),
        ("GS5-16", None),
        ("NDmr40s_v2", None),
    ],
)
def test_processors_are_read_out_of_a_name_where_it_states_them(name: str, cpu: int | None) -> None:
    assert cpu_of_name(name) == cpu


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("NC24ads_A100_v4", "A100"),
        ("NV36ads_A10_v5", "A10"),
        ("NC64as_T4_v3", "T4"),
        ("ND96isr_MI300X_v5", "MI300X"),
        ("ND128isrNDRGB200_v6", "GB200"),
        ("NC6s_v3", None),
        ("A10", None),
    ],
)
def test_the_kind_of_accelerator_is_read_out_of_a_name(name: str, kind: str | None) -> None:
    assert accelerator_of_name(name) == kind


def test_a_size_whose_name_says_nothing_is_unknown() -> None:
    old = SKUS.find("NC6s_v3")
    assert (old.cpu, old.memory, old.accelerator, old.accelerators) == (6, None, None, None)
    assert SKUS.find("A7").cpu is None


def test_imported_facts_complete_what_is_known() -> None:
    skus = catalog_with("skus", "sku,memory,accelerator", "NC48ads_A100_v4,440GiB,A100:2").skus
    size = skus.find("NC48ads_A100_v4")
    assert (size.cpu, size.cpu_is_derived, size.memory) == (48, True, 440 * GIB)
    assert (size.accelerator, size.accelerators, size.series) == ("A100", 2, "NCads A100 v4")
    assert size.source.is_override
    assert skus.offered("NC48ads_A100_v4", "westeurope") is True


def test_an_imported_price_without_region_holds_where_no_other_does() -> None:
    skus = catalog_with(
        *("prices", "sku,region,amount,currency"),
        *("D4s_v5,,0.30,EUR", "D4s_v5,westeurope,0.20,EUR"),
    ).skus
    found = {name: skus.price("D4s_v5", name) for name in ("westeurope", "eastus", "uksouth")}
    amounts = {name: price.amount for name, price in found.items() if price}
    assert amounts == {
        "westeurope": Decimal("0.20"),
        "eastus": Decimal("0.30"),
        "uksouth": Decimal("0.30"),
    }
    assert skus.priced_regions("D4s_v5") == (None, "eastus", "westeurope")


def test_imported_availability_fills_a_hole() -> None:
    skus = catalog_with(
        *("availability", "sku,region,tier,offered"),
        *("D4s_v5,eastus,,yes", "D4s_v5,eastus,spot,no"),
    ).skus
    assert skus.offered("D4s_v5", "eastus") is True
    assert skus.offered("D4s_v5", "eastus", Tier.SPOT) is False
    assert skus.offered("D8s_v5", "eastus") is None
    source = skus.availability("D4s_v5", "eastus").source
    assert source is not None
    assert source.is_override
