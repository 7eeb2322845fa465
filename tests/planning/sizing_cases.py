"""Small traces and capacities for tests of sizing, and a replay written the other way round."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from plinth.planning.sizing.arrivals import Arrivals
from plinth.planning.sizing.breakeven import Prices
from plinth.planning.sizing.sizing import Goal, Question
from plinth.planning.sizing.spill import Capacity, Run

Row = tuple[float, int, int]
PRICES = Prices("USD", Decimal("1"), Decimal("2.5"), Decimal("10"))


def arrivals(rows: Sequence[Row]) -> Arrivals:
    """`rows`: time in seconds, input tokens, output tokens; sorted."""
    times, inputs, outputs = zip(*rows, strict=True)
    return Arrivals(tuple(float(time - times[0]) for time in times), inputs, outputs)


def capacity(
    per_minute: int = 60,
    *,
    weight: int = 4,
    minimum: int = 1,
    increment: int = 1,
    window_s: float = 60.0,
    most: int = 40,
) -> Capacity:
    """With 60 tokens a minute, each unit drains one token a second."""
    return Capacity(per_minute, Fraction(weight), minimum, increment, window_s, most)


def question(
    rows: Sequence[Row],
    *,
    of: Capacity | None = None,
    spill: str | None = None,
    patience_s: float = 0.0,
    prices: Prices = PRICES,
) -> Question:
    share = None if spill is None else Fraction(spill)
    return Question(arrivals(rows), of or capacity(), Goal(share, patience_s), prices)


def places(runs: Sequence[Run]) -> set[int]:
    return {place for begin, end in runs for place in range(begin, end)}


def spilled_by_level(
    rows: Sequence[Row], of: Capacity, units: int, patience_s: float = 0.0
) -> set[int]:
    """Replay with a level that drains and is compared with a full bucket, in exact fractions."""
    if units == 0:
        return set(range(len(rows)))
    drain = Fraction(units * of.input_tokens_per_minute, 60)
    full = drain * (Fraction(of.window_s) + Fraction(patience_s))
    level, before, spilled = Fraction(0), Fraction(rows[0][0]), set()
    for place, (time, of_input, of_output) in enumerate(rows):
        level = max(Fraction(0), level - (Fraction(time) - before) * drain)
        before = Fraction(time)
        if level < full:
            level += of_input + of.output_weight * of_output
        else:
            spilled.add(place)
    return spilled
