"""Take connections from a socket that several processes share: no more than are worked on.

What is not taken waits in the kernel, for this process or another. Each connection carries one
request. A process that has had nothing to do for long enough stops taking, and only then ends: so
nothing that it took is lost, and whoever comes later is the next one's.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from .host import App, Message, Receive, Send

# Where the platform says which of several it is, and where it is told that it takes connections.
PLACE_VARIABLE = "PLINTH_WORKER"
SAYS_DESCRIPTOR = 4

# How long a process leaves a connection to those of a lower place, for each of them: so that few
# are busy rather than all a little, and the others can end.
_YIELD_S = 0.002
_NO_ROOM_S = 0.1

MakeProtocol = Callable[[], asyncio.Protocol]


@dataclass(frozen=True, slots=True)
class Terms:
    """`place`: 0, 1, ... among those that share the socket. `concurrency`: requests at a time.

    `idle_s`: after so long without one it ends; None: never.
    """

    place: int
    concurrency: int
    idle_s: float | None


class Taking:
    """See the module. `make` makes the protocol of a connection.

    `before_end` is done before it ends, while it still takes connections; then `end` is called.
    """

    def __init__(
        self,
        listener: socket.socket,
        terms: Terms,
        make: MakeProtocol,
        *,
        before_end: Callable[[], Awaitable[None]],
        end: Callable[[], None],
    ) -> None:
        self._listener, self._terms, self._make = listener, terms, make
        self._before_end, self._end = before_end, end
        self._connections = 0
        self._requests = 0
        self._taken = 0
        self._is_open = False
        self._is_listening = False
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> int:
        """How many are worked on; the request of a caller who is gone is finished all the same."""
        return max(self._connections, self._requests)

    def begin(self) -> None:
        """Take connections from now on."""
        self._listener.setblocking(False)
        self._is_open = True
        self._look()

    def close(self) -> None:
        """Take no more."""
        self._is_open = False
        self._look()

    def counted(self, app: App) -> App:
        """Return the app, with its requests counted, and connections closed after their answer."""

        async def one(scope: Message, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            self._requests += 1
            try:
                await app(scope, receive, _closing(send))
            finally:
                self._requests -= 1
                self._look()

        return one

    def protocol(self) -> asyncio.Protocol:
        """Return the protocol of one connection, which is counted until it is lost."""
        protocol = self._make()
        lose = protocol.connection_lost

        def lost(exc: Exception | None) -> None:
            lose(exc)
            self._connections -= 1
            self._look()

        # A class of its own would have to know that of the server's.
        protocol.connection_lost = lost  # type: ignore[method-assign]
        return protocol

    def _look(self) -> None:
        """Listen while there is room; count the time while there is nothing to do."""
        loop = asyncio.get_running_loop()
        wants = self._is_open and self.busy < self._terms.concurrency
        if wants and not self._is_listening:
            loop.add_reader(self._listener.fileno(), self._see)
        elif self._is_listening and not wants:
            loop.remove_reader(self._listener.fileno())
        self._is_listening = wants
        rests = self._is_open and not self.busy and self._terms.idle_s is not None
        if rests and self._timer is None:
            self._timer = loop.call_later(self._terms.idle_s or 0.0, self._rest)
        elif not rests and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _see(self) -> None:
        """Take a connection, or leave it to those of a lower place for a moment."""
        if not self._terms.place:
            self._take()
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener.fileno())
        loop.call_later(self._terms.place * _YIELD_S, self._take_late)

    def _take_late(self) -> None:
        self._is_listening = False
        if self._is_open and self.busy < self._terms.concurrency:
            self._take()
        self._look()

    def _take(self) -> bool:
        """Take a connection if one waits; tell whether one did."""
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return False
        except OSError:
            # No descriptors are left: those that are open must end first.
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._listener.fileno())
            loop.call_later(_NO_ROOM_S, self._take_late)
            return False
        connection.setblocking(False)
        self._taken += 1
        self._connections += 1
        self._keep(self._connect(connection))
        self._look()
        return True

    async def _connect(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(self.protocol, connection)
        except OSError:
            self._connections -= 1
            self._look()

    def _rest(self) -> None:
        self._timer = None
        self._keep(self._end_unless_taken())

    async def _end_unless_taken(self) -> None:
        taken = self._taken
        await self._before_end()
        if taken != self._taken or self.busy or not self._is_open or self._take():
            self._look()
            return
        # From here on nothing is taken. Who came in this moment waits for the next process.
        self.close()
        self._end()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def terms_of(concurrency: int | None, idle_s: float | None, least: int) -> Terms | None:
    """Return the terms of this process; None where it has its socket for itself."""
    place = os.environ.get(PLACE_VARIABLE)
    if place is None or concurrency is None:
        return None
    number = int(place)
    return Terms(number, concurrency, None if number < least else idle_s)


def say_that_it_takes() -> None:
    """Tell the platform that connections are taken now."""
    os.write(SAYS_DESCRIPTOR, b"\n")
    os.close(SAYS_DESCRIPTOR)


def _closing(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [each for each in message.get("headers", ()) if each[0] != b"connection"]
            message = {**message, "headers": [*headers, (b"connection", b"close")]}
        await send(message)

    return sent
