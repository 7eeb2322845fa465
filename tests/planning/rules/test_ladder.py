"""What is said of the steps of the ladder that were passed over."""

from __future__ import annotations

from typing import get_args

import pytest

from plinth.domain.need import needs_of
from plinth.domain.plan import Candidate, Outcome, PartPlan, Verdict
from plinth.domain.platform import Rung
from plinth.domain.workload import Endpoint
from plinth.planning.context import Placement
from plinth.planning.rules.ladder import LADDER, ladder_verdict, step_of, step_on_ladder
from plinth.planning.rules.rule import not_ok
from tests.planning.rules.placed import month_cost, place, with_facts


def candidate(placement: Placement, *verdicts: Verdict) -> Candidate:
    return Candidate(
        platform=placement.platform.name,
        offer=placement.offer,
        verdicts=verdicts,
        cost=placement.cost,
    )


def said_of(
    chosen: Candidate | None, *rejected: Candidate, function: str = "online"
) -> Verdict | None:
    part = PartPlan(name="online", function=function, chosen=chosen, rejected=rejected)
    names = {each.platform for each in (*((chosen,) if chosen else ()), *rejected)}
    return ladder_verdict(part, {name: place(name).platform for name in names})


def words(chosen: Candidate, *rejected: Candidate) -> str:
    said = said_of(chosen, *rejected)
    assert said is not None
    return said.reason


AKS = candidate(place("aks", cost="80"))
MANAGED = place("azureml-online-endpoint", cost="95.5")


def test_every_rung_has_one_step() -> None:
    rungs = [rung for step in LADDER for rung in step]
    assert sorted(rungs) == sorted(get_args(Rung))
    assert [step_of(rung) for rung in ("saas", "paas", "serverless", "own")] == [0, 0, 1, 5]


def test_a_step_without_a_candidate_is_said() -> None:
    assert words(AKS) == (
        "`aks` is on `kubernetes`. Passed over: saas/paas: no candidate; serverless: no candidate; "
        "managed: no candidate"
    )


def test_platforms_that_the_same_reason_rejects_stand_together() -> None:
    why = not_ok("R2.regions", "it is in `eastus`")
    text = words(AKS, *(candidate(place(n), why) for n in ("azureml-serverless-api",)))
    assert "serverless: `azureml-serverless-api` (R2.regions: it is in `eastus`)" in text
    both = ("azure-openai-standard", "external-model-api")
    text = words(AKS, *(candidate(place(name), why) for name in both))
    assert "saas/paas: `azure-openai-standard`, `external-model-api` (R2.regions: it" in text


def test_a_tier_that_is_possible_speaks_for_its_platform() -> None:
    no = not_ok("T5b", "may be taken back")
    text = words(AKS, candidate(MANAGED, no), candidate(MANAGED), candidate(MANAGED, no))
    assert "managed: `azureml-online-endpoint` (possible, 95.50 USD a month against 80.00)" in text


@pytest.mark.parametrize(
    "cost", [None, month_cost(None), month_cost("80"), month_cost("95", currency="EUR")]
)
def test_what_is_not_known_to_be_dearer_has_a_worse_score(cost: object) -> None:
    made = candidate(MANAGED).model_copy(update={"cost": cost})
    assert "managed: `azureml-online-endpoint` (possible, its score is worse)" in words(AKS, made)


def test_platforms_that_serve_no_requests_are_not_passed_over() -> None:
    text = words(AKS, candidate(place("databricks-jobs"), not_ok("G2", "does `train`")))
    assert "managed: no candidate" in text


def test_other_functions_and_plans_without_a_choice_have_no_ladder() -> None:
    assert said_of(AKS, function="train") is None
    assert said_of(None, AKS) is None


def test_a_chosen_platform_that_is_not_described_is_unknown() -> None:
    part = PartPlan(name="online", function="online", chosen=AKS, rejected=())
    said = ladder_verdict(part, {})
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN


def test_an_endpoint_on_this_machine_is_not_asked_for_its_step() -> None:
    endpoint = {"kind": "endpoint", "name": "delay", "model": "models:/m@champion"}
    (one,) = needs_of(Endpoint.model_validate(endpoint))
    assert step_on_ladder(one, place("local")) is None
    assert step_on_ladder(one, with_facts(place("aks"), compute={"rung": None})) is None
    assert step_on_ladder(one, place("aks")) is not None
