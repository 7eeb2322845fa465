"""Write down what was refused, each in a transaction of its own, and never without end."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from plinth.control.context import Context
from plinth.kit.errors import PlinthError
from plinth.store.audit import Entry, add_entry

log = logging.getLogger(__name__)

# So many refusals of one principal are written in full, then one entry counts the rest.
MOST_IN_WINDOW = 20
WINDOW_S = 60.0


@dataclass(slots=True, eq=False)
class _Window:
    """The refusals of one principal since `began`, in seconds of the monotonic clock."""

    began: float
    written: int = 0
    more: int = 0
    last: Entry | None = None


class Refusals:
    """Refused calls on their way into the audit log. Used by many threads.

    What is counted and not yet written is lost when the control plane is killed: a minute of it.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._open: dict[str, _Window] = {}
        self._ended: list[_Window] = []

    def note(self, entry: Entry) -> None:
        """Write the refusal, or count it. Never raises: the caller was refused already."""
        if not self._has_room(entry):
            return
        try:
            with self._context.database.write() as connection:
                add_entry(connection, entry)
        except PlinthError as err:
            log.warning("a refusal was not written to the audit log: %s", err.message)

    def close(self) -> None:
        """Write what is still being counted, when the control plane stops. Never raises."""
        with self._lock:
            self._end_windows(all_of_them=True)
        try:
            self.flush()
        except PlinthError as err:
            log.warning("counted refusals were not written to the audit log: %s", err.message)

    def flush(self) -> None:
        """Write one entry for each principal whose refusals were counted for a minute.

        Called again and again. Raises Temporary, and then writes them the next time.
        """
        with self._lock:
            self._end_windows()
            counted = list(self._ended)
        if not counted:
            return
        with self._context.database.write() as connection:
            for window in counted:
                add_entry(connection, _count(window))
        with self._lock:
            self._ended = [window for window in self._ended if window not in counted]

    def _has_room(self, entry: Entry) -> bool:
        now = self._context.clock.monotonic()
        who = entry.principal.id
        with self._lock:
            self._end_windows()
            window = self._open.setdefault(who, _Window(began=now))
            window.last = entry
            if window.written < MOST_IN_WINDOW:
                window.written += 1
                return True
            window.more += 1
            return False

    def _end_windows(self, *, all_of_them: bool = False) -> None:
        oldest = self._context.clock.monotonic() - WINDOW_S
        for who, window in list(self._open.items()):
            if all_of_them or window.began <= oldest:
                del self._open[who]
                if window.more:
                    self._ended.append(window)


def _count(window: _Window) -> Entry:
    last = window.last
    assert last is not None
    return last.model_copy(
        update={
            "action": "more",
            "subject": f"principal/{last.principal.id}",
            "team": last.principal.team,
            "detail": {
                "more": window.more,
                "within_s": WINDOW_S,
                "last": f"{last.action} {last.subject}",
            },
        }
    )
