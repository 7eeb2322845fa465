"""What was seen is written when it is news."""

from __future__ import annotations

from typing import Any

from plinth.domain.run import Phase
from tests.control.plane import Plane


def running(plane: Plane, run: str) -> None:
    plane.until(lambda: plane.run(run).phase is Phase.RUNNING)


def deploy(plane: Plane, **fields: Any) -> str:
    return plane.apply(**fields).deployment


def test_what_runs_long_is_looked_at_every_two_seconds_and_written_when_it_is_news(
    plane: Plane,
) -> None:
    run = plane.submit()
    running(plane, run)
    plane.clock.advance(100)
    plane.step()
    before = plane.attempts(run)[0].seen_at
    steps = [plane.step(0.5) for _ in range(16)]
    assert sum(steps) == 4
    assert plane.attempts(run)[0].seen_at == before
    for _ in range(8):
        plane.step(0.5)
    seen = plane.attempts(run)[0].seen_at
    assert before is not None
    assert seen is not None
    assert 10 <= (seen - before).total_seconds() <= 12.5


def test_only_the_newest_attempts_of_a_crash_loop_are_read(plane: Plane) -> None:
    run = deploy(plane)
    running(plane, run)
    plane.world.behave = lambda world, unit: world.end(unit, 1)
    plane.world.end(f"{run}.0.1", 1)
    plane.until(lambda: len(plane.attempts(run)) == 10, most=1000)
    with plane.database.read() as connection:
        state = plane.runs.load(connection, run)
    newest = [attempt.number for attempt in plane.attempts(run)][-8:]
    assert newest[0] == 3
    assert [attempt.number for attempt in state.attempts] == newest
