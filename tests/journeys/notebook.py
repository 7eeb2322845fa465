"""A notebook's page without a browser: its requests, its WebSocket, a kernel that runs cells."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

OURS = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}
_TEXT, _CLOSE = 1, 8


class Refused(Exception):
    """The upgrade was answered with another status; `status` says which."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the upgrade was answered with {status}")
        self.status = status


class WebSocket:
    """One WebSocket over TCP; raises Refused when the server answers something else."""

    def __init__(
        self, port: int, path: str, headers: Mapping[str, str], *, timeout_s: float = 60
    ) -> None:
        self._stream = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        key = base64.b64encode(os.urandom(16)).decode()
        asked = {
            **headers,
            "connection": "Upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": key,
        }
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in asked.items())]
        self._stream.sendall("\r\n".join([*lines, "", ""]).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            piece = self._stream.recv(1)
            if not piece:
                break
            head += piece
        status = int(head.split()[1]) if head else 0
        if status != 101:
            self.close()
            raise Refused(status)

    def close(self) -> None:
        self._stream.close()

    def send(self, text: str) -> None:
        content, mask = text.encode(), os.urandom(4)
        length = len(content)
        if length < 126:
            head = struct.pack(">BB", 0x80 | _TEXT, 0x80 | length)
        elif length < 2**16:
            head = struct.pack(">BBH", 0x80 | _TEXT, 0x80 | 126, length)
        else:
            head = struct.pack(">BBQ", 0x80 | _TEXT, 0x80 | 127, length)
        masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(content))
        self._stream.sendall(head + mask + masked)

    def receive(self) -> str:
        """Return the next text; what is no text is passed over."""
        while True:
            first, second = self._read(2)
            length = second & 0x7F
            if length == 126:
                (length,) = struct.unpack(">H", self._read(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", self._read(8))
            content = self._read(length)
            if first & 0xF == _CLOSE:
                raise EOFError("the server closed the WebSocket")
            if first & 0xF == _TEXT:
                return content.decode()

    def _read(self, count: int) -> bytes:
        content = b""
        while len(content) < count:
            piece = self._stream.recv(count - len(content))
            if not piece:
                raise EOFError("the connection ended")
            content += piece
        return content


@dataclass
class Cell:
    """What a cell printed and returned; `error`: the name of what it raised."""

    text: str = ""
    error: str | None = None
    traceback: str = ""


@dataclass
class Notebook:
    """Somebody who works at a workspace's page, with `headers` that say who (and from where)."""

    port: int
    host: str
    headers: Mapping[str, str]
    kernel: str | None = None
    _socket: WebSocket | None = field(default=None, repr=False)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"host": self.host, **OURS, **self.headers, **more.pop("headers", {})}
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60) as client:
            return client.request(method, path, headers=headers, **more)

    def connect(self, path: str, **headers: str) -> WebSocket:
        said = {"host": self.host, "origin": f"http://{self.host}", **self.headers, **headers}
        return WebSocket(self.port, path, {k: v for k, v in said.items() if v})

    def start_kernel(self) -> None:
        answer = self.ask("POST", "/api/kernels", json={})
        assert answer.status_code == 201, answer.text
        self.kernel = answer.json()["id"]
        self._socket = self.connect(f"/api/kernels/{self.kernel}/channels")

    def begin(self, code: str) -> str:
        """Send a cell and return at once."""
        if self._socket is None:
            self.start_kernel()
        assert self._socket is not None
        message = uuid.uuid4().hex
        header = {
            "msg_id": message,
            "msg_type": "execute_request",
            "username": "ann",
            "session": "s",
            "version": "5.3",
            "date": "2026-01-01T00:00:00Z",
        }
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        self._socket.send(
            json.dumps(
                {
                    "header": header,
                    "parent_header": {},
                    "metadata": {},
                    "content": content,
                    "channel": "shell",
                    "buffers": [],
                }
            )
        )
        return message

    def run(self, code: str) -> Cell:
        """Run a cell to its end."""
        message, cell = self.begin(code), Cell()
        assert self._socket is not None
        while True:
            said = json.loads(self._socket.receive())
            if said["parent_header"].get("msg_id") != message:
                continue
            kind, content = said["msg_type"], said["content"]
            if kind == "stream":
                cell.text += content["text"]
            elif kind == "execute_result":
                cell.text += content["data"]["text/plain"]
            elif kind == "error":
                cell.error = content["ename"]
                cell.traceback = "\n".join(content["traceback"])
            elif kind == "status" and content["execution_state"] == "idle":
                return cell

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
