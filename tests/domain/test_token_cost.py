"""Cost is exact, explained line by line, and unknown where a price is missing."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plinth.domain.token_cost import Rate, TokenPrice, check_rates, cost_of
from plinth.domain.tokens import MOST_TOKENS, TokenMeter, TokenUsage
from plinth.kit.errors import Invalid

M = TokenMeter


def price(rates: dict[TokenMeter, str], other: tuple[str, ...] = ()) -> TokenPrice:
    made = {meter: Rate(Decimal(amount)) for meter, amount in rates.items()}
    return TokenPrice("seller", "m", made, source="a page", priced_by="seller", other=other)


# Anthropic's page on Claude Sonnet 4: 3 in, 15 out, cache writes 3.75, cache reads 0.30 for 1M.
SONNET = price({M.INPUT: "3", M.CACHED_INPUT: "0.3", M.CACHE_WRITE: "3.75", M.OUTPUT: "15"})


@st.composite
def usages(draw: st.DrawFn) -> TokenUsage:
    """Usage whose parts fit into their wholes."""
    cached, written, plain = (draw(st.integers(0, 10**6)) for _ in range(3))
    output = draw(st.integers(0, 10**6))
    return TokenUsage(
        {
            M.INPUT: cached + written + plain,
            M.CACHED_INPUT: cached,
            M.CACHE_WRITE: written,
            M.OUTPUT: output,
            M.REASONING: draw(st.integers(0, output)),
        }
    )


def test_every_token_is_paid_once_at_the_price_of_its_narrowest_meter() -> None:
    usage = TokenUsage({M.INPUT: 504 + 123, M.CACHED_INPUT: 0, M.CACHE_WRITE: 123, M.OUTPUT: 97})
    cost = cost_of(usage, SONNET)
    assert [(line.meter, line.quantity, str(line.amount)) for line in cost.lines] == [
        (M.INPUT, 504, "0.001512"),
        (M.CACHE_WRITE, 123, "0.00046125"),
        (M.OUTPUT, 97, "0.001455"),
    ]
    assert cost.amount == Decimal("0.00342825")
    assert (cost.of("input"), cost.of("output")) == (Decimal("0.00197325"), Decimal("0.001455"))


def test_a_part_without_a_price_pays_that_of_its_whole_and_the_line_says_so() -> None:
    usage = TokenUsage({M.INPUT: 10, M.INPUT_AUDIO: 4, M.OUTPUT: 9, M.REASONING: 7})
    (into, out) = cost_of(usage, SONNET).lines
    assert (into.quantity, into.includes) == (10, (M.INPUT_AUDIO,))
    assert (out.quantity, out.includes) == (9, (M.REASONING,))


def test_what_no_price_covers_is_unknown_and_not_zero() -> None:
    usage = TokenUsage({M.INPUT: 1000, M.OUTPUT: 5, M.REASONING: 2, M.WEB_SEARCHES: 1})
    cost = cost_of(usage, price({M.INPUT: "0.02"}, other=("hours of audio",)))
    assert cost.amount is None
    assert cost.known == Decimal("0.00002")
    assert cost.why_unknown == (
        "`m` of `seller` has no price for `output_tokens`, `web_searches`; "
        "it is priced by hours of audio, which is not counted here"
    )
    assert [(line.meter, line.amount) for line in cost.lines][1:] == [
        (M.OUTPUT, None),
        (M.WEB_SEARCHES, None),
    ]
    assert cost.lines[1].includes == (M.REASONING,)


def test_zero_of_what_has_no_price_costs_nothing() -> None:
    assert cost_of(TokenUsage({M.INPUT: 1, M.OUTPUT: 0}), price({M.INPUT: "1"})).amount is not None


def test_a_long_prompt_pays_the_other_price_from_its_first_token_on() -> None:
    # Anthropic's page: beyond 200,000 input tokens Claude Sonnet 4.5 costs 6 in and 22.50 out.
    rates = {
        M.INPUT: Rate(Decimal(3), ((200_000, Decimal(6)),)),
        M.OUTPUT: Rate(Decimal(15), ((200_000, Decimal("22.5")),)),
    }
    long = TokenPrice("seller", "m", rates, source="a page", priced_by="seller")
    at_the_step = cost_of(TokenUsage({M.INPUT: 200_000, M.OUTPUT: 1000}), long)
    assert at_the_step.amount == Decimal("0.615")
    assert {line.step for line in at_the_step.lines} == {None}
    above = cost_of(TokenUsage({M.INPUT: 200_001, M.OUTPUT: 1000}), long)
    assert above.amount == Decimal("1.222506")
    assert {line.step for line in above.lines} == {200_000}
    # Two requests of half that length are not one long one.
    assert cost_of(TokenUsage({M.INPUT: 150_000, M.OUTPUT: 0}), long, 2).amount == Decimal("0.9")


def test_the_steps_count_the_input_of_one_request_however_many_there_are() -> None:
    rate = Rate(Decimal(1), ((10, Decimal(2)), (20, Decimal(3))))
    assert [rate.at(size)[0] for size in (0, 10, 11, 20, 21)] == [1, 1, 2, 2, 3]


def test_a_price_for_requests_and_searches_is_for_a_thousand() -> None:
    both = price({M.INPUT: "1", M.REQUESTS: "5", M.WEB_SEARCHES: "10"})
    cost = cost_of(TokenUsage({M.INPUT: 0, M.WEB_SEARCHES: 3}), both, requests=2)
    assert [(line.meter, line.quantity, line.amount) for line in cost.lines] == [
        (M.REQUESTS, 2, Decimal("0.01")),
        (M.WEB_SEARCHES, 6, Decimal("0.06")),
    ]


def test_parts_that_together_are_more_than_the_whole_are_refused() -> None:
    with pytest.raises(Invalid, match=r"are more than `input_tokens` \(10\), which holds them"):
        cost_of(TokenUsage({M.INPUT: 10, M.CACHED_INPUT: 6, M.CACHE_WRITE: 5}), SONNET)


def test_a_part_reported_without_its_whole_leaves_the_cost_unknown() -> None:
    cost = cost_of(TokenUsage({M.CACHED_INPUT: 6}), SONNET)
    assert (cost.amount, cost.lines) == (None, ())
    assert cost.why_unknown == "the price is for `input_tokens`, and only a part of it was reported"


def test_parts_that_overlap_leave_the_cost_unknown_where_what_is_both_has_a_price() -> None:
    rates = {M.INPUT: "1", M.CACHED_INPUT: "0.1", M.INPUT_AUDIO: "40", M.CACHED_INPUT_AUDIO: "4"}
    usage = {M.INPUT: 10, M.CACHED_INPUT: 5, M.INPUT_AUDIO: 5}
    cost = cost_of(TokenUsage(usage), price(rates))
    assert cost.amount is None
    assert "`cached_input_audio_tokens` has a price and was not reported" in str(cost.why_unknown)
    whole = cost_of(TokenUsage({**usage, M.CACHED_INPUT_AUDIO: 2}), price(rates))
    # 2 cached audio, 3 cached text, 3 fresh audio, 2 fresh text.
    expected = 2 * 4 + 3 * Decimal("0.1") + 3 * 40 + 2 * 1
    assert whole.amount == expected / 10**6


@pytest.mark.parametrize("requests", [0, -1, MOST_TOKENS + 1, 2.0, float("nan")])
def test_a_number_of_requests_that_cannot_be_is_refused(requests: float) -> None:
    with pytest.raises(Invalid):
        cost_of(TokenUsage({M.INPUT: 1}), SONNET, requests)  # type: ignore[arg-type]


def test_the_largest_numbers_stay_exact() -> None:
    dear = price({M.INPUT: "999999999999.999999999999999999"})
    cost = cost_of(TokenUsage({M.INPUT: MOST_TOKENS}), dear, MOST_TOKENS)
    assert Fraction(cost.amount or 0) == Fraction(10**30 - 1, 10**18) * 10**9 * MOST_TOKENS


@given(usages(), usages())
def test_what_two_requests_cost_together_is_what_their_tokens_cost_together(
    left: TokenUsage, right: TokenUsage
) -> None:
    apart = (cost_of(left, SONNET).amount or 0) + (cost_of(right, SONNET).amount or 0)
    assert cost_of(left + right, SONNET).amount == apart


@given(usages(), st.integers(1, 10**6))
def test_cost_is_the_sum_of_its_lines_never_negative_and_grows_with_requests(
    usage: TokenUsage, requests: int
) -> None:
    one, many = cost_of(usage, SONNET), cost_of(usage, SONNET, requests)
    assert one.amount == one.of("input") + one.of("output")
    assert one.amount is not None
    assert one.amount >= 0
    assert many.amount == one.amount * requests
    assert sum(line.quantity for line in one.lines) == usage[M.INPUT] + usage[M.OUTPUT]
    # Bounds: everything from the cache, everything at its dearest.
    total = usage[M.INPUT]
    assert Decimal("0.3") * total <= one.of("input") * 10**6 <= Decimal("3.75") * total


@given(usages(), st.integers(0, 10**6))
def test_more_output_never_costs_less(usage: TokenUsage, more: int) -> None:
    grown = usage + TokenUsage({M.OUTPUT: more})
    assert (cost_of(grown, SONNET).amount or 0) >= (cost_of(usage, SONNET).amount or 0)


def test_rates_that_leave_a_price_open_are_refused() -> None:
    check_rates(SONNET.rates)
    one = Rate(Decimal(1))
    with pytest.raises(Invalid, match="`input_tokens`, which holds it, has none"):
        check_rates({M.CACHED_INPUT: one})
    with pytest.raises(Invalid, match="and `cached_input_audio_tokens` has none"):
        check_rates({M.INPUT: one, M.CACHED_INPUT: one, M.INPUT_AUDIO: one})
