"""The guard's process: it answers Envoy on file descriptor 3 until SIGTERM.

`python -m plinth.kit.launch plinth.gateway.guard.process --home DIR`. One thread, one loop: a
request is decided and noted in the journal in one go, and ten times a second it looks after its
limits, the access log and what nobody settled.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import logging
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from plinth.gateway.guard import answer, message, wire
from plinth.gateway.guard.core import Admitted, Held, Refused, Reservation
from plinth.gateway.guard.ending import Passed, Settled, read_ending
from plinth.gateway.guard.journal import Clocks, Journal, Reading
from plinth.gateway.guard.limit import Asked, LimitTable
from plinth.gateway.guard.limit_file import LimitFile
from plinth.gateway.guard.request import read_asked
from plinth.gateway.guard.tail import Tail
from plinth.gateway.guard.unit import journal_file, limits_file
from plinth.gateway.guard.window import WINDOW_S
from plinth.kit.clock import since_boot_s
from plinth.kit.errors import Conflict, Invalid, PlinthError
from plinth.kit.home import find_home
from plinth.kit.ids import new_id
from plinth.kit.log import set_up
from plinth.units.processes import boot_id

log = logging.getLogger(__name__)

_LISTENING_DESCRIPTOR = 3
_BACKLOG = 512
TICK_S = 0.1
# Nobody is answered while the log is read: not for longer than this at once.
_READ_S = 0.02
# What the log may have grown by in the last minute.
_LAST_BYTES = 16 * 2**20
# How far the log was read is worth a line of its own now and then: to read it again is harmless.
_NOTE_S = 5.0
# How often empty accounts are looked for: there may be one for each key.
_FORGET_S = 5.0


@dataclass(frozen=True, slots=True)
class SystemClocks:
    """This machine's clocks."""

    boot: str = field(default_factory=boot_id)

    def now(self) -> float:
        """Return seconds since the machine's start; nobody can set them."""
        return since_boot_s()

    def wall(self) -> float:
        """Return seconds since 1970."""
        return time.time()


@dataclass(frozen=True, slots=True)
class Files:
    """What the guard reads and writes."""

    limits: Path
    journal: Path
    access_log: Path


class Guard:
    """Limits, reservations, journal and access log, put together."""

    def __init__(self, files: Files, clocks: Clocks) -> None:
        self._clocks = clocks
        self._file = LimitFile(files.limits)
        self._limits = LimitTable()
        self._journal = Journal(files.journal, clocks)
        restored = self._journal.open()
        self.reservations = restored.reservations
        self._tail = Tail(files.access_log, restored.cursors)
        # No two processes give the same name: the log would settle another's reservation.
        self._prefix = new_id("", 8)
        self._count = 0
        self._noted_at = self._forgot_at = -math.inf
        self._look_at_limits()
        # Nothing is to be settled after days without limits: only the last minute may count.
        self._tail.start(clocks.now(), None if len(self.reservations) else _LAST_BYTES)
        if restored.cursors is None:
            self._journal.note(Reading(self._tail.cursors))

    def close(self) -> None:
        """Close its files."""
        self._tail.close()
        self._journal.close()

    def decide(self, messages: Sequence[bytes]) -> list[tuple[bytes, str | None]]:
        """Answer requests that came together; what is reserved is on the disk when it returns."""
        now = self._clocks.now()
        answers: list[tuple[bytes, str | None]] = []
        made: list[Reservation] = []
        for each in messages:
            try:
                asked = read_asked(each)
            except ValueError:
                answers.append((answer.refuse_unreadable(), None))
                continue
            decided = self._decide(asked, now)
            if decided is None:
                answers.append((message.PASSED, None))
            elif isinstance(decided, Refused):
                answers.append((answer.refuse(decided), None))
            else:
                made.append(decided.reservation)
                answers.append((answer.admit(decided), decided.reservation.id))
        if made:
            self._journal.reserve(made)
        return answers

    def _decide(self, asked: Asked, now: float) -> Admitted | Refused | None:
        self._count += 1
        name = f"{self._prefix}-{self._count}"
        return self.reservations.decide(asked, self._limits, name, now)

    def give_back(self, names: Sequence[str]) -> None:
        """Release reservations whose answers came too late: the requests passed without them."""
        now = self._clocks.now()
        released = [name for name in names if self.reservations.settle(name, {}, now)]
        if released:
            self._journal.give_back(released)

    def abandon(self) -> None:
        """Expect no end of what Envoy was serving: its last connection has gone, so maybe it has.

        If not, what runs for longer than that is charged in full, and earlier than needed.
        """
        if len(self.reservations):
            self.reservations.abandon(self._clocks.now())
            self._journal.abandon()

    def tick(self) -> None:
        """Do what is due: limits, the access log, what is too old, a new journal."""
        now = self._clocks.now()
        self._look_at_limits()
        expired = self.reservations.expire(now)
        if expired:
            log.warning("%d reservations were never settled: they are charged in full", expired)
        self._read_log(now)
        if now - self._forgot_at > _FORGET_S:
            self._forgot_at = now
            self.reservations.forget(now)
        if self._journal.is_long:
            try:
                self._journal.rewrite(self.reservations, self._tail.cursors)
            except OSError as err:
                log.error("the guard's journal stays long: %s", err.strerror or err)

    def _look_at_limits(self) -> None:
        try:
            found = self._file.read_if_changed()
        except (Invalid, OSError) as err:
            log.error("%s; the limits of before stay", err)
            return
        if found is not None:
            self._limits = found
            log.info("guarding %d limits (version `%s`)", len(found), found.version)

    def _read_log(self, now: float) -> None:
        until = time.monotonic() + _READ_S
        for lines, cursors in self._tail.read(now):
            self._take_in(lines, cursors, now)
            if time.monotonic() > until:
                return

    def _take_in(self, lines: Sequence[bytes], cursors: dict[str, int], now: float) -> None:
        settled: list[tuple[str, Mapping[str, int] | None]] = []
        charged: list[tuple[Held, float]] = []
        for line in lines:
            ending = read_ending(line)
            if isinstance(ending, Settled):
                if self.reservations.settle(ending.reservation, ending.used, now):
                    settled.append((ending.reservation, ending.used))
            elif ending is not None and (charge := self._charge_for(ending, now)):
                self.reservations.charge(*charge)
                charged.append(charge)
        if settled or charged or now - self._noted_at > _NOTE_S:
            self._noted_at = now
            self._journal.note(Reading(cursors, tuple(settled), tuple(charged)))

    def _charge_for(self, passed: Passed, now: float) -> tuple[Held, float] | None:
        """Return what a request used that passed while the guard was away, if it still counts."""
        age_s = max(0.0, self._clocks.wall() - passed.ended_at)
        if age_s > WINDOW_S:
            return None
        held = tuple(
            (limit.account(passed.asked), limit.unit, passed.used.get(limit.unit, 0))
            for limit in self._limits.matching(passed.asked)
        )
        return (held, now - age_s) if held else None


class _Protocol(asyncio.Protocol):
    """A connection of the loop, and what speaks on it."""

    def __init__(self, guard: Guard, open_ones: set[_Protocol]) -> None:
        self._guard = guard
        self._connection = wire.Connection(guard.decide, guard.give_back)
        self._open_ones = open_ones
        self._transport: asyncio.Transport | None = None
        self._is_ending = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open_ones.add(self)
        transport.write(self._connection.start())

    def data_received(self, data: bytes) -> None:
        """Answer what came."""
        assert self._transport is not None
        try:
            out = self._connection.receive(data)
        except Invalid as err:
            log.warning("a connection to the guard is closed: %s", err.message)
            self._transport.abort()
            return
        if out:
            self._transport.write(out)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it; with the last one Envoy may have gone."""
        del exc
        self._open_ones.discard(self)
        if not self._open_ones and not self._is_ending:
            self._guard.abandon()

    def end(self) -> None:
        """Say goodbye."""
        self._is_ending = True
        if self._transport is not None:
            self._transport.write(self._connection.goodbye())
            self._transport.close()


async def serve(guard: Guard, listening: socket.socket) -> None:
    """Answer on the socket until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    open_ones: set[_Protocol] = set()
    # Not create_unix_server: it may remove the socket's file, which is the supervisor's.
    server = await loop.create_server(
        lambda: _Protocol(guard, open_ones), sock=listening, backlog=_BACKLOG
    )
    try:
        while not ended.is_set():
            guard.tick()
            try:
                await asyncio.wait_for(ended.wait(), TICK_S)
            except TimeoutError:
                continue
    finally:
        server.close()
        for each in list(open_ones):
            each.end()
        await asyncio.sleep(0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m plinth.kit.launch plinth.gateway.guard.process"
    )
    parser.add_argument("--home", type=Path, required=True, help="the folder of this node")
    home = find_home({}, parser.parse_args(arguments).home)
    set_up()
    os.umask(0o077)
    files = Files(limits_file(home), journal_file(home), home.gateway / "access.log")
    try:
        _be_the_only_one(files.journal)
        guard = Guard(files, SystemClocks())
    except (PlinthError, OSError) as err:
        # Its supervisor starts it again: one line each time says why.
        log.error("%s", err)
        sys.exit(1)
    log.info("the guard of %s has started: %d reservations", home.root, len(guard.reservations))
    try:
        asyncio.run(serve(guard, socket.socket(fileno=_LISTENING_DESCRIPTOR)))
    finally:
        guard.close()


def _be_the_only_one(journal: Path) -> None:
    """Hold a lock for as long as the process lives. Raises Conflict when another one has it."""
    path = journal.with_name(f"{journal.name}.lock")
    # Never closed: the kernel frees it with the process, however that ends.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        raise Conflict(f"another guard works in `{journal.parent}`") from err
