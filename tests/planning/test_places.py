"""Every place of a part is judged as far as it must be, and told whole where it is shown."""

from __future__ import annotations

from dataclasses import replace

from plinth.catalog.platforms import system_of
from plinth.domain.inventory import Inventory, Owned
from plinth.domain.need import needs_of
from plinth.domain.plan import Outcome
from plinth.planning.advice import places_of
from plinth.planning.context import Market
from plinth.planning.places import Places, is_default
from tests.planning.applications import (
    CATALOG,
    CONTEXT,
    MACHINE,
    MARKET,
    PLATFORMS,
    application,
    at_random,
)

TRAINED = {"resources": {"cpu": 4}, "demand": {"runs": 8, "duration": "2h"}}


def places(part: str, market: Market = MARKET, **fields: object) -> Places:
    return places_of(application(**fields), part, market)


def test_a_platform_that_is_rejected_as_a_whole_has_no_places() -> None:
    found = places("train", train=TRAINED)
    rejected = {way.platform.name for way in found.ways if not way.is_feasible}
    assert "azure-openai-batch" in rejected
    assert not rejected & {
        entry.platform
        for entry in found.entries
        if entry.platform not in {way.platform.name for way in found.ways if way.is_feasible}
    }


def test_a_region_that_is_ruled_out_has_no_places_and_is_told() -> None:
    found = places("train", train=TRAINED, requirements={"regions": ["westeurope"]})
    assert {entry.region for entry in found.entries} == {"westeurope"}
    told = found.plan(None, None).regions
    assert {verdict.rule for verdict in told["eastus"]} == {"R2.regions"}
    assert "westeurope" not in told


def test_of_each_way_the_cheapest_feasible_place_is_told() -> None:
    found = places("train", train=TRAINED, requirements={"regions": ["eastus", "westeurope"]})
    told = found.plan(None, "westeurope").rejected
    clusters = [each for each in told if each.platform == "azureml-compute-cluster"]
    assert {each.offer.tier for each in clusters} == {"pay-as-you-go", "spot"}
    spot = next(each for each in clusters if each.offer.tier == "spot")
    assert "T5b" in {one.rule for one in spot.verdicts if one.outcome is Outcome.NOT_OK}


def test_what_has_nothing_to_offer_says_why() -> None:
    found = places("online", online={"model": "no-such-model"})
    told = {each.platform: each for each in found.plan(None, None).rejected}
    reasons = [each.reason for each in told["azure-openai-standard"].verdicts]
    assert any("no-such-model" in reason for reason in reasons)
    trained = places("train", train=TRAINED).plan(None, None).rejected
    told = {each.platform: each for each in trained}
    reasons = [each.reason for each in told["azure-openai-standard"].verdicts]
    assert "it tunes only models that it hosts, and the file names none" in reasons


def test_owning_it_and_being_the_default_weigh_for_a_place() -> None:
    owned = Inventory(owned=(Owned(name="ml", platform="azureml-compute-cluster"),))
    market = Market(PLATFORMS, CATALOG, CONTEXT.model_copy(update={"inventory": owned}), (MACHINE,))
    fields = {"train": TRAINED, "requirements": {"regions": ["westeurope"]}}

    def floor(found: Places) -> int:
        return min(
            entry.floor for entry in found.entries if entry.platform == "azureml-compute-cluster"
        )

    assert (
        floor(places("train", **fields)) - floor(places("train", market, **fields)) >= 200_000_000
    )


def test_services_are_families_and_defaults_are_the_guidances() -> None:
    assert system_of("azureml-online-endpoint") == system_of("azureml-compute-cluster")
    assert system_of("aks") == "aks"
    by_name = {platform.name: platform for platform in PLATFORMS}
    assert is_default(by_name["azureml-compute-cluster"], "train")
    assert not is_default(by_name["aks"], "train")


def test_a_way_admits_a_part_where_its_best_place_is_feasible() -> None:
    found: set[bool] = set()
    for seed in range(12):
        whole = at_random(seed)
        for need in needs_of(whole):
            all_ways = places_of(whole, need.name, MARKET)
            feasible = {
                (each.platform, each.offer.tier)
                for each in all_ways.others(None, None)
                if each.is_feasible
            }
            nothing = places_of(whole, need.name, replace(MARKET, platforms=()))
            for way in all_ways.ways:
                admitted = nothing.admits(way.platform, way.tier)
                assert admitted is ((way.platform.name, way.tier) in feasible)
                found.add(admitted)
            assert nothing.ways == nothing.places == []
    assert found == {True, False}


def test_a_way_that_makes_no_sense_is_neither_judged_nor_admitted() -> None:
    found = places("train", replace(MARKET, platforms=()), train=TRAINED)
    local = next(each for each in PLATFORMS if each.name == "local")
    found.find_way(local, "provisioned")
    assert found.ways == []
    assert not found.admits(local, "provisioned")
