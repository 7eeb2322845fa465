"""The sending of a batch goes on after every end but its own, with what is left."""

from __future__ import annotations

from plinth.domain.run import Phase
from tests.control.openai_batches.batches import (
    EXTERNAL,
    lines,
    make,
    stored,
    unit_of,
    until_sent,
    write_results,
)
from tests.control.plane import Plane


def begun(plane: Plane) -> str:
    plane.apply(name="chat", external=EXTERNAL)
    batch = make(plane, lines(3))
    until_sent(plane, batch)
    return batch


def test_how_far_it_is_stands_in_its_message(plane: Plane) -> None:
    batch = begun(plane)
    run = stored(plane, batch).run or ""
    write_results(plane, batch, good=[1])
    plane.until(lambda: plane.run(run).message.startswith("1 of 3 requests done"))
    assert plane.run(run).phase is Phase.RUNNING


def test_one_that_ends_early_is_started_again_with_its_last_words(plane: Plane) -> None:
    batch = begun(plane)
    run = stored(plane, batch).run or ""
    plane.world.replicas[unit_of(plane, batch)].output = b"error: no room\n"
    plane.world.end(unit_of(plane, batch), 1)
    plane.until(lambda: plane.run(run).reason == "Retrying")
    assert "its last line: error: no room" in plane.run(run).message
    plane.until(lambda: unit_of(plane, batch, 2) in plane.world.starts)
    assert plane.live_keys(run) == 1


def test_kills_that_lie_far_apart_are_no_crash_loop(plane: Plane) -> None:
    batch = begun(plane)
    run = stored(plane, batch).run or ""
    for number in range(1, 13):
        plane.until(lambda number=number: unit_of(plane, batch, number) in plane.world.starts)
        plane.until(lambda: plane.run(run).phase is Phase.RUNNING)
        plane.clock.advance(11)
        plane.world.end(unit_of(plane, batch, number), 137)
    plane.until(lambda: unit_of(plane, batch, 13) in plane.world.starts)
    assert not plane.run(run).phase.is_final
