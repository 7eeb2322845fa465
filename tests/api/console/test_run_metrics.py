"""What is drawn of a metric, and what is said of the values that cannot be drawn."""

from __future__ import annotations

import math
import sys

from plinth.api.console.metrics import Curve, curves
from tests.api.service import TEAM, Service

INFINITE = sys.float_info.max


def curve_of(service: Service, last: float, *values: float) -> Curve:
    service.plane.tracking.log(TEAM, "m1", metrics={"loss": last})
    service.plane.tracking.histories["m1", "loss"] = [
        (float(step), value) for step, value in enumerate(values)
    ]
    found = curves(service.plane.context, TEAM, "m1")
    assert found is not None
    return found.curves[0]


def test_an_infinite_value_leaves_the_others_their_plot(service: Service) -> None:
    curve = curve_of(service, 0.5, 1.0, INFINITE, -INFINITE, math.nan, 0.5)
    assert (curve.low, curve.high, curve.drawn, curve.undrawn) == (0.5, 1.0, 2, 3)
    assert curve.points == "0.0,0.0 600.0,120.0"
    assert not curve.is_part


def test_a_last_value_that_cannot_be_drawn_is_not_missing(service: Service) -> None:
    curve = curve_of(service, INFINITE, 1.0, 2.0, INFINITE)
    assert (curve.last, curve.undrawn, curve.is_part) == (INFINITE, 1, False)


def test_one_value_that_can_be_drawn_makes_no_plot(service: Service) -> None:
    curve = curve_of(service, 1.0, INFINITE, 1.0)
    assert (curve.points, curve.undrawn) == ("", 1)


def test_a_metric_that_ended_as_no_number_is_shown(service: Service) -> None:
    service.plane.tracking.log(TEAM, "m1", numberless=("loss",))
    service.plane.tracking.histories["m1", "loss"] = [(0.0, 1.0), (1.0, 0.5), (2.0, math.nan)]
    found = curves(service.plane.context, TEAM, "m1")
    assert found is not None
    (curve,) = found.curves
    assert math.isnan(curve.last)
    assert (curve.drawn, curve.undrawn, curve.is_part) == (2, 1, False)


def test_of_many_metrics_some_are_counted_only(service: Service) -> None:
    service.plane.tracking.log(TEAM, "m1", metrics={f"m{number:02d}": 1.0 for number in range(20)})
    found = curves(service.plane.context, TEAM, "m1")
    assert found is not None
    assert (len(found.curves), found.left_out) == (12, 8)
