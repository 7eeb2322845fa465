"""What a run logged in MLflow: the last value of each metric, and its curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from plinth.api.console.plot import is_drawable, line
from plinth.control.context import Context
from plinth.kit.errors import NotFound, PlinthError, Temporary

_MOST_CURVES = 12


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric. `points` is empty where there are no two values to draw.

    `low` and `high` hold for what is drawn: `drawn` values. `is_part`: the last was not among those
    that MLflow chose. `undrawn`: how many of these were infinite or no number.
    """

    name: str
    last: float
    low: float
    high: float
    points: str
    drawn: int
    undrawn: int
    is_part: bool


@dataclass(frozen=True, slots=True)
class Metrics:
    """The metrics of a run; `left_out`: how many more it has."""

    curves: list[Curve]
    left_out: int

    def __bool__(self) -> bool:
        """Tell whether there is anything to show."""
        return bool(self.curves)


def curves(context: Context, team: str, tracking_run: str | None) -> Metrics | None:
    """Return the metrics of a run; None where MLflow does not answer now, or has forgotten it."""
    if tracking_run is None:
        return Metrics([], 0)
    try:
        return _curves(context, team, tracking_run)
    except (NotFound, Temporary):
        return None
    except PlinthError:
        return Metrics([], 0)


def _curves(context: Context, team: str, tracking_run: str) -> Metrics:
    tracked = context.tracking.describe_run(team, tracking_run)
    logged = sorted({**tracked.metrics, **dict.fromkeys(tracked.numberless, math.nan)}.items())
    found = [
        _curve(name, last, context.tracking.metric_history(team, tracking_run, name))
        for name, last in logged[:_MOST_CURVES]
    ]
    return Metrics(found, len(logged) - len(found))


def _curve(name: str, last: float, history: Sequence[tuple[float, float]]) -> Curve:
    drawn = [(step, value) for step, value in history if is_drawable(value)]
    values = [value for _, value in drawn] or [0.0]
    points = line(drawn) if len(drawn) > 1 else ""
    return Curve(
        name,
        last,
        low=min(values),
        high=max(values),
        points=points,
        drawn=len(drawn),
        undrawn=len(history) - len(drawn),
        is_part=bool(points) and not _same(last, history[-1][1]),
    )


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
