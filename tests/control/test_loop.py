"""The driver: what is due is worked on with no transaction open, and written under its lease."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from plinth.control.duties import Duty
from plinth.control.loop import LEASE_S, Loop, Outcome, Periodic
from plinth.kit.clock import FakeClock, SystemClock
from plinth.kit.errors import NotFound, Permanent, PlinthError, Temporary
from plinth.store import tables
from plinth.store.leases import Claim, Holder
from plinth.store.runs import find_run
from plinth.store.session import Database
from tests.control.plane import copy_template, open_database
from tests.store.rows import NOW, run_in

PATIENCE_S = 30.0


class Scripted:
    """A reconciler that does what a test says."""

    table = tables.run

    def __init__(self, work: Callable[[str], Outcome]) -> None:
        self._work = work
        self.worked: list[str] = []
        self.claims: list[Claim] = []
        self.errors: list[PlinthError] = []

    def load(self, connection: Connection, key: str) -> str:
        return find_run(connection, key).id

    def work(self, state: str, claim: Claim) -> Outcome:
        self.worked.append(state)
        self.claims.append(claim)
        return self._work(state)

    def failed(self, state: str, error: PlinthError) -> Outcome:
        self.errors.append(error)
        return Outcome({"reason": "Error"}, 5.0)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    copy_template(tmp_path / "plinth.db")
    opened = open_database(tmp_path / "plinth.db")
    with opened.write() as connection:
        run_in(connection, "r_a")
    yield opened
    opened.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def make(database: Database, clock: FakeClock) -> Iterator[Callable[..., Loop]]:
    loops = []

    def made(reconciler: Any, **more: Any) -> Loop:
        loops.append(Loop(database, clock, (reconciler,), **more))
        return loops[-1]

    yield made
    for loop in loops:
        loop.close()


def reason(database: Database) -> str:
    with database.read() as connection:
        return find_run(connection, "r_a").reason


def test_an_outcome_is_written_and_the_row_waits(
    database: Database, clock: FakeClock, make: Callable[..., Loop]
) -> None:
    reconciler = Scripted(lambda _: Outcome({"reason": "Seen"}, 10.0))
    loop = make(reconciler)
    assert loop.step() == 1
    assert reason(database) == "Seen"
    clock.advance(9.9)
    assert loop.step() == 0
    clock.advance(0.2)
    assert loop.step() == 1


def test_work_may_write_since_no_transaction_is_open(
    database: Database, make: Callable[..., Loop]
) -> None:
    def work(_key: str) -> Outcome:
        with database.write() as connection:
            run_in(connection, "r_b", team="ops")
        return Outcome({"reason": "Wrote"}, None)

    make(Scripted(work)).step()
    assert reason(database) == "Wrote"


def test_our_errors_go_to_the_reconciler(database: Database, make: Callable[..., Loop]) -> None:
    def work(_key: str) -> Outcome:
        raise Permanent("never")

    reconciler = Scripted(work)
    make(reconciler).step()
    assert [error.message for error in reconciler.errors] == ["never"]
    assert reason(database) == "Error"


def test_an_unknown_error_becomes_temporary_and_is_logged(
    database: Database, make: Callable[..., Loop], caplog: pytest.LogCaptureFixture
) -> None:
    def work(_key: str) -> Outcome:
        raise ZeroDivisionError("oh")

    reconciler = Scripted(work)
    make(reconciler).step()
    (error,) = reconciler.errors
    assert isinstance(error, Temporary)
    assert error.message == "unexpected ZeroDivisionError: oh"
    assert "run r_a: unexpected" in caplog.text


def test_what_cannot_be_written_is_taken_up_when_its_lease_ends(
    database: Database,
    clock: FakeClock,
    make: Callable[..., Loop],
    caplog: pytest.LogCaptureFixture,
) -> None:
    reconciler = Scripted(lambda _: Outcome({"no_such_column": 1}, 1.0))
    loop = make(reconciler)
    loop.step()
    assert "could not be written" in caplog.text
    assert loop.step() == 0
    clock.advance(LEASE_S + 1)
    assert loop.step() == 1


def test_what_a_busy_database_refuses_is_written_when_it_is_free(
    database: Database, make: Callable[..., Loop], monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = [Temporary("the database was busy"), Temporary("the disk is full")]

    def refuse(_connection: Connection) -> None:
        if refusals:
            raise refusals.pop()

    monkeypatch.setattr("plinth.control.loop._WRITE_AGAIN_S", 0.0)
    reconciler = Scripted(lambda _: Outcome({"reason": "Written"}, 5.0, refuse))
    assert make(reconciler).step() == 1
    assert (reconciler.worked, refusals) == (["r_a"], [])
    with database.read() as connection:
        assert find_run(connection, "r_a").reason == "Written"


def test_what_a_busy_database_did_not_read_is_taken_up_soon(
    database: Database,
    clock: FakeClock,
    make: Callable[..., Loop],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_of: Any) -> None:
        raise Temporary("the database is away")

    reconciler = Scripted(lambda _: Outcome({"reason": "Seen"}, None))
    loop = make(reconciler)
    with monkeypatch.context() as patched:
        patched.setattr(reconciler, "load", refuse)
        assert loop.step() == 1
    clock.advance(1)
    assert loop.step() == 1
    assert reason(database) == "Seen"


def test_a_claim_that_was_written_but_never_answered_is_made_again(
    database: Database, make: Callable[..., Loop], monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.write() as connection:
        run_in(connection, "r_b")
    ended = threading.Event()

    def work(key: str) -> Outcome:
        assert key != "r_a" or ended.wait(PATIENCE_S)
        return Outcome({"reason": "Seen"}, None)

    reconciler = Scripted(work)
    loop = make(reconciler)
    write = database.write

    @contextmanager
    def unanswered(**options: Any) -> Iterator[Connection]:
        with write(**options) as connection:
            yield connection
        raise Temporary("the server ended the connection")

    with monkeypatch.context() as patched:
        patched.setattr("plinth.control.loop._WORKERS", 1)
        (held,) = loop._claim()
        patched.setattr("plinth.control.loop._WORKERS", 8)
        patched.setattr(database, "write", unanswered)
        with pytest.raises(Temporary):
            loop._claim()
    # Nobody else is free to take it, and what is worked on is not taken twice.
    assert loop.step() == 1
    ended.set()
    held.result()
    assert reconciler.worked == ["r_a", "r_b"]


def test_who_lost_the_lease_writes_nothing_and_runs_nothing_beside(
    database: Database, clock: FakeClock, make: Callable[..., Loop]
) -> None:
    ran = []
    inner = make(Scripted(lambda _: Outcome({"reason": "Second"}, None)))

    def work(_key: str) -> Outcome:
        clock.advance(LEASE_S + 1)
        inner.step()
        return Outcome({"reason": "First"}, None, lambda _connection: ran.append(1))

    make(Scripted(work)).step()
    assert reason(database) == "Second"
    assert ran == []


def test_an_outcome_whose_intent_changed_is_dropped_and_the_row_is_due(
    database: Database, make: Callable[..., Loop]
) -> None:
    answers = [False, True]
    reconciler = Scripted(
        lambda _: Outcome({"reason": "Seen"}, None, still=lambda _connection: answers.pop(0))
    )
    loop = make(reconciler)
    loop.step()
    assert reason(database) == "Accepted"
    assert loop.step() == 1
    assert reason(database) == "Seen"


def test_what_goes_beside_an_outcome_is_written_with_it_or_not_at_all(
    database: Database, make: Callable[..., Loop]
) -> None:
    def fail(_connection: Connection) -> None:
        raise KeyError("beside")

    make(Scripted(lambda _: Outcome({"reason": "Half"}, None, fail))).step()
    assert reason(database) == "Accepted"


def test_what_is_ordered_is_valid_as_long_as_the_lease(
    clock: FakeClock, make: Callable[..., Loop]
) -> None:
    clock.advance(100.0)
    reconciler = Scripted(lambda _: Outcome())
    make(reconciler, lease_s=7.0).step()
    assert [claim.valid_until for claim in reconciler.claims] == [107.0]


def test_what_was_paused_until_after_its_lease_does_no_work(
    database: Database, clock: FakeClock, make: Callable[..., Loop]
) -> None:
    class Paused(Scripted):
        def load(self, connection: Connection, key: str) -> str:
            clock.advance(LEASE_S)
            return super().load(connection, key)

    reconciler = Paused(lambda _: Outcome({"reason": "Late"}))
    assert make(reconciler).step() == 1
    assert reconciler.worked == []
    assert reason(database) == "Accepted"


def test_a_control_plane_that_begins_frees_its_own_leases_and_no_others(
    database: Database, clock: FakeClock, make: Callable[..., Loop]
) -> None:
    blocked, ended = threading.Event(), threading.Event()

    def work(_key: str) -> Outcome:
        blocked.set()
        assert ended.wait(PATIENCE_S)
        return Outcome({"reason": "First"}, None)

    first = make(Scripted(work), holder=Holder.begin("control@x"))
    futures = first._claim()
    assert blocked.wait(PATIENCE_S)
    second = make(Scripted(lambda _: Outcome()), holder=Holder.begin("control-2@x"))
    second.release()
    assert second.step() == 0
    reborn = make(
        Scripted(lambda _: Outcome({"reason": "Again"}, None)), holder=Holder.begin("control@x")
    )
    reborn.release()
    assert reborn.step() == 1
    ended.set()
    for future in futures:
        future.result()
    assert reason(database) == "Again"


def test_a_row_that_is_gone_is_passed_over(database: Database, make: Callable[..., Loop]) -> None:
    class Gone(Scripted):
        def load(self, connection: Connection, key: str) -> str:
            raise NotFound(key)

    reconciler = Gone(lambda _: Outcome())
    assert make(reconciler).step() == 1
    assert reconciler.worked == []


def test_a_row_that_is_gone_is_given_back_and_waits_for_a_hint(
    database: Database, clock: FakeClock, make: Callable[..., Loop]
) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("update run set deleted_at = created_at")
    loop = make(Scripted(lambda _: Outcome()))
    assert loop.step() == 1
    with database.read() as connection:
        row = connection.exec_driver_sql("select lease_token, lease_until, due_at from run").one()
    assert tuple(row) == (None, None, None)
    clock.advance(LEASE_S + 1)
    assert loop.step() == 0


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_loop_that_runs_frees_old_leases_and_is_woken_by_a_hint(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql(
            "update run set lease_token = 'l_dead', lease_until = '2999-01-01 00:00:00.000000'"
        )
    reconciler = Scripted(lambda _: Outcome({"reason": "Seen"}, None))
    loop = Loop(database, SystemClock(), (reconciler,))
    loop.start()
    loop.hint()
    wait_for(lambda: reason(database) == "Seen")
    loop.stop()


def test_a_row_that_blocks_for_ever_does_not_stop_the_others(
    database: Database, clock: FakeClock, make: Callable[..., Loop]
) -> None:
    with database.write() as connection:
        run_in(connection, "r_b")
    blocked, ended = threading.Event(), threading.Event()

    def work(key: str) -> Outcome:
        if key == "r_a":
            blocked.set()
            assert ended.wait(PATIENCE_S)
        return Outcome({"reason": "Seen"}, 1.0)

    reconciler = Scripted(work)
    loop = make(reconciler)
    futures = loop._claim()
    assert blocked.wait(PATIENCE_S)
    for _ in range(10):
        wait_for(lambda: len(loop._in_flight) == 1)
        clock.advance(LEASE_S + 1)
        futures += loop._claim()
    ended.set()
    for future in futures:
        future.result()
    assert (reconciler.worked.count("r_a"), reconciler.worked.count("r_b")) == (1, 11)
    # Nobody else took it, so what it did in the end still counts.
    assert reason(database) == "Seen"
    clock.advance(LEASE_S)
    assert loop.step() == 2


def test_no_more_rows_are_claimed_than_workers_are_free(
    database: Database, make: Callable[..., Loop]
) -> None:
    with database.write() as connection:
        for number in range(20):
            run_in(connection, f"r_{number}")
    ended = threading.Event()

    def work(_key: str) -> Outcome:
        assert ended.wait(PATIENCE_S)
        return Outcome()

    loop = make(Scripted(work))
    futures = loop._claim()
    assert len(futures) == 8
    assert loop._claim() == []
    with database.read() as connection:
        leased = "select count(*) from run where lease_token is not null"
        assert connection.exec_driver_sql(leased).scalar() == 8
    ended.set()
    for future in futures:
        future.result()
    assert loop._wake.is_set()
    assert sum(loop.step() for _ in range(3)) == 13


def test_a_clock_that_is_set_back_stops_nothing(
    database: Database, clock: FakeClock, make: Callable[..., Loop]
) -> None:
    reconciler = Scripted(lambda _: Outcome({"reason": "Seen"}, 1.0))
    loop = make(reconciler)
    assert loop.step() == 1
    clock.advance(-3600)
    assert loop.step() == 1
    assert loop.step() == 0
    clock.advance(1)
    assert loop.step() == 1


def test_that_it_was_set_back_is_not_forgotten_while_the_database_takes_nothing(
    database: Database,
    clock: FakeClock,
    make: Callable[..., Loop],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = make(Scripted(lambda _: Outcome({}, 5.0)))
    loop.step()
    clock.set_wall(-3600)

    def refuse(*_of: Any) -> None:
        raise Temporary("the database was busy")

    with monkeypatch.context() as patched:
        patched.setattr("plinth.control.loop.rouse_all", refuse)
        with pytest.raises(Temporary):
            loop.step()
    assert loop.step() == 1


def test_a_periodic_call_goes_on_after_every_error(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[BaseException | None] = [Permanent("no"), Permanent("no"), KeyError("oh"), None]
    called = threading.Event()

    def call() -> None:
        error = errors.pop(0) if errors else None
        if error is not None:
            raise error
        called.set()

    periodic = Periodic("thing", call, 0.001)
    with caplog.at_level(logging.WARNING):
        periodic.start()
        assert called.wait(PATIENCE_S)
        periodic.stop()
    assert periodic.last_error is None
    assert [record.message for record in caplog.records].count("thing: no") == 1
    assert "thing failed" in caplog.text


def test_a_periodic_call_is_made_at_once_when_hinted() -> None:
    calls = []
    periodic = Periodic("thing", lambda: calls.append(1), 1000.0)
    periodic.start()
    wait_for(lambda: len(calls) == 1)
    periodic.hint()
    wait_for(lambda: len(calls) == 2)
    periodic.stop()


def test_a_duty_is_done_by_one_control_plane_at_a_time(
    database: Database, clock: FakeClock
) -> None:
    calls: list[str] = []

    def periodic(name: str) -> Periodic:
        duty = Duty("meter", database, clock, Holder.begin(name), LEASE_S)
        return Periodic(name, lambda: calls.append(name), 0.001, duty)

    first, second = periodic("control@x"), periodic("control-2@x")
    first.start()
    wait_for(lambda: len(calls) > 2)
    second.start()
    wait_for(lambda: len(calls) > 10)
    first.stop()
    assert set(calls) == {"control@x"}
    clock.advance(LEASE_S + 1)
    wait_for(lambda: "control-2@x" in calls)
    second.stop()
