"""Regions and the groups that people name them by."""

from __future__ import annotations

from datetime import date

import pytest

from plinth.catalog.regions import EU, load_regions
from plinth.catalog.table import Source
from plinth.kit.errors import Invalid

REGIONS = load_regions()


def test_a_region_is_found_by_either_of_its_names() -> None:
    assert REGIONS.find("West Europe") is REGIONS.find("westeurope")
    assert REGIONS.find("WEST-EUROPE").name == "westeurope"


def test_a_mistaken_name_gets_the_nearest_one() -> None:
    with pytest.raises(Invalid, match="`westeuroope` is not a region; did you mean `westeurope`"):
        REGIONS.find("westeuroope")
    with pytest.raises(
        Invalid, match="neither a region nor a group of regions; did you mean `eea`"
    ):
        REGIONS.expand("eeaa")


def test_eu_is_where_a_member_state_is() -> None:
    members = REGIONS.expand("eu")
    assert {REGIONS.find(name).country for name in members} <= EU
    assert {"northeurope", "westeurope", "swedencentral", "germanynorth"} <= set(members)
    assert not {"norwayeast", "switzerlandnorth", "uksouth"} & set(members)


def test_eea_adds_norway_and_europe_the_rest_of_the_continent() -> None:
    eu, eea, europe = (set(REGIONS.expand(name)) for name in ("eu", "eea", "europe"))
    assert eea - eu == {"norwayeast", "norwaywest"}
    outside = {REGIONS.find(name).country for name in europe - eea}
    assert outside == {"Switzerland", "United Kingdom"}


def test_a_continent_that_is_a_geography_is_resolved_to_its_country() -> None:
    assert REGIONS.expand("ireland") == ("northeurope",)
    assert REGIONS.expand("Singapore") == ("southeastasia",)


def test_no_group_holds_a_region_for_tests_or_of_another_cloud() -> None:
    inside = {name for members in REGIONS.groups.values() for name in members}
    assert inside == set(REGIONS.names)
    outside = ("centraluseuap", "eastusstg", "chinaeast", "usgovvirginia", "swedensouth", "europe")
    assert not inside.intersection(outside)
    assert all(REGIONS.find(name) for name in outside)


def test_us_has_the_nine_regions_that_take_workloads() -> None:
    assert len(REGIONS.expand("us")) == 9
    assert REGIONS.expand("US") == REGIONS.expand("united-states")


def test_a_region_stands_for_itself() -> None:
    assert REGIONS.expand("East US") == ("eastus",)


def test_pairs_are_regions_that_are_known() -> None:
    assert all(each.pair in REGIONS for each in REGIONS if each.pair)
    assert REGIONS.find("westeurope").pair == "northeurope"
    assert REGIONS.find("italynorth").pair is None


def test_the_two_lists_of_regions_agree_on_pairs() -> None:
    assert REGIONS.find("swedencentral").pair == "swedensouth"
    assert REGIONS.find("swedensouth").pair == "swedencentral"


def test_the_distance_is_that_on_the_globe() -> None:
    # Dublin to Amsterdam: 750 km and something.
    distance = REGIONS.distance_km("northeurope", "westeurope")
    assert distance is not None
    assert 740 < distance < 780
    assert REGIONS.distance_km("westeurope", "westeurope") == 0


def test_the_distance_to_an_unknown_place_is_unknown() -> None:
    assert REGIONS.distance_km("westeurope", "chinaeast") is None
    assert REGIONS.distance_km("chinaeast", "westeurope") is None


def test_zones_are_unknown_until_they_are_stated() -> None:
    assert all(each.zones is None for each in REGIONS)
    source = Source("z.csv", "portal", date(2026, 11, 1), "", "z.csv", date(2026, 11, 2))
    stated = REGIONS.with_zones({"westeurope": (3, source)})
    assert stated.find("westeurope").zones == 3
    assert stated.find("westeurope").source is source
    assert stated.expand("eu") == REGIONS.expand("eu")
    assert REGIONS.with_zones({}) is REGIONS
