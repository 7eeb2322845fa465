"""Sizes and durations between what people write and the numbers code uses."""

from __future__ import annotations

import re
from decimal import Decimal

from plinth.kit.excerpt import excerpt

_BYTES = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}
_BYTES_SHOWN = ("kB", "KiB", "MB", "MiB", "GB", "GiB", "TB", "TiB")
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
# 18 digits: enough for every size and time, and no overflow in what counts them.
_NUMBER = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([A-Za-z]*)\s*")


def parse_bytes(text: str | float) -> int:
    """Read `16GB`, `512MiB` or a number of bytes. Raises ValueError naming the accepted forms."""
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    match = _NUMBER.fullmatch(str(text))
    factor = _BYTES.get(match[2].upper()) if match else None
    if match is None or factor is None:
        raise ValueError(
            f"`{excerpt(text)}` is not a size; write it like `512MB`, `16GB` or `2GiB`"
        )
    return int(Decimal(match[1]) * factor)


def parse_duration(text: str | float) -> float:
    """Read `500ms`, `90s`, `15m`, `2h`, `1d` or a number of seconds; return seconds."""
    if isinstance(text, int | float) and not isinstance(text, bool) and 0 <= text < 1e18:
        return float(text)
    match = _NUMBER.fullmatch(str(text))
    factor = _SECONDS.get(match[2]) if match else None
    if match is None or factor is None:
        raise ValueError(
            f"`{excerpt(text)}` is not a duration; write it like `90s`, `15m`, `2h` or `1d`"
        )
    return float(match[1]) * factor


def format_bytes(size: int) -> str:
    """Write a size for people, in powers of ten: `1.5 GB`."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit in ("B", "kB") else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def format_duration(seconds: float) -> str:
    """Write a duration for people with its two largest units: `1h 05m`, `3.2s`."""
    if seconds < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:.0f}s"
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d {whole % 86400 // 3600:02d}h"


def exact_bytes(size: int) -> str:
    """Write a size as `parse_bytes` reads it, without rounding: `1GiB`, `64MB`, `0`."""
    return _exact(size, {"B": 1, **{name: _BYTES[name.upper()] for name in _BYTES_SHOWN}})


def exact_duration(seconds: float) -> str:
    """Write a duration as `parse_duration` reads it, without rounding: `366d`, `90s`, `0`."""
    return _exact(seconds, {"s": 1, "m": 60, "h": 3600, "d": 86400})


def _exact(value: float, units: dict[str, int]) -> str:
    if not value:
        return "0"
    whole = [(factor, name) for name, factor in units.items() if value % factor == 0]
    if not whole:
        return f"{value}{next(iter(units))}"
    factor, name = max(whole)
    return f"{int(value // factor)}{name}"
