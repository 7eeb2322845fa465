"""Quotas against what the peak needs: of machines, of hosted models, of provisioned units."""

from __future__ import annotations

from typing import Any

from plinth.catalog.catalog import Catalog
from plinth.domain.application import Application
from plinth.domain.need import needs_of
from plinth.domain.plan import Outcome, Verdict
from plinth.planning.context import Placement
from plinth.planning.rules.quota import quotas_suffice
from tests.catalog.imported import catalog_with
from tests.planning.rules.placed import application, need, place

SERVED = application(online={"replicas": 4})


def stated(*rows: str) -> Catalog:
    return catalog_with("quotas", "quota,of,region,limit,used", *rows)


def asked(whole: Application, placement: Placement) -> Verdict:
    said = quotas_suffice(needs_of(whole)[0], placement)
    assert said is not None
    return said


def machines(catalog: Catalog, **offer: Any) -> Placement:
    return place("aks", **{"count": 4, "catalog": catalog, **offer})


def hosted(catalog: Catalog, **offer: Any) -> Placement:
    fields = {"model": "gpt-4o", "cpu": 0, "memory": 0, **offer}
    return place("azure-openai-standard", catalog=catalog, **fields)


def test_what_nobody_stated_is_one_short_unknown() -> None:
    said = asked(SERVED, machines(Catalog()))
    assert (said.outcome, said.reason) == (
        Outcome.UNKNOWN,
        "no quota is stated for `westeurope`; `plinth catalog import` states it",
    )


def test_machines_of_ones_own_have_no_quota() -> None:
    assert quotas_suffice(need(), place("local", "local")) is None
    assert quotas_suffice(need(), place("kubernetes")) is None
    assert quotas_suffice(need(), place("aks", tier="own-hardware")) is None


def test_what_is_left_of_the_series_and_of_all_is_compared() -> None:
    both = stated("cpu,Dsv5,westeurope,100,40", "cpu,,westeurope,50,0")
    said = asked(SERVED, machines(both))
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "needs 16 cores, 60 of 100 are left (Dsv5); 44% stay free",
    )


def test_from_four_fifths_on_it_warns() -> None:
    said = asked(SERVED, machines(stated("cpu,,westeurope,50,30")))
    assert said.outcome is Outcome.OK
    assert said.reason == (
        "needs 16 cores, 20 of 50 are left; only 8% stay free: ask for more before the peak"
    )


def test_too_small_a_quota_is_rejected_and_fewer_instances_fit() -> None:
    at = machines(stated("cpu,Dsv5,westeurope,100,90"))
    said = asked(SERVED, at)
    assert (said.outcome, said.reason) == (
        Outcome.NOT_OK,
        "needs 16 cores, 10 of 100 are left (Dsv5)",
    )
    assert said.remedy == "`online.replicas: 2`"
    # As many machines as the file then asks for are placed.
    assert asked(application(online={"replicas": 2}), machines(at.catalog, count=2)).outcome is (
        Outcome.OK
    )


def test_no_number_of_instances_fits_into_nothing() -> None:
    said = asked(SERVED, machines(stated("cpu,,westeurope,50,49")))
    assert (said.outcome, said.change) == (Outcome.NOT_OK, None)
    # Several replicas share a machine here, so fewer of them do not make fewer machines.
    shared = asked(SERVED, machines(stated("cpu,,westeurope,6,0"), count=2))
    assert (shared.outcome, shared.change) == (Outcome.NOT_OK, None)


def test_people_who_explore_are_counted_by_person() -> None:
    whole = application("explore", explore={"demand": {"users": 10}})
    at = place(
        "azureml-compute-instance", count=10, catalog=stated("cpu,Dsv5,westeurope,20,0"), cpu=4
    )
    said = asked(whole, at)
    assert said.remedy == "`explore.demand.users: 5`"
    fewer = place("azureml-compute-instance", count=5, catalog=at.catalog, cpu=4)
    assert asked(application("explore", explore={"demand": {"users": 5}}), fewer).outcome is (
        Outcome.OK
    )


def test_accelerators_have_a_quota_of_their_own() -> None:
    gpus: dict[str, Any] = {"accelerator": {"kind": "A100", "count": 2}, "sku": "NC48ads_A100_v4"}
    cores = "cpu,,westeurope,1000,0"
    missing = asked(SERVED, machines(stated(cores), **gpus))
    assert missing.reason == (
        "no quota of accelerators of `A100` is stated for `westeurope`; "
        "`plinth catalog import` states it"
    )
    few = asked(SERVED, machines(stated(cores, "accelerators,A100,westeurope,6,0"), **gpus))
    assert few.reason == "needs 8 accelerators, 6 of 6 are left (A100)"
    assert few.remedy == "`online.replicas: 3`"


def test_how_much_is_used_may_be_unknown() -> None:
    said = asked(SERVED, machines(stated("cpu,,westeurope,100,")))
    assert said.outcome is Outcome.UNKNOWN
    assert said.reason.startswith("needs 16 cores of a quota of 100; how many are used")
    assert asked(SERVED, machines(stated("cpu,,westeurope,8,"))).outcome is Outcome.NOT_OK


def test_spot_cores_and_endpoints_are_their_own_kinds() -> None:
    spot = asked(SERVED, machines(stated("spot-cpu,,westeurope,100,0"), tier="spot"))
    assert spot.reason.startswith("needs 16 spot cores, 100 of 100 are left")
    full = asked(
        SERVED, machines(stated("cpu,,westeurope,1000,0", "endpoints,,westeurope,100,100"))
    )
    assert full.reason == "needs 1 endpoints, 0 of 100 are left"
    assert full.change is None


def test_tokens_of_the_busiest_minute_are_compared() -> None:
    whole = application(
        online={
            "model": "gpt-4o",
            "demand": {
                "requests_per_second": 2,
                "peak_requests_per_second": 5,
                "input_tokens": 900,
                "output_tokens": 100,
            },
        }
    )
    room = asked(whole, hosted(stated("tokens-per-minute,gpt-4o,westeurope,1000000,0")))
    assert room.reason == (
        "needs 300,000 tokens a minute, 1,000,000 of 1,000,000 are left (gpt-4o); 70% stay free"
    )
    full = asked(whole, hosted(stated("tokens-per-minute,gpt-4o,westeurope,1000000,800000")))
    assert (full.outcome, full.change) == (Outcome.NOT_OK, None)


def test_requests_are_compared_where_nobody_counted_tokens() -> None:
    whole = application(online={"model": "gpt-4o", "demand": {"requests_per_second": 2}})
    said = asked(whole, hosted(stated("requests-per-minute,gpt-4o,westeurope,300,0")))
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == "needs 360 requests a minute, 300 of 300 are left (gpt-4o)"


def test_provisioned_units_are_counted() -> None:
    whole = application(online={"model": "gpt-4o"})
    fields = {"tier": "provisioned", "count": 50}
    rows = "provisioned-units,gpt-4o,westeurope,100,60"
    said = asked(whole, hosted(stated(rows), **fields))
    assert said.reason == "needs 50 provisioned units, 40 of 100 are left (gpt-4o)"


def test_fewer_instances_than_the_measured_peak_needs_are_no_change() -> None:
    demand = {"requests_per_second": 10, "replica_requests_per_second": 10}
    whole = application(online={"replicas": 4, "demand": demand})
    three = asked(whole, machines(stated("cpu,,westeurope,12,0")))
    two = asked(whole, machines(stated("cpu,,westeurope,8,0")))
    assert three.remedy == "`online.replicas: 3`"
    assert (two.outcome, two.change) == (Outcome.NOT_OK, None)


def test_the_second_region_needs_its_quota_too() -> None:
    narrow = stated("cpu,Dsv5,westeurope,100,0", "cpu,Dsv5,northeurope,4,0")
    said = asked(SERVED, machines(narrow, standby="northeurope"))
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == (
        "in the second region `northeurope`: needs 16 cores, 4 of 4 are left (Dsv5)"
    )
    half = stated("cpu,Dsv5,westeurope,100,0")
    assert asked(SERVED, machines(half, standby="northeurope")).outcome is Outcome.UNKNOWN
    both = stated("cpu,Dsv5,westeurope,100,0", "cpu,Dsv5,northeurope,100,0")
    assert asked(SERVED, machines(both, standby="northeurope")).outcome is Outcome.OK
