"""Residency, second regions, nearness to the data, zones: asked of real platforms and regions."""

from __future__ import annotations

import pytest

from plinth.domain.application import Application
from plinth.domain.need import needs_of
from plinth.domain.plan import Outcome, Verdict
from plinth.planning.context import Context, Placement
from plinth.planning.offers import month_tokens, offers
from plinth.planning.rules.place import (
    ANYWHERE,
    UNSTATED,
    near_data,
    processing_kept,
    region_survived,
    residency_kept,
    standby_allowed,
    standby_required,
    standby_resident,
    zones_survived,
    zones_there,
)
from plinth.planning.rules.rule import Ask
from tests.catalog.imported import catalog_with
from tests.planning.rules.placed import admitted, application, need, owning, place, with_facts


def asked(ask: Ask, whole: Application, placement: Placement) -> Verdict:
    said = ask(needs_of(whole)[0], placement)
    assert said is not None
    return said


def resident(name: str, **more: object) -> Application:
    return application(requirements={"residency": name, **more})


def hosted(processed_in: str | None, region: str = "westeurope") -> Placement:
    return place(
        *("azure-openai-standard", region),
        model="gpt-4o",
        cpu=0,
        memory=0,
        processed_in=processed_in,
    )


def test_without_a_requirement_nothing_is_asked() -> None:
    at = place("aks", standby="northeurope")
    asks = (residency_kept, processing_kept, standby_resident, standby_required, standby_allowed)
    others = (near_data, zones_survived, zones_there, region_survived)
    assert [ask for ask in (*asks, *others) if ask(need(), at) is not None] == []


@pytest.mark.parametrize(
    ("wanted", "region", "reason"),
    [
        ("eu", "westeurope", "`westeurope` is in `eu`, where data must stay"),
        ("germany", "germanynorth", "`germanynorth` is in `germany`, where data must stay"),
        ("uksouth", "uksouth", "`uksouth` is where data must stay"),
        ("West Europe", "westeurope", "`westeurope` is in `West Europe`, where data must stay"),
        ("local", "local", "`local` is where data must stay"),
    ],
)
def test_a_region_within_the_residency_is_ok(wanted: str, region: str, reason: str) -> None:
    said = asked(residency_kept, resident(wanted), place("aks", region))
    assert (said.outcome, said.reason) == (Outcome.OK, reason)


@pytest.mark.parametrize(
    ("wanted", "region", "reason", "remedy"),
    [
        (
            *("eu", "eastus"),
            "data must stay in `eu`; `eastus` is in United States",
            "`online.requirements.residency: united-states`",
        ),
        (
            *("germany", "westeurope"),
            "data must stay in `germany`; `westeurope` is in Netherlands",
            "`online.requirements.residency: eu`",
        ),
        (
            *("eu", "norwayeast"),
            "data must stay in `eu`; `norwayeast` is in Norway",
            "`online.requirements.residency: eea`",
        ),
    ],
)
def test_another_region_is_rejected_and_the_smallest_wider_group_admits_it(
    wanted: str, region: str, reason: str, remedy: str
) -> None:
    said = asked(residency_kept, resident(wanted), place("aks", region))
    assert (said.outcome, said.reason, said.remedy) == (Outcome.NOT_OK, reason, remedy)
    assert admitted(residency_kept, resident(wanted), place("aks", region))


def test_what_nobody_knows_is_unknown() -> None:
    nowhere = asked(residency_kept, resident("atlantis"), place("aks"))
    assert nowhere.reason == "`atlantis` is neither a region nor a group of regions"
    elsewhere = asked(residency_kept, resident("eu"), place("aks", "our-cellar"))
    assert {nowhere.outcome, elsewhere.outcome} == {Outcome.UNKNOWN}


def test_the_local_machine_stands_where_the_inventory_says() -> None:
    here = place("local", "local")
    unknown = asked(residency_kept, resident("eu"), here)
    assert unknown.outcome is Outcome.UNKNOWN
    assert "where it stands is not known, `plinth inventory add` says it" in unknown.reason
    known = asked(residency_kept, resident("eu"), owning(here, "local", region="westeurope"))
    assert known.reason == "`local` is in `eu`, where data must stay"
    away = asked(residency_kept, resident("eu"), owning(here, "local", region="eastus"))
    assert away.reason == "data must stay in `eu`; `local` is in United States"


def test_a_global_deployment_breaks_every_residency() -> None:
    said = asked(processing_kept, resident("eu"), hosted("global"))
    assert said.reason.startswith(
        "data must stay in `eu`; a global deployment processes it in any region"
    )
    assert said.change is None
    only = with_facts(hosted("global"), regions={"processed_in": ("global",)})
    last = asked(processing_kept, resident("eu"), only)
    assert last.remedy == "`online.requirements.residency: null`"
    assert admitted(processing_kept, resident("eu"), only)


@pytest.mark.parametrize("wanted", ["eu", "eea", "europe"])
def test_the_data_zone_of_the_eu_is_within_the_eu(wanted: str) -> None:
    said = asked(processing_kept, resident(wanted), hosted("data-zone"))
    assert (said.outcome, said.reason) == (Outcome.OK, f"its data zone is `eu`, within `{wanted}`")


def test_a_data_zone_is_wider_than_a_country_in_it() -> None:
    at = hosted("data-zone", "germanywestcentral")
    said = asked(processing_kept, resident("germany"), at)
    assert said.reason == (
        "data must stay in `germany`; its data zone processes it anywhere in `eu`; a deployment to "
        "a region may keep it"
    )
    wider = with_facts(at, regions={"processed_in": ("data-zone", "global")})
    assert admitted(processing_kept, resident("germany"), wider)
    united = asked(processing_kept, resident("us"), hosted("data-zone", "eastus"))
    assert united.outcome is Outcome.OK


def test_where_it_is_processed_may_be_unknown() -> None:
    unstated = asked(processing_kept, resident("eu"), hosted(None))
    no_zone = asked(processing_kept, resident("uk"), hosted("data-zone", "uksouth"))
    assert {unstated.outcome, no_zone.outcome} == {Outcome.UNKNOWN}
    assert asked(processing_kept, resident("eu"), hosted("region")).outcome is Outcome.OK
    # A machine processes where it stands.
    assert processing_kept(needs_of(resident("eu"))[0], place("aks")) is None


def test_the_second_region_is_judged_as_the_first() -> None:
    whole = resident("eu", regions=["eu"])
    inside = place("aks", standby="northeurope")
    outside = place("aks", standby="uksouth")
    assert asked(standby_resident, whole, inside).outcome is Outcome.OK
    assert asked(standby_required, whole, inside).outcome is Outcome.OK
    said = asked(standby_resident, whole, outside)
    assert said.rule == "R2.standby"
    assert said.reason == (
        "where it stands by: data must stay in `eu`; `uksouth` is in United Kingdom"
    )
    assert admitted(standby_resident, whole, outside)
    required = asked(standby_required, whole, outside)
    assert (required.rule, required.outcome) == ("R2.standby-regions", Outcome.NOT_OK)
    assert admitted(standby_required, whole, outside)


def test_the_team_may_not_stand_by_where_it_may_not_run() -> None:
    context = Context(allowed_regions=("westeurope",), currency="USD")
    said = asked(
        standby_allowed, application(), place("aks", standby="northeurope", context=context)
    )
    assert (said.rule, said.outcome) == ("R2.standby-policy", Outcome.NOT_OK)
    assert said.reason == (
        "where it stands by: it is in `northeurope`; the team may use `westeurope`"
    )
    allowed = Context(allowed_regions=("westeurope", "northeurope"), currency="USD")
    at = place("aks", standby="northeurope", context=allowed)
    assert asked(standby_allowed, application(), at).outcome is Outcome.OK


def reading(region: str | None, **requirements: object) -> Application:
    data = {"size": "50GB"} if region is None else {"size": "50GB", "region": region}
    return application(
        data={"orders": data}, requirements=requirements, online={"data": ["orders"]}
    )


def test_data_in_the_same_region_is_near() -> None:
    for spelled in ("westeurope", "West Europe"):
        said = asked(near_data, reading(spelled), place("aks"))
        assert (said.outcome, said.reason) == (Outcome.OK, "its data lies in `westeurope` too")


def test_data_elsewhere_is_told_with_distance_and_price() -> None:
    said = asked(near_data, reading("northeurope"), place("aks"))
    assert said.outcome is Outcome.OK
    assert said.reason == (
        "`orders` lies in `northeurope`, 756 km away, by estimate 8 ms one way; "
        "50.0 GB move in a month, 1.00 USD"
    )


def test_the_data_of_every_run_is_counted() -> None:
    whole = application(
        "batch",
        data={"orders": {"size": "50GB", "region": "northeurope"}},
        batch={"data": ["orders"], "demand": {"runs": 30}},
    )
    assert "1.5 TB move in a month, 30.00 USD" in asked(near_data, whole, place("aks")).reason


def test_data_elsewhere_rejects_where_the_same_region_is_required() -> None:
    whole = reading("northeurope", same_region=True)
    said = asked(near_data, whole, place("aks"))
    assert said.outcome is Outcome.NOT_OK
    assert said.reason.startswith("it must stand where its data lies; `orders` lies in")
    assert said.remedy == "`online.requirements.same_region: false`"
    assert admitted(near_data, whole, place("aks"))


def test_data_that_lies_nobody_knows_where_is_unknown_only_where_it_matters() -> None:
    said = asked(near_data, reading(None, same_region=True), place("aks"))
    assert said.outcome is Outcome.UNKNOWN
    assert said.reason == "it must stand where its data lies; `data.orders.region` is not stated"
    assert near_data(needs_of(reading(None))[0], place("aks")) is None


def test_data_of_this_machine_is_near_on_this_machine_and_its_way_out_has_no_price() -> None:
    here = place("local", "local")
    assert asked(near_data, reading("local", same_region=True), here).outcome is Outcome.OK
    assert asked(near_data, reading("local"), here).outcome is Outcome.OK
    out = asked(near_data, reading("local"), place("aks"))
    assert out.reason == (
        "`orders` lies in `local`; 50.0 GB move in a month, at a price that is not known"
    )
    where = asked(near_data, reading("westeurope", same_region=True), here)
    assert where.outcome is Outcome.UNKNOWN
    assert "where `local` stands is not known, `plinth inventory add` says it" in where.reason


def test_data_that_comes_to_this_machine_leaves_the_cloud() -> None:
    # 100 GB are free, 50 GB more cost 0.087 USD each.
    whole = application(
        data={"orders": {"size": "150GB", "region": "eastus"}}, online={"data": ["orders"]}
    )
    here = owning(place("local", "local"), "local", region="westeurope")
    said = asked(near_data, whole, here)
    assert said.reason.endswith("150.0 GB move in a month, 4.35 USD")
    assert "km away" in said.reason


PRODUCTION = application(requirements={"criticality": "production"})
CRITICAL = application(requirements={"criticality": "critical"})


def test_production_goes_on_when_a_zone_fails() -> None:
    said = asked(zones_survived, PRODUCTION, place("aks"))
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "production: it can go on when a zone fails; with 1 replica it is away until another has "
        "started",
    )
    two = application(requirements={"criticality": "production"}, online={"replicas": 2})
    assert asked(zones_survived, two, place("aks")).reason.endswith("when a zone fails")


def test_one_machine_is_no_place_for_production() -> None:
    said = asked(zones_survived, PRODUCTION, place("local"))
    assert said.reason == "production has to go on when a zone fails; it stops"
    assert said.remedy == "`online.requirements.criticality: test`"
    assert admitted(zones_survived, PRODUCTION, place("local"))
    unknown = asked(zones_survived, PRODUCTION, place("azureml-online-endpoint"))
    assert unknown.outcome is Outcome.UNKNOWN


def test_zones_of_a_region_are_unknown_until_they_are_stated() -> None:
    said = asked(zones_there, PRODUCTION, place("aks"))
    assert said.outcome is Outcome.UNKNOWN
    assert zones_there(needs_of(PRODUCTION)[0], place("local", "local")) is None
    stated = catalog_with("regions", "region,zones", "westeurope,3", "ukwest,0")
    three = asked(zones_there, PRODUCTION, place("aks", catalog=stated))
    none = asked(zones_there, PRODUCTION, place("aks", "ukwest", catalog=stated))
    assert (three.outcome, three.reason) == (Outcome.OK, "`westeurope` has 3 zones")
    assert none.reason == "production needs several zones; `ukwest` has 0"
    assert admitted(zones_there, PRODUCTION, place("aks", "ukwest", catalog=stated))


def test_what_is_critical_needs_a_second_region() -> None:
    said = asked(region_survived, CRITICAL, place("aks", standby="northeurope"))
    assert said.outcome is Outcome.OK
    assert said.reason.startswith("`northeurope` takes over when `westeurope` fails (a cluster in")
    alone = asked(region_survived, CRITICAL, place("aks"))
    assert alone.reason == (
        "critical has to survive the loss of `westeurope`; no second region may take over"
    )
    assert alone.remedy == "`online.requirements.criticality: production`"
    assert admitted(region_survived, CRITICAL, place("aks"))


def test_where_zones_are_no_help_either_it_can_be_for_tests_only() -> None:
    said = asked(region_survived, CRITICAL, place("local", "local"))
    assert said.remedy == "`online.requirements.criticality: test`"
    unnamed = with_facts(place("aks", standby="northeurope"), regions={"multi_region": None})
    assert asked(region_survived, CRITICAL, unnamed).reason.endswith("`westeurope` fails")


def test_where_there_is_no_region_offers_say_so_in_the_same_words() -> None:
    assert (ANYWHERE, UNSTATED) == (month_tokens.ANYWHERE, offers.UNSTATED)


def test_nobody_promises_where_another_provider_has_the_data() -> None:
    at = place("external-model-api", ANYWHERE, model="claude-sonnet-4", cpu=0, memory=0)
    said = asked(residency_kept, resident("eu"), at)
    assert said.reason == "data must stay in `eu`; nobody promises where its provider has it"
    assert said.remedy == "`online.requirements.residency: null`"
    assert admitted(residency_kept, resident("eu"), at)
    assert zones_there(needs_of(PRODUCTION)[0], at) is None
    near = asked(near_data, reading("westeurope", same_region=True), at)
    assert near.outcome is Outcome.NOT_OK
    assert near.reason.endswith("50.0 GB move in a month, at a price that is not known")


def test_a_cluster_of_which_nobody_said_where_it_stands_is_unknown() -> None:
    at = place("kubernetes", UNSTATED)
    kept = asked(residency_kept, resident("eu"), at)
    near = asked(near_data, reading("westeurope", same_region=True), at)
    assert {kept.outcome, near.outcome} == {Outcome.UNKNOWN}
    assert near.reason == (
        "it must stand where its data lies; where it stands is not known, "
        "`plinth inventory add` says it with `--region`"
    )
