"""The time, as a thing that tests can hold still."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]+(Z|[+-][0-9:]+)?)?", re.ASCII)
# No clock of ours showed less, and adding a day to the last never overflows.
_YEARS = range(2000, 2100)

_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def since_boot_s() -> float:
    """Return the seconds since the machine's start; on macOS those that it was awake.

    Nobody can set them, and all processes of the machine count the same.
    """
    return time.clock_gettime(_SINCE_BOOT)


class Clock(Protocol):
    """Tell the time."""

    def now(self) -> datetime:
        """Return the wall-clock time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""
        ...

    def since_boot_s(self) -> float:
        """Return the seconds since the machine's start: one count for all of its processes.

        Nobody can set it, and it goes on while the machine sleeps.
        """
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the wall-clock time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""
        return time.monotonic()

    def since_boot_s(self) -> float:
        """Return the seconds since the machine's start; on macOS those that it was awake."""
        return since_boot_s()


class FakeClock:
    """A clock that moves only when told; for tests."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 1, 1, tzinfo=UTC)
        self._monotonic = 0.0

    def now(self) -> datetime:
        """Return the time it was set to."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds it was moved by."""
        return self._monotonic

    def since_boot_s(self) -> float:
        """Return the seconds it was moved by."""
        return self._monotonic

    def set_wall(self, seconds: float) -> None:
        """Set the wall clock forward, or back where less than 0; no time passes."""
        self._now += timedelta(seconds=seconds)

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds


def to_text(moment: datetime) -> str:
    """Write an aware time as ISO 8601 in UTC with microseconds; sorts as it compares."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_text(text: str) -> datetime:
    """Read what `to_text` wrote. Raises ValueError for anything else."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def parse_moment(text: str) -> datetime:
    """Read what a person wrote: a day (its beginning) or a time; in UTC if no zone is said.

    Raises ValueError naming the accepted forms.
    """
    try:
        moment = datetime.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        moment = None
    if moment is None or moment.year not in _YEARS:
        raise ValueError(
            f"`{text[:40]}` is not a day or a time; write it like `2026-11-01` or "
            f"`2026-11-01T08:30Z`, from {_YEARS[0]} to {_YEARS[-1]}"
        )
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
