"""Tokens are counted as the provider reported them, by shape; what cannot be true is an estimate.

The oracle is the data set of real responses of pydantic/genai-prices (MIT): a selection of it lies
in tests/metering/reported_usage.json, all of it in ../shared/data/checks.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plinth.domain.token_count import (
    MOST_ESTIMATED_INPUT,
    MOST_TOKENS_OF_REQUEST,
    Seen,
    count_tokens,
    read_usage_object,
)
from plinth.domain.tokens import TokenMeter

M = TokenMeter
TESTS = Path(__file__).parents[1]
SELECTION = TESTS / "metering/reported_usage.json"
ORACLE = TESTS.parents[1] / "shared/data/checks/genai_prices_usages.json.gz"

# Which of the oracle's readings is the one of a body's own shape, and its words for our meters.
READINGS = (
    ("completion_tokens", "openai", "chat"),
    ("prompt_tokens", "openai", "embeddings"),
    ("cache_read_input_tokens", "anthropic", "default"),
    ("input_tokens", "openai", "responses"),
    ("inputTokens", "aws", "default"),
    ("promptTokenCount", "google", "default"),
    ("tokens", "cohere", "tokens"),
    ("billed_units", "cohere", "embeddings"),
)
WORDS = {
    "input_tokens": M.INPUT,
    "output_tokens": M.OUTPUT,
    "cache_read_tokens": M.CACHED_INPUT,
    "output_reasoning_tokens": M.REASONING,
}
SEEN = Seen(request_bytes=400, answer_bytes=80)


def usage_of(body: dict[str, Any]) -> dict[str, Any]:
    return next(body[name] for name in ("usage", "usageMetadata", "meta") if name in body)


def names_of(way: dict[str, Any]) -> dict[str, str]:
    return {name: text for name, text in way.items() if isinstance(text, str)}


def wanted(record: dict[str, Any], provider: str, flavour: str) -> dict[TokenMeter, int] | None:
    """Return what the oracle read of a body in one way; None where it did not read it so."""
    for found in record.get("extracted", record.get("expected")):
        ways = found.get("extractors", [found])
        if any({provider, flavour} <= {*way.values()} for way in map(names_of, ways)):
            return {WORDS[name]: n for name, n in found["usage"].items() if name in WORDS}
    return None


def check(records: list[dict[str, Any]]) -> Counter[str]:
    """Compare each body's reading with the oracle's; return how many of each shape there were."""
    shapes: Counter[str] = Counter()
    for record in records:
        usage = usage_of(record["body"])
        shape, provider, flavour = next(each for each in READINGS if each[0] in usage)
        expected = wanted(record, provider, flavour)
        if expected is None:
            shapes["not read so"] += 1
            continue
        shapes[shape] += 1
        reported = read_usage_object(usage)
        assert reported.doubts == ()
        counted = {meter: reported.usage[meter] for meter in reported.usage}
        if "num_cached_tokens" in usage:
            # Mistral's name for it, which the oracle does not read.
            assert counted.pop(M.CACHED_INPUT, 0) == usage["num_cached_tokens"]
        assert counted == expected, usage
    return shapes


def test_a_selection_of_real_responses_is_read_by_shape() -> None:
    assert sum(check(json.loads(SELECTION.read_text())["records"]).values()) > 10


@pytest.mark.skipif(not ORACLE.exists(), reason=f"{ORACLE.name} is only where ../shared is")
def test_every_response_of_the_oracle_is_read_by_shape() -> None:
    shapes = check(json.loads(gzip.decompress(ORACLE.read_bytes())))
    assert sum(shapes.values()) == 789
    assert shapes["not read so"] == 0


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        # llama.cpp and vLLM speak OpenAI's shape; vLLM names cached tokens only when it knows them.
        (
            {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
            {M.INPUT: 9, M.OUTPUT: 3},
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": None},
            {M.INPUT: 9, M.OUTPUT: 3},
        ),
        (
            {"in": 9, "out": 3, "cached": 4, "reasoning": None},
            {M.INPUT: 9, M.CACHED_INPUT: 4, M.OUTPUT: 3},
        ),
        ({"completion_tokens": 3, "total_tokens": 12}, {M.INPUT: 9, M.OUTPUT: 3}),
        ({"prompt_tokens": 9, "total_tokens": 12}, {M.INPUT: 9, M.OUTPUT: 3}),
        ({"prompt_tokens": 9.0, "completion_tokens": 3}, {M.INPUT: 9, M.OUTPUT: 3}),
        (
            {
                "input_tokens": 6,
                "cache_read_input_tokens": 20,
                "cache_creation_input_tokens": 5,
                "output_tokens": 1,
            },
            {M.INPUT: 31, M.CACHED_INPUT: 20, M.OUTPUT: 1},
        ),
        ({}, {}),
    ],
)
def test_a_shape_is_read(usage: dict[str, Any], expected: dict[TokenMeter, int]) -> None:
    reported = read_usage_object(usage)
    assert (reported.usage.quantities, reported.doubts) == (expected, ())


@pytest.mark.parametrize(
    "number", [-1, 1e30, 10**40, 1.5, "9", True, [], float("nan"), float("inf")]
)
def test_a_number_that_cannot_be_true_becomes_an_estimate(number: object) -> None:
    reported = read_usage_object({"prompt_tokens": number, "completion_tokens": 3})
    assert len(reported.doubts) == 1
    count = count_tokens(reported, SEEN)
    assert count.usage.quantities == {M.INPUT: 100, M.OUTPUT: 3}
    assert count.estimated == {M.INPUT}
    assert count.doubts == reported.doubts


def test_a_part_that_is_more_than_its_whole_is_cut_to_it_and_marked() -> None:
    usage = {"in": 5, "out": 2, "cached": 9, "reasoning": 2}
    count = count_tokens(read_usage_object(usage), SEEN)
    assert count.usage.quantities == {M.INPUT: 5, M.CACHED_INPUT: 5, M.OUTPUT: 2, M.REASONING: 2}
    assert count.estimated == {M.CACHED_INPUT}
    assert count.doubts == ("cached_input_tokens are 9, more than all of them, 5",)


def test_an_absurd_part_is_not_counted() -> None:
    count = count_tokens(read_usage_object({"in": 5, "out": 2, "cached": -3}), SEEN)
    assert count.usage.quantities == {M.INPUT: 5, M.OUTPUT: 2}
    assert count.estimated == frozenset()
    assert count.doubts == ("cached is -3",)


def test_an_answer_that_reports_nothing_is_estimated_from_its_bytes() -> None:
    count = count_tokens(None, Seen(request_bytes=401, answer_bytes=81))
    assert count.usage.quantities == {M.INPUT: 101, M.OUTPUT: 21}
    assert count.estimated == {M.INPUT, M.OUTPUT}


def test_a_cut_stream_is_estimated_from_its_events() -> None:
    cut = Seen(request_bytes=40, answer_bytes=9999, is_stream=True, events=8)
    assert count_tokens(None, cut).usage[M.OUTPUT] == 7


def test_a_stream_whose_events_nobody_counted_is_estimated_from_its_bytes() -> None:
    cut = Seen(request_bytes=40, answer_bytes=2340, is_stream=True)
    assert count_tokens(None, cut).usage[M.OUTPUT] == 10


def test_an_estimate_is_never_more_than_the_caller_allowed() -> None:
    cut = Seen(request_bytes=40, answer_bytes=4000, max_tokens=16)
    assert count_tokens(None, cut).usage[M.OUTPUT] == 16


def test_a_body_of_pictures_is_not_taken_for_text() -> None:
    large = Seen(request_bytes=20_000_000, answer_bytes=0)
    assert count_tokens(None, large).usage[M.INPUT] == MOST_ESTIMATED_INPUT


def test_an_embedding_has_no_output() -> None:
    seen = Seen(request_bytes=40, answer_bytes=20_000, has_output=False)
    assert count_tokens(None, seen).usage.quantities == {M.INPUT: 10}


_NUMBERS = st.one_of(
    st.none(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.booleans(),
    st.lists(st.integers(), max_size=2),
)
_NAMES = st.sampled_from(
    [
        *("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens"),
        *("in", "out", "cached", "reasoning", "inputTokens", "promptTokenCount"),
        *("cache_read_input_tokens", "cache_creation_input_tokens", "thoughtsTokenCount"),
        *("tokens", "prompt_tokens_details"),
    ]
)
_OBJECTS = st.dictionaries(
    _NAMES, st.one_of(_NUMBERS, st.dictionaries(_NAMES, _NUMBERS, max_size=3)), max_size=8
)


@given(_OBJECTS, st.integers(0, 10**9), st.integers(0, 10**9))
def test_whatever_is_reported_gives_numbers_that_can_be_true(
    value: dict[str, Any], request_bytes: int, answer_bytes: int
) -> None:
    count = count_tokens(read_usage_object(value), Seen(request_bytes, answer_bytes))
    assert all(0 <= count.usage[meter] <= MOST_TOKENS_OF_REQUEST for meter in count.usage)
    assert {M.INPUT, M.OUTPUT} <= set(count.usage.quantities)
