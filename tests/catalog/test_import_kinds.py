"""What rows of each kind state, and which columns go together."""

from __future__ import annotations

from decimal import Decimal

import pytest

from plinth.catalog.import_kinds import (
    DAY2_TASKS,
    KINDS,
    Day2Hours,
    EgressPrice,
    ModelPrice,
    PlatformPrice,
    ServiceOffered,
    SkuPrice,
    Zones,
)
from plinth.catalog.meter_name import Counted, Deployment
from plinth.catalog.price import Tier
from plinth.catalog.quotas import Quota
from plinth.catalog.skus import Sku
from plinth.domain.load import LoadError
from tests.catalog.imported import imported

MODEL = "model,counted,deployment,region,tier,options,amount,currency,unit"


def test_a_price_of_a_size_is_for_an_hour_in_the_standard_tier() -> None:
    (row,) = imported("prices", "sku,region,amount,currency", "D4s_v5,eastus,0.21,EUR").rows
    assert isinstance(row, SkuPrice)
    assert (row.sku, row.region, row.tier) == ("D4s_v5", "eastus", Tier.STANDARD)
    assert (row.price.amount, row.price.currency, row.price.unit) == (
        Decimal("0.21"),
        "EUR",
        "hour",
    )


def test_a_price_of_a_model_says_what_is_counted_and_how_it_is_deployed() -> None:
    (row,) = imported("prices", MODEL, "gpt-4o,input,Data Zone,,,batch,2,USD,1M").rows
    assert isinstance(row, ModelPrice)
    assert (row.key.counted, row.key.deployment) == (Counted.INPUT, Deployment.DATA_ZONE)
    assert (row.key.region, row.key.options) == (None, frozenset({"batch"}))
    assert row.price.per_million == 2


def test_egress_may_be_free() -> None:
    (row,) = imported("prices", "egress,amount,currency", "inter-region,0,EUR").rows
    assert isinstance(row, EgressPrice)
    assert (row.price.amount, row.price.unit) == (0, "GB")


def test_a_new_size_is_taken_over() -> None:
    (row,) = imported("skus", "sku,cpu,memory,accelerator", "Standard_Own8,8,16GiB,none").rows
    assert isinstance(row, Sku)
    assert (row.name, row.cpu, row.accelerators, row.accelerator) == ("Own8", 8.0, 0, None)


def test_services_quotas_and_zones_are_read() -> None:
    (service,) = imported("availability", "service,region,offered", "Storage,eastus,no").rows
    assert isinstance(service, ServiceOffered)
    assert not service.offered
    (quota,) = imported("quotas", "quota,region,limit", "provisioned-units,eastus,300").rows
    assert isinstance(quota, Quota)
    assert (quota.limit, quota.used, quota.of) == (300, None, "")
    (zones,) = imported("regions", "region,zones", "eastus,3").rows
    assert isinstance(zones, Zones)
    assert zones.zones == 3


def test_the_hours_of_a_task_are_those_of_a_platform() -> None:
    (row,) = imported("day2-hours", "platform,task,hours", "AKS,On Call,3.5").rows
    assert isinstance(row, Day2Hours)
    assert (row.platform, row.task, row.hours) == ("aks", "on_call", 3.5)
    assert DAY2_TASKS == ("patching", "upgrades", "on_call", "scaling", "security")


def test_what_a_platform_charges_is_for_an_hour_of_a_machine() -> None:
    lines = ("platform,region,amount,currency", "aks,,0.10,USD", "aks,West Europe,0,EUR")
    everywhere, there = imported("platform-prices", *lines).rows
    assert isinstance(everywhere, PlatformPrice)
    assert isinstance(there, PlatformPrice)
    assert (everywhere.region, there.region) == (None, "westeurope")
    assert (everywhere.price.amount, everywhere.price.unit) == (Decimal("0.10"), "hour")
    assert there.price.amount == 0


@pytest.mark.parametrize(
    ("kind", "columns", "row", "said"),
    [
        (
            "prices",
            "amount,currency",
            "1,EUR",
            "about one of `sku`, `model`, `egress`; none stands",
        ),
        ("prices", "sku,egress,amount,currency", "D4s_v5,internet,1,EUR", "two of them stand here"),
        ("prices", "sku,amount,currency", "D4s_v5,0,EUR", "a machine is not free"),
        ("prices", "sku,amount,currency,unit", "D4s_v5,1,EUR,GB", "`GB` is not the unit here"),
        ("prices", "sku,version,amount,currency", "D4s_v5,1,1,EUR", "does not belong to what"),
        ("prices", "egress,tier,amount,currency", "internet,spot,1,EUR", "does not belong to what"),
        ("prices", MODEL, "gpt-4o,input,global,,spot,,2,USD,1M", "tier: this column does not"),
        ("prices", MODEL, "gpt-4o,,global,,,,2,USD,1M", "counted: this column is needed"),
        ("prices", MODEL, "gpt-4o,input,,,,,2,USD,1M", "deployment: this column is needed"),
        ("prices", MODEL, "gpt-4o,input,global,,,,2,USD,", "unit: this column is needed"),
        ("prices", MODEL, "gpt-4o,input,global,,,,2,USD,GB", "`GB` is no unit of a model's"),
        ("skus", "sku,cpu", "Own8,", "the row says nothing about the size"),
        ("skus", "sku,accelerator-memory", "Own8,8GiB", "has no accelerator to hold it"),
        ("availability", "region,offered", "eastus,yes", "about one of `sku`, `service`"),
        ("availability", "service,region,tier,offered", "Storage,eastus,spot,yes", "no tiers"),
        ("availability", "sku,region,offered", "D4s_v5,eastus,maybe", "accepted: yes, no"),
        ("exchange-rates", "from,to,rate", "EUR,EUR,1", "between two currencies"),
        ("exchange-rates", "from,to,rate", "USD,EUR,0", "it must be more than 0"),
        ("quotas", "quota,region,limit", "cores,eastus,1", "accepted: cpu, spot-cpu"),
        ("regions", "region,zones", "eastus,99", "at most 10"),
        ("day2-hours", "platform,task,hours", "ask,patching,1", "did you mean `aks`?"),
        ("day2-hours", "platform,task,hours", "aks,paching,1", "did you mean `patching`?"),
        ("day2-hours", "platform,task,hours", "aks,patching,745", "it must be at most 744"),
        ("day2-hours", "platform,task,hours", "aks,patching,-1", "is not a number"),
        ("day2-hours", "platform,task", "aks,patching", "hours: this column is needed"),
        ("platform-prices", "platform,amount,currency", "aks,nan,EUR", "is not a number"),
        ("platform-prices", "amount,currency", "1,EUR", "platform: this column is needed"),
        ("platform-prices", "platform,amount,currency,unit", "aks,1,EUR,day", "accepted: hour"),
    ],
)
def test_columns_that_do_not_go_together_are_refused(
    kind: str, columns: str, row: str, said: str
) -> None:
    with pytest.raises(LoadError) as raised:
        imported(kind, columns, row)
    assert said in raised.value.message


def test_every_column_says_what_it_holds_and_every_key_is_a_column() -> None:
    for kind in KINDS.values():
        names = [column.name for column in kind.columns]
        assert len(names) == len(set(names))
        assert set(kind.key) <= set(names)
        assert all(column.text for column in kind.columns)
