"""The node agent: starts, adopts, restarts and stops the units of one node.

`python -m plinth.units.agent --home DIR`. One thread, one loop. It may be killed at any time: the
units live on and the next agent adopts them. It imports nothing but kit and units, as every
supervisor is a fork of it and keeps its memory.
"""

from __future__ import annotations

import argparse
import fcntl
import gc
import logging
import math
import os
import selectors
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from plinth.kit.clock import SystemClock, to_text
from plinth.kit.errors import Invalid, PlinthError, Temporary
from plinth.kit.home import Home, find_home
from plinth.kit.log import set_up
from plinth.units import kernel, processes
from plinth.units.isolation import HIGHEST, best_level
from plinth.units.keeper import Keeper, Watching
from plinth.units.listener import Listener
from plinth.units.spec import NodeInfo, UnitSpec

log = logging.getLogger("plinth.units.agent")

_TRIM_EVERY_S = 30.0
_LOCK_PATIENCE_S = 1.0

Operation = Callable[[dict[str, Any]], dict[str, Any]]


class Agent:
    """The loop between clients, supervisors and the clock."""

    def __init__(self, home: Home, highest: int) -> None:
        """Adopt the units of `home` and listen. The caller holds the node's lock.

        `highest`: the isolation level to use at most.
        """
        clock = SystemClock()
        level = best_level(highest)
        self._info = NodeInfo(
            pid=os.getpid(),
            boot_id=processes.boot_id(),
            node=os.uname().nodename,
            isolation_level=level,
            started_at=to_text(clock.now()),
        )
        self._clock = clock
        self._trim_at = clock.monotonic()
        self._is_done = False
        self._wakeup = _listen_to_signals()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._hear_signals)
        self._keeper = Keeper(home.units, level, clock, Watching(self._watch, self._unwatch))
        self._operations = self._make_operations()
        self._listener = Listener(home.socket("agent"), self._selector, self._answer)

    def run(self) -> None:
        """Serve until SIGTERM, which leaves the units running, or until all were shut down."""
        log.info("agent %d, isolation level %d", self._info.pid, self._info.isolation_level)
        # Every supervisor shares these objects; a collection in one of them would copy the pages.
        gc.freeze()
        self._keeper.tick()
        while not self._is_done and not self._keeper.has_left:
            for key, mask in self._selector.select(self._timeout_s()):
                if not self._is_done:
                    key.data(mask)
            self._keeper.tick()
            self._trim()
        self._listener.close()
        log.info("agent %d ends", self._info.pid)

    def _timeout_s(self) -> float:
        trim_in = max(0.0, self._trim_at - self._clock.monotonic())
        next_in = self._keeper.next_in_s()
        return trim_in if next_in is None else min(trim_in, next_in)

    def _trim(self) -> None:
        if self._clock.monotonic() >= self._trim_at:
            self._trim_at = self._clock.monotonic() + _TRIM_EVERY_S
            self._keeper.trim_logs()

    def _watch(self, descriptor: int) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, self._hear_end)

    def _unwatch(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)

    def _hear_end(self, _mask: int) -> None:
        self._keeper.reap()

    def _hear_signals(self, _mask: int) -> None:
        numbers = set(os.read(self._wakeup, 4096))
        if numbers & {signal.SIGTERM, signal.SIGINT}:
            log.info("agent %d was asked to end; its units live on", self._info.pid)
            self._is_done = True
        elif signal.SIGCHLD in numbers:
            self._keeper.reap()

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        operation = self._operations.get(str(request.get("op")))
        if operation is None:
            known = ", ".join(f"`{name}`" for name in self._operations)
            raise Invalid(f"`{request.get('op')}` is not an operation: {known}")
        return operation(request)

    def _make_operations(self) -> dict[str, Operation]:
        return {
            "ping": lambda _: self._info.to_json(),
            "start": self._in_time(self._start),
            "stop": self._in_time(self._stop),
            "observe": self._observe,
            "forget": self._in_time(self._forget),
            "shutdown": self._shutdown,
        }

    def _in_time(self, operation: Operation) -> Operation:
        """Return the operation, refused when its order comes too late (docs: leases.md).

        Whoever gave it was paused meanwhile, and another may have decided otherwise.
        """

        def in_time(request: dict[str, Any]) -> dict[str, Any]:
            late_s = self._clock.since_boot_s() - float(request.get("valid_until", math.inf))
            if late_s >= 0:
                log.warning("an order to %s came %.1f s too late", request["op"], late_s)
                raise Temporary(
                    f"the order came {late_s:.1f} s after its lease had ended",
                    hint="whoever holds the lease now goes on",
                    code="stale_order",
                )
            return operation(request)

        return in_time

    def _start(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._keeper.start(UnitSpec.from_json(request["spec"])).to_json()

    def _stop(self, request: dict[str, Any]) -> dict[str, Any]:
        self._keeper.stop(request["id"], float(request["grace_s"]))
        return {}

    def _forget(self, request: dict[str, Any]) -> dict[str, Any]:
        self._keeper.forget(request["id"])
        return {}

    def _shutdown(self, _request: dict[str, Any]) -> dict[str, Any]:
        self._keeper.leave()
        return {}

    def _observe(self, request: dict[str, Any]) -> dict[str, Any]:
        states = self._keeper.observe(request.get("ids"), memory=bool(request.get("memory")))
        return {"units": [state.to_json() for state in states]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent of a home. Returns 0 when it ended, 2 when another one runs."""
    parser = argparse.ArgumentParser(prog="python -m plinth.units.agent")
    parser.add_argument("--home", type=Path, required=True, help="the folder of this node")
    parser.add_argument(
        "--isolation",
        type=int,
        default=HIGHEST,
        help="use at most this level, where a job does not get along with a higher one",
    )
    chosen = parser.parse_args(arguments)
    home = find_home({}, chosen.home)
    os.umask(0o077)
    set_up()
    try:
        home.prepare()
        if _lock(home.root / "agent.lock") is None:
            raise Invalid(
                f"another agent runs for `{home.root}`",
                hint="use it, or end it with `plinth down`",
            )
        agent = Agent(home, chosen.isolation)
    except PlinthError as err:
        hint = f"\n\nhint: {err.hint}" if err.hint else ""
        sys.stderr.write(f"error: {err.message}{hint}\n")
        return 2
    agent.run()
    return 0


def _lock(path: Path) -> int | None:
    """Take the node's lock for the life of this process.

    A supervisor that was just forked by a killed agent holds it for an instant, hence the patience.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                return None
            time.sleep(0.02)
        else:
            return descriptor


def _listen_to_signals() -> int:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, _ignore)
    kernel.set_name("plinth-agent")
    return reader


def _ignore(_number: int, _frame: object) -> None:
    """Do nothing: the number arrives through the wake-up pipe."""


if __name__ == "__main__":
    sys.exit(main())
