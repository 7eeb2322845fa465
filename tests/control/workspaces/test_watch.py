"""What follows when the tool of a session starts, fails to, or ends."""

from __future__ import annotations

from plinth.domain.run import Phase
from tests.control.plane import Plane
from tests.control.workspaces.session import (
    opened,
    until_open,
    until_stopped,
    workspace,
)


def test_a_tool_that_ends_is_opened_again_and_one_that_crashes_is_given_up(plane: Plane) -> None:
    run = opened(plane).run
    plane.world.end(f"{run}.0.1", exit_code=1)
    plane.until(lambda: f"{run}.0.2" in plane.world.replicas)
    until_open(plane)
    assert workspace(plane).desired == "run"
    plane.world.end(f"{run}.0.2", exit_code=1)
    plane.until(lambda: f"{run}.0.3" in plane.world.replicas)
    plane.world.end(f"{run}.0.3", exit_code=1)
    found = until_stopped(plane, "Failed")
    assert found.desired == "stop"
    assert "3 times" in found.message


def test_one_that_never_answers_is_given_up_after_its_time(plane: Plane) -> None:
    plane.seen = None
    plane.open(ready_timeout="20s")
    found = until_stopped(plane, "Failed")
    assert "did not open within 20 s" in found.message


def test_one_that_ended_with_its_node_is_stopped_and_keeps_its_name(plane: Plane) -> None:
    run = opened(plane).run
    plane.world.stop(f"{run}.0.1")
    found = until_stopped(plane)
    assert found.desired == "stop"
    assert plane.run(str(run)).phase is Phase.STOPPED
