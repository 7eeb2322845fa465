"""A route holds the words that differ from endpoint to endpoint, and nothing without any."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.domain.serving import TrafficPolicy
from plinth.domain.traffic import EndpointRoute
from plinth.gateway.told import size_words, with_words


def words(policy: dict[str, Any], protocol: str = "open-inference") -> dict[str, Any]:
    endpoint = EndpointRoute(
        name="chat", team="ops", protocol=protocol, policy=TrafficPolicy.model_validate(policy)
    )
    found = with_words({}, endpoint)
    return dict(found["metadata"]["filter_metadata"]) if found else {}


def test_an_endpoint_without_limits_adds_nothing_to_its_routes() -> None:
    assert words({}) == words({"limits": [{"tokens_per_minute": 5}]}) == {}


def test_limits_of_everybody_stand_apart_from_those_of_one_team_or_key() -> None:
    limits = [
        {"requests_per_minute": 2000},
        {"each": "team", "requests_per_minute": 600, "tokens_per_minute": 5},
        {"team": "dev", "requests_per_minute": 60},
        {"team": "dev", "requests_per_minute": 50},
        {"key": "k_1", "requests_per_minute": 1},
    ]
    assert words({"limits": limits}) == {
        "plinth.limit": {
            "all": "one of these, whose number `x-ratelimit-limit` has: everybody together 2,000; "
            "each team 600; "
        },
        "plinth.limit.team": {"dev": "team dev 60; team dev 50; "},
        "plinth.limit.key": {"k_1": "key k_1 1; "},
    }


def test_one_limit_needs_no_header_to_be_told_from_others() -> None:
    limits = [{"each": "team", "requests_per_minute": 600}, {"tokens_per_minute": 5}]
    assert words({"limits": limits}, "openai") == {"plinth.limit": {"all": "each team 600; "}}
    limits.append({"each": "key", "requests_per_minute": 6})
    (text,) = words({"limits": limits}, "openai")["plinth.limit"].values()
    assert "`x-ratelimit-limit-requests`" in text


def test_a_size_of_its_own_is_told_where_bodies_pass() -> None:
    assert words({"max_body": 8_000_000}) == {"plinth.limit": {"body": "8,000,000 bytes (8 MB)"}}
    # Where they are held, a route of its own says it.
    assert words({"max_body": 8_000_000}, "openai") == {}


def test_what_a_route_held_already_stays() -> None:
    policy = TrafficPolicy.model_validate({"limits": [{"requests_per_minute": 1}]})
    endpoint = EndpointRoute(name="chat", team="ops", policy=policy)
    held = {"match": {}, "metadata": {"filter_metadata": {"other": {"endless": True}}}}
    found = with_words(held, endpoint)
    assert set(found["metadata"]["filter_metadata"]) == {"other", "plinth.limit"}
    assert found["match"] == {}
    assert held["metadata"] == {"filter_metadata": {"other": {"endless": True}}}


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (4 * 2**20, "4,194,304 bytes (4 MiB)"),
        (8_000_000, "8,000,000 bytes (8 MB)"),
        (100_000, "100,000 bytes (0.1 MiB)"),
    ],
)
def test_a_size_is_exact_and_for_people(size: int, text: str) -> None:
    assert size_words(size) == text
