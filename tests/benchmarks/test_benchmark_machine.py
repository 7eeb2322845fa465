import pytest

from benchmarks.machine import percentile, spread


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 2), (0.95, 4), (1.0, 4)])
def test_a_percentile_is_a_value_that_was_measured(share: float, expected: float) -> None:
    assert percentile([4, 2, 1, 3], share) == expected


def test_a_spread_has_the_median_between_the_least_and_the_most() -> None:
    assert spread("ratio", [3.0, 1.0, 2.0]) == {"ratio": 2.0, "ratio_min": 1.0, "ratio_max": 3.0}
