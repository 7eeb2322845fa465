"""What a confined process keeps in memory has an end, which is its own memory's."""

from __future__ import annotations

from plinth.units.isolation.mounts import scratch


def test_places_in_memory_hold_no_more_than_the_process_may() -> None:
    assert scratch(600_000_000) == {"/tmp": "600000000", "/dev/shm": "600000000"}
    assert scratch(8_000_000_000) == {"/tmp": str(2**30), "/dev/shm": "8000000000"}


def test_without_a_limit_they_hold_what_is_usual() -> None:
    assert scratch(None) == {"/tmp": str(2**30), "/dev/shm": "50%"}
