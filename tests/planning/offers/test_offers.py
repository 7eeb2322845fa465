from __future__ import annotations

import pytest

from plinth.catalog.platforms import platform_names
from plinth.domain.inventory import Inventory, Owned
from plinth.domain.platform import Offer
from plinth.domain.resources import Accelerator
from plinth.planning.offers.month_machines import AS_ASKED, OWN_PLATFORMS
from plinth.planning.offers.offers import HOSTED, SERVICES, UNSTATED, Offers
from tests.catalog.imported import catalog_with
from tests.planning.bought import CATALOG, DOLLARS, SMALL, offered, online, owning
from tests.planning.rules.placed import need, platform

OFFERS = Offers(CATALOG, DOLLARS)
UNITS = "azure-openai-provisioned"
MACHINE = Offer(sku="machine", region="local", cpu=8, memory=32 * 10**9, count=1)


def test_every_platform_is_one_that_sells_machines_models_or_is_ones_own() -> None:
    for name in platform_names():
        assert [name in SERVICES, name in HOSTED, name in OWN_PLATFORMS].count(True) == 1, name
    assert AS_ASKED.keys() <= SERVICES.keys()
    for service in SERVICES.values():
        assert service in CATALOG.services


def test_a_service_is_sold_in_its_regions_and_where_nobody_knows() -> None:
    found = OFFERS.regions(online(), platform("azureml-online-endpoint"))
    assert "westeurope" in found
    assert "eastus" in found
    for region in set(CATALOG.regions.names) - set(found):
        assert CATALOG.services.offered("Azure Machine Learning", region) is False


def test_an_import_takes_a_region_away() -> None:
    catalog = catalog_with(
        "availability", "service,region,offered", "Azure Machine Learning,eastus,no"
    )
    found = Offers(catalog, DOLLARS).regions(online(), platform("azureml-online-endpoint"))
    assert "eastus" not in found


def test_a_hosted_model_is_where_a_price_list_has_it() -> None:
    wanted = online(model="gpt-4o")
    found = OFFERS.regions(wanted, platform("azure-openai-standard"))
    assert "swedencentral" in found
    assert "malaysiawest" not in found
    assert OFFERS.regions(online(model="llama-3.3-70b"), platform("azure-openai-standard")) == ()
    assert OFFERS.regions(online(model="llama-3.3-70b"), platform("azureml-serverless-api"))
    assert OFFERS.regions(online(model="gpt-4o"), platform("azureml-serverless-api")) == ()


@pytest.mark.parametrize("name", sorted(HOSTED))
def test_without_a_model_nothing_is_offered_by_who_sells_models(name: str) -> None:
    wanted = online(format="onnx")
    assert OFFERS.regions(wanted, platform(name)) == ()
    assert offered(wanted, name) == ()


def test_each_place_where_requests_may_be_processed_is_an_offer() -> None:
    found = offered(online(model="gpt-4o"), "azure-openai-standard", "swedencentral")
    assert [each.processed_in for each in found] == ["region", "data-zone", "global"]
    assert {(each.sku, each.model, each.cpu, each.memory) for each in found} == {
        ("gpt-4o", "gpt-4o", 0.0, 0)
    }
    assert all(each.available for each in found)


def test_the_batch_api_has_no_regional_deployment() -> None:
    wanted = need(part="batch", batch={"model": "gpt-4o"})
    found = offered(wanted, "azure-openai-batch", "swedencentral", "batch")
    assert [each.processed_in for each in found] == ["data-zone", "global"]


def test_a_unit_of_provisioned_throughput_has_the_price_of_its_region() -> None:
    wanted = online(model="gpt-4o", demand={"input_tokens": 1500, "output_tokens": 300})
    found = offered(wanted, "azure-openai-provisioned", "swedencentral", "provisioned")
    assert [(each.sku, str(each.price_per_hour)) for each in found] == [
        ("gpt-4o unit", "2.2"),
        ("gpt-4o unit", "1.1"),
        ("gpt-4o unit", "1.0"),
    ]
    # 1 x 60 x (1,500 + 4 x 300) / 2,500 = 64.8: in steps of 50 from 50, of 5 from 15.
    assert [OFFERS.count(wanted, each) for each in found] == [100, 65, 65]


def test_a_model_that_has_no_provisioned_units_is_not_offered_so() -> None:
    wanted = online(model="grok-4")
    assert OFFERS.regions(wanted, platform("azure-openai-provisioned")) == ()


def test_a_model_is_tuned_where_a_meter_of_training_says_so() -> None:
    wanted = need(part="tune", tune={"base_model": "gpt-4o", "method": "lora"})
    regions = OFFERS.regions(wanted, platform("azure-openai-standard"))
    assert "swedencentral" in regions
    assert "japaneast" not in regions
    other = need(part="tune", tune={"base_model": "gpt-5", "method": "lora"})
    assert OFFERS.regions(other, platform("azure-openai-standard")) == ()


def test_a_model_of_another_provider_is_bound_to_no_region() -> None:
    wanted = online(model="claude-sonnet-4-5")
    external = platform("external-model-api")
    assert OFFERS.regions(wanted, external) == ("anywhere",)
    (offer,) = OFFERS.offers(wanted, external, "pay-as-you-go", "anywhere")
    assert (offer.model, offer.processed_in, offer.region) == (
        "claude-sonnet-4-5",
        None,
        "anywhere",
    )
    assert OFFERS.regions(online(model="no-such-model"), external) == ()


def test_spare_capacity_is_for_what_ends_or_bears_interruption() -> None:
    cluster, virtual = platform("azureml-compute-cluster"), platform("data-science-vm")
    train = need(part="train")
    assert OFFERS.tiers(train, cluster) == ("pay-as-you-go", "spot")
    assert "spot" not in OFFERS.tiers(online(), virtual)
    bears = online(requirements={"interruptible": True})
    assert "spot" in OFFERS.tiers(bears, virtual)
    assert OFFERS.tiers(train, platform("azureml-serverless-spot")) == ("spot",)


def test_a_commitment_is_for_what_runs_half_of_the_month() -> None:
    cluster = platform("azureml-compute-cluster")
    short = need(part="train", train={"demand": {"duration": "5h"}})
    long = need(part="train", train={"demand": {"runs": 30, "duration": "20h"}})
    assert "reserved" not in OFFERS.tiers(short, cluster)
    assert "reserved" in OFFERS.tiers(long, cluster)
    assert "reserved" in OFFERS.tiers(online(), platform("azureml-online-endpoint"))
    notebooks = need(part="explore")
    assert "reserved" not in OFFERS.tiers(notebooks, platform("azureml-compute-instance"))


def test_where_the_ways_to_buy_are_unknown_it_is_paid_as_it_is_used() -> None:
    assert OFFERS.tiers(need(part="flow"), platform("prompt-flow")) == ("pay-as-you-go",)


def test_the_inventory_says_where_this_machine_stands_and_adds_none() -> None:
    context = owning(platform="local", cpu=16, memory="64GiB", region="westeurope")
    offers = Offers(CATALOG, context, (MACHINE,))
    local = platform("local")
    assert offers.regions(online(), local) == ("local",)
    mine = MACHINE.model_copy(update={"tier": "own-hardware"})
    assert offers.offers(online(), local, "own-hardware", "local") == (mine,)
    assert offers.offers(online(), local, "own-hardware", "westeurope") == ()
    assert Offers(CATALOG, context).regions(online(), local) == ()


def test_this_machine_costs_what_its_owner_reckons() -> None:
    context = owning(platform="local", price_per_hour="0.25", currency="EUR")
    (offer,) = Offers(CATALOG, context, (MACHINE,)).offers(
        online(), platform("local"), "own-hardware", "local"
    )
    assert (offer.sku, offer.cpu, str(offer.price_per_hour)) == ("machine", 8, "0.25")
    assert offer.currency == "EUR"


def test_nothing_is_offered_where_the_service_is_known_not_to_be_sold() -> None:
    wanted = online(resources=SMALL)
    for name, service in SERVICES.items():
        unsold = next(
            (
                region
                for region in CATALOG.regions.names
                if CATALOG.services.offered(service, region) is False
            ),
            None,
        )
        if unsold is not None:
            assert offered(wanted, name, unsold) == (), name
    catalog = catalog_with(
        "availability", "service,region,offered", "Azure Machine Learning,eastus,no"
    )
    assert offered(wanted, "azureml-online-endpoint", "eastus", catalog=catalog) == ()


def test_nothing_is_offered_where_no_price_list_has_the_model_or_its_units() -> None:
    wanted = online(model="gpt-4o")
    for name, tier in (("azure-openai-standard", "pay-as-you-go"), (UNITS, "provisioned")):
        there = OFFERS.regions(wanted, platform(name))
        elsewhere = next(each for each in CATALOG.regions.names if each not in there)
        assert OFFERS.offers(wanted, platform(name), tier, elsewhere) == ()
    claude = online(model="claude-sonnet-4-5")
    external = platform("external-model-api")
    assert OFFERS.offers(claude, external, "pay-as-you-go", "westeurope") == ()
    unknown = online(model="no-such-model")
    assert OFFERS.offers(unknown, external, "pay-as-you-go", "anywhere") == ()


def test_the_order_of_the_inventory_changes_no_offer() -> None:
    entries = [
        Owned(name=name, platform="kubernetes", region="westeurope", cpu=cpu)
        for name, cpu in (("b", 4), ("a", 8))
    ]
    found = []
    for owned in (entries, entries[::-1]):
        context = DOLLARS.model_copy(update={"inventory": Inventory(owned=tuple(owned))})
        found.append(offered(online(), "kubernetes", "westeurope", "own-hardware", context=context))
    assert found[0] == found[1]
    assert [each.sku for each in found[0]] == ["a", "b"]


@pytest.mark.parametrize("name", ["kubernetes", "ray", "local"])
def test_what_nobody_owns_is_not_offered(name: str) -> None:
    assert OFFERS.regions(online(), platform(name)) == ()
    assert offered(online(), name, tier="own-hardware") == ()


def test_what_nobody_said_of_a_thing_that_is_owned_is_taken_to_be_enough() -> None:
    context = owning(platform="kubernetes")
    wanted = online(resources=SMALL)
    (offer,) = offered(wanted, "kubernetes", UNSTATED, "own-hardware", context=context)
    assert (offer.cpu, offer.memory, offer.count) == (2, 8 * 2**30, None)
    assert Offers(CATALOG, context).regions(wanted, platform("kubernetes")) == (UNSTATED,)


def test_what_has_no_sizes_is_as_large_as_is_asked_for() -> None:
    wanted = online(resources={"cpu": 3, "memory": "7GiB", "accelerator": "T4"})
    (offer,) = offered(wanted, "databricks-model-serving", "westeurope")
    assert (offer.sku, offer.cpu, offer.price_per_hour) == ("serverless", 3, None)
    assert offer.available is True
    assert offer.accelerator is not None
    flow = need(part="flow", flow={"resources": {"cpu": 1, "accelerator": "T4"}})
    (agent,) = offered(flow, "foundry-agent-service", "swedencentral")
    assert agent.accelerator is None


def test_a_hosted_model_is_one_however_many_ask() -> None:
    wanted = online(model="gpt-4o", replicas=3)
    (offer, *_) = offered(wanted, "azure-openai-standard", "swedencentral")
    assert OFFERS.count(wanted, offer) == 1


def test_machines_are_as_many_as_people_nodes_or_the_peak_need() -> None:
    people = need(part="explore", explore={"demand": {"users": 7}})
    nodes = need(part="train", train={"nodes": 4})
    peak = online(
        replicas=2,
        demand={
            "requests_per_second": 10,
            "peak_requests_per_second": 100,
            "replica_requests_per_second": 30,
        },
    )
    offer = offered(people, "data-science-vm")[0]
    assert [OFFERS.count(each, offer) for each in (people, nodes, peak)] == [7, 4, 4]


def test_several_replicas_share_a_machine_that_is_owned() -> None:
    demand = {"requests_per_second": 300, "replica_requests_per_second": 10}
    wanted = online(resources={"cpu": 1, "memory": "1GB"}, demand=demand)
    # The peak of 900 a second needs 90 replicas, 8 to a machine.
    assert OFFERS.count(wanted, MACHINE) == 12
    assert OFFERS.count(online(replicas=9), MACHINE) == 2
    assert OFFERS.count(online(), MACHINE) == 1
    large = online(resources={"cpu": 16}, replicas=2)
    assert OFFERS.count(large, MACHINE) == 2


def test_accelerators_limit_how_many_share_a_machine() -> None:
    machine = MACHINE.model_copy(update={"accelerator": Accelerator(kind="A100", count=2)})
    wanted = online(resources={"cpu": 1, "accelerator": "A100"}, replicas=5)
    assert OFFERS.count(wanted, machine) == 3


def test_more_hours_of_runs_than_a_month_has_take_several_machines() -> None:
    # 700 runs x 30 h are 21,000 h: 28.8 machines busy all month.
    long = need(part="train", train={"nodes": 2, "demand": {"runs": 700, "duration": "30h"}})
    short = need(part="train", train={"nodes": 2, "demand": {"runs": 73, "duration": "10h"}})
    for name in ("data-science-vm", "azureml-compute-cluster"):
        offer = offered(long, name)[0]
        assert [OFFERS.count(each, offer) for each in (long, short)] == [58, 2]
    rows = {"rows": 10**9, "rows_per_second": 100, "runs": 30}
    batch = need(part="batch", batch={"demand": rows})
    assert OFFERS.count(batch, offered(batch, "azureml-batch-endpoint")[0]) == 115
    measured = {"runs": 700, "duration": "30h", "measured": {"D4s_v5": "1h"}}
    tried = need(part="train", train={"demand": measured})
    here = offered(tried, "data-science-vm")[-1]
    assert (here.sku, OFFERS.count(tried, here)) == ("D4s_v5", 1)
