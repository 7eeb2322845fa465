"""How backup, restore and upgrade say how far they are."""

from __future__ import annotations

import time
from collections.abc import Callable

# step, bytes that are done, bytes in all (0 where nobody knows).
Report = Callable[[str, int, int], None]

_EVERY_S = 0.1


def say_nothing(_step: str, _done: int, _total: int) -> None:
    """Take no notice."""


class Counter:
    """Add up bytes of one step and report them, at most some ten times a second."""

    def __init__(self, report: Report, step: str, total: int) -> None:
        self._report, self._step, self._total = report, step, total
        self._done, self._said_at = 0, time.monotonic()
        report(step, 0, total)

    def add(self, size: int) -> None:
        """Count `size` more bytes."""
        self._done += size
        now = time.monotonic()
        if now - self._said_at >= _EVERY_S:
            self._said_at = now
            self._report(self._step, self._done, self._total)

    def end(self) -> None:
        """Say how many there were in all."""
        self._report(self._step, self._done, max(self._done, self._total))
