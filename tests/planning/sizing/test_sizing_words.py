"""A sizing in words: what is shown adds up, and reads as a sentence."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from plinth.catalog.provisioned import find_provisioned, load_provisioned
from plinth.planning.sizing.arrivals import Arrivals
from plinth.planning.sizing.sizing import Sizing, size
from plinth.planning.sizing.sizing_inputs import Given, Inputs, make_inputs
from plinth.planning.sizing.sizing_words import Words, coins, describe_sizing, to_json

# Ten minutes, one request a second of 1,000 and 100 tokens, which weigh 1,400: 84,000 a minute.
STEADY = Arrivals(tuple(float(n) for n in range(600)), (1000,) * 600, (100,) * 600)
MODEL = find_provisioned(load_provisioned(), "gpt-4o", "Global")


def sized(given: Given, trace: Arrivals = STEADY) -> tuple[Inputs, Sizing, Words]:
    inputs = make_inputs(trace, MODEL, given)
    sizing = size(inputs.question)
    return inputs, sizing, describe_sizing(inputs, sizing)


def test_at_list_price_units_are_not_for_saving_and_the_goal_has_its_price() -> None:
    _, sizing, words = sized(Given(spill=Fraction(1, 40)))
    # 30 units take 75,000 x 9.98 and a full bucket of 75,000: 823,500 of the 840,000 weighted
    # tokens, so about 2 % spill; 25 units would spill 18 %.
    assert sizing.chosen.units == 30
    assert words.headline.startswith("gpt-4o 2024-11-20, Global: 30 provisioned units, ")
    assert words.sentences[0] == (
        "By price alone no unit pays off: used without a pause, it costs 2.67 times what burst "
        "costs for the same tokens. Units buy guaranteed throughput here."
    )
    assert "without it, burst alone would be cheapest." in words.sentences[-2]
    assert words.sentences[-1] == (
        "If 100 % were what units drain in 10 s, not 60 s, 35 units would be chosen."
    )
    rows = {row[0]: row for row in words.mixes}
    assert set(rows) == {"chosen", "all burst (misses the goal)", "all provisioned"}
    assert rows["chosen"][1:5] == ("30", *rows["chosen"][2:4], "21,900.00")


def test_base_and_burst_add_up_to_the_total_shown() -> None:
    inputs, sizing, _ = sized(Given(spill=Fraction(1, 3), unit_hour=Decimal("0.3333333")))
    for mix in to_json(inputs, sizing)["curve"]:
        base, burst = Decimal(mix["base_per_month"]), Decimal(mix["burst_per_month"])
        assert base + burst == Decimal(mix["total_per_month"])
        assert base == base.quantize(Decimal("0.01"))


def test_cheap_units_pay_off_and_nothing_is_cheaper() -> None:
    _, sizing, words = sized(Given(unit_hour=Decimal("0.1")))
    assert sizing.chosen.units in (30, 35)
    assert words.sentences[0].startswith("A unit pays off when more than 26.67 % of it is used")
    assert words.sentences[-2] == "No count of units is cheaper."


def test_what_another_bucket_would_mean_is_told() -> None:
    assert sized(Given())[2].sentences[-1] == (
        "If 100 % were what units drain in 10 s, not 60 s, the answer would be the same."
    )
    assert "no count would keep" in sized(Given(most=30, spill=Fraction(1, 40)))[2].sentences[-1]
    small = sized(Given(window_s=10.0))[2].sentences
    assert not any(sentence.startswith("If 100 %") for sentence in small)


def test_all_burst_is_an_answer() -> None:
    _, _, words = sized(Given())
    assert "no provisioned units, burst for 100 % of requests" in words.headline
    assert words.trial == "Sized from the first half alone the answer is the same: burst alone."


def test_an_unknown_cost_is_called_unknown() -> None:
    inputs, sizing, words = sized(Given(currency="EUR"))
    assert words.headline.endswith("cost unknown")
    assert words.mixes[0][4:] == ("unknown", "unknown", "unknown") or sizing.chosen.units
    found = to_json(inputs, sizing)
    assert found["chosen"]["total_per_month"] is None
    assert (found["cheapest"], found["break_even_share"]) == (None, None)


def test_waits_are_told_where_requests_wait() -> None:
    _, sizing, words = sized(Given(p99_wait_s=2.0))
    assert sizing.waits is not None
    assert sizing.waits.longest_s < 2
    assert any("wait" in sentence and "at p99" in sentence for sentence in words.sentences)


def test_the_trial_says_what_was_predicted_and_what_happened() -> None:
    _, _, words = sized(Given(spill=Fraction(1, 100)))
    assert words.trial.startswith(
        "Sized from the first half alone: 30 units, which predicts that 0 %"
    )
    assert words.trial.endswith(
        "The second half has 0 % more tokens a minute. "
        "The chosen 35 spill 0 % of the first half, 0 % of the second."
    )
    assert [row[0] for row in words.halves] == [
        "first half (predicted)",
        "second half (observed)",
        "whole trace (observed)",
    ]


def test_a_trace_too_thin_for_halves_says_so() -> None:
    inputs, sizing, words = sized(Given(), Arrivals((0.0, 9.0, 9.5), (1, 1, 1), (1, 1, 1)))
    assert "too thin" in words.trial
    assert words.halves == ()
    assert to_json(inputs, sizing)["halves"] is None


def test_spill_beyond_the_most_units_is_a_caution() -> None:
    _, sizing, words = sized(Given(most=20))
    assert sizing.provisioned is None
    assert words.cautions[-1] == "even 20 units spill; more are not considered (`--max-units`)"


def test_the_json_has_every_number_that_is_shown() -> None:
    inputs, sizing, _ = sized(Given(spill=Fraction(1, 40)))
    found = to_json(inputs, sizing)
    assert (found["model"], found["requests"], found["span_s"]) == ("gpt-4o", 600, 599.0)
    assert found["chosen"]["units"] == 30
    assert found["chosen"]["base_per_month"] == "21900.00"
    assert found["all_burst"]["spilled_requests_share"] == 1.0
    assert found["all_provisioned"]["spilled_requests"] == 0
    assert found["halves"]["units"] == 30
    assert found["halves"]["chosen_in_first_half"]["spilled_requests"] == 0
    assert found["units_if_window_10_s"] == 35
    assert {"what", "value", "source"} == set(found["assumptions"][0])


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("1.005", "USD", "1.00"),
        ("1.015", "USD", "1.02"),
        ("2.5", "JPY", "2"),
        ("1", "KWD", "1.000"),
    ],
)
def test_money_is_rounded_to_the_smallest_coin(amount: str, currency: str, text: str) -> None:
    assert str(coins(Fraction(amount), currency)) == text
