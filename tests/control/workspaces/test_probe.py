"""What a workspace says of itself is read with care: its owner's code runs in it."""

from __future__ import annotations

import http.server
import json
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from plinth.control.workspaces.probe import Reach, Silent, ask, send_away
from tests.control.plane import Plane

GOOD = {
    "kernels": [{"name": "a.ipynb", "state": "busy", "active_at": 1795400000.5, "connections": 1}],
    "terminals": [{"active_at": 1795400001}],
    "connections": 1,
    "active_at": 1795400002,
    "cpu": 0.25,
    "memory_bytes": 100,
    "first_cell_at": None,
    "more": "than is known",
}


@contextmanager
def saying(body: bytes, status: int = 200, told: list[Any] | None = None) -> Iterator[Path]:
    """Give the socket of a server that always answers this, and keeps in `told` what it got."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["content-length"]))
            if told is not None:
                told.append((self.path, json.loads(sent)))
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def address_string(self) -> str:
            return "here"

    path = Path(tempfile.mkdtemp(prefix="pl-")) / "s.sock"
    with socketserver.UnixStreamServer(str(path), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield path
        server.shutdown()


def test_who_has_to_leave_is_told() -> None:
    told: list[Any] = []
    with saying(b"{}", told=told) as socket:
        send_away(socket, ["k_1", "k_2"])
    assert told == [("/plinth/leave", {"keys": ["k_1", "k_2"]})]
    with saying(b"{}", status=500) as socket, pytest.raises(Silent):
        send_away(socket, ["k_1"])


def test_what_goes_on_is_read() -> None:
    with saying(json.dumps(GOOD).encode()) as socket:
        seen = ask(socket)
    assert seen.busy == ("a.ipynb",)
    assert (seen.connections, seen.cpu, seen.memory_bytes) == (1, 0.25, 100)
    assert seen.active_at.timestamp() == 1795400002
    assert seen.kernels[0].active_at.timestamp() == 1795400000.5


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        json.dumps({**GOOD, "active_at": True}).encode(),
        json.dumps({**GOOD, "active_at": 1e300}).encode(),
        json.dumps({**GOOD, "connections": -1}).encode(),
        json.dumps({**GOOD, "cpu": float("nan")}).encode(),
        json.dumps({**GOOD, "memory_bytes": 2**70}).encode(),
        json.dumps({**GOOD, "kernels": GOOD["kernels"] * 2000}).encode(),  # type: ignore[operator]
        b"[" * 900_000,
        b" " * 2_000_000,
    ],
)
def test_what_cannot_be_read_is_silence(wrong: bytes) -> None:
    with saying(wrong) as socket, pytest.raises(Silent):
        ask(socket)


def test_an_error_and_nobody_are_silence() -> None:
    with saying(b"{}", 500) as socket, pytest.raises(Silent, match="500"):
        ask(socket)
    with pytest.raises(Silent, match="does not answer"):
        ask(Path("/nowhere/s.sock"))


def test_a_long_name_is_cut() -> None:
    kernel = {"name": "x" * 5000, "state": "idle", "active_at": 1795400000}
    with saying(json.dumps({**GOOD, "kernels": [kernel]}).encode()) as socket:
        assert len(ask(socket).kernels[0].name) <= 81


def test_a_page_behind_no_gateway_is_not_reached(plane: Plane) -> None:
    assert not Reach(plane.context, lambda: "plk_x").is_reached("lab")
