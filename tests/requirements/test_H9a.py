"""H9a: service limits are aggressive: 429s are learnt, headroom is shown, requests are shaped.

The same is seen of a real Envoy in `tests/conformance` (`Retry-After`, headers) and in
`tests/journeys/test_gateway_spill.py`.
"""

from __future__ import annotations

from pathlib import Path

from plinth.domain.serving import Limit
from plinth.gateway import limits, spill
from tests.gateway.upstreams import chat, external, hosted

FOLDER = Path("/nowhere")


def test_who_refuses_is_asked_again_elsewhere_within_the_same_request() -> None:
    capacity = {"base": "a", "burst": "b", "concurrency": 8}
    policy = spill.spill_policy(chat(external("a"), hosted("b"), capacity=capacity))
    assert 429 in policy["retriable_status_codes"]
    assert "retriable-status-codes" in policy["retry_on"]


def test_requests_are_shaped_to_what_is_agreed_with_the_provider() -> None:
    agreed = {"base": "a", "burst": "b", "requests_per_minute": 30}
    (valve,) = spill.valve_hosts(chat(external("a"), hosted("b"), capacity=agreed))
    settings = valve["routes"][0]["typed_per_filter_config"][spill.RATE_FILTER]
    assert settings["token_bucket"]["max_tokens"] == 30


def test_a_caller_is_shown_what_is_left_and_when_there_is_more() -> None:
    endpoint = chat(hosted("a"), limits=(Limit(each="team", requests_per_minute=60),))
    shown = limits.limits_filter([endpoint])["typed_config"]
    assert shown["enable_x_ratelimit_headers"] == "DRAFT_VERSION_03"
    assert shown["enable_retry_after_header"] is True


def test_without_a_limit_nobody_is_counted() -> None:
    assert limits.limit_actions(chat(hosted("a"))) == []
    assert spill.valve_hosts(chat(hosted("a"))) == []
