"""Callers that keep their connections and cost little, so that what is measured is not they.

The benchmarks of the gateway ask with it. Answers are read whole: with a length, or in chunks.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `first_s`: from the request to its body's first byte; `took_s`: to its end."""

    status: int
    body: bytes
    first_s: float
    took_s: float

    @property
    def json(self) -> Any:
        """Return the body, parsed."""
        return json.loads(self.body)


class Connection(asyncio.Protocol):
    """One connection, one request at a time. `status` 0: it ended before the answer did."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._received = b""
        self._sent_at = self._first_at = 0.0

    @property
    def is_open(self) -> bool:
        """Say whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes) -> Answer:
        """Send the request and return its answer. Raises TimeoutError when none comes."""
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._received, self._first_at, self._sent_at = b"", 0.0, time.perf_counter()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, _exc: Exception | None) -> None:
        """Tell who waits that no answer comes."""
        self._transport = None
        self._tell(0, b"")

    def data_received(self, data: bytes) -> None:
        """Hand the answer over once it is whole."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        if body and not self._first_at:
            self._first_at = time.perf_counter()
        if is_whole(head, body):
            self._tell(int(head[9:12]), body)

    def _tell(self, status: int, body: bytes) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            now = time.perf_counter()
            first_s = (self._first_at or now) - self._sent_at
            waiting.set_result(Answer(status, body, first_s, now - self._sent_at))


def is_whole(head: bytes, body: bytes) -> bool:
    """Say whether the body is as long as its head tells."""
    headers = head.lower()
    _, found, length = headers.partition(b"\r\ncontent-length:")
    if found:
        return len(body) >= int(length.partition(b"\r\n")[0])
    if b"chunked" in headers:
        return body.endswith(b"0\r\n\r\n")
    return True


def unchunked(body: bytes) -> bytes:
    """Return the content of a body that came in chunks."""
    content = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        content, body = content + body[:length], body[length + 2 :]
        if not length:
            break
    return content


async def connect(port: int) -> Connection:
    """Open a connection to a port of the loopback."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
    return connection


@asynccontextmanager
async def connections(port: int, count: int) -> AsyncIterator[list[Connection]]:
    """Open connections and close them when the block ends."""
    opened = [await connect(port) for _ in range(count)]
    try:
        yield opened
    finally:
        for each in opened:
            each.close()


@dataclass
class Heard:
    """What many requests came to: `statuses` (0: no answer), `took_s` of each, the last answer."""

    statuses: Counter[int] = field(default_factory=Counter)
    took_s: list[float] = field(default_factory=list)
    last: Answer | None = None

    def add(self, answer: Answer) -> None:
        """Count one more answer."""
        self.statuses[answer.status] += 1
        self.took_s.append(answer.took_s)
        self.last = answer

    @property
    def failed(self) -> int:
        """How many were not answered with 200."""
        return self.statuses.total() - self.statuses[200]

    def all_answered(self) -> Answer:
        """Return the last answer. Raises RuntimeError unless every request was answered 200."""
        if self.failed or self.last is None:
            said = self.last.body[:500] if self.last else b""
            raise RuntimeError(f"statuses {dict(self.statuses)}; the last answer: {said!r}")
        return self.last


async def ask_all(opened: Sequence[Connection], requests: Iterator[bytes], times: int) -> Heard:
    """Send `times` requests between the connections, each one after the other."""
    heard = Heard()
    left = itertools.islice(requests, times)

    async def one(connection: Connection) -> None:
        for request in left:
            heard.add(await connection.exchange(request))

    await asyncio.wait_for(asyncio.gather(*map(one, opened)), _PATIENCE_S)
    return heard


def ask(port: int, requests: Sequence[bytes], times: int, *, at_once: int = 8) -> Heard:
    """Send `times` requests in turn over `at_once` connections; return what they came to."""

    async def asking() -> Heard:
        async with connections(port, at_once) as opened:
            return await ask_all(opened, itertools.cycle(requests), times)

    return asyncio.run(asking())


@dataclass
class Pace:
    """Sends a request each `1 / per_s` seconds, whether or not the ones before were answered.

    Times count from when a request was due, so that what a slow answer holds up counts too.
    `most`: how many may be on their way; more are `left_out`, and counted.
    """

    port: int
    per_s: float
    most: int = 512
    heard: Heard = field(default_factory=Heard)
    left_out: int = 0
    _opened: list[Connection] = field(default_factory=list)
    _idle: list[Connection] = field(default_factory=list)
    _busy: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, requests: Iterator[bytes], seconds: float) -> Heard:
        """Send for so many seconds; return what was answered until then."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(int(self.per_s * seconds)):
            due = began + number / self.per_s
            if (early := due - loop.time()) > 0:
                await asyncio.sleep(early)
            if len(self._busy) >= self.most:
                self.left_out += 1
                continue
            task = asyncio.ensure_future(self._one(next(requests), due))
            self._busy.add(task)
            task.add_done_callback(self._busy.discard)
        await self._end()
        return self.heard

    async def _one(self, request: bytes, due: float) -> None:
        connection = self._idle.pop() if self._idle else await self._open()
        answer = await connection.exchange(request)
        took_s = asyncio.get_running_loop().time() - due
        self.heard.add(Answer(answer.status, answer.body, answer.first_s, took_s))
        if connection.is_open:
            self._idle.append(connection)

    async def _open(self) -> Connection:
        connection = await connect(self.port)
        self._opened.append(connection)
        return connection

    async def _end(self) -> None:
        """Give what is on its way a moment; what hangs by intent is given up."""
        if self._busy:
            await asyncio.wait(self._busy, timeout=1.0)
        for task in tuple(self._busy):
            task.cancel()
        await asyncio.gather(*self._busy, return_exceptions=True)
        for connection in self._opened:
            connection.close()
