"""Meters know what they are parts of, and impossible usage is refused in words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plinth.domain.tokens import MOST_TOKENS, TokenMeter, TokenUsage, parse_meter
from plinth.kit.errors import Invalid

M = TokenMeter
quantities = st.dictionaries(
    st.sampled_from([M.INPUT, M.OUTPUT, M.WEB_SEARCHES]), st.integers(0, 9**9)
)


def test_a_whole_contains_its_parts_and_nothing_of_the_other_side() -> None:
    assert M.INPUT.contains(M.CACHED_INPUT)
    assert M.CACHED_INPUT.contains(M.CACHED_INPUT_AUDIO)
    assert M.INPUT_AUDIO.contains(M.CACHED_INPUT_AUDIO)
    assert M.CACHE_WRITE.contains(M.CACHE_WRITE_1H)
    assert M.OUTPUT.contains(M.REASONING)
    assert not M.OUTPUT.contains(M.CACHED_INPUT)
    assert not M.INPUT.contains(M.INPUT)
    assert not any(M.INPUT.contains(meter) for meter in (M.REQUESTS, M.WEB_SEARCHES))


def test_every_meter_of_tokens_is_a_part_of_input_or_of_output() -> None:
    for meter in TokenMeter:
        inside = [whole for whole in (M.INPUT, M.OUTPUT) if whole is meter or whole.contains(meter)]
        assert len(inside) == (1 if meter.endswith("_tokens") else 0)
        assert meter.direction == (inside[0].removesuffix("_tokens") if inside else None)
        assert meter.per == (1_000_000 if inside else 1_000)


def test_what_is_both_of_two_has_a_meter_where_it_can_be_both() -> None:
    assert M.CACHED_INPUT.joined(M.INPUT_AUDIO) is M.CACHED_INPUT_AUDIO
    assert M.INPUT.joined(M.CACHED_INPUT) is M.CACHED_INPUT
    assert M.CACHED_INPUT.joined(M.CACHE_WRITE) is None


def test_a_meter_is_read_by_its_name_and_a_wrong_one_names_the_nearest() -> None:
    assert parse_meter("reasoning_tokens") is M.REASONING
    with pytest.raises(Invalid, match="is not a meter of tokens; accepted: input_tokens") as caught:
        parse_meter("cache_input_tokens")
    assert caught.value.hint == "did you mean `cached_input_tokens`?"


@pytest.mark.parametrize(
    ("quantity", "said"),
    [
        (-1, "is -1; 0 to"),
        (MOST_TOKENS + 1, "is 1,000,000,000,000,001; 0 to 1,000,000,000,000,000 are accepted"),
        (10**30, "is a number of more than 24 digits"),
        (float("nan"), "is `nan`; a whole number is accepted"),
        (float("inf"), "is `inf`; a whole number"),
        (1.5, "is `1.5`; a whole number"),
        (True, "is `True`; a whole number"),
        ("7", "is `7`; a whole number"),
    ],
)
def test_what_cannot_be_a_quantity_is_refused(quantity: Any, said: str) -> None:
    with pytest.raises(Invalid, match=f"`input_tokens` {said}"):
        TokenUsage({M.INPUT: quantity})


def test_a_part_cannot_be_more_than_its_whole() -> None:
    with pytest.raises(
        Invalid, match=r"`cached_input_tokens` \(3\) is more than `input_tokens` \(2\)"
    ):
        TokenUsage({M.INPUT: 2, M.CACHED_INPUT: 3})
    with pytest.raises(Invalid, match="`reasoning_tokens`"):
        TokenUsage({M.OUTPUT: 0, M.REASONING: 1})


def test_usage_is_a_value_that_nobody_can_change() -> None:
    given_by_caller = {M.INPUT: 2}
    usage = TokenUsage(given_by_caller)
    given_by_caller[M.INPUT] = 9
    assert usage[M.INPUT] == 2
    assert usage == TokenUsage({M.INPUT: 2})
    assert len({usage, TokenUsage({M.INPUT: 2})}) == 1
    with pytest.raises(TypeError):
        usage.quantities[M.INPUT] = 3  # type: ignore[index]


def test_zero_is_reported_and_counts_nothing() -> None:
    usage = TokenUsage({M.INPUT: 0, M.OUTPUT: 4})
    assert usage.to_json() == {"input_tokens": 0, "output_tokens": 4}
    assert list(usage) == [M.OUTPUT]
    assert usage[M.CACHED_INPUT] == 0


@given(quantities, quantities)
def test_adding_usage_adds_each_meter(
    left: dict[TokenMeter, int], right: dict[TokenMeter, int]
) -> None:
    both = TokenUsage(left) + TokenUsage(right)
    assert both == TokenUsage(right) + TokenUsage(left)
    for meter in TokenMeter:
        assert both[meter] == left.get(meter, 0) + right.get(meter, 0)
