"""Windows and expiries outside of what is accepted are refused with what is."""

from __future__ import annotations

import pytest

from plinth.control.openai_batches.limits import Expiry, window_s
from plinth.kit.errors import Invalid


@pytest.mark.parametrize(("text", "seconds"), [("24h", 86400), ("30s", 30), ("7d", 604800)])
def test_a_window_is_a_duration(text: str, seconds: float) -> None:
    assert window_s(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "8d", "0s", "-1h", "nan", "24 hours", "1e9"])
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="completion_window") as refused:
        window_s(text)
    assert "24h" in (refused.value.hint or "")


def test_an_expiry_lies_between_an_hour_and_thirty_days() -> None:
    assert Expiry(seconds=3600).checked("expires_after") == 3600
    for wrong in (
        Expiry(seconds=3599),
        Expiry(seconds=2_592_001),
        Expiry(anchor="x", seconds=4000),
    ):
        with pytest.raises(Invalid, match="expires_after"):
            wrong.checked("expires_after")
