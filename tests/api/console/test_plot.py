"""Numbers become points and bars that lie within the box."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plinth.api.console.plot import HEIGHT, WIDTH, bars, line

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
