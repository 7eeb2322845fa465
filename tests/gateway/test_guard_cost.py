from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from plinth.domain.tokens import MOST_TOKENS
from plinth.gateway.guard.cost import UNKNOWN_INPUT_TOKENS, Need, tokens_needed, tokens_used
from plinth.gateway.guard.limit import Asked, GuardedLimit

LIMIT = GuardedLimit("a", 10_000)
RECORDED = Path(__file__).parents[3] / "shared" / "data" / "checks" / "genai_prices_usages.json.gz"


@pytest.mark.parametrize(
    ("asked", "need"),
    [
        (Asked(body_bytes=2001, max_tokens=50), Need(1001, 50)),
        (Asked(body_bytes=3, max_tokens=0), Need(16, 0)),
        (Asked(body_bytes=400), Need(200, 1024)),
        (Asked(max_tokens=7), Need(UNKNOWN_INPUT_TOKENS, 7)),
    ],
)
def test_a_request_needs_half_its_bytes_and_the_output_that_it_wants(
    asked: Asked, need: Need
) -> None:
    assert tokens_needed(asked, LIMIT) == need


def test_a_limit_may_know_the_model_better() -> None:
    limit = GuardedLimit("a", 10_000, default_max_tokens=64, most_input_tokens=2048)
    assert tokens_needed(Asked(body_bytes=10**6), limit) == Need(2048, 64)
    assert tokens_needed(Asked(), limit) == Need(2048, 64)
    assert tokens_needed(Asked(body_bytes=100), limit) == Need(50, 64)


def test_what_does_not_say_how_long_its_answers_are_needs_as_much_for_each() -> None:
    limit = GuardedLimit("a", 10_000, default_max_tokens=64)
    assert tokens_needed(Asked(body_bytes=100, choices=4), limit) == Need(50, 256)
    assert tokens_needed(Asked(body_bytes=100, choices=4, max_tokens=8), limit) == Need(50, 8)
    assert tokens_needed(Asked(choices=MOST_TOKENS), limit).output == MOST_TOKENS


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}, 21),
        ({"input_tokens": 9, "output_tokens": 12}, 21),
        ({"prompt_tokens": 8, "total_tokens": 8}, 8),
        ({"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 40}, 40),
        ({"input_tokens": 9, "output_tokens": 1, "cache_read_input_tokens": 100}, 110),
        ({"completion_tokens": 5.0}, 5),
        ({"total_tokens": 0}, 0),
    ],
)
def test_used_is_what_the_provider_reports_of_whatever_shape(
    usage: dict[str, Any], tokens: int
) -> None:
    assert tokens_used(usage) == tokens


@pytest.mark.parametrize("count", [None, True, "12", -1, 10**16, float("nan"), float("inf"), [1]])
def test_what_cannot_be_a_count_is_none(count: Any) -> None:
    assert tokens_used({"total_tokens": count}) is None
    assert tokens_used({}) is None


def test_recorded_bodies_of_openai_shapes_are_counted_as_reported() -> None:
    if not RECORDED.exists():
        pytest.skip(f"the recorded usages are not here: {RECORDED.name}")
    recorded = json.loads(gzip.decompress(RECORDED.read_bytes()))
    usages = [usage for usage in _usages(recorded) if "prompt_tokens" in usage]
    assert len(usages) > 20
    for usage in usages:
        parts = usage["prompt_tokens"] + (usage.get("completion_tokens") or 0)
        assert tokens_used(usage) == max(parts, usage.get("total_tokens") or 0)


def _usages(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [usage for each in value for usage in _usages(each)]
    if not isinstance(value, dict):
        return []
    own = [value["usage"]] if isinstance(value.get("usage"), dict) else []
    return own + [usage for each in value.values() for usage in _usages(each)]
