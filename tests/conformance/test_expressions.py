"""Expressions of many names: how large Envoy lets them be, and that they fit whole names."""

from __future__ import annotations

import pytest

from plinth.gateway.bootstrap import runtime
from plinth.kit.ids import new_id
from tests.conformance.stand import Json, listener, routes, running_envoy

NAMES = [new_id("p_") for _ in range(500)]


def granted() -> Json:
    """Return a listener that answers 204 to those who are named, and 404 to others."""
    one_of = {"safe_regex": {"regex": "|".join(NAMES)}}
    match = {"prefix": "/", "headers": [{"name": "x-who", "string_match": one_of}]}
    return listener([], routes({"match": match, "direct_response": {"status": 204}}))


def test_an_expression_of_many_names_is_taken_when_the_runtime_allows_it() -> None:
    with running_envoy([granted()], [], layered_runtime=runtime()) as envoy:
        for name in (NAMES[0], NAMES[-1]):
            assert envoy.ask("/", headers={"x-who": name}).status == 204
            for other in (name[:-1], f"{name}x", f"x{name}", ""):
                assert envoy.ask("/", headers={"x-who": other}).status == 404


def test_an_expression_of_many_names_is_refused_otherwise() -> None:
    with pytest.raises(AssertionError, match="RE2 program size"), running_envoy([granted()], []):
        pass
