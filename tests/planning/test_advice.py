"""A whole application is placed together: feasible, cheapest in all, the same bytes each time."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from plinth.domain.inventory import Inventory, Owned
from plinth.domain.plan import Advice, Outcome, PartPlan
from plinth.domain.requirements import Budget
from plinth.domain.workload import Job
from plinth.kit.errors import Invalid
from plinth.planning.advice import make_advice, make_choice, places_of, weights_of
from plinth.planning.joint import MICRO
from tests.catalog.imported import catalog_with
from tests.planning.applications import CONTEXT, MARKET, application, at_random

EU = {"regions": ["westeurope", "northeurope"]}
TRAINED = {"resources": {"cpu": 4, "memory": "16GB"}, "demand": {"runs": 8, "duration": "2h"}}
SERVED = {
    "format": "mlflow-pyfunc",
    "replicas": 2,
    "demand": {"requests_per_second": 5, "replica_requests_per_second": 40},
}


def advised(**fields: object) -> Advice:
    return make_advice(application(**fields), MARKET)


def part(advice: Advice, name: str) -> PartPlan:
    return next(each for each in advice.parts if each.name == name)


def test_every_part_has_a_feasible_place_and_every_other_way_is_told() -> None:
    advice = advised(requirements=EU, train=TRAINED, online=SERVED)
    assert advice.is_feasible
    for each in advice.parts:
        assert each.chosen is not None
        assert each.chosen.is_feasible
        names = {candidate.platform for candidate in (each.chosen, *each.rejected)}
        assert names == {platform.name for platform in MARKET.platforms}
        for candidate in each.rejected:
            failing = [one for one in candidate.verdicts if one.outcome is Outcome.NOT_OK]
            assert candidate.is_feasible or failing
            assert all(one.reason for one in failing)


def test_the_same_input_gives_the_same_bytes_in_whatever_order_platforms_come() -> None:
    asked = application(requirements=EU, train=TRAINED, online=SERVED)
    first = make_advice(asked, MARKET).model_dump_json()
    turned = replace(MARKET, platforms=tuple(reversed(MARKET.platforms)))
    assert make_advice(asked, MARKET).model_dump_json() == first
    assert make_advice(asked, turned).model_dump_json() == first


def test_what_it_depends_on_changes_its_digest() -> None:
    asked = application(train=TRAINED)
    digest = make_advice(asked, MARKET).inputs_digest
    owned = Inventory(owned=(Owned(name="aks", platform="aks"),))
    others = (
        make_advice(application(train={**TRAINED, "nodes": 2}), MARKET),
        make_advice(asked, replace(MARKET, platforms=MARKET.platforms[1:])),
        make_advice(asked, replace(MARKET, local=())),
        make_advice(
            asked, replace(MARKET, context=CONTEXT.model_copy(update={"inventory": owned}))
        ),
    )
    assert digest not in {each.inputs_digest for each in others}


def test_no_feasible_choice_has_a_smaller_sum() -> None:
    for seed in range(60):
        asked = at_random(seed)
        weights = weights_of(asked, CONTEXT)
        for found in make_advice(asked, MARKET).parts:
            if found.chosen is None or len(asked.parts) > 1:
                continue
            # Alone, a part weighs its cost, its work and its open questions.
            places = places_of(asked, found.name, MARKET)
            sums = []
            for entry in places.entries:
                added = places.settle(entry)
                if added is None:
                    continue
                place = places.places[entry.number]
                hours = 0 if place.way.owned else place.way.platform.capability.day2.total or 0
                total = entry.floor + added + int(hours * weights.hour * MICRO)
                sums.append((total, place.way.platform.name, place.offer))
            chosen = [each[0] for each in sums if each[2] == found.chosen.offer]
            assert min(sums, key=lambda each: each[0])[0] in chosen, seed


def test_the_sum_that_is_shown_adds_up() -> None:
    advice = advised(requirements=EU, train=TRAINED, online=SERVED)
    shown = {line.what: line.amount for line in advice.score}
    costs = [each.chosen.cost.amount for each in advice.parts if each.chosen and each.chosen.cost]
    assert shown["cost"] == sum((each for each in costs if each), Decimal(0))
    assert advice.cost.amount == shown["cost"]
    assert advice.cost.low is not None
    assert advice.cost.high is not None
    assert advice.cost.low <= advice.cost.amount <= advice.cost.high
    unknown = sum(
        verdict.outcome is Outcome.UNKNOWN
        for each in advice.parts
        if each.chosen
        for verdict in each.chosen.verdicts
    )
    assert shown["unknowns"] == 50 * unknown


def test_training_and_tuning_stand_on_one_platform() -> None:
    tuned = {**TRAINED, "method": "lora", "base_model": "llama-3.1-8b"}
    advice = advised(requirements=EU, train=TRAINED, tune=tuned)
    chosen = {each.chosen.platform for each in advice.parts if each.chosen}
    assert len(chosen) == 1
    assert "T0c" in {verdict.rule for verdict in advice.joint}


def test_parts_come_to_the_region_where_the_data_lies() -> None:
    data = {"rows": {"size": "500GB", "region": "northeurope"}}
    advice = advised(requirements=EU, data=data, train={**TRAINED, "data": ["rows"]}, online=SERVED)
    assert advice.home == "northeurope"
    assert {each.chosen.offer.region for each in advice.parts if each.chosen} == {"northeurope"}


def test_moving_data_between_regions_is_a_line_of_the_cost() -> None:
    data = {"rows": {"size": "500GB", "region": "eastus"}}
    advice = advised(requirements=EU, data=data, train={**TRAINED, "data": ["rows"]})
    chosen = part(advice, "train").chosen
    assert chosen is not None
    assert chosen.cost is not None
    moved = next(line for line in chosen.cost.lines if line.what.startswith("moving"))
    # 500 GB x 8 runs x 0.02 USD (egress.csv, inter-region).
    assert moved.amount == Decimal(80)


def test_what_is_owned_is_preferred_when_it_meets_the_needs() -> None:
    asked = application(requirements={"regions": ["westeurope"]}, train=TRAINED)
    owned = Owned(name="aks", platform="aks", region="westeurope")
    context = CONTEXT.model_copy(update={"inventory": Inventory(owned=(owned,))})
    chosen = part(make_advice(asked, replace(MARKET, context=context)), "train")
    answers = {each.platform: each for each in (chosen.chosen, *chosen.rejected) if each}
    assert answers["aks"].owned
    assert "R1" in {verdict.rule for verdict in answers["aks"].verdicts}


def test_a_second_region_stands_by_where_a_region_may_be_lost() -> None:
    critical = {**EU, "criticality": "critical"}
    advice = advised(requirements=critical, online=SERVED)
    for candidate in (part(advice, "online").chosen, *part(advice, "online").rejected):
        if candidate is not None and candidate.is_feasible:
            assert candidate.offer.standby in EU["regions"]
            assert candidate.offer.standby != candidate.offer.region


def test_a_part_without_a_place_leaves_the_others_theirs() -> None:
    advice = advised(train={**TRAINED, "resources": {"cpu": 9000}}, online=SERVED)
    assert not advice.is_feasible
    assert part(advice, "train").chosen is None
    assert part(advice, "online").chosen is not None
    assert advice.cost.amount is None


def test_a_plain_job_stays_on_this_machine() -> None:
    job = Job.model_validate({"kind": "job", "name": "train", "command": ["python"]})
    advice = make_advice(job, MARKET)
    (found,) = advice.parts
    assert found.chosen is not None
    assert (found.chosen.platform, found.chosen.startable) == ("local", True)


def test_weights_change_the_choice() -> None:
    asked = application(requirements=EU, online=SERVED)
    free = application(requirements=EU, online=SERVED, weights={"hour": 0, "unknown": 0})
    one, other = make_advice(asked, MARKET), make_advice(free, MARKET)
    work = {line.what: line.amount for line in other.score}["day-2 work"]
    assert work == 0
    assert one.inputs_digest != other.inputs_digest


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"requirements": {"regions": ["westeurop"]}}, "did you mean `westeurope`"),
        ({"requirements": {"residency": "mars"}}, "neither a region nor a group"),
        ({"requirements": {"platform": "databrick-jobs"}}, "did you mean `databricks-jobs`"),
        ({"data": {"rows": {"size": 1, "region": "eu"}}}, "`eu` is not a region"),
        ({"data": {"rows": {"size": 1, "platform": "oracle"}}}, "there is no platform `oracle`"),
    ],
)
def test_a_name_that_nobody_knows_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        advised(**fields, train={})


def test_an_advice_survives_being_written() -> None:
    advice = advised(requirements=EU, train=TRAINED)
    assert Advice.model_validate(json.loads(advice.model_dump_json())) == advice


def test_a_budget_of_the_whole_holds_for_all_parts_together() -> None:
    wide = advised(requirements={**EU, "budget": "5000 USD"}, train=TRAINED, online=SERVED)
    said = next(each for each in wide.joint if each.rule == "E4")
    assert (said.outcome, wide.is_feasible) == (Outcome.OK, True)
    assert wide.cost.amount is not None
    # Each part alone is below it, both are above.
    narrow = int(wide.cost.amount) - 1
    tight = advised(requirements={**EU, "budget": f"{narrow} USD"}, train=TRAINED, online=SERVED)
    over = next(each for each in tight.joint if each.rule == "E4")
    if tight.is_feasible:
        assert "left aside" in over.reason
    else:
        assert str(over.change).startswith("requirements.budget: ")


def test_spend_that_is_promised_is_not_paid_again() -> None:
    owned = Owned(
        name="ml", platform="azureml-compute-cluster", committed=Decimal(2), currency="USD"
    )
    context = CONTEXT.model_copy(update={"inventory": Inventory(owned=(owned,))})
    asked = application(requirements=EU, train=TRAINED)
    advice = make_advice(asked, replace(MARKET, context=context))
    chosen = part(advice, "train").chosen
    assert chosen is not None
    assert chosen.platform == "azureml-compute-cluster"
    shown = {line.what: line.amount for line in advice.score}
    assert shown["promised"] == -2
    assert shown["cost"] == Decimal("3.07200")
    reasons = {verdict.rule: verdict.reason for verdict in chosen.verdicts}
    assert reasons["R1"].endswith("2 USD of a month are promised and paid anyway")


def test_a_budget_in_another_currency_needs_a_rate() -> None:
    asked = application(requirements={**EU, "budget": "5000 EUR"}, train=TRAINED, online=SERVED)
    said = next(each for each in make_advice(asked, MARKET).joint if each.rule == "E4")
    assert said.outcome is Outcome.UNKNOWN
    assert said.reason == "the budget is in EUR, and no rate to it is stated"
    rated = catalog_with("exchange-rates", "from,to,rate", "USD,EUR,0.9")
    judged = make_advice(asked, replace(MARKET, catalog=rated))
    said = next(each for each in judged.joint if each.rule == "E4")
    assert said.outcome is Outcome.OK
    assert said.reason.endswith("the budget is 5,000 EUR")


def test_bringing_data_from_home_is_a_line_of_the_cost_too() -> None:
    asked = application(
        data={"rows": {"size": "500GB"}},
        explore={"requirements": {"regions": ["westeurope"]}, "data": ["rows"]},
        batch={
            "requirements": {"regions": ["northeurope"]},
            "data": ["rows"],
            "format": "mlflow-pyfunc",
            "demand": {"runs": 30, "duration": "1h"},
        },
    )
    advice = make_advice(asked, MARKET)
    assert advice.home == "northeurope"
    chosen = part(advice, "explore").chosen
    assert chosen is not None
    assert chosen.cost is not None
    moved = next(line for line in chosen.cost.lines if line.what.startswith("moving"))
    assert moved.amount == Decimal(10)


@pytest.mark.parametrize("budget", [None, Budget(amount=Decimal(900), currency="USD")])
def test_the_choice_alone_is_the_one_of_the_whole_advice(budget: Budget | None) -> None:
    for seed in range(12):
        whole = at_random(seed)
        wanted = whole.requirements.model_copy(update={"budget": budget})
        asked = whole.model_copy(update={"requirements": wanted})
        advice = make_advice(asked, MARKET)
        platforms = {part.name: part.chosen and part.chosen.platform for part in advice.parts}
        assert make_choice(asked, MARKET) == platforms
