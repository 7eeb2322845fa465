"""What sends a batch of requests: its key holds for its window, and its principals are known."""

from __future__ import annotations

import pytest

from plinth.domain.need import needs_of
from plinth.domain.request_batch import RequestBatch, is_sender
from plinth.domain.workload import ENDING_KINDS, KINDS, WORKLOAD

FIELDS = {
    "kind": "requests",
    "name": "batch-a",
    "team": "ops",
    "input_file": "file-a",
    "requests": 3,
    "window": "24h",
}


def test_its_key_holds_for_its_window() -> None:
    batch = WORKLOAD.validate_python(FIELDS)
    assert isinstance(batch, RequestBatch)
    assert (batch.key_s, batch.calls, batch.ends, batch.tracked) == (86400.0, True, True, False)
    assert batch.reaches == "gateway"


def test_nobody_declares_one_in_a_file() -> None:
    assert "requests" not in KINDS
    assert "requests" in ENDING_KINDS


def test_it_needs_little_and_is_a_batch() -> None:
    (need,) = needs_of(WORKLOAD.validate_python(FIELDS))
    assert (need.function, need.kind, need.resources.cpu) == ("batch", "requests", 0.25)


@pytest.mark.parametrize(
    ("principal", "is_one"), [("q_abc", True), ("p_abc", False), ("admin", False), (None, False)]
)
def test_senders_are_known_by_their_principal(principal: str | None, is_one: bool) -> None:
    assert is_sender(principal) is is_one
