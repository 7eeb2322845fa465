"""A job is tried again as often as its file says, and no longer than it says."""

from __future__ import annotations

from typing import Any

from plinth.domain.run import Phase
from tests.control.plane import Plane


def ended(plane: Plane, run: str) -> bool:
    stored = plane.run(run)
    return stored.phase.is_final and stored.closed


def finish(plane: Plane, run: str) -> Any:
    plane.until(lambda: ended(plane, run))
    return plane.run(run)


def running(plane: Plane, run: str) -> None:
    plane.until(lambda: plane.run(run).phase is Phase.RUNNING)


def test_a_failed_job_is_tried_again_as_often_as_its_file_says(plane: Plane) -> None:
    plane.world.behave = lambda world, unit: world.end(unit, 1)
    run = plane.submit(attempts=3)
    seen = finish(plane, run)
    assert seen.phase is Phase.FAILED
    assert plane.world.starts == [f"{run}.0.{n}" for n in (1, 2, 3)]
    assert [a.exit_code for a in plane.attempts(run)] == [1, 1, 1]
    assert plane.tracking.finished == {seen.tracking_run: ["FAILED"]}
    assert plane.live_keys(run) == 0


def test_a_second_attempt_may_succeed_and_keeps_the_tracking_run(plane: Plane) -> None:
    plane.world.behave = lambda world, unit: world.end(unit, 0 if unit.endswith(".2") else 1)
    run = plane.submit(attempts=3)
    seen = finish(plane, run)
    assert (seen.phase, len(plane.world.starts)) == (Phase.SUCCEEDED, 2)
    assert list(plane.tracking.runs) == [run]


def test_a_job_past_its_timeout_is_stopped_and_has_failed(plane: Plane) -> None:
    run = plane.submit(timeout=5, attempts=3)
    running(plane, run)
    plane.world.replicas[f"{run}.0.1"].ignores_stop = True
    plane.until(lambda: plane.run(run).reason == "TimedOut")
    assert plane.run(run).phase is Phase.RUNNING
    plane.world.stop(f"{run}.0.1")
    seen = finish(plane, run)
    assert (seen.phase, seen.reason) == (Phase.FAILED, "TimedOut")
    assert "timeout of 5 s" in seen.message
    assert plane.world.starts == [f"{run}.0.1"]
