"""What a secret's value may be."""

from __future__ import annotations

import pytest

from plinth.domain.secret import MOST_SECRET_BYTES, check_secret
from plinth.kit.errors import Invalid, TooLarge


@pytest.mark.parametrize("value", [b"x", b"\x00", b"\n", b"\xff" * MOST_SECRET_BYTES])
def test_any_bytes_are_accepted(value: bytes) -> None:
    assert check_secret(value) == value


def test_an_empty_value_is_refused() -> None:
    with pytest.raises(Invalid, match="empty"):
        check_secret(b"")


def test_a_large_value_is_refused_without_repeating_it() -> None:
    with pytest.raises(TooLarge, match="more than 65,536 bytes") as caught:
        check_secret(b"hunter2" * 10_000)
    assert "hunter2" not in str(caught.value)
