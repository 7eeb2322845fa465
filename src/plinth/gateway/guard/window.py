"""How much was used in the last minute, in buckets of a second. Pure: it is told the time."""

from __future__ import annotations

import math
from collections import deque

WINDOW_S = 60
# A bucket goes when the youngest that may be in it is as old as the window.
_KEPT_S = WINDOW_S + 1


class Window:
    """Units by the second in which they were used; nothing counts for less than WINDOW_S."""

    __slots__ = ("_buckets", "used")

    def __init__(self) -> None:
        self.used = 0
        self._buckets: deque[list[int]] = deque()

    def add(self, amount: int, at: float) -> None:
        """Count `amount` as used at `at`, which may lie before what was added last."""
        second = math.floor(at)
        buckets = self._buckets
        place = len(buckets)
        while place and buckets[place - 1][0] > second:
            place -= 1
        if place and buckets[place - 1][0] == second:
            buckets[place - 1][1] += amount
        else:
            buckets.insert(place, [second, amount])
        self.used += amount

    def forget(self, now: float) -> None:
        """Drop what is older than the window; call it before `used` is read."""
        buckets = self._buckets
        while buckets and buckets[0][0] + _KEPT_S <= now:
            self.used -= buckets.popleft()[1]

    def wait_s(self, amount: int, now: float) -> float:
        """Return the seconds until `amount` of what counts now has left; 0 for none.

        More than there is leaves with the last of it.
        """
        at = now
        for second, units in self._buckets:
            if amount <= 0:
                break
            amount -= units
            at = second + _KEPT_S
        return max(0.0, at - now)

    def to_json(self) -> list[list[int]]:
        """Return the buckets: pairs of a second and its units."""
        return [list(bucket) for bucket in self._buckets]
