from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from plinth.gateway.guard.window import WINDOW_S, Window

USES = st.lists(
    st.tuples(st.floats(0, 40), st.integers(1, 100)), min_size=1, max_size=30
)  # gaps in seconds, amounts


def test_what_was_used_counts_for_a_minute_and_no_second_more() -> None:
    window = Window()
    window.add(70, 10.9)
    window.forget(70.9)
    assert window.used == 70
    window.forget(71.0)
    assert window.used == 0


@given(USES, st.floats(0, 200))
def test_the_window_holds_at_least_the_last_minute_and_at_most_a_second_more(
    uses: list[tuple[float, int]], after: float
) -> None:
    window, now, seen = Window(), 0.0, []
    for gap, amount in uses:
        now += gap
        window.add(amount, now)
        seen.append((now, amount))
    now += after
    window.forget(now)
    least = sum(amount for at, amount in seen if now - at < WINDOW_S)
    most = sum(amount for at, amount in seen if now - at <= WINDOW_S + 1)
    assert least <= window.used <= most


@given(USES, st.integers(1, 4000))
def test_after_the_wait_enough_has_left_and_not_before(
    uses: list[tuple[float, int]], amount: int
) -> None:
    window, now = Window(), 0.0
    for gap, units in uses:
        now += gap
        window.add(units, now)
    window.forget(now)
    before, wait = window.used, window.wait_s(amount, now)
    if wait > 0.001:
        window.forget(now + wait - 0.001)
        assert before - window.used < amount
    window.forget(now + wait)
    assert before - window.used >= min(amount, before)


def test_what_is_added_late_leaves_by_its_own_time() -> None:
    window = Window()
    window.add(1, 50.0)
    window.add(2, 20.0)
    window.add(4, 20.5)
    window.add(8, 5.0)
    assert window.to_json() == [[5, 8], [20, 6], [50, 1]]
    window.forget(81.0)
    assert window.used == 1
