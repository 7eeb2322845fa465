"""Note what a request held and what was answered, while both pass by; at most so much of each."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Message: TypeAlias = MutableMapping[str, Any]

MOST_BYTES = 256 * 1024
_TEXTS = (b"application/json", b"text/")
_REQUEST_ID = b"x-request-id"


class Recording:
    """Stand between the server and the app, and change nothing."""

    def __init__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        self.method = str(scope["method"])
        self.path = str(scope["path"])
        self.request_id = dict(scope["headers"]).get(_REQUEST_ID, b"").decode("latin-1")
        self.status: int | None = None
        # What the models used that it asked, as soon as that is known.
        self.tokens: tuple[int, int] | None = None
        self._receive = receive
        self._send = send
        self._asked = bytearray()
        self._answered = bytearray()
        self._is_text = False

    async def receive(self) -> Message:
        """Pass on what comes."""
        message = await self._receive()
        _add(self._asked, message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        """Pass on what is answered."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            kind = dict(message.get("headers", ())).get(b"content-type", b"")
            self._is_text = bytes(kind).lower().startswith(_TEXTS)
        elif self._is_text:
            _add(self._answered, message.get("body", b""))
        await self._send(message)

    @property
    def asked(self) -> Any:
        """What the request held, read as JSON where it is."""
        return _read(self._asked)

    @property
    def answered(self) -> Any:
        """What was answered, read as JSON where it is; of a stream the text of its events."""
        return _read(self._answered)


def _add(kept: bytearray, piece: bytes) -> None:
    kept += piece[: MOST_BYTES - len(kept)]


def _read(kept: bytearray) -> Any:
    text = kept.decode(errors="replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
