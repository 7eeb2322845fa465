"""Decide when one more worker of an elastic unit starts. Pure: the caller has clock and socket.

Connections wait in the socket until a worker takes them. Where none runs, the first one that waits
starts one. Where some run, a connection waits for an instant even though there is room, so only
what goes on waiting counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from plinth.units.spec import Elastic
from plinth.units.waiting import HEALTHY_S, wait_before

# How often in a row, and how far apart, something must be seen waiting: a tenth of a second. On a
# busy machine a worker that has room may not come to take anything for half of that.
_LOOKS, _LOOK_S = 5, 0.025
# After it was seen waiting and then no more: a busy socket wakes nobody more often than this.
_REST_S = 0.1


@dataclass(frozen=True, slots=True)
class Wish:
    """What follows: start one more now; else listen for who comes, or look again at a time."""

    start: bool = False
    listen: bool = False
    look_at: float | None = None


class Demand:
    """See the module. Times are seconds of a clock that only goes forward."""

    def __init__(self, elastic: Elastic) -> None:
        """Begin with no worker, and nothing seen."""
        self._elastic = elastic
        self._failures = 0
        self._not_before = 0.0
        self._seen = 0
        self._look_at = 0.0

    def wish(self, now: float, ready: int, starting: int, waits: Callable[[], bool]) -> Wish:
        """Return what follows while so many workers are ready or starting; `waits`: look."""
        running, elastic = ready + starting, self._elastic
        # As many start at once as there are at work already.
        if running >= elastic.most or (running >= elastic.least and starting >= max(1, ready)):
            return Wish()
        if now < self._not_before:
            return Wish(look_at=self._not_before)
        if running < elastic.least or (running == 0 and waits()):
            self._seen, self._look_at = 0, 0.0
            return Wish(start=True)
        return Wish(listen=True) if running == 0 else self._look(now, waits)

    def ended_well(self) -> None:
        """Note that a worker had nothing to do any more."""
        self._failures = 0

    def failed(self, now: float, lived_s: float) -> None:
        """Note that a worker crashed, or could not be started; the next one waits the longer."""
        self._failures = 1 if lived_s >= HEALTHY_S else self._failures + 1
        self._not_before = now + wait_before(self._failures)

    def _look(self, now: float, waits: Callable[[], bool]) -> Wish:
        if now < self._look_at:
            return Wish(look_at=self._look_at)
        if not waits():
            rests, self._seen = self._seen > 0, 0
            if not rests:
                return Wish(listen=True)
            self._look_at = now + _REST_S
            return Wish(look_at=self._look_at)
        self._seen += 1
        if self._seen < _LOOKS:
            self._look_at = now + _LOOK_S
            return Wish(look_at=self._look_at)
        self._seen, self._look_at = 0, 0.0
        return Wish(start=True)
