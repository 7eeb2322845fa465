"""Who has a WebSocket open, by the key that the gateway let them in with, and how to end it.

The gateway asks for the key when a connection is opened, and not again. So the control plane looks
who is there (`keys`), and has those leave whose right has ended (`send_away`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

LEAVE_PATH = "/plinth/leave"
# The gateway writes it, and takes off what a caller wrote there.
KEY_HEADER = "x-plinth-key"
# A rule was broken, says the standard (RFC 6455, 7.4.1): the right to be there has ended.
CLOSED = 1008
_GONE: dict[str, Any] = {"type": "websocket.disconnect", "code": CLOSED}
_Message = dict[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]


class Visits:
    """The WebSockets that are open, each with what closes it."""

    def __init__(self) -> None:
        self._open: dict[object, tuple[str, Callable[[], None]]] = {}

    @property
    def keys(self) -> list[str]:
        """The ids of the keys by which somebody is there."""
        return sorted({key for key, _ in self._open.values()})

    @contextmanager
    def stays(self, key: str | None, close: Callable[[], None]) -> Iterator[None]:
        """Count somebody in while the block runs; `close` ends the connection at once.

        Without a key they came from inside, past the gateway, and nobody can send them away.
        """
        mark = object()
        if key:
            self._open[mark] = (key, close)
        try:
            yield
        finally:
            self._open.pop(mark, None)

    def send_away(self, keys: Iterable[str]) -> None:
        """Close every WebSocket that was opened by one of these keys."""
        gone = set(keys)
        for mark, (key, close) in list(self._open.items()):
            if key in gone:
                del self._open[mark]
                close()

    def obey(self, body: bytes) -> None:
        """Do what the control plane says: `{"keys": [...]}`. Raises ValueError."""
        said = json.loads(body)
        if not isinstance(said, dict) or not isinstance(said.get("keys"), list):
            raise ValueError("no list of keys")
        self.send_away(map(str, said["keys"]))

    async def serve(
        self, app: Callable[..., Awaitable[None]], scope: Any, receive: _Receive, send: _Send
    ) -> None:
        """Let an ASGI application serve one WebSocket, until it ends or has to leave."""
        left = asyncio.Event()
        closing: list[asyncio.Task[None]] = []

        async def hear() -> _Message:
            if left.is_set():
                return _GONE
            message = asyncio.ensure_future(receive())
            leaving = asyncio.ensure_future(left.wait())
            try:
                await asyncio.wait((message, leaving), return_when=asyncio.FIRST_COMPLETED)
                return _GONE if left.is_set() else message.result()
            finally:
                message.cancel()
                leaving.cancel()

        async def say(message: _Message) -> None:
            if not left.is_set():
                await send(message)

        async def end() -> None:
            await send({"type": "websocket.close", "code": CLOSED})

        def close() -> None:
            left.set()
            closing.append(asyncio.ensure_future(end()))

        with self.stays(_key_of(scope), close):
            await app(scope, hear, say)
        await asyncio.gather(*closing, return_exceptions=True)


def _key_of(scope: Any) -> str | None:
    found: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return next((value.decode() for name, value in found if name == KEY_HEADER.encode()), None)
