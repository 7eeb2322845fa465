"""What a run logged in MLflow: the last value of each metric, and its curve."""

from __future__ import annotations

from dataclasses import dataclass

from plinth.api.console.plot import line
from plinth.control.context import Context
from plinth.kit.errors import NotFound, PlinthError, Temporary

_MOST_CURVES = 12


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric. `points` is empty where it was logged once only.

    `low` and `high` hold for what is drawn: `drawn` values. `is_part`: the last is not among them.
    """

    name: str
    last: float
    low: float
    high: float
    points: str
    drawn: int
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
    logged = sorted(context.tracking.describe_run(team, tracking_run).metrics.items())
    found = []
    for name, last in logged[:_MOST_CURVES]:
        history = context.tracking.metric_history(team, tracking_run, name)
        values = [value for _, value in history] or [last]
        points = line(history) if len(history) > 1 else ""
        is_part = bool(points) and last != values[-1]
        found.append(Curve(name, last, min(values), max(values), points, len(history), is_part))
    return Metrics(found, len(logged) - len(found))
