"""H0c: a serving API is a microservice: bulkheaded from others, with a life cycle of its own.

That one deployment's crash moves no other's errors is tried in the journeys; here the planner says
which platforms give each deployment a version, a scale and capacity of its own.
"""

from __future__ import annotations

import pytest

from plinth.domain.plan import Outcome, Verdict
from plinth.planning.rules.online import bulkhead_kept
from tests.planning.rules.placed import application, need, place, tried, with_facts


def judged(platform: str, criticality: str = "production", **offer: object) -> Verdict:
    asked = need(online={"requirements": {"criticality": criticality}})
    said = bulkhead_kept(asked, place(platform, **offer))
    assert said is not None
    return said


def test_each_deployment_of_a_managed_endpoint_lives_by_itself() -> None:
    said = judged("azureml-online-endpoint", "critical")
    assert said.outcome is Outcome.OK
    assert said.reason == (
        "each deployment has a server, a scale and a version of its own; up to 20 of one endpoint"
    )


def test_provisioned_units_are_a_bulkhead() -> None:
    said = judged("azure-openai-provisioned", "critical", tier="provisioned", model="gpt-4o")
    assert said.outcome is Outcome.OK
    assert said.reason == "its capacity is its own; others' load does not reach it"


@pytest.mark.parametrize("platform", ["azure-openai-standard", "external-model-api", "local"])
def test_shared_capacity_is_rejected_where_the_service_is_critical(platform: str) -> None:
    said = judged(platform, "critical", tier="pay-as-you-go")
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == (
        "`critical` needs capacity that others' load does not reach; here it is shared, and no "
        "throughput is promised"
    )
    whole = application(online={"requirements": {"criticality": "critical"}})
    assert tried(bulkhead_kept, whole, place(platform)).outcome is Outcome.OK


def test_shared_capacity_is_bearable_in_production_and_said() -> None:
    said = judged("azure-openai-standard")
    assert said.outcome is Outcome.OK
    assert "which `production` may bear" in said.reason


def test_a_platform_of_which_nothing_is_known_is_unknown() -> None:
    assert judged("databricks-model-serving").outcome is Outcome.UNKNOWN
    asked = need(online={"requirements": {"criticality": "production"}})
    facts = {"control": {"server_choice": None}, "traffic": {"deployments_max": None}}
    said = bulkhead_kept(asked, with_facts(place("azureml-online-endpoint"), **facts))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN


def test_a_development_endpoint_asks_for_no_bulkhead() -> None:
    asked = need(online={"requirements": {"criticality": "dev"}})
    assert bulkhead_kept(asked, place("azure-openai-standard")) is None


def test_what_spills_over_the_units_is_not_called_its_own() -> None:
    demand = {"requests_per_second": 10, "input_tokens": 1000, "output_tokens": 100}
    fields = {"model": "gpt-4o", "demand": demand}
    at = place("azure-openai-provisioned", tier="provisioned", model="gpt-4o", cpu=0, memory=0)
    said = bulkhead_kept(need(requirements={"criticality": "production"}, online=fields), at)
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "its units are its own; what the peak spills goes to pay-as-you-go, which others share",
    )
    promised = {"criticality": "production", "guaranteed_throughput": True}
    whole = bulkhead_kept(need(requirements=promised, online=fields), at)
    assert whole is not None
    assert whole.reason == "its capacity is its own; others' load does not reach it"
