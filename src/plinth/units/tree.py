"""The processes of one unit: fork one, learn of ends, end them all and leave nothing.

Used by the supervisor: for a command of its own (`MainTree`), and for several that share a socket
(`workers.py`). Nothing here waits longer than its caller says.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from plinth.units import kernel, processes
from plinth.units.child import Start, become
from plinth.units.folder import UnitFolder

# What the agent has handlers for: they are blocked while it forks, until the child has its own.
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)

_KILL_AGAIN_S = (0.02, 0.5)


def fork_command(start: Start) -> processes.Process:
    """Fork the process that becomes the command once it is released; return who it is."""
    parent = os.getpid()
    # A signal to the child must wait until it no longer has this process's handlers.
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        pid = os.fork()
        if pid == 0:
            become(start, parent)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        start.keep_parent_ends()
    return processes.identify(pid)


def why_ended(status: int | None) -> str | None:
    """Say in words how a process ended; None for one that ended well, or of which it is unknown."""
    code = os.waitstatus_to_exitcode(status) if status is not None else 0
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    return f"exited with code {code}" if code else None


class Tree(ABC):
    """All processes that descend from this one, and how they are ended.

    `status`: with what the unit has ended, as of `waitpid`. `is_stopped`: somebody wanted its end
    before that. `failure`: why its command could not begin. `deadline`: since the end has begun,
    when the rest is killed.
    """

    def __init__(self, folder: UnitFolder, start: Start, wakeup: int) -> None:
        """Take what the command needs, and the pipe into which signals write their numbers."""
        self.folder, self.start, self.spec = folder, start, start.spec
        self.status: int | None = None
        self.is_stopped = False
        self.failure: str | None = None
        self.deadline: float | None = None
        self._wakeup = wakeup
        self._kills = 0

    @abstractmethod
    def begin(self) -> dict[str, processes.Process]:
        """Start what runs from the first, which waits; return it for the unit's identity."""

    @abstractmethod
    def wait(self) -> None:
        """Let it run; block until no process of the unit is left."""

    @property
    def reason(self) -> str | None:
        """How it ended, in words; None when it ended well."""
        return self.failure or ("stopped" if self.is_stopped else why_ended(self.status))

    def reap(self) -> bool:
        """Collect every process that has ended; tell whether any is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            self.ended(pid, status)

    @abstractmethod
    def ended(self, pid: int, status: int) -> None:
        """Note the end of one process; it may be nobody's that is known."""

    @abstractmethod
    def leaders(self) -> Iterable[processes.Process]:
        """Return the processes that the unit itself started and that may live."""

    def sleep(
        self, others: Sequence[int] = (), until: float | None = None
    ) -> tuple[set[int], set[int]]:
        """Wait for a signal, for `others` to be readable, or until the deadline or `until`.

        Times are of `time.monotonic()`. Returns the signals and the readable ones of `others`.
        """
        times = [each for each in (self.deadline, until) if each is not None]
        timeout = max(0.0, min(times) - time.monotonic()) if times else None
        ready, _, _ = select.select([self._wakeup, *others], [], [], timeout)
        numbers: set[int] = set()
        with contextlib.suppress(BlockingIOError):
            numbers = set(os.read(self._wakeup, 4096))
        return numbers, set(ready) - {self._wakeup}

    def stop(self) -> None:
        """Begin the end that somebody wants, in the time that the wish says."""
        self.is_stopped = self.is_stopped or self.status is None
        wish = self.folder.stop_wish() or {}
        self.begin_end(float(wish.get("grace_s", self.spec.grace_s)))

    def begin_end(self, grace_s: float) -> None:
        """Ask every process to end, and kill the rest after `grace_s`; the shortest time counts."""
        deadline = time.monotonic() + grace_s
        if self.deadline is None:
            self._signal_all(signal.SIGTERM)
            self.deadline = deadline
        self.deadline = min(self.deadline, deadline)

    def kill_when_due(self) -> None:
        """Kill what is left once the deadline has passed, again and again."""
        if self.deadline is None or time.monotonic() < self.deadline:
            return
        # What forks faster than it is killed is met again, as it descends from this process.
        self._signal_all(signal.SIGKILL)
        self._kills += 1
        first, last = _KILL_AGAIN_S
        self.deadline = time.monotonic() + min(first * self._kills, last)

    def _signal_all(self, number: int) -> None:
        if not kernel.IS_LINUX:
            for leader in self.leaders():
                with contextlib.suppress(OSError):
                    os.killpg(leader.pid, number)
            return
        for process in processes.descendants(os.getpid()):
            processes.send(process, number)


class MainTree(Tree):
    """The main process and everything that descends from it; its end is the unit's."""

    _main: processes.Process

    def begin(self) -> dict[str, processes.Process]:
        """Fork the main process."""
        self._main = fork_command(self.start)
        return {"child": self._main}

    def wait(self) -> None:
        """Let it run, and end the rest when it has ended."""
        self.start.release()
        while self.reap():
            if self.status is not None and self.deadline is None:
                self.begin_end(self.spec.grace_s)
            self.kill_when_due()
            numbers, _ = self.sleep()
            if signal.SIGTERM in numbers:
                self.stop()
        self.failure = self.start.failure()

    def ended(self, pid: int, status: int) -> None:
        """Note how the main process ended."""
        if pid == self._main.pid:
            self.status = status

    def leaders(self) -> Iterable[processes.Process]:
        """Return the main process."""
        return (self._main,)
