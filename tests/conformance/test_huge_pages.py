"""Envoy's memory lies in large pages once our own filter is loaded, where the system has them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from plinth.gateway.openai_filter import usage_filters
from tests.conformance.stand import Json, listener, routes, running_envoy

_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def in_large_pages(filters: Sequence[Json]) -> int:
    """Return how much of an Envoy with these filters lies in large pages, in bytes."""
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 204}}
    with running_envoy([listener(filters, routes(answer))], []) as envoy:
        assert envoy.ask("/").status == 204
        memory = Path(f"/proc/{envoy.process.pid}/smaps_rollup").read_text()
        (found,) = re.findall(r"AnonHugePages: +(\d+) kB", memory)
        return int(found) * 1024


def test_memory_lies_in_large_pages_with_our_filter_and_otherwise_not() -> None:
    if not _SETTING.exists() or "[madvise]" not in _SETTING.read_text():
        pytest.skip("this system gives large pages to nobody, or to everybody")
    assert in_large_pages([]) == 0
    assert in_large_pages(usage_filters()) >= 8 * 2**20
