"""Numbers become points and bars that lie within the box."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plinth.api.console.plot import HEIGHT, WIDTH, bars, is_drawable, line

finite = st.floats(min_value=-1e9, max_value=1e9)


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=50))
def test_every_point_of_a_line_lies_in_the_box(points: list[tuple[float, float]]) -> None:
    for pair in line(points).split():
        x, y = map(float, pair.split(","))
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT


def test_the_largest_value_is_at_the_top() -> None:
    assert line([(0, 1), (1, 3), (2, 2)]) == "0.0,120.0 300.0,0.0 600.0,60.0"


def test_a_bar_is_as_high_as_its_share_and_a_small_one_is_seen() -> None:
    found = bars([0, 1, 1000])
    assert [bar.height for bar in found] == [0.0, 1.0, HEIGHT]
    assert [bar.x for bar in found] == [0.0, 200.0, 400.0]


def test_bars_can_share_the_scale_of_others() -> None:
    assert bars([5], 10)[0].height == pytest.approx(HEIGHT / 2)


any_number = st.floats(max_value=1.79e308, min_value=-1.79e308)


@given(st.lists(st.tuples(any_number, any_number), min_size=1, max_size=20))
def test_legal_extremes_lie_in_the_box_too(points: list[tuple[float, float]]) -> None:
    for pair in line(points).split():
        x, y = map(float, pair.split(","))
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT


def test_the_least_and_the_greatest_numbers_are_told_apart() -> None:
    assert line([(0, -1.7e308), (1, 0), (2, 1.7e308)]) == "0.0,120.0 300.0,60.0 600.0,0.0"
    assert line([(0, 0), (1, 5e-324)]) == "0.0,120.0 600.0,0.0"


def test_infinity_and_what_is_no_number_have_no_place() -> None:
    assert [is_drawable(each) for each in (0.0, -1.7e308)] == [True, True]
    for value in (math.inf, -math.inf, math.nan, sys.float_info.max, -sys.float_info.max):
        assert not is_drawable(value)
