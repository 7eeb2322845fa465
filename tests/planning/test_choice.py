"""The choice is made for all parts together, and second regions are those that sell the same."""

from __future__ import annotations

from dataclasses import replace

from plinth.catalog.platforms import system_of
from plinth.domain.inventory import Inventory, Owned
from plinth.domain.plan import Candidate
from plinth.planning.advice import make_advice, places_of
from plinth.planning.choice import choose
from plinth.planning.context import Market
from tests.planning.applications import CONTEXT, MARKET, application

TRAINED = {"resources": {"cpu": 4, "memory": "16GB"}, "demand": {"runs": 8, "duration": "2h"}}


def owning(**facts: object) -> Market:
    owned = Owned.model_validate({"name": "own", **facts})
    context = CONTEXT.model_copy(update={"inventory": Inventory(owned=(owned,))})
    return replace(MARKET, context=context, local=())


def candidates(market: Market, **fields: object) -> list[Candidate]:
    (part,) = make_advice(application(**fields), market).parts
    return [*((part.chosen,) if part.chosen else ()), *part.rejected]


def test_no_region_takes_over_that_does_not_sell_the_same() -> None:
    cluster = {"platform": "kubernetes", "region": "westeurope", "cpu": 8, "memory": "32GB"}
    critical = {"criticality": "critical", "regions": ["westeurope", "northeurope"]}
    for each in candidates(
        owning(**cluster, count=4), requirements=critical, online={"format": "onnx"}
    ):
        if each.platform == "kubernetes":
            assert each.offer.standby is None
            assert not each.is_feasible
    for each in candidates(
        MARKET,
        requirements={"criticality": "critical", "regions": ["eastus2", "centralus"]},
        online={"model": "gpt-4o", "demand": {"input_tokens": 900, "output_tokens": 100}},
    ):
        if each.platform == "azure-openai-provisioned" and each.offer.region == "eastus2":
            assert each.offer.standby != "centralus"


def test_training_and_tuning_may_share_a_service_by_two_of_its_platforms() -> None:
    whole = application(
        requirements={"regions": ["westeurope"]},
        train=TRAINED,
        tune={**TRAINED, "method": "lora", "base_model": "llama-3.1-8b"},
    )
    parts = [places_of(whole, name, MARKET) for name in ("train", "tune")]
    choice = choose(parts, whole.weights, MARKET)
    assert choice is not None
    assert len({system_of(entry.platform) for entry in choice.entries if entry}) == 1


def test_home_is_where_something_stands() -> None:
    advice = make_advice(
        application(requirements={"regions": ["eastus", "westeurope"]}, train=TRAINED), MARKET
    )
    (part,) = advice.parts
    assert part.chosen is not None
    assert advice.home == part.chosen.offer.region


def test_leaving_azure_is_paid_for() -> None:
    data = {"rows": {"size": "3TB", "region": "westeurope"}}
    for each in candidates(MARKET, data=data, train={**TRAINED, "data": ["rows"]}):
        if each.platform == "local" and each.cost is not None:
            moved = next(line for line in each.cost.lines if line.what.startswith("moving"))
            assert moved.amount is not None
            assert moved.amount > 1000
