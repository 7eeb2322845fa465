"""How many requests are sent at once follows from how they are answered."""

from __future__ import annotations

import threading

from plinth.runtimes.requestrunner.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_grows_quickly_up_to_the_first_refusal_and_slowly_after_it() -> None:
    clock = Clock()
    pace = Pace(32, clock)
    assert pace.limit == 4
    for _ in range(12):
        pace.went_well()
    assert pace.limit == 16
    pace.slow_down(0)
    assert pace.limit == 8
    for _ in range(8):
        pace.went_well()
    assert pace.limit == 8
    pace.went_well()
    assert pace.limit == 9


def test_it_never_grows_beyond_what_is_allowed_nor_falls_below_one() -> None:
    clock = Clock()
    pace = Pace(5, clock)
    for _ in range(50):
        pace.went_well()
    assert pace.limit == 5
    for _ in range(20):
        clock.now += 2
        pace.slow_down(0)
    assert pace.limit == 1


def test_refusals_that_come_together_count_once() -> None:
    clock = Clock()
    pace = Pace(32, clock)
    for _ in range(28):
        pace.went_well()
    for _ in range(32):
        pace.slow_down(3)
    assert pace.limit == 16
    assert pace.waits_s == 3


def test_the_longest_pause_that_was_asked_for_holds() -> None:
    clock = Clock()
    pace = Pace(4, clock)
    pace.slow_down(10)
    pace.slow_down(1)
    clock.now += 4
    assert pace.waits_s == 6


def test_whoever_waits_goes_on_when_it_is_over() -> None:
    pace = Pace(1, Clock())
    assert pace.enter()
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(pace.enter()))
    thread.start()
    pace.end()
    thread.join(5)
    assert found == [False]
    assert not pace.enter()


def test_room_that_is_given_back_lets_the_next_one_in() -> None:
    pace = Pace(1, Clock())
    assert pace.enter()
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(pace.enter()))
    thread.start()
    pace.leave()
    thread.join(5)
    assert found == [True]
