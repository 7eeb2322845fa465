"""H8b: pre-purchased, guaranteed throughput is a price tier of its own, with its break-even.

`plinth size` weighs units by their hour or reserved against pay as you go; the planner asks of each
candidate's tier whether a throughput is promised.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from plinth.catalog.provisioned import find_provisioned, load_provisioned
from plinth.domain.plan import Outcome
from plinth.kit.errors import Invalid
from plinth.planning.rules import RULES_OF
from plinth.planning.rules.online import throughput_promised
from plinth.planning.sizing.arrivals import Arrivals
from plinth.planning.sizing.sizing import Sizing, size
from plinth.planning.sizing.sizing_inputs import Given, make_inputs
from plinth.planning.sizing.sizing_words import describe_sizing
from tests.planning.rules.placed import application, apply, need, place

MODELS = load_provisioned()
# An hour of two requests a second: 168,000 weighted tokens a minute, without any peak.
STEADY = Arrivals(tuple(n / 2 for n in range(7201)), (1000,) * 7201, (100,) * 7201)


def sized(given: Given) -> tuple[Sizing, tuple[str, ...]]:
    inputs = make_inputs(STEADY, find_provisioned(MODELS, "gpt-4o", "Global"), given)
    made = size(inputs.question)
    return made, describe_sizing(inputs, made).sentences


def test_a_tier_above_break_even_is_rejected_with_its_reason() -> None:
    # A unit drains 150,000 tokens an hour, which cost 0.375 USD as burst, and costs 1 USD.
    made, sentences = sized(Given())
    assert made.chosen.units == 0
    assert made.break_even == Fraction(8, 3)
    assert "By price alone no unit pays off" in sentences[0]


def test_a_reserved_tier_below_break_even_is_chosen_for_the_steady_load() -> None:
    # 219 USD a month are 0.30 USD an hour, 80 % of 0.375; 70 units are used to 96 %.
    made, sentences = sized(Given(reserved_month=Decimal(219)))
    assert made.break_even == Fraction(4, 5)
    assert made.chosen.units == 65
    assert made.chosen.base == 65 * 219
    assert sentences[0].startswith("A unit pays off when more than 80.00 % of it is used")


@pytest.mark.parametrize(("kind", "units"), [("Global", 70), ("Regional", 100)])
def test_guaranteed_throughput_keeps_to_the_minimum_and_the_increment(
    kind: str, units: int
) -> None:
    # 168,000 a minute are 67.2 units of 2,500.
    given = Given(spill=Fraction(0))
    model = find_provisioned(MODELS, "gpt-4o", kind)
    assert size(make_inputs(STEADY, model, given).question).chosen.units == units


def test_a_tier_that_is_not_offered_is_rejected_with_those_that_are() -> None:
    with pytest.raises(Invalid) as refused:
        find_provisioned(MODELS, "gpt-5.4", "Regional")
    assert refused.value.message.endswith("accepted: Global, DataZone")


PROMISED = {"model": "gpt-4o", "requirements": {"guaranteed_throughput": True}}


@pytest.mark.parametrize(
    ("platform", "tier"),
    [
        ("azure-openai-provisioned", "provisioned"),
        ("azure-openai-provisioned", "reserved"),
        ("databricks-model-serving", "provisioned"),
    ],
)
def test_a_candidate_of_a_promised_tier_is_accepted(platform: str, tier: str) -> None:
    said = throughput_promised(need(online=PROMISED), place(platform, tier=tier, model="gpt-4o"))
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == f"the throughput that is paid for is promised (`{tier}`)"


def test_a_candidate_of_pay_as_you_go_is_rejected_where_it_must_be_promised() -> None:
    there = place("azure-openai-standard", tier="pay-as-you-go", model="gpt-4o")
    said = throughput_promised(need(online=PROMISED), there)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == "a promised throughput is required; `pay-as-you-go` there promises none"
    assert said.remedy == "`online.requirements.guaranteed_throughput: false`"
    assert said.change is not None
    assert throughput_promised(apply(application(online=PROMISED), said.change), there) is None


def test_a_candidate_whose_promise_nobody_knows_is_unknown() -> None:
    there = place("databricks-model-serving", tier="pay-as-you-go", model="gpt-4o")
    said = throughput_promised(need(online=PROMISED), there)
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert said.reason == "whether a throughput is promised for `pay-as-you-go` is not known"


def test_a_tier_that_is_not_known_is_not_named() -> None:
    asked = need(requirements={"guaranteed_throughput": True})
    said = throughput_promised(asked, place("azureml-online-endpoint"))
    assert said is not None
    assert said.reason == "a promised throughput is required; it promises none"


def test_a_flow_that_needs_a_promise_is_asked_too() -> None:
    assert throughput_promised in [rule.ask for rule in RULES_OF["flow"]]
    asked = need(part="flow", requirements={"guaranteed_throughput": True})
    said = throughput_promised(asked, place("foundry-agent-service", tier="pay-as-you-go"))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
