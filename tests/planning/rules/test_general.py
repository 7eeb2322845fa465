"""Reuse, day-2 work, what was measured, development, budgets, monitoring, maturity."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from plinth.domain.need import Need, needs_of
from plinth.domain.plan import CostLine, MonthCost, Outcome
from plinth.domain.workload import Endpoint, Job
from plinth.planning.context import Context
from plinth.planning.rules.general import (
    GENERAL,
    already_owned,
    availability_relaxed,
    commitment_accepted,
    lasting,
    measured,
    seen,
    within_budget,
    work_bearable,
)
from tests.catalog.imported import catalog_with
from tests.planning.rules.placed import (
    admitted,
    application,
    month_cost,
    need,
    owning,
    place,
    tried,
    with_facts,
)


@pytest.mark.parametrize(
    "workload",
    [
        Job(kind="job", name="train", command=("python",)),
        Endpoint(kind="endpoint", name="delay", model="models:/m@champion"),
    ],
)
def test_nothing_is_asked_of_a_plain_job_or_endpoint(workload: Job | Endpoint) -> None:
    (wanted,) = needs_of(workload)
    here = place("local", region="local", sku="machine", tier="own-hardware")
    assert [rule.id for rule in GENERAL if rule.ask(wanted, here) is not None] == (
        ["R7"] if wanted.demand is not None else []
    )


def test_what_is_owned_is_named_with_its_region() -> None:
    said = already_owned(need(), owning(place("aks"), "aks", region="westeurope"))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "you own `our-aks` in westeurope: preferred",
    )


@pytest.mark.parametrize("name", ["aks", "local", "azureml-online-endpoint"])
def test_what_anybody_can_start_with_need_not_be_owned(name: str) -> None:
    assert already_owned(need(), place(name)) is None


@pytest.mark.parametrize("name", ["kubernetes", "ray"])
def test_machines_that_nobody_has_are_no_place_and_the_change_says_what_to_own(name: str) -> None:
    whole = application(
        data={"orders": {"size": "1GB", "region": "northeurope"}},
        online={
            "data": ["orders"],
            "replicas": 3,
            "resources": {"cpu": 2, "memory": "4GB", "accelerator": "T4:1"},
        },
    )
    said = already_owned(needs_of(whole)[0], place(name))
    assert said is not None
    assert said.reason == "it runs on machines that you own, and the inventory has none for it"
    assert str(said.change) == (
        f"plinth inventory add {name} --region northeurope --cpu 2 --memory 4000MB "
        "--accelerator T4:1 --count 4"
    )
    assert admitted(already_owned, whole, place(name))


@pytest.mark.parametrize(
    ("fields", "region"),
    [
        ({"requirements": {"residency": "germany"}}, "germanywestcentral"),
        ({"requirements": {"regions": ["uksouth", "eu"]}}, "uksouth"),
        ({}, None),
    ],
)
def test_machines_have_to_stand_where_the_file_allows_it(
    fields: dict[str, object], region: str | None
) -> None:
    said = already_owned(need(**fields), place("kubernetes"))
    assert said is not None
    assert said.change is not None
    assert isinstance(said.change.value, dict)
    assert said.change.value.get("region") == region


def test_the_hours_of_day_2_are_told_by_task() -> None:
    said = work_bearable(need(), place("aks"))
    assert said is not None
    assert said.reason == (
        "22 h of work a month (patching 4, upgrades 5, on call 6, scaling 3, security 4)"
    )


def test_too_many_hours_reject_it_and_more_hours_admit_it() -> None:
    whole = application(requirements={"day2_hours": 8})
    said = work_bearable(needs_of(whole)[0], place("aks"))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason.endswith("security 4), at most 8 h are wanted")
    assert said.remedy == "`online.requirements.day2_hours: 22.0`"
    assert admitted(work_bearable, whole, place("aks"))


def test_hours_that_nobody_knows_are_unknown_where_they_matter() -> None:
    unknown = with_facts(place("aks"), day2={"patching": None})
    assert work_bearable(need(), unknown) is None
    said = work_bearable(need(requirements={"day2_hours": 8}), unknown)
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert "kind: day2-hours" in said.reason


def served(**demand: object) -> Need:
    return need(online={"replicas": 2, "demand": {"requests_per_second": 10, **demand}})


def test_what_was_measured_is_compared_with_the_peak() -> None:
    said = measured(served(replica_requests_per_second=15), place("aks", count=2))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "measured: 2 x 15 requests/s are 30, the peak has 30",
    )


def test_too_few_replicas_are_rejected_and_enough_are_named() -> None:
    demand = {"requests_per_second": 10, "replica_requests_per_second": 7}
    whole = application(online={"replicas": 2, "demand": demand})
    said = measured(needs_of(whole)[0], place("aks", count=2))
    assert said is not None
    assert said.reason == "measured: 2 x 7 requests/s are 14, the peak has 30"
    assert said.remedy == "`online.replicas: 5`"
    assert admitted(measured, whole, place("aks", count=2))


def test_more_replicas_than_a_file_may_have_are_not_named() -> None:
    demand = {"requests_per_second": 1_000_000, "replica_requests_per_second": 1}
    said = measured(need(online={"demand": demand}), place("aks"))
    assert said is not None
    assert (said.outcome, said.change) == (Outcome.NOT_OK, None)


def test_an_estimate_says_what_to_measure() -> None:
    said = measured(served(), place("aks"))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert "state `online.demand.replica_requests_per_second`" in said.reason


def test_nobody_measures_the_machines_of_a_hosted_model() -> None:
    whole = application(online={"model": "gpt-4o"})
    offer = place("azure-openai-standard", model="gpt-4o", cpu=0, memory=0)
    assert measured(needs_of(whole)[0], offer) is None


@pytest.mark.parametrize(
    ("sku", "outcome", "words"),
    [
        ("D8s_v5", Outcome.OK, "measured: one run took 5h 00m on `D8s_v5`"),
        ("Standard_D8s_v5", Outcome.OK, "measured: one run took 5h 00m on `D8s_v5`"),
        ("D4s_v5", Outcome.UNKNOWN, "estimated: `D4s_v5` was not measured, only `D8s_v5`"),
    ],
)
def test_a_training_size_is_measured_or_an_estimate(sku: str, outcome: Outcome, words: str) -> None:
    wanted = need(part="train", train={"demand": {"measured": {"D8s_v5": "5h"}}})
    said = measured(wanted, place("azureml-compute-cluster", sku=sku))
    assert said is not None
    assert (said.outcome, said.reason) == (outcome, words)


def test_rows_a_second_are_measured_or_an_estimate() -> None:
    at = place("azureml-batch-endpoint")
    known = measured(need(part="batch", batch={"demand": {"rows_per_second": 400}}), at)
    guessed = measured(need(part="batch"), at)
    assert known is not None
    assert guessed is not None
    assert known.reason == "measured: one instance does 400 rows/s"
    assert guessed.outcome is Outcome.UNKNOWN
    assert measured(need(part="batch", batch={"demand": {"duration": "2h"}}), at) is None


@pytest.mark.parametrize("criticality", ["dev", "test"])
def test_development_needs_neither_zones_nor_a_second_region(criticality: str) -> None:
    said = availability_relaxed(need(requirements={"criticality": criticality}), place("local"))
    assert said is not None
    assert said.reason == f"`{criticality}`: neither zones nor a second region are asked of it"


def test_exploration_is_development_and_production_is_not() -> None:
    assert availability_relaxed(need(part="explore"), place("aks")) is not None
    assert availability_relaxed(need(), place("aks")) is None
    assert availability_relaxed(need(requirements={"criticality": "production"}), place("aks")) is (
        None
    )


WITH_BUDGET = application(requirements={"budget": "3000 USD"})


def test_a_month_within_the_budget_is_ok_and_no_budget_asks_nothing() -> None:
    said = within_budget(needs_of(WITH_BUDGET)[0], place("aks", cost="2999.99"))
    assert said is not None
    assert said.reason == "2,999.99 USD a month; the budget is 3,000.00 USD"
    assert within_budget(need(), place("aks", cost="2999.99")) is None


def test_a_dearer_month_is_rejected_and_the_next_whole_amount_admits_it() -> None:
    dear = place("aks", cost="3000.001")
    said = within_budget(needs_of(WITH_BUDGET)[0], dear)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == "3,000.01 USD a month; the budget is 3,000.00 USD"
    assert said.remedy == '`online.requirements.budget: "3001 USD"`'
    assert admitted(within_budget, WITH_BUDGET, dear)


def test_a_range_that_reaches_above_the_budget_is_a_warning() -> None:
    said = within_budget(
        needs_of(WITH_BUDGET)[0], place("aks", cost=month_cost("2800", high="3300"))
    )
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason.endswith("and it may come to 3,300.00")


def test_a_cost_that_was_not_reckoned_is_unknown() -> None:
    said = within_budget(needs_of(WITH_BUDGET)[0], place("aks"))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN


def test_a_line_without_a_price_is_named() -> None:
    said = within_budget(needs_of(WITH_BUDGET)[0], place("aks", cost=month_cost(None)))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert said.reason == "the budget is 3,000.00 USD; what `compute` costs is not known"


def test_what_is_known_already_may_be_above_the_budget() -> None:
    lines = (
        CostLine(what="compute", amount=Decimal(4000), how="stated by a test"),
        CostLine(what="storage", amount=None, how="stated by a test"),
    )
    said = within_budget(
        needs_of(WITH_BUDGET)[0], place("aks", cost=MonthCost(currency="USD", lines=lines))
    )
    assert said is not None
    assert (said.outcome, said.change) == (Outcome.NOT_OK, None)
    assert said.reason == "at least 4,000.00 USD a month; the budget is 3,000.00 USD"


def test_another_currency_needs_a_rate_that_was_stated() -> None:
    whole = application(requirements={"budget": "3000 EUR"})
    without = within_budget(needs_of(whole)[0], place("aks", cost=3200))
    assert without is not None
    assert without.outcome is Outcome.UNKNOWN
    assert "no rate from USD to EUR is known" in without.reason
    rates = catalog_with("exchange-rates", "from,to,rate", "USD,EUR,0.92")
    within = within_budget(needs_of(whole)[0], place("aks", cost=3200, catalog=rates))
    assert within is not None
    assert within.reason == "2,944.00 EUR a month; the budget is 3,000.00 EUR"
    above = place("aks", cost=3300, catalog=rates)
    then = tried(within_budget, whole, above)
    assert then is not None
    assert then.reason == "3,036.00 EUR a month; the budget is 3,036.00 EUR"


def test_blind_spots_are_listed() -> None:
    said = seen(need(), place("aks"))
    assert said is not None
    assert said.reason == (
        "not to be seen: requests errors and tokens of a model; cost by deployment"
    )
    assert seen(need(), with_facts(place("aks"), monitoring={"blind_spots": ()})) is not None


def test_blind_spots_that_nobody_knows_are_unknown() -> None:
    said = seen(need(part="batch"), place("azureml-serverless-spark"))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN


def test_production_is_not_put_where_nothing_can_be_seen() -> None:
    whole = application(requirements={"criticality": "production"})
    dark = with_facts(place("aks"), monitoring={"shows": ()})
    said = seen(needs_of(whole)[0], dark)
    assert said is not None
    assert said.reason == "`production` has to be watched, and nothing of it can be seen"
    assert admitted(seen, whole, dark)


def test_what_ends_is_a_risk_until_the_day() -> None:
    wanted = need(part="flow")
    before = lasting(wanted, place("prompt-flow"))
    after = lasting(
        wanted, place("prompt-flow", context=Context(today=date(2027, 4, 20), currency="USD"))
    )
    assert before is not None
    assert after is not None
    assert before.reason == (
        "a risk: it ends on 2027-04-20, in 149 days; its provider names Microsoft Agent Framework"
    )
    assert (before.outcome, after.outcome) == (Outcome.OK, Outcome.NOT_OK)
    assert after.reason.startswith("it ended on 2027-04-20")
    whenever = lasting(wanted, place("prompt-flow", context=Context()))
    assert whenever is not None
    assert whenever.reason.startswith("a risk: it ends on 2027-04-20; ")


def test_what_is_archived_is_rejected() -> None:
    said = lasting(need(), with_facts(place("aks"), maturity={"stage": "archived"}))
    assert said is not None
    assert (said.outcome, said.change) == (Outcome.NOT_OK, None)


def test_a_preview_is_a_risk_and_not_for_production() -> None:
    preview = with_facts(place("aks"), maturity={"stage": "preview"})
    assert lasting(need(), preview) is not None
    whole = application(requirements={"criticality": "production"})
    said = lasting(needs_of(whole)[0], preview)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert admitted(lasting, whole, preview)


def test_what_is_generally_available_needs_no_word_and_an_unknown_stage_does() -> None:
    assert lasting(need(), place("aks")) is None
    said = lasting(need(), place("azureml-serverless-api"))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    retiring = lasting(need(), with_facts(place("aks"), maturity={"stage": "retiring"}))
    assert retiring is not None
    assert "on a day that is not known" in retiring.reason


def test_a_reservation_needs_somebody_who_commits() -> None:
    whole = application(online={"format": "onnx"})
    here = place("azureml-online-endpoint", tier="reserved")
    said = commitment_accepted(needs_of(whole)[0], here)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.remedy == "`online.requirements.commitment: true`"
    accepted = application(online={"format": "onnx"}, requirements={"commitment": True})
    then = commitment_accepted(needs_of(accepted)[0], here)
    assert then is not None
    assert then.outcome is Outcome.OK
    bought = place("azureml-online-endpoint", tier="pay-as-you-go")
    assert commitment_accepted(needs_of(whole)[0], bought) is None
