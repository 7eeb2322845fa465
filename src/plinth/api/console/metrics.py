"""What a run logged in MLflow: the last value of each metric, and its curve."""

from __future__ import annotations

from dataclasses import dataclass

from plinth.api.console.plot import line
from plinth.control.context import Context
from plinth.kit.errors import NotFound, PlinthError, Temporary

_MOST_CURVES = 12


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric. `points` is empty where it was logged once only."""

    name: str
    last: float
    low: float
    high: float
    points: str


def curves(context: Context, team: str, tracking_run: str | None) -> list[Curve] | None:
    """Return the metrics of a run; None where MLflow does not answer now, or has forgotten it."""
    if tracking_run is None:
        return []
    try:
        return _curves(context, team, tracking_run)
    except (NotFound, Temporary):
        return None
    except PlinthError:
        return []


def _curves(context: Context, team: str, tracking_run: str) -> list[Curve]:
    found = []
    logged = context.tracking.describe_run(team, tracking_run).metrics
    for name, last in sorted(logged.items())[:_MOST_CURVES]:
        history = context.tracking.metric_history(team, tracking_run, name)
        values = [value for _, value in history] or [last]
        points = line(history) if len(history) > 1 else ""
        found.append(Curve(name, last, min(values), max(values), points))
    return found
