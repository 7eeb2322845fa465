"""The replay, by hand and against one that is written the other way round."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plinth.planning.sizing.spill import (
    Amount,
    Load,
    fewest_requests,
    fewest_spilled,
    fewest_without_spill,
    serve,
    spilled_runs,
)
from tests.planning.sizing_cases import Row, arrivals, capacity, places, spilled_by_level

# Quarters of a second and counts of powers of two, so that floating point is exact.
EXACT_UNITS = (1, 2, 4, 8, 16)
ROWS = st.lists(
    st.tuples(st.integers(0, 1200), st.integers(0, 200), st.integers(0, 30)),
    min_size=1,
    max_size=60,
).map(lambda rows: [(time / 4, i, o) for time, i, o in sorted(rows)])


def load_of(rows: list[Row]) -> Load:
    return Load(arrivals(rows), Fraction(4))


def test_a_request_below_100_percent_is_accepted_and_may_go_over() -> None:
    # One unit drains a token a second; 100 % are 60 tokens.
    # 0 s: 0 -> 30 -> 60, full, spill. 1 s: 59, accepted -> 89. 30 s: 60, spill. 31 s: 59, accepted.
    rows = [(0, 30, 0), (0, 30, 0), (0, 30, 0), (1, 30, 0), (30, 30, 0), (31, 30, 0)]
    assert spilled_runs(load_of(rows), capacity(), 1) == [(2, 3), (4, 5)]


def test_an_output_token_counts_with_its_weight() -> None:
    # 20 + 4 x 10 = 60: full at once.
    rows = [(0, 20, 10), (0, 1, 0), (0.25, 1, 0)]
    assert spilled_runs(load_of(rows), capacity(), 1) == [(1, 2)]


def test_who_waits_comes_in_order_and_spills_only_where_the_wait_is_too_long() -> None:
    # After the first: 90 tokens, open again after 30 s. The second waits 29 s, the third as long
    # as that and 30 s more.
    rows = [(0, 90, 0), (1, 30, 0), (2, 30, 0), (3, 1, 0)]
    assert spilled_runs(load_of(rows), capacity(), 1, patience_s=30) == [(2, 4)]
    assert serve(load_of(rows), capacity(), 1, 30).waits_s == (0.0, 29.0)
    assert spilled_runs(load_of(rows), capacity(), 1) == [(1, 4)]


def test_no_units_spill_everything() -> None:
    load = load_of([(0, 1, 2), (1, 3, 4)])
    assert load.amount(spilled_runs(load, capacity(), 0)) == Amount(2, 4, 6) == load.whole
    assert serve(load, capacity(), 0, 0).busy_share == 0


def test_units_are_busy_while_they_have_something_to_drain() -> None:
    # 30 s of work from 0 s and 10 s from 90 s on, in 100 s.
    rows = [(0, 30, 0), (90, 10, 0), (100, 0, 0)]
    assert serve(load_of(rows), capacity(), 1, 0).busy_share == pytest.approx(0.4)


def test_an_amount_counts_only_the_places_asked_for() -> None:
    load = load_of([(0, 1, 10), (1, 2, 20), (2, 3, 30), (3, 4, 40)])
    assert load.amount([(0, 2), (3, 4)], start=1) == Amount(2, 6, 60)
    assert load.amount([(0, 2), (3, 4)], stop=1) == Amount(1, 1, 10)
    assert load.whole.tokens == 110


def test_more_units_may_spill_more_requests() -> None:
    # One unit refuses the huge request and takes the small ones after it; two units take the huge
    # one, and are full for an hour.
    small = [(61 + second, 1, 0) for second in range(5)]
    rows: list[Row] = [(0, 120, 0), (60, 10_000, 0), *small]
    one = places(spilled_runs(load_of(rows), capacity(), 1))
    two = places(spilled_runs(load_of(rows), capacity(), 2))
    assert (one, two) == ({1}, {2, 3, 4, 5, 6})


@given(rows=ROWS, units=st.sampled_from(EXACT_UNITS), patience_s=st.sampled_from((0, 2, 30)))
@settings(max_examples=80, deadline=None)
def test_the_replay_is_that_of_a_level_that_drains(
    rows: list[Row], units: int, patience_s: int
) -> None:
    found = places(spilled_runs(load_of(rows), capacity(), units, patience_s))
    assert found == spilled_by_level(rows, capacity(), units, patience_s)
    waits = serve(load_of(rows), capacity(), units, patience_s).waits_s
    assert len(waits) == len(rows) - len(found)
    assert all(0 <= wait < max(patience_s, 1e-9) for wait in waits)


@given(rows=ROWS)
@settings(max_examples=50, deadline=None)
def test_from_the_fewest_without_spill_on_more_units_never_spill(rows: list[Row]) -> None:
    of = capacity(window_s=10.0)
    load = load_of(rows)
    spills = {units: bool(spilled_runs(load, of, units)) for units in of.counts()}
    clean = [units for units, does in spills.items() if not does]
    assert fewest_without_spill(load, of) == (clean[0] if clean else None)
    assert not any(spills[units] for units in of.counts() if clean and units >= clean[0])


@given(rows=ROWS, units=st.integers(1, 20), more=st.integers(1, 20))
@settings(max_examples=80, deadline=None)
def test_more_units_never_serve_less_by_more_than_one_request(
    rows: list[Row], units: int, more: int
) -> None:
    load, of = load_of(rows), capacity(window_s=10.0)

    def served(count: int) -> float:
        out = places(spilled_runs(load, of, count))
        return math.fsum(w for place, w in enumerate(load.weights) if place not in out)

    assert served(units + more) >= served(units) - load.heaviest[0] - 1e-6


@given(rows=ROWS.filter(lambda rows: rows[-1][0] > rows[0][0]), units=st.integers(0, 20))
@settings(max_examples=80, deadline=None)
def test_the_bounds_never_promise_less_spill_than_there_is(rows: list[Row], units: int) -> None:
    load, of = load_of(rows), capacity(window_s=10.0)
    out = places(spilled_runs(load, of, units, 2))
    weight = math.fsum(load.weights[place] for place in out)
    at_least = fewest_spilled(load, of, units, 2)
    assert at_least <= weight + 1e-6
    assert fewest_requests(load, at_least) <= len(out)
