"""A real Envoy with a static configuration, and a server behind it that does as it is told.

Every test of this suite pins one behaviour of Envoy that Plinth relies on. Nothing of Plinth's
own configuration is used here but the program itself: what fails here fails by an upgrade.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from plinth.gateway import envoy

Json: TypeAlias = dict[str, Any]
_PREFIX = "type.googleapis.com/envoy."
_START_S = 30.0


def typed(name: str, type_name: str, /, **fields: Any) -> Json:
    """Return an extension with a configuration of the type `envoy.<type_name>`."""
    return {"name": name, "typed_config": config(type_name, **fields)}


def config(type_name: str, /, **fields: Any) -> Json:
    """Return a configuration of the type `envoy.<type_name>`."""
    return {"@type": _PREFIX + type_name, **fields}


ROUTER = typed("envoy.filters.http.router", "extensions.filters.http.router.v3.Router")


@dataclass(frozen=True)
class Seen:
    """One request as the server behind Envoy read it, byte for byte."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the header's value, or None."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def json(self) -> Any:
        """Return the body, parsed."""
        return json.loads(self.body)


Answering: TypeAlias = Callable[[Seen, asyncio.StreamWriter], Awaitable[None]]


def answering(
    body: bytes | Json,
    status: int = 200,
    *,
    content_type: str = "application/json",
    headers: Sequence[tuple[str, str]] = (),
) -> Answering:
    """Answer everything with this body."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def answer(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        lines = [
            f"HTTP/1.1 {status} X",
            f"content-type: {content_type}",
            f"content-length: {len(content)}",
            *(f"{name}: {value}" for name, value in headers),
        ]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        await writer.drain()

    return answer


def streaming(
    pieces: Sequence[bytes],
    *,
    gap_s: float = 0.0,
    is_cut: bool = False,
    content_type: str = "text/event-stream",
) -> Answering:
    """Answer with these chunks; `is_cut`: the connection ends before the last one does."""

    async def answer(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked"
        writer.write(head.encode() + b"\r\n\r\n")
        for piece in pieces:
            writer.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
            await writer.drain()
            if gap_s:
                await asyncio.sleep(gap_s)
        if is_cut:
            writer.close()
            return
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    return answer


class Upstream:
    """An HTTP/1.1 server on loopback in a thread of its own; `answer` may change at any time."""

    def __init__(self, answer: Answering | None = None) -> None:
        self.answer = answer or answering({"ok": True})
        self.seen: list[Seen] = []
        self._loop = asyncio.new_event_loop()
        self._tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._accept, "127.0.0.1", 0)
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """End the server and what it is doing."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        open_ones = dict(self._tasks)
        for task in open_ones:
            task.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)
        # What nobody reads any more would never be sent, and one just accepted never began.
        for writer in open_ones.values():
            writer.transport.abort()
        await asyncio.sleep(0.01)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks[self._loop.create_task(self._serve(reader, writer))] = writer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (seen := await _read(reader)) is not None:
                self.seen.append(seen)
                await self.answer(seen, writer)
                if writer.is_closing():
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # Envoy went away, which many tests want.
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Seen | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, path, _ = first.split(" ", 2)
    pairs = tuple((k.lower(), v.strip()) for k, _, v in (each.partition(":") for each in lines))
    named = dict(pairs)
    body = b""
    if "chunked" in named.get("transfer-encoding", ""):
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
    else:
        body = await reader.readexactly(int(named.get("content-length", 0)))
    return Seen(method, path, pairs, body)


@dataclass(frozen=True)
class Answer:
    """What the caller of Envoy got."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Return the body, parsed."""
        return json.loads(self.body)


@dataclass
class Envoy:
    """A running Envoy; `ports`: by the listener's name."""

    root: Path
    process: subprocess.Popen[bytes]
    ports: dict[str, int] = field(default_factory=dict)

    def ask(
        self,
        path: str,
        body: bytes | Json | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        method: str | None = None,
        listener: str = "main",
    ) -> Answer:
        """Send one request on a connection of its own; a JSON body unless the headers differ."""
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        sent = {"content-type": "application/json"} if content is not None else {}
        sent |= headers or {}
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[listener], timeout=20)
        try:
            method = method or ("GET" if content is None else "POST")
            connection.request(method, path, content, sent)
            found = connection.getresponse()
            named = {name.lower(): value for name, value in found.getheaders()}
            return Answer(found.status, named, found.read())
        finally:
            connection.close()

    def connect(self, listener: str = "main") -> socket.socket:
        """Open a connection on which the test writes what it likes."""
        return socket.create_connection(("127.0.0.1", self.ports[listener]), timeout=20)

    def send(self, raw: bytes, *, listener: str = "main", patience_s: float = 1.0) -> bytes:
        """Send these very bytes; return all that came back until silence or the end."""
        found = b""
        with self.connect(listener) as connection:
            connection.settimeout(patience_s)
            connection.sendall(raw)
            with suppress(TimeoutError, ConnectionError):
                while piece := connection.recv(65536):
                    found += piece
        return found

    def log(self, count: int = 1) -> list[Json]:
        """Return the lines of the access log, once there are `count` of them."""
        path = self.root / "access.log"
        lines: list[bytes] = []

        def are_written() -> bool:
            lines[:] = path.read_bytes().splitlines() if path.exists() else []
            return len(lines) >= count

        assert eventually(are_written), f"{len(lines)} lines, not {count}"
        return [json.loads(line) for line in lines]

    def admin(self, path: str, method: str = "GET") -> bytes:
        """Ask Envoy's administration."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.root / "admin.sock"))
            connection.settimeout(10)
            head = f"{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
            connection.sendall(head.encode())
            answer = http.client.HTTPResponse(connection, method=method)
            answer.begin()
            return answer.read()

    def stats(self, pattern: str = "") -> dict[str, int]:
        """Return the counters and gauges whose name matches `pattern`."""
        answer = json.loads(self.admin(f"/stats?format=json&filter={pattern}"))["stats"]
        return {each["name"]: each["value"] for each in answer if "value" in each}

    @property
    def rss_bytes(self) -> int:
        """Return how much memory Envoy has."""
        words = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(words[1]) * 4096

    @property
    def cpu_s(self) -> float:
        """Return how many seconds of the processor Envoy has used."""
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / 100


def cluster(name: str, port: int, **more: Any) -> Json:
    """Return a cluster of one server on loopback."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
        **more,
    }


def listener(
    filters: Sequence[Json],
    route_config: Json,
    *,
    name: str = "main",
    log_fields: Json | None = None,
    buffer_bytes: int = 1 << 20,
    **manager: Any,
) -> Json:
    """Return a listener on a free port; `log_fields` are logged to the one `access.log`."""
    settings: Json = {
        "stat_prefix": name,
        "http_filters": [*filters, ROUTER],
        "route_config": {"name": name, **route_config},
        **manager,
    }
    if log_fields is not None:
        settings["access_log"] = [
            typed(
                "log",
                "extensions.access_loggers.file.v3.FileAccessLog",
                path="access.log",
                log_format={"json_format": log_fields},
            )
        ]
    kind = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    return {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "per_connection_buffer_limit_bytes": buffer_bytes,
        "filter_chains": [{"filters": [typed("manager", kind, **settings)]}],
    }


def routes(*found: Json, **more: Any) -> Json:
    """Return a route configuration of one host with these routes."""
    return {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": list(found), **more}]}


def to(cluster_name: str, match: Json | None = None, **more: Any) -> Json:
    """Return a route to a cluster, by default for every path."""
    route = {"cluster": cluster_name, "timeout": "0s", **more.pop("route", {})}
    return {"match": match or {"prefix": "/"}, "route": route, **more}


@contextmanager
def running_envoy(
    listeners: Sequence[Json], clusters: Sequence[Json], *, workers: int = 1, **more: Any
) -> Iterator[Envoy]:
    """Run Envoy until the block ends. Fails with Envoy's own words when it does not start."""
    root = Path(tempfile.mkdtemp(prefix="pl-"))
    boot: Json = {
        "node": {"id": "conformance", "cluster": "conformance"},
        "admin": {"address": {"pipe": {"path": str(root / "admin.sock"), "mode": 0o600}}},
        "static_resources": {"listeners": list(listeners), "clusters": list(clusters)},
        **more,
    }
    (root / "boot.json").write_text(json.dumps(boot))
    with (root / "envoy.log").open("ab") as log:
        process = subprocess.Popen(
            envoy.command(root / "boot.json", workers=workers),
            cwd=root,
            env=envoy.variables(os.environ),
            stdout=log,
            stderr=log,
        )
    running = Envoy(root, process)
    try:
        assert eventually(lambda: _is_up(running), _START_S), (root / "envoy.log").read_text()
        yield running
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(root)


def _is_up(running: Envoy) -> bool:
    assert running.process.poll() is None, (running.root / "envoy.log").read_text()
    try:
        if running.admin("/ready") != b"LIVE\n":
            return False
        found = json.loads(running.admin("/listeners?format=json"))["listener_statuses"]
    except (OSError, http.client.HTTPException):
        return False
    running.ports = {
        each["name"]: each["local_address"]["socket_address"]["port_value"]
        for each in found
        if "socket_address" in each["local_address"]
    }
    return True


def eventually(claim: Callable[[], bool], deadline_s: float = 30.0) -> bool:
    """Tell whether the claim becomes true in time."""
    end = time.monotonic() + deadline_s
    while not claim():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
