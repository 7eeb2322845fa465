"""H16: online: PaaS and serverless are evaluated first; what is passed over has its reason."""

from __future__ import annotations

from decimal import Decimal

from plinth.domain.need import Need
from plinth.domain.plan import Candidate, Outcome, PartPlan, Verdict
from plinth.domain.platform import Platform
from plinth.planning.context import Placement
from plinth.planning.rules import RULES_OF
from plinth.planning.rules.ladder import ladder_verdict, step_on_ladder
from tests.planning.rules.placed import need, place, with_facts

OWN = need(online={"format": "onnx"})
HOSTED = need(online={"model": "gpt-4o"})
PLACES = (
    place("azure-openai-standard", model="gpt-4o", tier="pay-as-you-go", cost="300"),
    place("databricks-model-serving", tier="pay-as-you-go", cost="250"),
    place("azureml-online-endpoint", tier="pay-as-you-go", cost="200"),
    place("aks", tier="pay-as-you-go", cost="150.50"),
)


def candidate(asked: Need, placement: Placement) -> Candidate:
    verdicts = (rule.ask(asked, placement) for rule in RULES_OF["online"])
    return Candidate(
        platform=placement.platform.name,
        offer=placement.offer,
        verdicts=tuple(verdict for verdict in verdicts if verdict is not None),
        cost=placement.cost,
    )


def judged(asked: Need, chosen: str) -> Verdict:
    """Return what is said of the ladder when `chosen` of PLACES is the best."""
    made = {each.platform.name: candidate(asked, each) for each in PLACES}
    first = made.pop(chosen)
    part = PartPlan(name="online", function="online", chosen=first, rejected=(*made.values(),))
    platforms: dict[str, Platform] = {each.platform.name: each.platform for each in PLACES}
    said = ladder_verdict(part, platforms)
    assert said is not None
    return said


def test_the_first_step_is_taken_where_it_does_what_is_needed() -> None:
    said = judged(HOSTED, "azure-openai-standard")
    assert said.outcome is Outcome.OK
    assert said.reason == "`azure-openai-standard` is on the first step of the ladder, `paas`"


def test_each_step_that_is_passed_over_has_the_rule_that_rejected_it() -> None:
    said = judged(OWN, "azureml-online-endpoint")
    assert said.outcome is Outcome.OK
    assert said.reason == (
        "`azureml-online-endpoint` is on `managed`. Passed over: "
        "saas/paas: `azure-openai-standard` (H0b.own: needs a model of your own (`onnx`); it "
        "serves only models that its provider hosts); "
        "serverless: `databricks-model-serving` (H0a: its own server takes `mlflow-pyfunc`, not "
        "`onnx`)"
    )


def test_a_step_that_would_do_is_passed_over_for_what_it_costs() -> None:
    said = judged(OWN, "aks")
    assert "managed: `azureml-online-endpoint` (possible, 200.00 USD a month against 150.50)" in (
        said.reason
    )


def test_a_platform_says_its_step_and_what_that_leaves_to_you() -> None:
    said = step_on_ladder(OWN, place("azureml-online-endpoint"))
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == (
        "step 3 of 6, `managed`: about 7 hours of work a month; no longer yours: the host system "
        "and when it is changed"
    )


def test_a_platform_whose_step_nobody_knows_is_unknown() -> None:
    said = step_on_ladder(OWN, with_facts(place("aks"), compute={"rung": None}))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert "`compute.rung`" in said.reason


def test_the_first_step_is_rejected_for_a_model_of_ones_own() -> None:
    first = candidate(OWN, PLACES[0])
    assert not first.is_feasible
    assert Decimal(300) == (first.cost.amount if first.cost else None)
