"""Start marimo: it asks for no token, since the gateway knows who comes.

marimo listens on ports only, and its kernels call back over TCP. Both are replaced here, by the
socket that this process was given and by Unix sockets; the version is pinned for that.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from multiprocessing import connection
from typing import Any

import marimo._server.lsp
import marimo._server.start
import uvicorn
from marimo._cli.cli import main as marimo_main
from marimo._session.model import ConnectionState

from .options import leave_path, parse
from .usage import Usage
from .visits import LEAVE_PATH, Visits

ACTIVITY_PATH = "/plinth/activity"
# Nothing listens there.
_NO_PORT = 2718
_RUNNING = ("running", "queued")
_Send = Callable[[dict[str, Any]], Awaitable[None]]


class Told:
    """The application, with two more addresses: what goes on in it, and who has to leave."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._usage = Usage()
        self._visits = Visits()
        self._began_at = time.time()
        self._first_cell_at: float | None = None

    async def __call__(self, scope: Any, receive: Any, send: _Send) -> None:
        """Answer the control plane; pass everything else on."""
        if scope["type"] == "websocket":
            await self._visits.serve(self._app, scope, receive, send)
        elif scope["type"] == "http" and scope["path"] == ACTIVITY_PATH:
            await _answer(send, 200, json.dumps(self._describe()).encode())
        elif scope["type"] == "http" and scope["path"] == LEAVE_PATH:
            await self._leave(receive, send)
        else:
            await self._app(scope, receive, send)

    async def _leave(self, receive: Any, send: _Send) -> None:
        """Close the WebSockets of those whose right has ended."""
        body, goes_on = b"", True
        while goes_on:
            message = await receive()
            body += message.get("body", b"")
            goes_on = message.get("more_body", False)
        try:
            self._visits.obey(body)
        except ValueError:
            await _answer(send, 400, b"{}")
        else:
            await _answer(send, 200, b"{}")

    def _describe(self) -> dict[str, Any]:
        sessions = list(self._app.state.session_manager.sessions.values())
        kernels = [self._kernel(each) for each in sessions]
        is_open = [each.connection_state() is ConnectionState.OPEN for each in sessions]
        return {
            "kernels": kernels,
            "terminals": [],
            "connections": sum(is_open),
            "active_at": max((each["active_at"] for each in kernels), default=self._began_at),
            **self._usage.measure(),
            "first_cell_at": self._first_cell_at,
            "visitors": self._visits.keys,
        }

    def _kernel(self, session: Any) -> dict[str, Any]:
        cells = list(session.session_view.cell_notifications.values())
        done = [each.timestamp for each in cells if each.status == "idle"]
        if done and self._first_cell_at is None:
            self._first_cell_at = min(done)
        name = session.app_file_manager.path or "notebook"
        return {
            "name": str(name).rpartition("/")[2],
            "state": "busy" if any(each.status in _RUNNING for each in cells) else "idle",
            "active_at": max((each.timestamp for each in cells), default=self._began_at),
        }


async def _answer(send: _Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until told to stop."""
    options = parse("marimo_host", arguments)
    leave_path()
    _listen_on(options.fd)
    if options.transport == "ipc":
        _call_back_over_unix()
    _find_no_ports()
    # Kernels are processes that would import this very file first.
    sys.modules["__main__"].__spec__ = None
    del sys.modules["__main__"].__file__
    shown = ("--host", "127.0.0.1", "--port", str(_NO_PORT), str(options.root / "personal"))
    quiet = ("--headless", "--no-token", "--skip-update-check")
    marimo_main(["--log-level", "warn", "edit", *quiet, *shown])


def _listen_on(descriptor: int) -> None:
    first = uvicorn.Config.__init__

    def given(self: uvicorn.Config, app: Any, **settings: Any) -> None:
        settings.pop("port", None)
        settings.pop("host", None)
        first(self, Told(app), fd=descriptor, **settings)

    uvicorn.Config.__init__ = given  # type: ignore[method-assign,assignment]


def _call_back_over_unix() -> None:
    first = connection.Listener

    def listener(*given: Any, **settings: Any) -> Any:
        return first(*given, **{**settings, "family": "AF_UNIX"})

    connection.Listener = listener  # type: ignore[misc,assignment]


def _find_no_ports() -> None:
    def same(port: int, *_given: Any, **_settings: Any) -> int:
        return port

    marimo._server.start.find_free_port = same
    marimo._server.lsp.find_free_port = same


if __name__ == "__main__":
    main()
