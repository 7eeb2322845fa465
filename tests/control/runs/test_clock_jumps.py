"""Whoever sets the clock makes no timeout fire or stretch, no usage grow, and nothing wait."""

from __future__ import annotations

from datetime import timedelta

import pytest

from plinth.domain.run import Phase
from plinth.domain.usage import Meter
from plinth.store.runs import Attempt
from tests.control.plane import Plane

DAY_S = 86_400.0
# What rows wait for: seconds. What is too far ahead for any wait is treated as due anyway.
JUMPS = [DAY_S, 300.0, -300.0, -DAY_S]


def running(plane: Plane, run: str) -> None:
    plane.until(lambda: plane.run(run).phase is Phase.RUNNING)


def steps(plane: Plane, seconds: float) -> None:
    """Let the time pass in pieces: a few, as each is a transaction."""
    for _ in range(6):
        plane.step(seconds / 6)


def run_time(attempt: Attempt) -> timedelta:
    assert attempt.started_at is not None
    assert attempt.ended_at is not None
    return attempt.ended_at - attempt.started_at


@pytest.mark.parametrize("jump_s", JUMPS)
def test_a_job_has_its_whole_timeout_and_no_more(plane: Plane, jump_s: float) -> None:
    run = plane.submit(timeout=60)
    running(plane, run)
    steps(plane, 30)
    plane.clock.set_wall(jump_s)
    steps(plane, 20)
    assert plane.run(run).reason == "Running"
    steps(plane, 15)
    assert (plane.run(run).phase, plane.run(run).reason) == (Phase.FAILED, "TimedOut")


@pytest.mark.parametrize("jump_s", JUMPS)
def test_a_deployment_has_its_whole_time_to_become_ready(plane: Plane, jump_s: float) -> None:
    plane.not_ready = "the model is loading"
    run = plane.apply(ready_timeout=60).deployment
    plane.until(lambda: plane.run(run).reason == "NotReady")
    steps(plane, 30)
    plane.clock.set_wall(jump_s)
    steps(plane, 20)
    assert plane.run(run).reason == "NotReady"
    steps(plane, 15)
    assert (plane.run(run).phase, plane.run(run).reason) == (Phase.FAILED, "TimedOut")


@pytest.mark.parametrize("jump_s", JUMPS)
def test_what_is_charged_is_the_time_that_passed(plane: Plane, jump_s: float) -> None:
    run = plane.submit()
    running(plane, run)
    steps(plane, 90)
    plane.clock.set_wall(jump_s)
    steps(plane, 90)
    plane.parts.metering.collect()
    plane.world.end(f"{run}.0.1")
    plane.until(lambda: plane.run(run).phase.is_final)
    plane.parts.metering.collect()
    (attempt,) = plane.attempts(run)
    assert 180 <= run_time(attempt).total_seconds() < 185
    records = plane.context.ledger.records(source=f"engine:{run}.0.1")
    assert {record.meter for record in records} == {Meter.TRAINING_SECONDS}
    assert sum(record.quantity for record in records) == pytest.approx(
        run_time(attempt).total_seconds(), abs=1e-6
    )


@pytest.mark.parametrize("jump_s", JUMPS)
def test_an_end_is_noticed_soon_whatever_the_clock_says(plane: Plane, jump_s: float) -> None:
    run = plane.submit()
    running(plane, run)
    steps(plane, 60)
    plane.clock.set_wall(jump_s)
    plane.world.end(f"{run}.0.1")
    steps(plane, 3)
    assert plane.run(run).phase is Phase.SUCCEEDED


@pytest.mark.parametrize("jump_s", JUMPS)
def test_so_is_one_when_the_clock_is_set_while_no_control_plane_lives(
    plane: Plane, jump_s: float
) -> None:
    run = plane.submit()
    running(plane, run)
    steps(plane, 60)
    plane.clock.set_wall(jump_s)
    plane.world.end(f"{run}.0.1")
    plane.restart()
    steps(plane, 3)
    assert plane.run(run).phase is Phase.SUCCEEDED


@pytest.mark.parametrize("jump_s", JUMPS)
def test_a_server_that_crashes_is_started_again_in_time(plane: Plane, jump_s: float) -> None:
    run = plane.apply().deployment
    running(plane, run)
    for number in (1, 2, 3):
        unit = f"{run}.0.{number}"
        plane.until(lambda: unit in plane.world.starts)  # noqa: B023 - called at once
        plane.world.end(unit, 1)
    plane.until(lambda: len(plane.attempts(run)) == 4)
    plane.clock.set_wall(jump_s)
    # Half a second, doubled with each start: two seconds for the fourth.
    steps(plane, 4)
    assert f"{run}.0.4" in plane.world.starts


def test_a_lost_attempt_ends_no_earlier_than_it_was_seen_running(plane: Plane) -> None:
    run = plane.submit()
    running(plane, run)
    steps(plane, 90)
    plane.parts.metering.collect()
    seen_at = plane.attempts(run)[0].seen_at
    replica = plane.world.replicas[f"{run}.0.1"]
    # A new agent knows the last line that it printed, long ago.
    plane.world.end(f"{run}.0.1", 1, "the machine was started anew")
    replica.ended_at = replica.started_at + timedelta(seconds=5)
    plane.until(lambda: plane.run(run).phase.is_final)
    plane.parts.metering.collect()
    (attempt,) = plane.attempts(run)
    assert attempt.ended_at == seen_at
    records = plane.context.ledger.records(source=f"engine:{run}.0.1")
    assert sum(record.quantity for record in records) == pytest.approx(
        run_time(attempt).total_seconds(), abs=1e-6
    )
