"""E4: own schedule within cost expectations: the advisor's half, a month against its budget."""

from __future__ import annotations

from plinth.domain.need import needs_of
from plinth.domain.plan import Outcome
from plinth.planning.advice import make_advice
from plinth.planning.context import Market
from plinth.planning.rules.general import within_budget
from tests.catalog.imported import catalog_with
from tests.planning.applications import CATALOG, CONTEXT, MACHINE, every_platform
from tests.planning.rules.placed import admitted, application, month_cost, place

EXPLORE = application("explore", requirements={"budget": "500 EUR"})


def test_a_month_within_the_budget_is_accepted_with_both_numbers() -> None:
    cost = month_cost("412.30", currency="EUR")
    said = within_budget(needs_of(EXPLORE)[0], place("azureml-compute-instance", cost=cost))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "412.30 EUR a month; the budget is 500.00 EUR",
    )


def test_a_dearer_month_is_rejected_with_the_budget_that_admits_it() -> None:
    at = place("azureml-compute-instance", cost=month_cost("512.30", currency="EUR"))
    said = within_budget(needs_of(EXPLORE)[0], at)
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.NOT_OK,
        "512.30 EUR a month; the budget is 500.00 EUR",
    )
    assert said.remedy == '`explore.requirements.budget: "513 EUR"`'
    assert admitted(within_budget, EXPLORE, at, "explore")


def test_a_range_that_reaches_above_is_accepted_with_a_warning() -> None:
    cost = month_cost("412.30", high="600", currency="EUR")
    said = within_budget(needs_of(EXPLORE)[0], place("azureml-compute-instance", cost=cost))
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason.endswith("the budget is 500.00 EUR, and it may come to 600.00")


def test_a_price_that_nobody_knows_is_not_free() -> None:
    said = within_budget(
        needs_of(EXPLORE)[0], place("azureml-compute-instance", cost=month_cost(None))
    )
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN


def test_another_currency_is_compared_at_a_stated_rate_only() -> None:
    unstated = within_budget(needs_of(EXPLORE)[0], place("azureml-compute-instance", cost=400))
    assert unstated is not None
    assert unstated.outcome is Outcome.UNKNOWN
    assert "no rate from USD to EUR is known" in unstated.reason
    rates = catalog_with("exchange-rates", "from,to,rate", "USD,EUR,0.9")
    at = place("azureml-compute-instance", cost=400, catalog=rates)
    said = within_budget(needs_of(EXPLORE)[0], at)
    assert said is not None
    assert said.reason == "360.00 EUR a month; the budget is 500.00 EUR"


def test_a_plan_rejects_what_is_over_the_budget_and_shows_it() -> None:
    whole = application(
        online={"format": "mlflow-pyfunc"},
        requirements={"budget": "1 USD", "regions": ["eastus"]},
    )
    (part,) = make_advice(whole, Market(every_platform(), CATALOG, CONTEXT, (MACHINE,))).parts
    dear = next(each for each in part.rejected if each.platform == "azureml-online-endpoint")
    (said,) = (each for each in dear.verdicts if each.rule == "E4")
    assert said.outcome is Outcome.NOT_OK
    assert said.reason.endswith("USD a month; the budget is 1.00 USD")
