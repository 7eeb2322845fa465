"""What responses report is read as the oracle reads it, and priced as the oracle prices it.

The oracle is the data set of real responses of pydantic/genai-prices (MIT): a selection of it lies
beside this file, all of it in ../shared/data/checks.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from plinth.catalog.token_prices import load_token_prices
from plinth.domain.tokens import TokenMeter, TokenUsage
from plinth.kit.errors import Invalid, NotFound
from plinth.metering.token_usage import cost_of_response, flavours, read_usage
from tools.token_prices import METERS

M = TokenMeter
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
# The oracle's prices are those of this moment: tests/dataset/extract_usages.py of its repository.
PRICED_AT = datetime(2025, 11, 6, 12, tzinfo=UTC)
SELECTION = Path(__file__).with_name("reported_usage.json")
ORACLE = Path(__file__).parents[3] / "shared/data/checks/genai_prices_usages.json.gz"

# Where we read more than the oracle of 2026-08-21 did: the source reads these meters since.
READ_SINCE = {M.CACHE_WRITE, M.CACHE_WRITE_5M}
# (provider, flavour, model) of what we price otherwise, how often, and why we are right.
PRICED_OTHERWISE = {
    ("azure", "responses", "gpt-5.6-sol"): 2,  # Cache writes are read since, and cost 1.25 x input,
    ("azure", "chat", "gpt-5.6-sol"): 1,  # as the oracle has it itself for `openai`, same body.
    # Beyond 200,000 input tokens Google asks twice as much: found since, as on Anthropic's page.
    ("google", "anthropic", "claude-sonnet-4-5-20250929"): 1,
    # The model has no prices; the oracle's sum of nothing is 0, ours is unknown.
    ("cerebras", "chat", "qwen-3-coder-480b"): 1,
}


@dataclass(frozen=True)
class Expected:
    """One reading of one response: what the oracle found, and its price where it has one."""

    body: Any
    provider: str
    flavour: str
    usage: dict[TokenMeter, int]
    amounts: tuple[Decimal, Decimal, Decimal] | None


def expected(body: Any, usage: dict[str, int], reading: dict[str, str]) -> Expected:
    amounts = None
    if "input_price" in reading:
        into, out = Decimal(reading["input_price"]), Decimal(reading["output_price"])
        amounts = (into, out, Decimal(reading.get("total_price", into + out)))
    meters = {TokenMeter(str(METERS[unit])): number for unit, number in usage.items()}
    provider = reading.get("provider_id") or reading["provider"]
    flavour = reading.get("api_flavor") or reading["flavour"]
    return Expected(body, provider, flavour, meters, amounts)


def selection() -> list[Expected]:
    records = json.loads(SELECTION.read_text())["records"]
    return [
        expected(record["body"], reading["usage"], reading)
        for record in records
        for reading in record["expected"]
    ]


def oracle() -> Iterator[Expected]:
    for record in json.loads(gzip.decompress(ORACLE.read_bytes())):
        for found in record["extracted"]:
            for reading in found["extractors"]:
                yield expected(record["body"], found["usage"], reading)


def amounts(case: Expected) -> tuple[Decimal, Decimal, Decimal | None]:
    cost = cost_of_response(
        load_token_prices(), case.body, provider=case.provider, flavour=case.flavour, at=PRICED_AT
    )
    return cost.of("input"), cost.of("output"), cost.amount


@pytest.mark.parametrize(
    "case", selection(), ids=lambda case: f"{case.provider}-{case.flavour}-{len(case.usage)}"
)
def test_a_real_response_is_read_and_priced_to_the_last_digit(case: Expected) -> None:
    reported = read_usage(
        load_token_prices(), case.body, provider=case.provider, flavour=case.flavour
    )
    counted = {meter: reported.usage[meter] for meter in reported.usage}
    assert {key: counted[key] for key in counted if key not in READ_SINCE - set(case.usage)} == (
        case.usage
    )
    assert amounts(case) == case.amounts


@pytest.mark.skipif(not ORACLE.exists(), reason=f"{ORACLE.name} is only where ../shared is")
def test_every_response_of_the_oracle_is_read_alike() -> None:
    book, differ, seen = load_token_prices(), 0, 0
    for case in oracle():
        seen += 1
        usage = read_usage(book, case.body, provider=case.provider, flavour=case.flavour).usage
        counted = {meter: usage[meter] for meter in usage}
        if counted != case.usage:
            differ += 1
            assert {**counted, **case.usage} == counted
            assert set(counted) - set(case.usage) <= READ_SINCE
    assert (seen, differ) == (9545, 33)


@pytest.mark.skipif(not ORACLE.exists(), reason=f"{ORACLE.name} is only where ../shared is")
def test_every_price_of_the_oracle_is_ours_to_the_last_digit_but_for_those_explained() -> None:
    otherwise: Counter[tuple[str, str, str]] = Counter()
    equal = 0
    for case in oracle():
        if case.amounts is None:
            continue
        if amounts(case) == case.amounts:
            equal += 1
        else:
            otherwise[case.provider, case.flavour, case.body["model"]] += 1
    assert otherwise == PRICED_OTHERWISE
    assert equal == 1726


@pytest.mark.skipif(not ORACLE.exists(), reason=f"{ORACLE.name} is only where ../shared is")
def test_what_the_oracle_read_is_priced_alike_whatever_we_read() -> None:
    book, otherwise = load_token_prices(), []
    for case in oracle():
        if case.amounts is None:
            continue
        model = str(case.body.get("model") or case.body["modelVersion"])
        cost = book.cost(model, TokenUsage(case.usage), provider=case.provider, at=PRICED_AT)
        if (cost.of("input"), cost.of("output"), cost.amount) != case.amounts:
            otherwise.append((case.provider, model))
    assert otherwise == [
        ("google", "claude-sonnet-4-5-20250929"),
        ("cerebras", "qwen-3-coder-480b"),
    ]


@pytest.mark.skipif(not ORACLE.exists(), reason=f"{ORACLE.name} is only where ../shared is")
def test_what_the_oracle_has_no_price_for_is_unknown_or_a_model_that_was_added_since() -> None:
    book = load_token_prices()
    kinds = Counter(
        "priced" if cost.amount is not None else str(cost.why_unknown).partition("`")[0].strip()
        for cost in (
            cost_of_response(
                *(book, case.body), provider=case.provider, flavour=case.flavour, at=PRICED_AT
            )
            for case in oracle()
            if case.amounts is None
        )
    )
    assert kinds == {
        "no price of": 7587,
        "the response does not say which model answered": 171,
        "priced": 56,
    }


def test_anthropics_cached_input_stands_beside_the_rest_and_is_added_up() -> None:
    body = {
        "model": "claude-sonnet-4-20250514",
        "usage": {
            "input_tokens": 504,
            "cache_creation_input_tokens": 123,
            "cache_read_input_tokens": 7,
            "output_tokens": 97,
        },
    }
    reported = read_usage(load_token_prices(), body, provider="anthropic")
    assert reported.model == "claude-sonnet-4-20250514"
    assert reported.usage.quantities == {
        M.INPUT: 634,
        M.CACHED_INPUT: 7,
        M.CACHE_WRITE: 123,
        M.OUTPUT: 97,
    }


def test_the_same_numbers_of_azure_chat_and_responses_are_the_same_usage() -> None:
    book = load_token_prices()
    chat = {
        "model": "gpt-4o-2024-11-20",
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 6,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
    }
    responses = {
        "model": "gpt-4o-2024-11-20",
        "usage": {
            "input_tokens": 10,
            "output_tokens": 6,
            "input_tokens_details": {"cached_tokens": 4},
            "output_tokens_details": {"reasoning_tokens": 5},
        },
    }
    one = read_usage(book, chat, provider="azure", flavour="chat")
    assert one == read_usage(book, responses, provider="azure", flavour="responses")
    assert one.usage.to_json() == {
        "input_tokens": 10,
        "cached_input_tokens": 4,
        "output_tokens": 6,
        "reasoning_tokens": 5,
    }


def test_an_embedding_has_input_only() -> None:
    body = {"model": "text-embedding-3-small", "usage": {"prompt_tokens": 8, "total_tokens": 8}}
    found = cost_of_response(
        load_token_prices(), body, provider="openai", flavour="embeddings", at=NOW
    )
    assert found.amount == Decimal("0.00000016")


def test_a_response_without_a_model_has_an_unknown_cost() -> None:
    body = {"usage": {"input_tokens": 8, "output_tokens": 1}}
    cost = cost_of_response(load_token_prices(), body, provider="anthropic", at=NOW)
    assert (cost.amount, cost.why_unknown) == (
        None,
        "the response does not say which model answered",
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (None, "the response has no object `usage`"),
        ([], "the response has no object `usage`"),
        ({"usage": None}, "the response has no object `usage`"),
        ({"usage": {}}, "the response has no `usage.prompt_tokens`"),
        ({"usage": {"prompt_tokens": "9"}}, "is `9`, not a whole number"),
        ({"usage": {"prompt_tokens": 1.5}}, "is `1.5`, not a whole number"),
        ({"usage": {"prompt_tokens": float("nan")}}, "is `nan`, not a whole number"),
        ({"usage": {"prompt_tokens": True}}, "is `True`, not a whole number"),
        ({"usage": {"prompt_tokens": -1, "completion_tokens": 1}}, "`input_tokens` is -1; 0 to"),
        ({"usage": {"prompt_tokens": 10**20, "completion_tokens": 1}}, "`input_tokens` is 100,000"),
    ],
)
def test_a_response_without_sound_numbers_is_refused(body: object, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        read_usage(load_token_prices(), body, provider="openai", flavour="chat")


def test_a_whole_number_with_a_point_counts() -> None:
    body = {"model": "gpt-4o", "usage": {"prompt_tokens": 3.0, "completion_tokens": 2}}
    reported = read_usage(load_token_prices(), body, provider="openai", flavour="chat")
    assert reported.usage[M.INPUT] == 3


def test_a_flavour_that_a_provider_does_not_have_names_those_it_has() -> None:
    assert "responses" in flavours(load_token_prices(), "openai")
    with pytest.raises(NotFound, match=r"no responses of the kind `v2`; known: .*chat"):
        read_usage(load_token_prices(), {}, provider="openai", flavour="v2")
