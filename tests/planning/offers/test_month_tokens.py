from __future__ import annotations

from typing import Any

import pytest

from plinth.catalog.meter_name import Counted
from plinth.catalog.meters import MeterQuery
from plinth.domain.need import Need
from plinth.domain.platform import Processed
from plinth.planning.offers.month_tokens import DEPLOYMENTS, TUNED, external_price, model_prices
from tests.catalog.imported import catalog_with
from tests.planning.bought import CATALOG, DOLLARS, cents, cost, line, offered, online
from tests.planning.rules.placed import application, need, need_of

ASKED = {"requests_per_second": 2, "input_tokens": 1500, "output_tokens": 300}
PRICES = model_prices(CATALOG)


def test_tokens_cost_requests_times_tokens_times_the_meter() -> None:
    # 2 x 730 x 3,600 = 5,256,000 requests; gpt-4o 1120 Global: 2.50 and 10 USD a million.
    wanted = online(model="gpt-4o", demand=ASKED)
    found = cost(wanted, "azure-openai-standard", processed_in="global")
    assert cents(line(found, "input").amount) == "19710.00"
    assert cents(line(found, "output").amount) == "15768.00"
    assert cents(found.amount) == "35478.00"
    assert not found.is_estimated
    assert "5,256,000 requests x 1,500 tokens x 2.5 USD for a million" in found.lines[0].how


def test_a_region_that_is_dearer_costs_more() -> None:
    # gpt-4o 1120 regnl: 0.00275 / 0.011 for 1K in East US, 0.003025 / 0.0121 in Sweden Central.
    wanted = online(model="gpt-4o", demand=ASKED)
    here = cost(wanted, "azure-openai-standard", "eastus")
    there = cost(wanted, "azure-openai-standard", "swedencentral")
    assert cents(here.amount) == "39025.80"
    assert cents(there.amount) == "42928.38"


def test_requests_are_counted_only_while_anybody_asks() -> None:
    wanted = online(model="gpt-4o", demand={**ASKED, "active_hours": 73.0})
    found = cost(wanted, "azure-openai-standard", processed_in="global")
    assert cents(found.amount) == "3547.80"


def test_the_batch_api_has_meters_of_its_own() -> None:
    # 30 x 1,000,000 rows x (400 x 1.25 + 50 x 5) / 1,000,000, gpt-4o 1120 Batch Global.
    demand = {"rows": 1_000_000, "input_tokens": 400, "output_tokens": 50}
    wanted = need(part="batch", batch={"model": "gpt-4o", "demand": demand})
    found = cost(wanted, "azure-openai-batch", tier="batch", processed_in="global")
    assert cents(found.amount) == "22500.00"
    assert "30,000,000 rows" in found.lines[0].how


def test_tuning_costs_the_tokens_of_its_runs() -> None:
    # gpt-4o 0806 fine tuning, Global: 0.025 USD for 1K; 4 runs of 5,000,000 tokens.
    wanted = need(
        part="tune",
        tune={"base_model": "gpt-4o", "method": "lora", "demand": {"tokens": 5_000_000}},
    )
    found = cost(wanted, "azure-openai-standard", "swedencentral", processed_in="global")
    assert cents(found.amount) == "500.00"


def test_reinforcement_costs_hours() -> None:
    # o4-mini RFT training, Global: 100 USD an hour; 4 runs of 3 h.
    wanted = need(
        part="tune",
        tune={
            "base_model": "o4-mini",
            "method": "reinforcement",
            "demand": {"tokens": 1_000_000, "duration": "3h"},
        },
    )
    found = cost(wanted, "azure-openai-standard", "swedencentral", processed_in="global")
    assert cents(found.amount) == "1200.00"


@pytest.mark.parametrize(
    ("demand", "field"),
    [({"output_tokens": 300}, "input_tokens"), ({"input_tokens": 300}, "output_tokens")],
)
def test_tokens_that_nobody_stated_leave_the_amount_unknown(
    demand: dict[str, int], field: str
) -> None:
    found = cost(online(model="gpt-4o", demand=demand), "azure-openai-standard")
    assert found.amount is None
    assert f"state `demand.{field}`" in line(found, field.replace("_", " ")).how


def test_an_embedding_has_no_price_for_what_it_does_not_write() -> None:
    # text-embedding-3-large Global: 0.00013 USD for 1K; 2,628,000 requests x 1,000 tokens.
    wanted = online(
        model="text-embedding-3-large",
        demand={"requests_per_second": 1, "input_tokens": 1000, "output_tokens": 0},
    )
    found = cost(wanted, "azure-openai-standard", processed_in="global")
    assert [each.what for each in found.lines] == ["input tokens of text-embedding-3-large"]
    assert cents(found.amount) == "341.64"


def test_a_price_of_ones_own_replaces_the_list() -> None:
    catalog = catalog_with(
        "prices",
        "model,counted,deployment,amount,currency,unit",
        "gpt-4o,input,global,2,USD,1M",
        "gpt-4o,output,global,8,USD,1M",
    )
    wanted = online(model="gpt-4o", demand=ASKED)
    found = cost(wanted, "azure-openai-standard", catalog=catalog, processed_in="global")
    assert cents(found.amount) == "28382.40"


def test_a_model_of_another_provider_costs_what_its_maker_lists() -> None:
    wanted = online(model="claude-sonnet-4-5", demand=ASKED)
    found = cost(wanted, "external-model-api", "anywhere")
    price = external_price("claude-sonnet-4-5", DOLLARS.today)
    assert price is not None
    # 5,256,000 x (1,500 x 3 + 300 x 15) / 1,000,000.
    assert cents(found.amount) == "47304.00"
    assert "anthropic" in found.lines[0].source.lower()


def test_a_model_that_nobody_lists_is_not_offered_and_has_no_price() -> None:
    assert external_price("no-such-model", DOLLARS.today) is None
    assert offered(online(model="no-such-model"), "azure-openai-standard") == ()


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4.1-mini", "llama-3.3-70b", "deepseek-v3"])
@pytest.mark.parametrize("processed", ["region", "data-zone", "global"])
def test_all_regions_at_once_say_what_each_says_alone(model: str, processed: Processed) -> None:
    together = PRICES.by_region(model, Counted.OUTPUT, processed, frozenset())
    for region in ("eastus", "swedencentral", "westeurope", "japaneast", "southindia"):
        query = MeterQuery(model, Counted.OUTPUT, DEPLOYMENTS[processed], region)
        assert together.get(region) == CATALOG.meters.price(query)


def test_who_sells_a_model_is_read_off_its_meters() -> None:
    assert PRICES.is_openai("gpt-4o")
    assert not PRICES.is_openai("llama-3.3-70b")
    assert not PRICES.is_openai("no-such-model")


def test_a_name_with_instruct_is_the_one_that_the_list_has_without() -> None:
    wanted = online(model="Llama-3.3-70B-Instruct", demand=ASKED)
    found = cost(wanted, "azureml-serverless-api", processed_in="global")
    short = online(model="llama-3.3-70b", demand=ASKED)
    assert found.amount == cost(short, "azureml-serverless-api", processed_in="global").amount
    assert not PRICES.is_openai("llama-3.3-70b-instruct")


def tuned(part: str = "online", model: str = "gpt-4o", **fields: Any) -> Need:
    """Return the need of a part that serves what the application tunes."""
    tune = {"base_model": model, "method": "lora"}
    return need_of(application("tune", tune=tune, **{part: {"model": model, **fields}}), part)


def test_a_model_that_was_tuned_costs_its_own_tokens_and_its_hosting() -> None:
    # gpt-4o 0806 fine-tuned, regional, Sweden Central: 0.00275 and 0.011 USD for 1K, 1.70 an hour.
    # 5,256,000 requests x 1,500 and x 300 tokens; 730 h.
    found = cost(tuned(demand=ASKED), "azure-openai-standard", "swedencentral")
    assert cents(line(found, "input tokens of tuned gpt-4o").amount) == "21681.00"
    assert cents(line(found, "output tokens of tuned gpt-4o").amount) == "17344.80"
    hosting = line(found, "hosting of tuned gpt-4o")
    assert cents(hosting.amount) == "1241.00"
    assert hosting.how == "730 h x 1.7 USD an hour, whether anybody asks or not"


def test_a_tuned_model_of_another_maker_is_hosted_by_its_deployments_meter() -> None:
    wanted = tuned(model="llama-3.3-70b", demand=ASKED)
    found = cost(wanted, "azureml-serverless-api", processed_in="data-zone")
    assert cents(line(found, "hosting").amount) == "240.90"  # 730 x 0.33
    # 0.000781 USD for 1K: 5,256,000 x 1,800.
    assert cents(found.amount) == "7629.78"


def test_where_no_list_has_the_tuned_one_its_price_is_unknown_and_not_the_base_models() -> None:
    demand = {"rows": 1_000_000, "input_tokens": 400, "output_tokens": 50}
    batch = tuned("batch", demand=demand)
    of_batch = cost(batch, "azure-openai-batch", tier="batch", processed_in="global")
    maker = cost(tuned(model="claude-sonnet-4-5", demand=ASKED), "external-model-api", "anywhere")
    for found in (of_batch, maker):
        assert found.amount is None
        assert all(each.amount is None for each in found.lines)
        assert "no price of a tuned one is known" in found.lines[0].how


def test_regions_that_differ_only_in_the_tuned_models_price_are_told_apart() -> None:
    wanted = tuned(demand=ASKED)
    there = model_prices(CATALOG).by_region("gpt-4o", Counted.INPUT, "global", TUNED)
    base = model_prices(CATALOG).by_region("gpt-4o", Counted.INPUT, "global", frozenset())
    without = next(region for region in base if region not in there)
    known = cost(wanted, "azure-openai-standard", "swedencentral", processed_in="global")
    unknown = cost(wanted, "azure-openai-standard", without, processed_in="global")
    assert known.amount is not None
    assert unknown.amount is None


def test_what_a_tuned_model_spills_is_hosted_beside_its_units() -> None:
    wanted = tuned(demand={**ASKED, "peak_requests_per_second": 4})
    name = "azure-openai-provisioned"
    found = cost(wanted, name, "swedencentral", "provisioned", processed_in="global")
    assert "a tuned one is taken to need as many units" in found.lines[0].how
    assert cents(line(found, "hosting").amount) == "1241.00"
    held = tuned(demand=ASKED, requirements={"guaranteed_throughput": True})
    whole = cost(held, name, "swedencentral", "provisioned", processed_in="global")
    assert not any("hosting" in each.what for each in whole.lines)


def test_a_tuned_model_is_hosted_in_the_second_region_too() -> None:
    found = cost(
        tuned(demand=ASKED), "azure-openai-standard", "swedencentral", standby="northcentralus"
    )
    hosting = line(found, "standby in northcentralus: hosting of tuned gpt-4o")
    assert cents(hosting.amount) == "1241.00"
    base = online(model="gpt-4o", demand=ASKED)
    untuned = cost(base, "azure-openai-standard", "swedencentral", standby="northcentralus")
    assert not any("hosting" in each.what for each in untuned.lines)
