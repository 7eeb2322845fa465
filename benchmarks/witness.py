"""A caller that sends requests as fast as they are answered and writes down every answer's id.

Used by `metering_loss` and by the journey that holds its outcome. It speaks HTTP over plain
sockets, as its own cost would else be most of what is measured.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

_PATIENCE_S = 60.0
_AWAY_S = 0.01
_PIECE = 65536


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer: its `x-plinth-id`, and when the request went and the answer came (epoch)."""

    id: str
    status: int
    sent_at: float
    came_at: float


@dataclass(frozen=True, slots=True)
class Broken:
    """One request that was sent and never answered: the connection ended.

    `connected_at`: when its connection was asked for (epoch).
    """

    connected_at: float
    sent_at: float
    ended_at: float


@dataclass(frozen=True, slots=True)
class Asking:
    """Whom to ask, and what: the requests in turn, over and over, as whole HTTP/1.1 messages."""

    port: int
    requests: Sequence[bytes]


@dataclass
class Witness:
    """One caller with one connection at a time. A connection that ends is opened again.

    `away_s`: for how long nobody listened. Such a try is no request: nothing was sent.
    """

    asking: Asking
    answered: list[Answered] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    away_s: float = 0.0
    _connection: socket.socket | None = None
    _connected_at: float = 0.0
    _rest: bytes = b""

    @property
    def sent(self) -> int:
        """How many requests were sent."""
        return len(self.answered) + len(self.broken)

    def ask(self, times: int) -> None:
        """Send `times` requests, one after the other. Raises TimeoutError if nobody listens."""
        for number in range(times):
            request = self.asking.requests[number % len(self.asking.requests)]
            connection = self._connect()
            sent_at = time.time()
            try:
                connection.sendall(request)
                status, request_id = self._read(connection)
            except OSError:
                self.broken.append(Broken(self._connected_at, sent_at, time.time()))
                self.close()
            else:
                self.answered.append(Answered(request_id, status, sent_at, time.time()))
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection, self._rest = None, b""

    def _connect(self) -> socket.socket:
        began = time.monotonic()
        while self._connection is None:
            self._connected_at = time.time()
            try:
                self._connection = socket.create_connection(
                    ("127.0.0.1", self.asking.port), timeout=_PATIENCE_S
                )
            except ConnectionRefusedError:
                if time.monotonic() > began + _PATIENCE_S:
                    raise TimeoutError(f"nobody listens on port {self.asking.port}") from None
                time.sleep(_AWAY_S)
            else:
                self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.away_s += time.monotonic() - began
        return self._connection

    def _read(self, connection: socket.socket) -> tuple[int, str]:
        """Return the status and the id of one whole answer. Raises ConnectionError."""
        head, _, self._rest = self._until(connection, b"\r\n\r\n").partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in map(_parted, lines[1:])}
        length = int(headers["content-length"])
        while len(self._rest) < length:
            self._rest += _piece(connection)
        self._rest = self._rest[length:]
        if headers.get("connection") == "close":
            self.close()
        return int(lines[0].split()[1]), headers["x-plinth-id"]

    def _until(self, connection: socket.socket, end: bytes) -> bytes:
        while end not in self._rest:
            self._rest += _piece(connection)
        return self._rest


def _parted(line: str) -> tuple[str, str, str]:
    return line.partition(":")


def _piece(connection: socket.socket) -> bytes:
    piece = connection.recv(_PIECE)
    if not piece:
        raise ConnectionResetError("the connection ended before its answer")
    return piece


def message(method: str, path: str, key: str, body: object | None = None) -> bytes:
    """Return a whole request; `body` is sent as JSON."""
    content = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1",
        "host: 127.0.0.1",
        f"authorization: Bearer {key}",
        "content-type: application/json",
        f"content-length: {len(content)}",
    )
    return "\r\n".join(head).encode() + b"\r\n\r\n" + content


@contextmanager
def asking(witnesses: Sequence[Witness], requests: int) -> Iterator[None]:
    """Have the witnesses send `requests` between them; return from the block when all have.

    Raises what one of them raised.
    """
    errors: list[BaseException] = []

    def ask(witness: Witness, times: int) -> None:
        try:
            witness.ask(times)
        except (OSError, ValueError, KeyError) as err:
            errors.append(err)

    each, more = divmod(requests, len(witnesses))
    threads = [
        threading.Thread(target=ask, args=(witness, each + (number < more)))
        for number, witness in enumerate(witnesses)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
