"""E1: exploration is transient: its compute starts and stops on demand, and files stay.

What is advised, and what a workspace does; tests/journeys/test_workspaces.py has real ones.
"""

from __future__ import annotations

from plinth.domain.plan import Outcome
from plinth.planning.rules.explore import compute_transient
from tests.control.plane import TEAM, make_plane
from tests.control.workspaces.session import (
    opened,
    stop,
    until_open,
    until_stopped,
    workspace,
)
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


def test_a_workspace_s_compute_lasts_as_long_as_its_session_and_its_files_longer() -> None:
    with make_plane() as plane:
        run = opened(plane).run
        personal = plane.home.files / TEAM / "people" / plane.actor().principal.id
        (personal / "notes.txt").write_text("kept")
        stop(plane)
        until_stopped(plane)
        plane.parts.metering.collect()
        used = [each.quantity for each in plane.context.ledger.records()]
        for _ in range(50):
            plane.step(10)
            plane.parts.metering.collect()
        assert [each.quantity for each in plane.context.ledger.records()] == used
        plane.open()
        assert until_open(plane).run != run
        assert (personal / "notes.txt").read_text() == "kept"


def test_idle_it_stops_by_itself_and_busy_it_never_does() -> None:
    with make_plane() as plane:
        opened(plane, idle_stop="60s")
        kernel = {"name": "a.ipynb", "state": "busy", "active_at": plane.clock.now()}
        plane.says(kernels=[kernel])
        for _ in range(30):
            plane.step(10)
        assert workspace(plane).reason == "Busy"
        plane.says(kernels=[])
        assert until_stopped(plane, "IdleStopped").desired == "stop"
