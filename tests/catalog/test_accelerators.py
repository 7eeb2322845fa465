"""Accelerators by kind."""

from __future__ import annotations

import pytest

from plinth.catalog.accelerators import load_accelerators
from plinth.kit.errors import Invalid

GIB = 2**30


def test_a_kind_with_two_memories_has_two_rows_the_smaller_first() -> None:
    rows = load_accelerators().find("a100")
    assert [each.memory for each in rows] == [40 * GIB, 80 * GIB]
    assert {each.compute_capability for each in rows} == {"8.0"}


def test_what_a_kind_can_compute_may_be_unknown() -> None:
    assert load_accelerators().find("MI300X")[0].compute_capability is None


def test_a_mistaken_kind_gets_the_nearest_one() -> None:
    with pytest.raises(Invalid, match=r"`H1000` is not a kind.*; did you mean `H100`"):
        load_accelerators().find("H1000")
