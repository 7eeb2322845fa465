"""The ASGI app around a flow: it says when the flow is loaded, and traces each request."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any, TypeAlias

from .leaving import has_left, keep_serving, said_of
from .recording import Recording
from .traces import Traces

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

log = logging.getLogger("flowhost")

_TRACED = ("POST", "PUT", "PATCH")
_LIFESPAN_S = 60.0


class Host:
    """See the module. Two addresses are its own: whether it is ready, and that it has no example.

    The platform asks there what it asks of every model server.
    """

    def __init__(self, name: str, traces: Traces) -> None:
        self._ready = f"/v2/models/{name}/ready"
        self._example = f"/v2/models/{name}/example"
        self._place = f"/flows/{name}"
        self._traces = traces
        self._app: App | None = None
        self._lifespan: Lifespan | None = None

    async def serve(self, app: App) -> None:
        """Begin to answer with `app`, when it has started up."""
        keep_serving()
        lifespan = Lifespan(app)
        await lifespan.start()
        self._lifespan, self._app = lifespan, app

    async def end(self) -> None:
        """Let the app end what it began."""
        if self._lifespan is not None:
            await self._lifespan.end()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        app = self._app
        if scope["type"] != "http":
            return
        if app is None:
            headers = [(b"x-plinth-not-loaded", b"1")]
            await answer(send, 503, {"error": "the flow is loading"}, headers)
        elif scope["path"] == self._ready:
            await answer(send, 200, {"ready": True})
        elif scope["path"] == self._example:
            await answer(send, 404, {"error": "a flow has no input example"})
        elif scope["method"] in _TRACED:
            recording = Recording(scope, receive, send)
            with self._traces.request(recording):
                await self._answer(app, scope, recording.receive, recording.send)
            scope["plinth.tokens"] = recording.tokens
        else:
            await self._answer(app, scope, receive, send)

    async def _answer(self, app: App, scope: Message, receive: Receive, send: Send) -> None:
        """Let the app answer; where its code wants the process to end, only the request fails."""
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await app(self._placed(scope), receive, sent)
        except BaseException as err:
            if not has_left(err):
                raise
            log.error("a request failed", exc_info=err)
            if begun:
                # The server breaks the answer off, which its caller sees.
                raise RuntimeError(said_of(err)) from err
            await answer(send, 500, {"error": {"message": said_of(err)}})

    def _placed(self, scope: Message) -> Message:
        """Return the request as ASGI tells it to an app that is mounted below the gateway's root.

        An app makes the addresses of its own pages and redirects from that.
        """
        root = self._place
        raw = scope.get("raw_path") or scope["path"].encode()
        return {
            **scope,
            "root_path": root,
            "path": f"{root}{scope['path']}",
            "raw_path": root.encode() + raw,
        }


class Lifespan:
    """Start-up and shut-down of an ASGI app, as the protocol says; an app may know neither."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._received: asyncio.Queue[Message] = asyncio.Queue()
        self._sent: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when the app has started up. Raises RuntimeError when it says that it cannot."""
        scope: Message = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}
        # Typed as the protocol has it; what an app does with it is its own affair.
        scope["state"] = {}
        run = self._app(scope, self._received.get, self._sent.put)
        self._task = asyncio.ensure_future(run)
        await self._tell("startup")

    async def end(self) -> None:
        """Return when the app has shut down, or after a minute."""
        if self._task is not None and not self._task.done():
            with suppress(RuntimeError, TimeoutError):
                await self._tell("shutdown")

    async def _tell(self, what: str) -> None:
        assert self._task is not None
        await self._received.put({"type": f"lifespan.{what}"})
        told = asyncio.ensure_future(self._sent.get())
        await asyncio.wait(
            {told, self._task}, timeout=_LIFESPAN_S, return_when=asyncio.FIRST_COMPLETED
        )
        if not told.done():
            told.cancel()
            if not self._task.done():
                raise TimeoutError(f"its {what} was not complete after {_LIFESPAN_S:g} s")
            # It ended by itself, or raised: it knows nothing of this protocol.
            error = self._task.exception()
            if error is not None and has_left(error):
                raise RuntimeError(f"its {what} failed: {said_of(error)}") from error
            return
        message = told.result()
        if message["type"] == f"lifespan.{what}.failed":
            raise RuntimeError(f"its {what} failed: {message.get('message') or 'no reason given'}")


async def answer(
    send: Send, status: int, body: Any, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    """Send a whole answer in JSON."""
    content = json.dumps(body, default=str).encode()
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    await send(
        {"type": "http.response.start", "status": status, "headers": [*head, *(headers or [])]}
    )
    await send({"type": "http.response.body", "body": content})
