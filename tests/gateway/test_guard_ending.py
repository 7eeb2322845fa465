from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plinth.gateway.guard.ending import read_ending
from plinth.gateway.guard.limit import Asked
from plinth.gateway.log_line import write_line
from tests.gateway.guard_stand import Clocks, line

CLOCKS = Clocks()
NAMES = st.sampled_from(["total_tokens", "prompt_tokens", "output_tokens", "input_tokens", "x"])


def ending(rid: str | None = "r-1", reported: Any = None, **more: Any) -> Any:
    return read_ending(line(CLOCKS, rid, reported, **more).rstrip(b"\n"))


def test_an_answer_that_says_its_usage_used_that() -> None:
    found = ending(reported={"prompt_tokens": 9, "completion_tokens": 12})
    assert (found.reservation, found.used) == ("r-1", {"tokens": 21})


def test_a_stream_may_say_its_input_first_and_its_output_last() -> None:
    first = {"input_tokens": 90, "cache_read_input_tokens": 9, "output_tokens": 1}
    found = ending(reported={"output_tokens": 30}, usage_first=json.dumps(first))
    assert found.used == {"tokens": 129}


@pytest.mark.parametrize(
    ("used", "more"),
    [
        (None, {}),
        (None, {"flags": "DC"}),
        (None, {"details": "upstream_reset_after_response_started{x}", "flags": "UPE"}),
        (None, {"code": 0, "details": "downstream_remote_disconnect", "flags": "DC"}),
        ({}, {"code": 0, "details": "x", "flags": "DC", "attempts": 0}),
        ({}, {"code": 429, "details": "via_upstream"}),
        ({}, {"code": 503, "details": "upstream_reset_before_response_started{x}"}),
        ({}, {"code": 504, "details": "upstream_response_timeout", "flags": "UT"}),
    ],
)
def test_without_usage_what_was_answered_counts_in_full_and_an_error_nothing(
    used: dict[str, int] | None, more: dict[str, Any]
) -> None:
    assert ending(**more).used == used


@pytest.mark.parametrize("usage", ["{", "7", "[]", '{"total_tokens": -4}', '{"other": 1}'])
def test_a_usage_that_says_nothing_is_none(usage: str) -> None:
    assert ending(usage=usage).used is None


def test_a_cut_stream_that_said_only_its_beginning_counts_in_full() -> None:
    first = {"input_tokens": 90, "output_tokens": 1}
    assert ending(reported=first, flags="DC").used is None
    assert ending(reported=first).used == {"tokens": 91}
    whole = {"prompt_tokens": 9, "completion_tokens": 12}
    assert ending(reported=whole, flags="DC").used == {"tokens": 21}


@pytest.mark.parametrize("usage", ["[" * 100_000, '{"total_tokens": ' + "9" * 4000 + "}"])
def test_what_a_server_reports_to_do_harm_counts_in_full(usage: str) -> None:
    assert ending(usage=usage).used is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)


@given(JSON, JSON, st.none() | st.text(max_size=5))
def test_no_line_is_a_surprise(usage: Any, first: Any, rid: str | None) -> None:
    found = ending(rid, usage, usage_first=first, flags=usage)
    assert found is None or found.used is None or all(each >= 0 for each in found.used.values())


def test_lines_that_change_no_limit_are_passed_over() -> None:
    assert ending(None) is None
    assert read_ending(b"") is None
    assert read_ending(b'{"rid":"r-1","usage":') is None
    assert read_ending(b'["rid"]') is None
    assert read_ending(b'{"rid":"r-1"}') is None


def test_a_request_that_passed_without_the_guard_is_seen_by_its_usage() -> None:
    found = ending(None, {"total_tokens": 5})
    assert (found.asked, found.used) == (Asked("support", "research", "k_1"), {"tokens": 5})
    assert found.ended_at == pytest.approx(CLOCKS.wall_at)


def test_a_line_as_envoy_writes_it_says_the_same() -> None:
    values = json.loads(line(CLOCKS, "r-1", None))
    told = '{"usage": {"prompt_tokens": 9, "completion_tokens": 12}}'
    found = read_ending(write_line({**values, "told": told}))
    assert (found.reservation, found.used) == ("r-1", {"tokens": 21})  # type: ignore[union-attr]
    passed = read_ending(write_line({**values, "rid": None, "told": told}))
    assert passed == read_ending(json.dumps({**values, "rid": None, "told": told}).encode())
    assert read_ending(write_line({**values, "rid": None})) is None
