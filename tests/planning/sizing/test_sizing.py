"""The search finds what trying every count finds, and the halves are told as they were."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plinth.kit.errors import Invalid
from plinth.planning.sizing.breakeven import Prices
from plinth.planning.sizing.sizing import Goal, Mix, Question, Search, size
from plinth.planning.sizing.spill import Load, spilled_runs
from tests.planning.sizing_cases import PRICES, Row, arrivals, capacity, places, question

CHEAP = Prices("USD", Decimal("0.0005"), Decimal(2), Decimal(8))
ROWS = st.lists(
    st.tuples(st.integers(0, 600), st.sampled_from((1, 20, 200, 600, 1200)), st.integers(0, 40)),
    min_size=2,
    max_size=25,
).map(lambda rows: [(float(time), i, o) for time, i, o in sorted(rows)])
SPREAD = ROWS.filter(lambda rows: rows[-1][0] > rows[0][0])
# Three counts are cheaper than both of their neighbours: 4, 7 and 9.
WAVY: list[Row] = [
    *((0.0, 600, 0), (220.0, 1200, 0), (240.0, 1200, 0)),
    *((460.0, 600, 0), (520.0, 1200, 0), (540.0, 600, 0)),
]


def cheapest_by_trying(asked: Question) -> tuple[Fraction, int] | None:
    """Return total and units of the cheapest mix within the goal, from every count there is."""
    load = Load(asked.arrivals, asked.capacity.output_weight)
    found = []
    for units in (0, *asked.capacity.counts()):
        out = places(spilled_runs(load, asked.capacity, units, asked.goal.patience_s))
        if not asked.goal.allows(len(out), len(asked.arrivals)):
            continue
        prices = asked.prices
        assert prices.unit_hour is not None
        assert prices.input_million is not None
        assert prices.output_million is not None
        tokens = sum(
            Fraction(prices.input_million) * asked.arrivals.input_tokens[place]
            + Fraction(prices.output_million) * asked.arrivals.output_tokens[place]
            for place in out
        )
        month = Fraction(730 * 3600) / Fraction(asked.arrivals.span_s)
        found.append((Fraction(prices.unit_hour) * units * 730 + tokens * month / 10**6, units))
    return min(found, default=None)


@given(
    rows=SPREAD,
    spill=st.sampled_from((None, "0", "0.05", "0.3")),
    patience_s=st.sampled_from((0.0, 3.0)),
    unit_hour=st.sampled_from(("0", "0.0001", "0.0005", "0.002", "1")),
)
@settings(max_examples=80, deadline=None)
def test_the_answer_is_the_cheapest_of_all_counts(
    rows: list[Row], spill: str | None, patience_s: float, unit_hour: str
) -> None:
    prices = Prices("USD", Decimal(unit_hour), Decimal(2), Decimal(8))
    of = capacity(window_s=10.0, minimum=2, increment=3)
    asked = question(rows, of=of, spill=spill, patience_s=patience_s, prices=prices)
    wanted = cheapest_by_trying(asked)
    if wanted is None:
        with pytest.raises(Invalid, match="no count up to 40 units keeps to the goal"):
            size(asked)
        return
    chosen = size(asked).chosen
    assert (chosen.total, chosen.units) == wanted


def test_cost_has_several_valleys_and_the_deepest_is_found() -> None:
    search = Search(question(WAVY, of=capacity(window_s=10.0), prices=CHEAP))
    totals = [search.mix(units).total or 0 for units in range(20)]
    valleys = [n for n in range(1, 19) if totals[n - 1] > totals[n] < totals[n + 1]]
    assert valleys == [4, 7, 9]
    assert search.best(Goal()).units == 9
    assert totals[9] == min(totals)


@given(rows=SPREAD, share=st.sampled_from(("0", "0.05", "0.3")))
@settings(max_examples=50, deadline=None)
def test_with_a_price_unknown_the_fewest_units_within_the_goal_are_taken(
    rows: list[Row], share: str
) -> None:
    of = capacity(window_s=10.0, most=400)
    asked = question(rows, of=of, spill=share, prices=Prices("USD", Decimal(1)))
    load = Load(asked.arrivals, of.output_weight)
    first = next(
        units
        for units in (0, *of.counts())
        if asked.goal.allows(len(places(spilled_runs(load, of, units))), len(rows))
    )
    made = size(asked)
    assert made.chosen.units == first
    assert (made.cheapest, made.break_even) == (None, None)


def test_counts_are_the_minimum_and_steps_above_it_or_none() -> None:
    steady: list[Row] = [(float(second), 100, 0) for second in range(600)]
    of = capacity(minimum=15, increment=5, most=1000)
    made = size(question(steady, of=of, spill="0"))
    # 100 tokens a second; one unit drains one. 60 s of bucket bridge 600 s at 95 units:
    # they drain 57,000 of 60,000 and hold 5,700.
    assert made.chosen.units == 95
    assert [mix.units for mix in made.curve] == [0, *range(15, 96, 5)]
    assert size(question(steady, of=of, prices=PRICES)).chosen.units == 0


def test_most_units_are_replayed_once_and_hopeless_ones_never() -> None:
    steady: list[Row] = [(float(second), 100, 0) for second in range(3600)]
    search = Search(question(steady, of=capacity(most=1000), spill="0.05"))
    chosen = search.best(Goal(Fraction(1, 20)))
    assert (chosen.units, search.top) == (94, 99)
    assert search.replays <= 6


def test_without_a_goal_owned_units_are_used_before_burst() -> None:
    steady: list[Row] = [(float(second), 100, 0) for second in range(600)]
    owned = Prices("USD", Decimal(1), Decimal("2.5"), Decimal(10), Decimal(100), 30)
    made = size(question(steady, of=capacity(most=1000), prices=owned))
    assert made.chosen.units == 30
    assert made.burst_only.base == made.chosen.base == 3000


def test_what_even_the_most_units_cannot_do_is_told() -> None:
    rows: list[Row] = [(0.0, 9000, 0), (1.0, 9000, 0), (2.0, 1, 0)]
    made = size(question(rows, of=capacity(most=10), prices=Prices("USD")))
    assert made.provisioned is None
    with pytest.raises(Invalid) as refused:
        size(question(rows, of=capacity(most=10), spill="0.1"))
    assert "10 units spill 66.67%" in refused.value.message
    assert "--max-units" in (refused.value.hint or "")


def test_the_first_half_predicts_and_the_second_is_observed_with_the_units_as_they_were_left() -> (
    None
):
    # 5 minutes of 1 token a second, then 5 minutes of 2: one unit serves the first half.
    rows: list[Row] = [(float(second), 1 if second < 300 else 2, 0) for second in range(601)]
    halves = size(question(rows, of=capacity(), spill="0")).halves
    assert halves is not None
    assert (halves.units, halves.predicted.requests) == (1, 0)
    # A bucket of 60 tokens fills after a minute; from then on every second request spills.
    assert float(halves.observed.requests) == pytest.approx(0.4, abs=0.01)
    assert halves.observed.of.requests == 301
    assert halves.whole.spilled == halves.observed.spilled
    assert (halves.first_rate, halves.second_rate) == (60.0, pytest.approx(120.4))


def test_a_half_too_thin_to_size_from_is_no_trial() -> None:
    rows: list[Row] = [(0.0, 1, 0), (10.0, 1, 0), (11.0, 1, 0)]
    assert size(question(rows)).halves is None
    # The first half alone cannot keep to a goal that the whole keeps.
    burst: list[Row] = [(0.0, 5000, 0), (1.0, 1, 0), *((2000.0 + n, 1, 0) for n in range(60))]
    assert size(question(burst, of=capacity(most=5), spill="0.1")).halves is None


def test_a_curve_has_few_points_with_both_ends_and_the_chosen_count() -> None:
    steady: list[Row] = [(float(second), 1000, 0) for second in range(600)]
    made = size(question(steady, of=capacity(most=2000), spill="0.37"))
    units = [mix.units for mix in made.curve]
    assert len(units) <= 64
    assert units == sorted(set(units))
    assert {0, 1, made.chosen.units} <= set(units)
    assert made.provisioned is not None
    assert units[-1] == made.provisioned.units


def test_the_same_question_gets_the_same_answer() -> None:
    asked = question(WAVY, of=capacity(window_s=10.0), prices=CHEAP)
    first, again = size(asked), size(asked)
    assert first == again
    assert isinstance(first.chosen, Mix)
    assert arrivals(WAVY) == asked.arrivals
