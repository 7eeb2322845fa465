"""O3: a flow is always on, so it is elastic: it grows to the peak, and what idles has its cost."""

from __future__ import annotations

from typing import Any

from plinth.domain.application import Application
from plinth.domain.plan import Outcome
from plinth.planning.rules.flow import follows_the_demand
from tests.planning.rules.placed import application, need_of, place, tried

OFFICE = {"demand": {"active_hours": 200}}
BUSY = {
    "demand": {
        "requests_per_second": 4,
        "peak_requests_per_second": 9,
        "replica_requests_per_second": 4,
    }
}


def asking(**flow: Any) -> Application:
    return application("flow", flow=flow)


def test_a_platform_that_scales_to_zero_is_accepted() -> None:
    where = place("foundry-agent-service", cost="300")
    said = follows_the_demand(need_of(asking(**OFFICE), "flow"), where)
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == "it grows with the requests, and to zero while nobody asks"


def test_one_that_stays_up_is_accepted_with_the_hours_that_idle_and_their_cost() -> None:
    where = place("azureml-online-endpoint", cost="300")
    said = follows_the_demand(need_of(asking(**OFFICE), "flow"), where)
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == (
        "keeps 1 replica running: 530 of 730 h a month are idle, about 218 USD of its cost"
    )


def test_too_few_replicas_for_the_peak_are_rejected_where_none_are_added() -> None:
    where = place("azureml-online-endpoint")
    said = follows_the_demand(need_of(asking(**BUSY), "flow"), where)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == ("the peak of 9 requests a second needs 3 replicas of 4 each, 1 stated")
    assert str(said.change) == "flow.replicas: 3"
    then = tried(follows_the_demand, asking(**BUSY), where, "flow")
    assert then is not None
    assert then.outcome is Outcome.OK
    assert then.reason == "keeps 3 replicas running: no hour of a month is idle"


def test_a_single_replica_of_production_is_warned_of() -> None:
    whole = asking(requirements={"criticality": "production"})
    said = follows_the_demand(need_of(whole, "flow"), place("azureml-online-endpoint"))
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason.endswith("; the only replica is away whenever it is replaced")


def test_a_missing_fact_is_unknown_and_is_named() -> None:
    said = follows_the_demand(need_of(asking(**OFFICE), "flow"), place("aks"))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert said.reason == (
        "whether it scales to zero is not known, `scale_to_zero` of its facts would say it; if "
        "not, 530 of 730 h a month are idle"
    )
