"""Restarts wait longer each time, up to a limit."""

from __future__ import annotations

from plinth.units.keeper import wait_before


def test_the_first_start_does_not_wait() -> None:
    assert wait_before(0) == 0.0


def test_each_failure_doubles_the_wait_up_to_five_seconds() -> None:
    waits = [wait_before(failures) for failures in range(1, 10)]
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


def test_very_many_failures_do_not_overflow() -> None:
    assert wait_before(10**9) == 5.0
