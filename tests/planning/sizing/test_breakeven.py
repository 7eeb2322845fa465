"""What a month costs, worked by hand."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from plinth.planning.sizing.breakeven import Prices, break_even_share, per_month
from plinth.planning.sizing.spill import Amount
from tests.planning.sizing_cases import PRICES, capacity

HOUR_S = 3600.0


def test_units_cost_their_hours_for_730_hours() -> None:
    # gpt-4o Global: 270 units at 1.00 USD an hour.
    assert PRICES.base(270) == 197_100
    assert PRICES.base(0) == 0


def test_burst_costs_its_tokens_as_often_as_the_trace_goes_into_a_month() -> None:
    # 2 M x 2.50 + 0.5 M x 10 = 10 USD an hour.
    spilled = Amount(100, 2_000_000, 500_000)
    assert PRICES.burst(spilled, HOUR_S) == 7_300
    assert per_month(HOUR_S / 2) == 1_460


def test_reserved_units_are_paid_for_also_when_fewer_are_deployed() -> None:
    prices = Prices("USD", Decimal(2), Decimal(1), Decimal(1), Decimal(260), reserved_units=10)
    assert [prices.base(units) for units in (0, 10, 11)] == [2_600, 2_600, 2_600 + 2 * 730]
    as_deployed = Prices("USD", None, Decimal(1), Decimal(1), Decimal(260))
    assert [as_deployed.base(units) for units in (0, 10)] == [0, 2_600]


def test_a_missing_price_makes_unknown_only_what_needs_it() -> None:
    nothing = Prices("USD")
    assert (nothing.base(0), nothing.base(1)) == (0, None)
    some = Amount(1, 1, 0)
    assert nothing.burst(some, HOUR_S) is None
    assert nothing.burst(Amount(0, 0, 0), HOUR_S) == 0
    one = Prices("USD", input_million=Decimal(1))
    assert one.burst(some, HOUR_S) is None


@pytest.mark.parametrize(
    ("prices", "complete"),
    [
        (PRICES, True),
        (Prices("USD", None, Decimal(1), Decimal(1)), False),
        (Prices("USD", Decimal(1), Decimal(1), None), False),
        (Prices("USD", None, Decimal(1), Decimal(1), Decimal(9)), True),
        (Prices("USD", None, Decimal(1), Decimal(1), Decimal(9), 3), False),
    ],
)
def test_prices_are_complete_when_every_count_has_a_cost(prices: Prices, complete: bool) -> None:
    assert prices.is_complete is complete


def test_the_bound_of_burst_is_never_above_what_it_costs() -> None:
    of = capacity()
    for of_input, of_output in ((1000, 0), (0, 1000), (700, 30)):
        weight = of_input + 4 * of_output
        cost = PRICES.burst(Amount(1, of_input, of_output), HOUR_S)
        assert cost is not None
        assert PRICES.cheapest_burst(weight, of, HOUR_S) <= cost


def test_a_unit_of_gpt_4o_at_list_price_never_pays_off_and_a_cheap_one_does() -> None:
    # A unit drains 150,000 weighted tokens an hour, which cost 2.50 / 10 = 0.375 USD as burst
    # whatever the mix, since output is 4 times as dear and weighs 4 times as much.
    of = capacity(2500)
    whole = Amount(10, 3_000, 500)
    assert break_even_share(PRICES, of, whole) == 1 / Fraction("0.375")
    cheap = Prices("USD", Decimal("0.15"), PRICES.input_million, PRICES.output_million)
    assert break_even_share(cheap, of, whole) == Fraction("0.4")
    reserved = Prices(
        "USD", Decimal(1), PRICES.input_million, PRICES.output_million, Decimal("219")
    )
    assert break_even_share(reserved, of, whole) == Fraction("0.8")


def test_break_even_is_unknown_without_a_price_and_where_burst_is_free() -> None:
    whole = Amount(1, 10, 10)
    assert break_even_share(Prices("USD"), capacity(), whole) is None
    free = Prices("USD", Decimal(1), Decimal(0), Decimal(0))
    assert break_even_share(free, capacity(), whole) is None
