"""Plots as SVG: numbers -> the points of a line, or bars, in a box of fixed size.

The templates draw them, so that every text in a plot is escaped like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 600, 120


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, in the box's units; y grows downwards."""

    x: float
    y: float
    width: float
    height: float


def line(points: Sequence[tuple[float, float]]) -> str:
    """Return the `points` attribute of a line through (x, y), stretched to fill the box.

    A single point, or values that are all the same, lie on the middle.
    """
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return " ".join(
        f"{_scaled(x, xs) * WIDTH:.1f},{(1 - _scaled(y, ys)) * HEIGHT:.1f}" for x, y in points
    )


def bars(values: Sequence[float], most: float | None = None) -> list[Bar]:
    """Return a bar for each value, side by side; `most`: what fills the height, else the largest.

    A value above 0 is never invisible.
    """
    top = max(most or 0, *values, 0) or 1
    width = WIDTH / max(1, len(values))
    found = []
    for index, value in enumerate(values):
        height = max(1.0, value / top * HEIGHT) if value > 0 else 0.0
        found.append(Bar(round(index * width, 2), round(HEIGHT - height, 2), width - 1, height))
    return found


def _scaled(value: float, among: Sequence[float]) -> float:
    low, high = min(among), max(among)
    return 0.5 if high == low else (value - low) / (high - low)
