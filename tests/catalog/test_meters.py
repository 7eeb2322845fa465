"""What models cost: Azure's own meters."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from plinth.catalog.meter_name import Counted, Deployment
from plinth.catalog.meters import MeterQuery, load_meters
from plinth.kit.errors import Invalid
from tests.catalog.imported import catalog_with

METERS = load_meters()
INPUT = MeterQuery("gpt-4o", Counted.INPUT, Deployment.GLOBAL, "swedencentral")


def per_million(query: MeterQuery) -> Decimal | None:
    price = METERS.price(query)
    return None if price is None else price.per_million


def test_all_meters_are_there_and_none_costs_less_than_nothing() -> None:
    assert len(METERS) == 3289
    assert all(each.amount >= 0 for each in METERS)


def test_the_newest_version_is_meant_when_none_is_named() -> None:
    assert per_million(INPUT) == Decimal("2.5")
    assert per_million(replace(INPUT, version="1120")) == Decimal("2.5")
    assert per_million(replace(INPUT, version="0513")) == Decimal(5)


def test_a_deployment_in_a_zone_or_a_region_costs_more() -> None:
    assert per_million(replace(INPUT, deployment=Deployment.DATA_ZONE)) == Decimal("2.75")
    assert per_million(replace(INPUT, deployment=Deployment.REGIONAL)) == Decimal("3.025")


def test_batch_costs_half() -> None:
    query = replace(INPUT, version="1120", options=frozenset({"batch"}))
    assert per_million(query) == Decimal("1.25")


def test_cached_input_and_output_have_their_own_prices() -> None:
    assert per_million(replace(INPUT, counted=Counted.CACHED_INPUT)) == Decimal("1.25")
    assert per_million(replace(INPUT, counted=Counted.OUTPUT)) == Decimal(10)


def test_where_a_model_is_not_sold_so_its_price_is_unknown() -> None:
    assert METERS.price(replace(INPUT, region="chinaeast")) is None
    assert METERS.price(replace(INPUT, version="9999")) is None
    assert METERS.price(replace(INPUT, deployment=None)) is None
    assert METERS.price(replace(INPUT, model="no-such-model")) is None


def test_short_context_is_the_usual_one() -> None:
    query = replace(INPUT, model="gpt-5.6-luna")
    short = METERS.price(query)
    long = METERS.price(replace(query, options=frozenset({"long-context"})))
    assert short is not None
    assert long is not None
    assert long.amount == 2 * short.amount


def test_a_mistaken_model_gets_the_nearest_one() -> None:
    with pytest.raises(Invalid, match="did you mean `gpt-4o-mini`"):
        METERS.find("gpt4o-minni")


def test_an_imported_price_lies_over_the_list() -> None:
    columns = "model,counted,deployment,region,version,amount,currency,unit"
    meters = catalog_with(
        *("prices", columns),
        "gpt-4o,input,global,,,2.2,USD,1M",
        "gpt-4o,input,global,uksouth,1120,2.1,USD,1M",
        "our-own,input,global,,,1,EUR,1M",
    ).meters

    def amount(query: MeterQuery) -> Decimal | None:
        price = meters.price(query)
        return price.amount if price else None

    assert amount(INPUT) == Decimal("2.2")
    assert amount(replace(INPUT, region="uksouth", version="1120")) == Decimal("2.1")
    assert amount(replace(INPUT, region="uksouth", version="0806")) == Decimal("2.2")
    assert amount(replace(INPUT, model="Our Own")) == 1
    assert amount(replace(INPUT, counted=Counted.OUTPUT)) == Decimal("0.01")
