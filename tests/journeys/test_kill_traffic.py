"""`kill -9` of everything there is while traffic moves and deployments are being stopped.

Nobody publishes to the gateway, and old servers leave a child that waits for a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from plinth.kit.errors import NotFound
from plinth.units import processes
from tests.journeys import kill_points as at
from tests.journeys.kill_matrix import Subject, is_at, wait_until_tidy
from tests.journeys.kill_stage import Served, nobody_publishes, serving_gates
from tests.journeys.plinth_node import kill, wait_for

POINTS = (at.D_READY, at.D_STOPPING, at.MOVING, at.REPLACED, at.STOPPING, at.DELETING)
STUBBORN = ("replaced", "stopping", "deleting")


@dataclass
class Moving:
    """Endpoints held as their traffic moves or is gone: the deployments before, and the next."""

    served: Served
    old: dict[str, str]
    new: dict[str, str]
    hold: ExitStack = field(default_factory=ExitStack)

    @property
    def held(self) -> list[Subject]:
        """What is held, and where."""
        subjects = [
            Subject(
                *((at.D_READY, at.MOVING), self.new["moving"], "running", "Ready"),
                unit=f"{self.new['moving']}.0.1",
                endpoint=("moving", "Serving"),
            )
        ]
        points = ((at.D_STOPPING, at.REPLACED), (at.STOPPING,), (at.DELETING,))
        reasons = ("Serving", "Stopping", "Deleting")
        for name, here, reason in zip(STUBBORN, points, reasons, strict=True):
            run = self.old[name]
            unit = f"{run}.0.1"
            subjects.append(Subject(here, run, "stopping", unit=unit, endpoint=(name, reason)))
        return subjects


@pytest.fixture(scope="module")
def moving(managed_environments: Path, free_port: Callable[[], int]) -> Iterator[Moving]:
    with serving_gates(managed_environments, free_port) as served, ExitStack() as stack:
        plinth = served.plinth
        old = {name: served.apply(name, "go", "lingers", grace=600) for name in STUBBORN}
        old["moving"] = served.apply("moving", "go")
        for name, run in old.items():
            served.wait_until_serving(name, run)
        new = {"replaced": served.apply("replaced", "go", grace=5)}
        new["moving"] = served.apply("moving", grace=5)
        plinth.client.stop_endpoint("stopping")
        plinth.client.delete_endpoint("deleting")
        served.wait_until_serving("replaced", new["replaced"])
        for name in STUBBORN:
            wait_for(lambda n=name: is_at(plinth, old[n], "stopping"), f"{name} being stopped")
        # The gateway knows the candidate by now, and nothing new from here on.
        what = "the routes of the next deployment"
        wait_for(lambda: plinth.client.run(new["moving"])["reason"] == "NotReady", what)
        wait_for(lambda: "loading" in plinth.client.run(new["moving"])["message"], what)
        stack.enter_context(nobody_publishes(plinth))
        served.touch(new["moving"], "go")
        yield Moving(served, old, new, stack)


def test_what_is_held_stays_where_it_is_whoever_is_killed(moving: Moving) -> None:
    served, plinth = moving.served, moving.served.plinth
    for victim in (at.CONTROL, at.AGENT, at.ENVOY, at.MLFLOW):
        # What endpoints do next needs no MLflow, which takes seconds to start.
        served.matrix.kill_shared(victim, moving.held, waits=victim != at.MLFLOW)
        # The gateway was not told to move: the old one must not be stopped.
        assert is_at(plinth, moving.old["moving"], "running")
        for name in ("moving", "replaced"):
            served.wait_for_answer(name)


@pytest.mark.parametrize(("who", "victim"), [("child", at.SERVER), ("supervisor", at.SUPERVISOR)])
def test_a_server_that_is_ready_and_killed_is_started_again_before_traffic_moves(
    moving: Moving, who: str, victim: str
) -> None:
    served, plinth, run = moving.served, moving.served.plinth, moving.new["moving"]
    number = len(plinth.client.run(run)["attempts"])
    with served.matrix.timed(victim, at.D_READY):
        kill(plinth.pid_of(f"{run}.0.{number}", who))
        served.wait_for_loading(run, number + 1)
        wait_until_tidy(plinth)
    assert is_at(plinth, moving.old["moving"], "running")
    served.wait_for_answer("moving")


def test_what_is_killed_as_it_stops_has_stopped(moving: Moving) -> None:
    served, plinth, old = moving.served, moving.served.plinth, moving.old
    with served.matrix.timed(at.SUPERVISOR, at.D_STOPPING):
        kill(plinth.pid_of(f"{old['replaced']}.0.1", "supervisor"))
        wait_for(lambda: is_at(plinth, old["replaced"], "stopped"), "the end of the old one")
        wait_until_tidy(plinth)
    with served.matrix.timed(at.SERVER, at.D_STOPPING):
        supervisor = plinth.pid_of(f"{old['stopping']}.0.1", "supervisor")
        kill(*(process.pid for process in processes.descendants(supervisor)))
        wait_for(lambda: is_at(plinth, old["stopping"], "stopped"), "the end of the other")
        wait_until_tidy(plinth)
    served.wait_for_answer("replaced")


def test_traffic_arrives_and_all_comes_to_its_end_when_nothing_holds_it(moving: Moving) -> None:
    served, plinth = moving.served, moving.served.plinth
    moving.hold.close()
    wait_for(lambda: is_at(plinth, moving.old["moving"], "stopped"), "the end of the old one")
    served.wait_until_serving("moving", moving.new["moving"])
    assert is_at(plinth, moving.new["moving"], "running", 3)
    wait_for(lambda: plinth.client.endpoint("stopping")["reason"] == "Stopped", "its endpoint")
    served.touch(moving.old["deleting"], "gone")

    def is_gone() -> bool:
        try:
            plinth.client.endpoint("deleting")
        except NotFound:
            return True
        return False

    wait_for(is_gone, "the deleted one being forgotten")
    wait_until_tidy(plinth)


def test_every_cell_of_these_points_was_tried(moving: Moving) -> None:
    print(f"\n{moving.served.matrix.table(POINTS)}")
    assert moving.served.matrix.missing(POINTS) == []
