"""How many requests are under way at once: as many as the gateway takes, and no more.

It grows while answers come, and falls to half when one is refused for a limit; then all wait for
as long as the refusal says.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_FIRST = 4.0
# Several answers that were under way together say the same thing once.
_TOGETHER_S = 1.0


class Pace:
    """Used by many threads. `most`: the upper end. `clock`: seconds that never go backwards."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(most)
        self._clock = clock
        self._limit = min(_FIRST, self._most)
        self._was_refused = False
        self._under_way = 0
        self._paused_until = 0.0
        self._slowed_at = -_TOGETHER_S
        self._is_over = False
        self._changed = threading.Condition()

    @property
    def limit(self) -> int:
        """How many may be under way now."""
        return int(self._limit)

    @property
    def waits_s(self) -> float:
        """For how many seconds more nothing is sent."""
        return max(0.0, self._paused_until - self._clock())

    def enter(self) -> bool:
        """Wait for room, and take it; False when it is all over."""
        with self._changed:
            while not self._is_over:
                pause_s = self.waits_s
                if pause_s <= 0 and self._under_way < self.limit:
                    self._under_way += 1
                    return True
                self._changed.wait(pause_s if pause_s > 0 else None)
            return False

    def leave(self) -> None:
        """Give the room back."""
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    def went_well(self) -> None:
        """Note an answer: there may be room for more."""
        with self._changed:
            more = 1.0 / self._limit if self._was_refused else 1.0
            self._limit = min(self._most, self._limit + more)
            self._changed.notify_all()

    def slow_down(self, pause_s: float) -> None:
        """Note that there was too much: go on after `pause_s` seconds, with half as many."""
        with self._changed:
            now = self._clock()
            self._was_refused = True
            if now - self._slowed_at >= _TOGETHER_S:
                self._limit = max(1.0, self._limit / 2)
                self._slowed_at = now
            self._paused_until = max(self._paused_until, now + pause_s)
            self._changed.notify_all()

    def end(self) -> None:
        """Let nobody in any more, and have those who wait go on."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
