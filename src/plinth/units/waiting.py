"""How long to wait before a command that failed is started again."""

from __future__ import annotations

LONGEST_WAIT_S = 5.0
# What lived for as long is no crash loop.
HEALTHY_S = 30.0

_FIRST_WAIT_S = 0.1


def wait_before(failures: int) -> float:
    """Return the seconds before start number `failures` + 1 in a row: 0.1, 0.2, ... 5."""
    if failures <= 0:
        return 0.0
    return float(min(_FIRST_WAIT_S * 2 ** min(failures - 1, 16), LONGEST_WAIT_S))
