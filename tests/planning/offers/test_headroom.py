from __future__ import annotations

from plinth.catalog.catalog import Catalog
from plinth.domain.need import Need
from plinth.domain.plan import Headroom
from plinth.domain.platform import Limit, Offer
from plinth.planning.offers.headroom import headroom
from plinth.planning.offers.offers import Offers
from tests.catalog.imported import catalog_with
from tests.planning.bought import CATALOG, DOLLARS, SMALL, offered, online, owning
from tests.planning.rules.placed import need, platform

COLUMNS = "quota,of,region,limit,used"
ASKED = {
    "requests_per_second": 2,
    "peak_requests_per_second": 4,
    "input_tokens": 1500,
    "output_tokens": 300,
}


def of_machines(catalog: Catalog = CATALOG, count: int = 3) -> tuple[Headroom, ...]:
    offer = offered(online(resources=SMALL), "azureml-online-endpoint", "westeurope")[0]
    return headroom(online(resources=SMALL), offer, count, catalog)


def of_model(wanted: Need, catalog: Catalog = CATALOG) -> tuple[Headroom, ...]:
    offer = offered(wanted, "azure-openai-standard", "swedencentral")[0]
    return headroom(wanted, offer, 1, catalog)


def test_what_nobody_stated_is_unknown_and_says_how_to_state_it() -> None:
    (processors,) = of_machines()
    assert (processors.what, processors.needed) == ("processors of Dsv5", 6)
    assert processors.reachable is None
    assert "`plinth catalog import` (kind: quotas)" in processors.source


def test_the_tightest_of_a_series_and_of_all_is_what_is_reachable() -> None:
    rows = ("cpu,Dsv5,westeurope,100,20", "cpu,,westeurope,350,330")
    (processors,) = of_machines(catalog_with("quotas", COLUMNS, *rows))
    assert processors.reachable == 20
    assert "ours.csv" in processors.source


def test_a_quota_whose_use_is_unknown_tells_only_what_is_too_little() -> None:
    (enough,) = of_machines(catalog_with("quotas", COLUMNS, "cpu,Dsv5,westeurope,100,"))
    assert enough.reachable is None
    assert "the quota is 100" in enough.source
    (too_little,) = of_machines(catalog_with("quotas", COLUMNS, "cpu,Dsv5,westeurope,4,"))
    assert too_little.reachable == 4


def test_accelerators_are_counted_over_all_machines() -> None:
    wanted = need(part="train", train={"resources": {"cpu": 4, "accelerator": "A100:1"}})
    offer = offered(wanted, "azureml-compute-cluster", "westeurope")[0]
    catalog = catalog_with("quotas", COLUMNS, "accelerators,A100,westeurope,4,1")
    found = {each.unit: each for each in headroom(wanted, offer, 2, catalog)}
    assert (found["accelerators"].needed, found["accelerators"].reachable) == (2, 3)
    assert found["processors"].needed == 48


def test_spot_has_a_quota_of_its_own() -> None:
    wanted = need(part="train", train={"resources": SMALL})
    offer = offered(wanted, "azureml-compute-cluster", "westeurope", "spot")[0]
    catalog = catalog_with("quotas", COLUMNS, "spot-cpu,,westeurope,100,10")
    (found,) = headroom(wanted, offer, 1, catalog)
    assert (found.what, found.reachable) == ("spot processors", 90)


def test_a_hosted_model_needs_requests_and_tokens_a_minute_at_the_peak() -> None:
    catalog = catalog_with("quotas", COLUMNS, "tokens-per-minute,gpt-4o,swedencentral,450000,50000")
    requests, tokens = of_model(online(model="gpt-4o", demand=ASKED), catalog)
    assert (requests.needed, requests.reachable) == (240, None)
    assert (tokens.needed, tokens.reachable) == (432_000, 400_000)


def test_tokens_that_nobody_stated_are_not_asked_for() -> None:
    (requests,) = of_model(online(model="gpt-4o"))
    assert requests.unit == "requests a minute"


def test_provisioned_units_have_a_quota() -> None:
    wanted = online(model="gpt-4o", demand=ASKED)
    offer = offered(wanted, "azure-openai-provisioned", "eastus", "provisioned")[0]
    catalog = catalog_with("quotas", COLUMNS, "provisioned-units,gpt-4o,eastus,300,0")
    (units,) = headroom(wanted, offer, 130, catalog)
    assert (units.needed, units.reachable, units.unit) == (130, 300, "units")


def test_endpoints_are_told_where_their_quota_was_stated() -> None:
    catalog = catalog_with("quotas", COLUMNS, "endpoints,,westeurope,100,100")
    found = {each.unit: each for each in of_machines(catalog)}
    assert (found["endpoints"].needed, found["endpoints"].reachable) == (1, 0)


def test_what_is_owned_has_as_many_machines_as_were_named() -> None:
    wanted = online(resources=SMALL)
    for count, reachable in ((4, 4), (None, None)):
        context = owning(platform="kubernetes", region="westeurope", count=count)
        offer = offered(wanted, "kubernetes", "westeurope", "own-hardware", context=context)[0]
        (found,) = headroom(wanted, offer, 2, CATALOG)
        assert (found.needed, found.reachable) == (2, reachable)
    assert "`plinth inventory add`" in found.source


def test_limits_of_the_platform_that_plainly_match_are_told_too() -> None:
    wanted = online(resources=SMALL, demand=ASKED)
    there = platform("azureml-online-endpoint")
    offer = offered(wanted, there.name, "westeurope")[0]
    found = {each.what: each for each in headroom(wanted, offer, 3, CATALOG, there)}
    assert found["instances of a deployment"].needed == 3
    assert found["instances of a deployment"].reachable == 50
    assert (
        found["requests of an endpoint"].needed,
        found["requests of an endpoint"].reachable,
    ) == (
        4,
        500,
    )
    assert "can be raised" in found["requests of an endpoint"].source


def test_a_batch_file_has_a_limit_of_requests() -> None:
    wanted = need(part="batch", batch={"model": "gpt-4o", "demand": {"rows": 250_000}})
    there = platform("azure-openai-batch")
    offer = offered(wanted, there.name, "swedencentral", "batch")[0]
    (found,) = headroom(wanted, offer, 1, CATALOG, there)
    assert (found.what, found.needed, found.reachable) == ("requests of a file", 250_000, 100_000)


def test_a_limit_of_one_persons_machine_is_none_of_all_together() -> None:
    wanted = need(part="explore", explore={"demand": {"users": 6}})
    there = platform("azureml-compute-instance")
    offer = offered(wanted, "azureml-compute-instance", "westeurope")[0]
    told = headroom(wanted, offer, 6, CATALOG, there)
    assert "nodes" not in {each.what for each in told}


def test_nodes_of_one_run_are_not_those_of_all_runs_at_once() -> None:
    demand = {"runs": 30, "duration": "100h"}
    wanted = need(part="batch", batch={"nodes": 2, "demand": demand})
    there = platform("azureml-batch-endpoint")
    offer = offered(wanted, there.name, "westeurope")[0]
    limit = Limit(name="nodes of a parallel run", value=100, unit="nodes")
    limits = there.capability.limits.model_copy(update={"items": (limit,)})
    capability = there.capability.model_copy(update={"limits": limits})
    limited = there.model_copy(update={"capability": capability})
    found = {each.what: each for each in headroom(wanted, offer, 10, CATALOG, limited)}
    assert found["nodes of a parallel run"].needed == 2


def test_this_machine_is_one_and_says_so_itself() -> None:
    wanted = online(resources={"cpu": 1, "memory": "1GB"}, replicas=20)
    machine = Offer(sku="machine", region="local", cpu=8, memory=32 * 10**9, count=1)
    offers = Offers(CATALOG, DOLLARS, (machine,))
    (offer,) = offers.offers(wanted, platform("local"), "own-hardware", "local")
    (found,) = headroom(wanted, offer, offers.count(wanted, offer), CATALOG)
    assert (found.needed, found.reachable, found.source) == (3, 1, "this machine")
