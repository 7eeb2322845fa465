"""A deployment fails before it was ready, and is started again after that."""

from __future__ import annotations

from typing import Any

import pytest

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


def deploy(plane: Plane, **fields: Any) -> str:
    return plane.apply(**fields).deployment


def test_a_deployment_that_is_never_ready_is_stopped_and_says_why(plane: Plane) -> None:
    plane.not_ready = "the model is loading"
    run = deploy(plane, ready_timeout=3)
    seen = finish(plane, run)
    assert (seen.phase, seen.reason) == (Phase.FAILED, "TimedOut")
    assert "was not ready after 3 s: the model is loading" in seen.message
    assert plane.world.stops == [f"{run}.0.1"]


def test_a_model_that_does_not_load_is_not_tried_again(plane: Plane) -> None:
    plane.world.behave = lambda world, unit: world.end(unit, 3)
    run = deploy(plane)
    seen = finish(plane, run)
    assert (seen.phase, len(plane.world.starts)) == (Phase.FAILED, 1)
    assert "does not load" in seen.message
    assert seen.reason == "Failed"


def _die(code: int, output: bytes) -> Any:
    def behave(world: Any, unit: str) -> None:
        world.replicas[unit].output = output
        world.end(unit, code)

    return behave


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (b"x\nerror: model `m` version `1` does not load: KeyError: 'a'\n\n", "KeyError: 'a'"),
        (b"no \x1b[31mlicence\xff\x00", "no [31mlicence\ufffd"),
        (b"long " * 100, "long " * 60),
        (b" \n\n", "its server did not say why"),
    ],
)
def test_a_model_that_does_not_load_says_why_in_its_last_line(
    plane: Plane, output: bytes, why: str
) -> None:
    plane.world.behave = _die(3, output)
    assert finish(plane, deploy(plane)).message == f"the model does not load: {why}"


def test_a_server_that_crashes_says_what_it_printed_at_last(plane: Plane) -> None:
    plane.world.behave = _die(1, b"first\nSegmentation fault\n")
    message = finish(plane, deploy(plane)).message
    assert message == "its server exited with 1, 3 times; its last line: Segmentation fault"


def test_a_server_that_a_signal_ends_says_which_memory_it_had(plane: Plane) -> None:
    plane.world.behave = lambda world, unit: world.end(unit, 139, "ended by SIGSEGV")
    message = finish(plane, deploy(plane, resources={"memory": "64MB"})).message
    given = "it may use 64.0 MB of memory (`resources.memory`)"
    assert message == f"its server ended by SIGSEGV, 3 times; {given}"


def test_a_server_that_a_signal_ends_and_that_has_no_limit_names_none(plane: Plane) -> None:
    plane.world.behave = lambda world, unit: world.end(unit, 139, "ended by SIGSEGV")
    assert finish(plane, deploy(plane)).message == "its server ended by SIGSEGV, 3 times"


def test_a_server_that_crashes_at_its_start_is_tried_three_times(plane: Plane) -> None:
    plane.world.behave = lambda world, unit: world.end(unit, 1)
    run = deploy(plane)
    assert finish(plane, run).phase is Phase.FAILED
    assert plane.world.starts == [f"{run}.0.{n}" for n in (1, 2, 3)]


def test_a_replica_that_dies_while_serving_is_started_again(plane: Plane) -> None:
    run = deploy(plane, replicas=2)
    running(plane, run)
    plane.world.end(f"{run}.1.1", 137, "ended by SIGKILL")
    plane.until(lambda: f"{run}.1.2" in plane.world.starts)
    plane.until(lambda: plane.run(run).reason == "Ready")
    assert plane.run(run).phase is Phase.RUNNING
    assert [(a.replica, a.number) for a in plane.attempts(run)] == [(0, 1), (1, 1), (1, 2)]
    specs = [plane.world.replicas[f"{run}.1.{n}"].spec for n in (1, 2)]
    assert specs[0].socket == specs[1].socket


def test_a_server_that_ran_well_starts_again_at_once_however_often_it_did_before(
    plane: Plane,
) -> None:
    run = deploy(plane)
    for number in range(1, 11):
        unit = f"{run}.0.{number}"
        plane.until(lambda: unit in plane.world.starts, most=8)  # noqa: B023 - called at once
        plane.clock.advance(12)
        plane.step()
        plane.world.end(unit, 1)
    plane.until(lambda: f"{run}.0.11" in plane.world.starts, most=8)


def test_a_crash_loop_slows_down(plane: Plane) -> None:
    run = deploy(plane)
    running(plane, run)
    plane.world.behave = lambda world, unit: world.end(unit, 1)
    plane.world.end(f"{run}.0.1", 1)
    for _ in range(200):
        plane.step(0.5)
    assert plane.run(run).phase is Phase.RUNNING
    # 100 s: after 0.5, 1, 2, 4, 8, 16, 30 and 30 s.
    assert 7 <= len(plane.world.starts) <= 10
    plane.world.behave = lambda _world, _unit: None
    plane.until(lambda: plane.run(run).reason == "Ready")
