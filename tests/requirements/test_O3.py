"""O3: a flow is always on, so it is elastic: it grows to the peak, and what idles has its cost.

That a first request is held, and none is lost, is in `tests/journeys/test_flow_workers.py`.
"""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from plinth.domain.application import Application
from plinth.domain.need import needs_of
from plinth.domain.plan import Outcome
from plinth.planning.rules.basic import scale_to_zero_supported
from plinth.planning.rules.flow import follows_the_demand
from plinth.units.demand import Demand
from plinth.units.spec import Elastic
from tests.control.flows.stand import flow_of
from tests.control.plane import make_plane
from tests.control.test_metering import lives, serving_seconds, sleeping
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


# -- what Plinth itself hosts ----------------------------------------------------------------------


def test_a_flow_with_workers_from_none_on_fits_where_scale_to_zero_is_required() -> None:
    wanted = {"requirements": {"scale_to_zero": True}}
    found = []
    for more in ({}, {"workers": "0..4"}):
        (flow,) = needs_of(flow_of(**wanted, **more))
        said = scale_to_zero_supported(flow, place("azureml-online-endpoint"))
        assert said is not None
        found.append((said.outcome, said.reason))
    assert found == [
        (Outcome.NOT_OK, "scale to zero is required, and it keeps every replica running"),
        (Outcome.OK, "its workers end while nobody asks, and the first request starts one"),
    ]


def test_nothing_is_charged_while_nobody_asks_and_each_worker_is_while_it_runs() -> None:
    with make_plane() as plane:
        run = sleeping(plane)
        plane.step(7200)
        assert serving_seconds(plane) == 0
        lives(plane, run, (60, 90), (60, 75.5))
        assert serving_seconds(plane) == 45.5


def test_as_many_workers_as_the_requests_ask_for_and_none_before_the_first() -> None:
    demand, waits = Demand(Elastic(0, 3)), [False]
    assert demand.wish(0.0, 0, 0, lambda: waits[0]).listen
    waits[0] = True
    assert demand.wish(1.0, 0, 0, lambda: waits[0]).start
    assert not demand.wish(2.0, 3, 0, lambda: waits[0]).start


def test_workers_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"is no number of workers; write `0\.\.4`"):
        flow_of(workers="some")
