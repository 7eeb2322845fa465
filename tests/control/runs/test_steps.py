"""What is written and started at each step, and which key goes with it."""

from __future__ import annotations

from typing import Any

from plinth.domain.run import Phase
from plinth.store.identities import find_key, list_revoked
from plinth.store.leases import Claim
from tests.control.plane import Plane


def running(plane: Plane, run: str) -> None:
    plane.until(lambda: plane.run(run).phase is Phase.RUNNING)


def deploy(plane: Plane, **fields: Any) -> str:
    return plane.apply(**fields).deployment


def test_each_attempt_has_the_only_key_that_lives_and_its_row_says_how_long(plane: Plane) -> None:
    run = plane.submit(attempts=2)
    running(plane, run)
    plane.world.end(f"{run}.0.1", 1)
    plane.until(lambda: f"{run}.0.2" in plane.world.starts)
    first, second = (
        plane.context.claims_of(plane.world.replicas[f"{run}.0.{n}"].spec.variables["PLINTH_KEY"])
        for n in (1, 2)
    )
    assert first is not None
    assert second is not None
    with plane.database.read() as connection:
        revoked = [find_key(connection, c.key_id).revoked_at is not None for c in (first, second)]
        expires_at = find_key(connection, second.key_id).expires_at
    assert revoked == [True, False]
    assert second.expires_at == expires_at.replace(microsecond=0)


def test_what_has_not_changed_is_not_written(plane: Plane) -> None:
    run = plane.submit()
    running(plane, run)
    plane.step()
    with plane.database.read() as connection:
        outcome = plane.runs.work(plane.runs.load(connection, run), Claim(run, "l_x"))
    assert outcome.changes == {}


def test_a_server_gets_no_key_however_often_it_is_started(plane: Plane) -> None:
    run = deploy(plane)
    running(plane, run)
    plane.world.end(f"{run}.0.1", 1)
    plane.until(lambda: f"{run}.0.2" in plane.world.starts)
    for replica in plane.world.replicas.values():
        assert not {"PLINTH_KEY", "MLFLOW_TRACKING_TOKEN"} & set(replica.spec.variables)
    assert [attempt.key for attempt in plane.attempts(run)] == [None, None]
    assert plane.live_keys(run) == 0
    with plane.database.read() as connection:
        assert list_revoked(connection, plane.clock.now()) == []


def test_a_clock_that_is_set_back_does_not_hold_up_a_restart(plane: Plane) -> None:
    run = deploy(plane)
    running(plane, run)
    plane.world.end(f"{run}.0.1", 1)
    plane.until(lambda: plane.attempts(run)[-1].number == 2)
    plane.clock.advance(-3600)
    plane.until(lambda: f"{run}.0.2" in plane.world.starts, most=4)
