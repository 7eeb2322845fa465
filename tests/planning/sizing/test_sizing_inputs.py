"""What a sizing rests on is told with its value and where it comes from."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from plinth.catalog.provisioned import find_provisioned, load_provisioned
from plinth.kit.errors import Invalid
from plinth.planning.sizing.arrivals import Arrivals
from plinth.planning.sizing.sizing import Goal
from plinth.planning.sizing.sizing_inputs import Given, Inputs, make_inputs, percent

MINUTE = Arrivals((0.0, 60.0), (1, 1), (1, 1))
ROWS = load_provisioned()


def inputs(given: Given, model: str = "gpt-4o", kind: str = "Global") -> Inputs:
    return make_inputs(MINUTE, find_provisioned(ROWS, model, kind), given)


def told(made: Inputs) -> dict[str, tuple[str, str]]:
    return {each.what: (each.value, each.source) for each in made.assumptions}


def test_what_is_not_given_comes_from_the_catalog_and_says_so() -> None:
    made = inputs(Given())
    capacity, prices = made.question.capacity, made.question.prices
    assert (capacity.input_tokens_per_minute, capacity.output_weight) == (2500, 4)
    assert (capacity.minimum, capacity.increment, capacity.window_s) == (15, 5, 60.0)
    assert (prices.unit_hour, prices.input_million, prices.output_million) == (
        1,
        Decimal("2.5"),
        10,
    )
    said = told(made)
    assert said["a unit serves"] == (
        "2,500 input tokens a minute",
        "Microsoft Learn, PTU sizing (2026-05-22), estimated",
    )
    assert said["a unit for an hour"] == (
        "1 USD",
        "assumed: Azure Retail Prices, East US (2026-08-11); no quote",
    )
    assert said["100 % utilization is"] == ("what the units drain in 60 s", "assumed (`--window`)")


def test_what_is_given_wins_and_a_measurement_is_called_one() -> None:
    made = inputs(
        Given(
            unit_tokens=2800,
            output_weight=Decimal("2.5"),
            window_s=10.0,
            most=100,
            spill=Fraction(1, 100),
            unit_hour=Decimal("0.7"),
        )
    )
    said = told(made)
    assert said["a unit serves"] == ("2,800 input tokens a minute", "given, measured")
    assert said["an output token counts as"] == ("2.5 input tokens", "given")
    assert said["units"][0] == "15 or more, in steps of 5; up to 100"
    assert said["goal"] == ("at most 1.00 % of requests go to burst", "given")
    assert said["a unit for an hour"] == ("0.7 USD", "given")
    assert said["a million input tokens"][0] == "2.5 USD"
    assert made.question.capacity.output_weight == Fraction(5, 2)


def test_a_weight_that_no_source_gives_is_an_assumption() -> None:
    said = told(inputs(Given(), "gpt-35-turbo"))
    assert said["an output token counts as"] == (
        "4 input tokens",
        "assumed; no source gives it (`--output-weight`)",
    )


def test_list_prices_are_not_used_in_another_currency() -> None:
    made = inputs(Given(currency="EUR", unit_hour=Decimal("0.9")))
    assert made.question.prices.unit_hour == Decimal("0.9")
    assert made.question.prices.input_million is None
    said = told(made)
    assert said["a million input tokens"] == ("unknown", "the catalog's prices are in USD")
    assert said["a unit for an hour"] == ("0.9 EUR", "given")


def test_without_prices_and_goal_a_goal_is_assumed() -> None:
    made = inputs(Given(), "gpt-5", "Regional")
    assert made.question.goal == Goal(Fraction(1, 20))
    assert told(made)["goal"][1] == "assumed, since a price is unknown (`--spill`)"
    assert told(made)["a million input tokens"] == ("unknown", "not in the catalog")
    assert inputs(Given()).question.goal == Goal()


def test_a_p99_of_waiting_lets_one_in_a_hundred_go_to_burst() -> None:
    made = inputs(Given(p99_wait_s=2.0))
    assert made.question.goal == Goal(Fraction(1, 100), 2.0)
    assert told(made)["goal"][0].startswith("99 % of requests get units within 2 s")


def test_reserved_units_are_told() -> None:
    said = told(inputs(Given(reserved_month=Decimal(260), reserved_units=50)))
    assert said["a reserved unit for a month"] == ("260 USD; reserved: 50", "given")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Given(spill=Fraction(0), p99_wait_s=1.0), "give one of `--spill` and `--p99-wait`"),
        (Given(reserved_units=5), "`--reserved-units` needs `--reserved-price`"),
        (Given(most=14), "`--max-units 14`: `gpt-4o` Global starts at 15 units"),
    ],
)
def test_what_contradicts_itself_is_refused(given: Given, said: str) -> None:
    with pytest.raises(Invalid) as refused:
        inputs(given)
    assert refused.value.message == said


@pytest.mark.parametrize(
    ("hours", "said"), [(1, "no daily and no weekly pattern"), (48, "no weekly pattern"), (200, "")]
)
def test_a_trace_that_shows_no_pattern_is_a_caution(hours: int, said: str) -> None:
    trace = Arrivals((0.0, hours * 3600.0), (1, 1), (1, 1))
    made = make_inputs(trace, find_provisioned(ROWS, "gpt-4o", "Global"), Given())
    assert said in "".join(made.cautions)
    assert bool(made.cautions) is bool(said)


def test_rows_that_were_sorted_are_a_caution() -> None:
    trace = Arrivals((0.0, 1e6), (1, 1), (1, 1), moved=3)
    made = make_inputs(trace, find_provisioned(ROWS, "gpt-4o", "Global"), Given())
    assert made.cautions == ("3 rows came after a later one; the trace was sorted by time",)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (1, "100 %"), (1e-9, "0.01 %"), (0.99999999, "99.99 %"), (0.0477, "4.77 %")],
)
def test_a_share_near_nothing_or_all_is_not_called_so(share: float, text: str) -> None:
    assert percent(share) == text
    assert percent(Fraction(5, 4)) == "125.00 %"
