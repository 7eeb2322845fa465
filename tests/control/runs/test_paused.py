"""A control plane is paused at any point of its work until another one has done all of it.

What is resumed then changes nothing, and nothing starts twice: rows are written under a lease, and
the engine takes no order that was given under a lease which is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from plinth.control.loop import LEASE_S, Loop
from plinth.control.runs.reconciler import RunReconciler
from plinth.domain.run import Phase
from plinth.store import tables
from plinth.store.leases import Holder
from plinth.store.runs import want_stop
from tests.contracts.fake_engine import FakeEngine
from tests.control.plane import Plane

# The calls of the first control plane on a job's way, by number: it stands still before or after.
CALLS = [("load", 1), ("load", 2), ("prepare", 1), ("ensure_run", 1), ("start", 1), ("observe", 1)]
CALLS += [("finish_run", 1), ("_apply", 1), ("_apply", 2), ("_apply", 3)]
PAUSE_S = LEASE_S + 1


class Another:
    """A second control plane over the same rows and the same world."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        context = replace(plane.context, engine=FakeEngine(plane.world))
        reconciler = RunReconciler(context, plane._ready)
        holder = Holder.begin("control-2@x")
        self.loop = Loop(plane.database, plane.clock, (reconciler,), holder=holder)

    def finish(self, run: str) -> None:
        """Wait until the leases of whoever stands still are over, then do all there is to do."""
        plane = self.plane
        plane.clock.advance(PAUSE_S)
        for _ in range(100):
            self.loop.step()
            if plane.run(run).closed:
                return
            for unit in plane.world.starts:
                if plane.run(run).phase is Phase.RUNNING and plane.run(run).desired == "run":
                    plane.world.end(unit)
            plane.clock.advance(1.0)
        raise AssertionError(plane.describe())


@pytest.fixture
def another(plane: Plane) -> Iterator[Another]:
    made = Another(plane)
    yield made
    made.loop.close()


def place_of(plane: Plane, name: str) -> Any:
    """Return the object of the first control plane that has the method."""
    if name in ("ensure_run", "finish_run"):
        return plane.tracking
    if name == "prepare":
        return plane.runs._steps
    if name == "load":
        return plane.runs
    return plane.loop if name == "_apply" else plane.context.engine


def stand_still(
    place: Any, where: str, name: str, nth: int, meanwhile: Callable[[], None]
) -> list[int]:
    """Do `meanwhile` at the nth call of a method, before or after it; return whether it was."""
    method, calls, done = getattr(place, name), [0], []

    def call(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        is_now = calls[0] == nth
        if is_now and where == "before":
            done.append(calls[0])
            meanwhile()
        answer = method(*arguments, **options)
        if is_now and where == "after":
            done.append(calls[0])
            meanwhile()
        return answer

    setattr(place, name, call)
    return done


def rows(plane: Plane) -> list[Any]:
    """Return all that there is of runs, apart from what a reader might count."""
    with plane.database.read() as connection:
        found: list[Any] = []
        for table in (tables.run, tables.attempt, tables.event, tables.key):
            order = list(table.primary_key.columns)
            found += map(tuple, connection.execute(select(table).order_by(*order)).all())
        return found


def pause(plane: Plane, another: Another, run: str, point: tuple[str, str, int], ask: str) -> None:
    """Stand still at a point until the other one has brought the run to its end.

    `ask`: whether somebody has the run stopped: not at all, during the pause, or before it.
    """
    where, name, nth = point
    before: list[list[Any]] = []

    def meanwhile() -> None:
        if ask == "during":
            stop(plane, run)
        another.finish(run)
        before.append(rows(plane))

    done = stand_still(place_of(plane, name), where, name, nth, meanwhile)
    for step in range(12):
        plane.step()
        if done:
            assert rows(plane) == before[0]
            return
        if step == 3 and ask == "before":
            stop(plane, run)
        if step > 5 and not plane.run(run).phase.is_final:
            plane.world.end(plane.world.starts[-1])
    raise AssertionError(f"a job has no call {nth} of `{name}` on its way")


def stop(plane: Plane, run: str) -> None:
    with plane.write() as connection:
        want_stop(connection, run, plane.clock.now())


def check(plane: Plane, run: str) -> None:
    """See that the run ended once, and that nothing of it runs."""
    assert plane.world.starts in ([f"{run}.0.1"], [])
    assert all(replica.phase.is_final for replica in plane.world.replicas.values())
    assert plane.run(run).closed
    assert all(len(set(statuses)) == 1 for statuses in plane.tracking.finished.values())


@pytest.mark.parametrize("ask", ["never", "during"])
@pytest.mark.parametrize(
    "point",
    [(where, *call) for call in CALLS for where in ("before", "after")],
    ids=lambda point: "-".join(map(str, point)),
)
def test_whoever_is_resumed_changes_nothing(
    plane: Plane, another: Another, point: tuple[str, str, int], ask: str
) -> None:
    run = plane.submit(attempts=3)
    pause(plane, another, run, point, ask)
    check(plane, run)
    wanted = Phase.STOPPED if plane.run(run).desired == "stop" else Phase.SUCCEEDED
    assert plane.run(run).phase is wanted


@pytest.mark.parametrize("where", ["before", "after"])
def test_whoever_is_resumed_as_it_stops_a_job_changes_nothing(
    plane: Plane, another: Another, where: str
) -> None:
    run = plane.submit(attempts=3)
    pause(plane, another, run, (where, "stop", 1), "before")
    check(plane, run)
    assert plane.run(run).phase is Phase.STOPPED
