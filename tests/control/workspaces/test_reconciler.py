"""A workspace from its start to its end: what is shown, when it stops, what stays."""

from __future__ import annotations

import pytest

from plinth.control.gateway_state import read_rows
from plinth.control.workspaces.service import (
    remove_workspace,
    session_of,
    stay_open,
)
from plinth.domain.run import Phase
from plinth.kit.errors import NotFound
from plinth.store.workspaces import find_workspace
from tests.control.plane import TEAM, Plane
from tests.control.workspaces.session import (
    OPEN,
    opened,
    stop,
    until_idle,
    until_open,
    until_stopped,
    workspace,
)


def test_it_opens_and_tells_after_how_long(plane: Plane) -> None:
    found = opened(plane)
    assert found.run is not None
    assert plane.run(found.run).phase is Phase.RUNNING
    assert found.activity.ready_s is not None
    assert found.activity.ready_s > 0
    assert plane.tracking.workspaces == {TEAM}
    assert plane.reasons("workspace/lab") == ["Starting", "Open"]
    plane.says(first_cell_at=plane.clock.now())
    plane.until(lambda: workspace(plane).activity.first_cell_s is not None)


def test_it_is_not_open_before_the_gateway_leads_to_it(plane: Plane) -> None:
    plane.gateway_lags = True
    plane.open()
    for _ in range(40):
        plane.step()
    assert workspace(plane).reason == "Starting"
    assert workspace(plane).message == "the gateway does not know it yet"
    plane.gateway_lags = False
    assert until_open(plane).reason in OPEN


def test_stopping_ends_compute_and_starting_again_is_a_new_session(plane: Plane) -> None:
    first = opened(plane).run
    stop(plane)
    stopped = until_stopped(plane)
    assert stopped.activity.active_at is None
    assert stopped.activity.ready_s is not None
    for _ in range(5):
        plane.step()
    assert [each.startswith(f"{first}.") for each in plane.world.starts] == [True]
    plane.open()
    second = until_open(plane)
    assert second.run != first
    assert second.activity.first_cell_s is None


def test_it_stops_by_itself_and_says_why(plane: Plane) -> None:
    opened(plane, idle_stop="60s")
    until_idle(plane)
    assert workspace(plane).message.startswith("stops in ")
    found = until_stopped(plane, "IdleStopped")
    assert found.desired == "stop"
    assert "nobody worked in it" in found.message
    assert plane.reasons("workspace/lab")[-2:] == ["Idle", "IdleStopped"]


def test_a_busy_kernel_is_never_ended_for_want_of_activity(plane: Plane) -> None:
    opened(plane, idle_stop="60s")
    kernel = {"name": "a.ipynb", "state": "busy", "active_at": plane.clock.now()}
    plane.says(kernels=[kernel])
    for _ in range(60):
        plane.step(10)
    assert workspace(plane).reason == "Busy"
    assert workspace(plane).activity.busy == ("a.ipynb",)
    plane.says(kernels=[])
    until_stopped(plane, "IdleStopped")


def test_one_that_says_nothing_for_a_while_stays(plane: Plane) -> None:
    opened(plane, idle_stop="60s")
    plane.seen = None
    for _ in range(30):
        plane.step(10)
    assert workspace(plane).desired == "run"


def test_asking_to_stay_puts_it_off(plane: Plane) -> None:
    opened(plane, idle_stop="60s")
    until_idle(plane)
    with plane.write() as connection:
        stay_open(connection, plane.context, workspace(plane))
    plane.step()
    plane.step(1)
    assert workspace(plane).reason == "Open"


def test_a_removed_one_leaves_its_usage_and_its_files(plane: Plane) -> None:
    run = str(opened(plane).run)
    personal = plane.home.files / TEAM / "people" / plane.actor().principal.id
    (personal / "kept.txt").write_text("kept")
    plane.parts.metering.collect()
    with plane.write() as connection:
        remove_workspace(connection, plane.context, workspace(plane))

    def is_gone() -> bool:
        plane.parts.metering.collect()
        with plane.database.read() as connection:
            found = find_workspace(connection, "lab")
            # While its runs go, lists and the gateway still look at it.
            assert found is None or session_of(connection, found) is None or found.run == run
            read_rows(connection, plane.context)
        return found is None

    plane.until(is_gone)
    with pytest.raises(NotFound):
        plane.run(run)
    assert (personal / "kept.txt").read_text() == "kept"
    assert not (plane.home.runs / run).exists()
    used = [each for each in plane.context.ledger.records() if each.workload == "workspace/lab"]
    assert sum(each.quantity for each in used) > 0


def test_a_control_plane_that_restarts_goes_on(plane: Plane) -> None:
    found = opened(plane)
    plane.restart()
    again = until_open(plane)
    assert (again.run, again.activity.ready_s) == (found.run, found.activity.ready_s)
    assert len(plane.world.starts) == 1


def test_a_session_that_crashes_says_so_and_how_and_what_is_gone(plane: Plane) -> None:
    found = opened(plane, idle_stop="60s")
    kernel = {"name": "a.ipynb", "state": "idle", "active_at": plane.clock.now()}
    plane.says(kernels=[kernel])
    plane.step(5)
    plane.world.end(f"{found.run}.0.1", -9, "its supervisor was killed")
    plane.until(lambda: workspace(plane).reason == "Restarting")
    said = workspace(plane)
    assert said.message == (
        "attempt 1 ended: its supervisor was killed; attempt 2 begins with the same files; its "
        "kernels, and what they held in memory, are gone"
    )
    assert (said.activity.attempt, said.activity.kernels) == (2, 0)
    again = until_open(plane)
    assert again.run == found.run
    assert plane.reasons("workspace/lab")[:4] == ["Starting", "Open", "Restarting", "Open"]
    assert plane.run(str(found.run)).reason == "Ready"
    # Said once: the second attempt is the one that is looked at from now on.
    for _ in range(5):
        plane.step(1)
    assert plane.reasons("workspace/lab").count("Restarting") == 1


def test_one_that_crashes_before_it_is_open_has_lost_nothing(plane: Plane) -> None:
    plane.gateway_lags = True
    run = plane.open().run
    plane.until(lambda: f"{run}.0.1" in plane.world.replicas)
    plane.world.end(f"{run}.0.1", 1)
    plane.until(lambda: workspace(plane).reason == "Restarting")
    assert workspace(plane).message == "attempt 1 ended: exited with 1; attempt 2 begins"
