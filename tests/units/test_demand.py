"""When one more worker starts: at once where none runs, else when somebody goes on waiting."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from plinth.units.demand import Demand, Wish
from plinth.units.spec import Elastic

ASLEEP = Elastic(0, 4)


def yes() -> bool:
    return True


def no() -> bool:
    return False


def starts_after(demand: Demand, ready: int, waits: Callable[[], bool], within_s: float) -> float:
    """Return after how many seconds one more starts, when it is asked whenever it asks to be."""
    now = 0.0
    while now < within_s:
        wish = demand.wish(now, ready, 0, waits)
        if wish.start:
            return now
        now = wish.look_at if wish.look_at is not None else now + 0.001
    return within_s


def test_while_nobody_asks_none_starts_and_it_listens() -> None:
    assert Demand(ASLEEP).wish(0.0, 0, 0, no) == Wish(listen=True)


def test_who_comes_first_starts_one_at_once() -> None:
    assert Demand(ASLEEP).wish(0.0, 0, 0, yes) == Wish(start=True)


def test_while_that_one_starts_nobody_else_does() -> None:
    assert Demand(ASLEEP).wish(0.0, 0, 1, yes) == Wish()


def test_beside_one_at_work_another_starts_when_somebody_goes_on_waiting() -> None:
    assert starts_after(Demand(ASLEEP), 1, yes, 1.0) == pytest.approx(0.1)


def test_who_is_taken_soon_starts_nobody() -> None:
    seen = iter([True] * 4 + [False] + [True, False] * 400)
    assert starts_after(Demand(ASLEEP), 1, lambda: next(seen), 5.0) == 5.0


def test_a_busy_socket_is_looked_at_some_ten_times_a_second() -> None:
    demand, looks, now = Demand(ASLEEP), 0, 0.0
    while now < 1.0:
        looks += 1
        # Whoever waits is taken in between, again and again.
        wish = demand.wish(now, 1, 0, iter([looks % 2 == 1]).__next__)
        now = now if wish.look_at is None else wish.look_at
        assert not wish.start
    assert looks < 40


def test_as_many_start_at_once_as_are_at_work() -> None:
    demand = Demand(Elastic(0, 8))
    assert not demand.wish(0.0, 1, 1, yes).start
    assert demand.wish(0.0, 2, 1, yes).look_at is not None


def test_never_more_than_the_most() -> None:
    assert Demand(Elastic(0, 2)).wish(0.0, 2, 0, yes) == Wish()


def test_the_least_always_run() -> None:
    demand = Demand(Elastic(2, 4))
    assert demand.wish(0.0, 0, 0, no).start
    assert demand.wish(0.0, 0, 1, no).start
    assert demand.wish(0.0, 2, 0, no) == Wish(listen=True)


def test_after_a_crash_the_next_start_waits_longer_each_time() -> None:
    demand, waits = Demand(ASLEEP), []
    for _ in range(8):
        demand.failed(100.0, lived_s=1.0)
        wish = demand.wish(100.0, 0, 0, yes)
        assert not wish.start
        waits.append(round((wish.look_at or 0.0) - 100.0, 3))
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_one_that_lived_long_or_ended_well_is_no_crash_loop() -> None:
    demand = Demand(ASLEEP)
    for _ in range(5):
        demand.failed(0.0, lived_s=1.0)
    demand.failed(10.0, lived_s=31.0)
    assert demand.wish(10.0, 0, 0, yes).look_at == 10.1
    demand.ended_well()
    demand.failed(20.0, lived_s=1.0)
    assert demand.wish(20.0, 0, 0, yes).look_at == 20.1
