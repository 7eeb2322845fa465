"""E1: exploration is transient: its compute starts and stops on demand.

The running half (workspaces that start, stop and keep files) is not here yet; this is the advice.
"""

from __future__ import annotations

from plinth.domain.plan import Outcome
from plinth.planning.rules.explore import compute_transient
from tests.planning.rules.placed import need, place

EXPLORE = {"explore": {"demand": {"users": 5, "hours": 80}}}


def test_a_compute_instance_is_accepted_since_it_stops_on_demand() -> None:
    said = compute_transient(need(part="explore", **EXPLORE), place("azureml-compute-instance"))
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == "it is started and stopped on demand; paid for 80 of 730 hours of a month"


def test_a_virtual_machine_is_rejected_with_the_hours_that_it_would_idle() -> None:
    said = compute_transient(need(part="explore", **EXPLORE), place("data-science-vm"))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason.endswith("650 of 730 hours of a month idle")
    # No field of the file makes a machine stop by itself.
    assert said.change is None


def test_where_the_fact_is_missing_it_says_which_and_where() -> None:
    said = compute_transient(need(part="explore", **EXPLORE), place("foundry-hub"))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert "`compute.ephemeral` is missing in platforms/foundry-hub.yaml" in said.reason
