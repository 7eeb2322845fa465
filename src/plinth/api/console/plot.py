"""Plots as SVG: numbers -> the points of a line, or bars, in a box of fixed size.

The templates draw them, so that every text in a plot is escaped like any other.
"""

from __future__ import annotations

import math
import sys
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


def is_drawable(value: float) -> bool:
    """Tell whether a value has a place in a plot: infinity and what is no number have none.

    The largest float there is has none either: MLflow keeps it for infinity.
    """
    return math.isfinite(value) and abs(value) < sys.float_info.max


def line(points: Sequence[tuple[float, float]]) -> str:
    """Return the `points` attribute of a line through (x, y), stretched to fill the box.

    Every value is drawable. A single point, or values that are all the same, lie on the middle.
    """
    xs = _scaled([x for x, _ in points])
    ys = _scaled([y for _, y in points])
    return " ".join(f"{x * WIDTH:.1f},{(1 - y) * HEIGHT:.1f}" for x, y in zip(xs, ys, strict=True))


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


def _scaled(values: Sequence[float]) -> list[float]:
    """Return where each value lies between the least, 0, and the greatest, 1."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    if low == high:
        return [0.5 for _ in values]
    if math.isinf(high - low):
        # Of numbers as large as these only halves can be subtracted.
        return _scaled([value / 2 for value in values])
    return [(value - low) / (high - low) for value in values]
