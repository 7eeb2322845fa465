from plinth.domain.plan import Outcome
from plinth.planning.rules.measured_size import size_measured
from tests.catalog.imported import catalog_with
from tests.planning.rules.placed import need, place

TRIED = {"train": {"demand": {"measured": {"D4s_v5": "10h", "D8s_v5": "6h"}}}}


def test_at_the_spot_price_sizes_are_compared_by_that_price() -> None:
    said = size_measured(
        need(part="train", **TRIED), place("azureml-compute-cluster", "eastus", tier="spot")
    )
    assert said is not None
    assert said.outcome is Outcome.OK
    assert "10 h and 0.41 USD (`eastus`) a run" in said.reason


def test_a_run_costs_as_many_machines_as_it_spans() -> None:
    wide = {"train": {**TRIED["train"], "nodes": 3}}
    said = size_measured(need(part="train", **wide), place("aks", "eastus", sku="D8s_v5"))
    assert said is not None
    assert "6 h and 6.91 USD (`eastus`) a run" in said.reason


def test_a_faster_one_without_an_accelerator_does_not_replace_one_that_needs_it() -> None:
    asked = {
        "train": {
            "resources": {"accelerator": "T4"},
            "demand": {"measured": {"NC4as_T4_v3": "10h", "D8s_v5": "4h"}},
        }
    }
    said = size_measured(need(part="train", **asked), place("aks", "eastus", sku="NC4as_T4_v3"))
    assert said is not None
    assert said.outcome is Outcome.OK


def test_equals_do_not_beat_each_other() -> None:
    asked = {"train": {"demand": {"measured": {"D4s_v5": "4h", "d4s v5": "4h"}}}}
    said = size_measured(need(part="train", **asked), place("aks", "eastus"))
    assert said is not None
    assert said.outcome is Outcome.OK


def test_a_hosted_model_has_no_size() -> None:
    hosted = place("azure-openai-standard", sku="gpt-4o", model="gpt-4o")
    assert size_measured(need(part="train", **TRIED), hosted) is None


def test_prices_of_its_own_region_are_taken_when_each_size_has_one() -> None:
    head = "sku,region,amount,currency"
    rows = ("D4s_v5,westeurope,0.1,EUR", "D8s_v5,westeurope,0.9,EUR")
    both = place("aks", sku="D8s_v5", catalog=catalog_with("prices", head, *rows))
    said = size_measured(need(part="train", **TRIED), both)
    assert said is not None
    assert said.reason.startswith("6 h and 5.40 EUR (`westeurope`) a run")
    one = place("aks", sku="D8s_v5", catalog=catalog_with("prices", head, rows[0]))
    said = size_measured(need(part="train", **TRIED), one)
    assert said is not None
    assert said.reason.startswith("6 h and 2.30 USD (`eastus`) a run")


def test_prices_in_two_currencies_are_not_compared() -> None:
    head = "sku,region,amount,currency"
    rows = ("D4s_v5,eastus,0.1,EUR", "D8s_v5,eastus,0.9,GBP")
    mixed = place("aks", "eastus", catalog=catalog_with("prices", head, *rows))
    said = size_measured(need(part="train", **TRIED), mixed)
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
