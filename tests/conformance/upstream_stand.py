"""What the tests of the upstream side need beside `stand.py`: servers that stop, clusters, valves.

Servers here may be stopped and started again, speak TLS, and answer in pieces. Listeners and
clusters are written so that several of them, internal ones too, stand in one Envoy.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plinth.gateway.envoy import command
from tests.conformance.stand import ROUTER, Json, typed

MANAGER = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
FILE_LOG = "extensions.access_loggers.file.v3.FileAccessLog"
OPTIONS = "extensions.upstreams.http.v3.HttpProtocolOptions"
CODEC = typed(
    "envoy.filters.http.upstream_codec",
    "extensions.filters.http.upstream_codec.v3.UpstreamCodec",
)
INTERNAL = {
    "bootstrap_extensions": [
        typed(
            "envoy.bootstrap.internal_listener",
            "extensions.bootstrap.internal_listener.v3.InternalListener",
        )
    ]
}
# Envoy's own limits are far too low: three retries at once, and 1,024 requests.
UNLIMITED = {
    "circuit_breakers": {
        "thresholds": [
            {
                "max_connections": 100_000,
                "max_pending_requests": 100_000,
                "max_requests": 100_000,
                "max_retries": 100_000,
            }
        ]
    }
}
# The words of a retry that goes to the next member at once.
SPILL = {
    "retry_on": "retriable-status-codes,connect-failure,refused-stream,reset",
    "retriable_status_codes": [429, 503],
    "num_retries": 1,
    "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.002s"},
}
LOG = {
    "id": "%REQ(X-REQUEST-ID)%",
    "route": "%ROUTE_NAME%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "host": "%UPSTREAM_HOST%",
    "by": "%UPSTREAM_METADATA(plinth:deployment)%",
    "code": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
}


@dataclass
class Request:
    """What a server received, with the stream to answer on."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    writer: asyncio.StreamWriter

    async def reply(
        self,
        status: int = 200,
        body: bytes = b"{}",
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer at once, with the body's length."""
        kind = {"content-type": "application/json", "content-length": len(body)}
        await self.begin(status, {**kind, **(headers or {})})
        self.writer.write(body)
        await self.writer.drain()

    async def begin(self, status: int, headers: Mapping[str, Any]) -> None:
        """Send the head of an answer."""
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items())]
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        await self.writer.drain()

    async def stream(self, pieces: int, gap_s: float = 0.0) -> None:
        """Answer with this many events."""
        head = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
        await self.begin(200, head)
        for number in range(pieces):
            await self.chunk(b"data: %d\n\n" % number)
            if gap_s:
                await asyncio.sleep(gap_s)
        await self.chunk(b"")

    async def chunk(self, data: bytes) -> None:
        """Send one piece of a chunked answer; an empty one ends it."""
        self.writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await self.writer.drain()


Behaviour = Callable[[Request], Awaitable[None]]


async def echo(request: Request) -> None:
    """Answer with what was asked, as JSON."""
    asked = {"method": request.method, "path": request.path, "headers": request.headers}
    await request.reply(body=json.dumps({**asked, "body": request.body.decode("latin-1")}).encode())


def says(name: str, status: int = 200, **headers: str) -> Behaviour:
    """Answer with this status; the header `x-name` says which server it was."""

    async def behave(request: Request) -> None:
        found = {key.replace("_", "-"): value for key, value in headers.items()}
        await request.reply(status, headers={"x-name": name, **found})

    return behave


async def hang(_request: Request) -> None:
    """Never answer."""
    await asyncio.sleep(3600)


@dataclass
class Server:
    """A server on a loopback port or a Unix socket; `behaviour` may be replaced at any time."""

    behaviour: Behaviour = echo
    path: Path | None = None
    tls: ssl.SSLContext | None = None
    port: int = 0
    seen: list[Request] = field(default_factory=list)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _server: asyncio.Server | None = None
    _tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    @property
    def address(self) -> Json:
        """Return the address as Envoy writes it."""
        if self.path is not None:
            return {"pipe": {"path": str(self.path)}}
        return {"socket_address": {"address": "127.0.0.1", "port_value": self.port}}

    def start(self) -> None:
        """Listen; a port once taken is taken again."""
        asyncio.run_coroutine_threadsafe(self._listen(), self.loop).result(10)

    def stop(self) -> None:
        """End as a killed process does: its connections end with it."""
        asyncio.run_coroutine_threadsafe(self._close(), self.loop).result(10)

    async def _listen(self) -> None:
        if self.path is not None:
            self._server = await asyncio.start_unix_server(self._accept, self.path, ssl=self.tls)
            return
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", self.port, ssl=self.tls, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        open_ones = dict(self._tasks)
        for task in open_ones:
            task.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)
        # One that was just accepted has not begun, and closes nothing itself.
        for writer in open_ones.values():
            writer.transport.abort()
        self._tasks.clear()
        await asyncio.sleep(0.01)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks[self.loop.create_task(self._serve(reader, writer))] = writer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read(reader, writer)) is not None:
                self.seen.append(request)
                await self.behaviour(request)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.split("\r\n")[:-2]
    method, path, _ = first.split(" ", 2)
    pairs = (line.split(":", 1) for line in lines)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    body = b""
    if "chunked" in headers.get("transfer-encoding", ""):
        while length := int(await reader.readline(), 16):
            body += (await reader.readexactly(length + 2))[:-2]
        await reader.readline()
    elif length := int(headers.get("content-length", 0)):
        body = await reader.readexactly(length)
    return Request(method, path, headers, body, writer)


@contextmanager
def serving(
    behaviour: Behaviour = echo, *, path: Path | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[Server]:
    """Run a server in a thread of its own until the block ends."""
    running = Server(behaviour, path, tls)
    thread = threading.Thread(target=running.loop.run_forever, daemon=True)
    thread.start()
    try:
        running.start()
        yield running
    finally:
        running.stop()
        running.loop.call_soon_threadsafe(running.loop.stop)
        thread.join(10)
        running.loop.close()


def chain(
    name: str,
    routes: list[Json],
    *,
    filters: tuple[Json, ...] = (),
    fields: Mapping[str, Any] | None = None,
    **manager: Any,
) -> Json:
    """Return the filter chain of a listener, which logs to `NAME.log`."""
    log = {"json_format": {**LOG, **(fields or {})}}
    settings = {
        "stat_prefix": name,
        "route_config": {
            "name": name,
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}],
        },
        "http_filters": [*filters, ROUTER],
        "access_log": [typed("log", FILE_LOG, path=f"{name}.log", log_format=log)],
        **manager,
    }
    return {"name": name, "filter_chains": [{"filters": [typed(name, MANAGER, **settings)]}]}


def outer(routes: list[Json], **more: Any) -> Json:
    """Return the listener that callers reach: `main`, logged to `main.log`."""
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    return {**chain("main", routes, **more), "address": address}


def inner(name: str, routes: list[Json], **more: Any) -> Json:
    """Return a listener that only this Envoy itself reaches."""
    return {**chain(name, routes, **more), "internal_listener": {}}


def way(cluster_name: str, prefix: str = "/", **action: Any) -> Json:
    """Return a route without a time limit; `action` adds to what it does."""
    return {
        "name": prefix,
        "match": {"prefix": prefix},
        "route": {"cluster": cluster_name, "timeout": "0s", **action},
    }


def cluster(name: str, *addresses: Json, options: Json | None = None, **more: Any) -> Json:
    """Return a cluster of these addresses; `options`: what HTTP is spoken with them."""
    mark = {"metadata": {"filter_metadata": {"plinth": {"deployment": name}}}}
    hosts = [{"endpoint": {"address": address}, **mark} for address in addresses]
    own = {"typed_extension_protocol_options": {f"envoy.{OPTIONS}": options}} if options else {}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": hosts}]},
        **UNLIMITED,
        **own,
        **more,
    }


def to_inner(name: str, listener_name: str, **more: Any) -> Json:
    """Return the cluster of an internal listener."""
    return cluster(
        name, {"envoy_internal_address": {"server_listener_name": listener_name}}, **more
    )


def composite(name: str, *members: str, **more: Any) -> Json:
    """Return a cluster that takes its members in order, one for each attempt."""
    return {
        "name": name,
        "connect_timeout": "1s",
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": typed(
            "envoy.clusters.composite",
            "extensions.clusters.composite.v3.ClusterConfig",
            clusters=[{"name": member} for member in members],
        ),
        **UNLIMITED,
        **more,
    }


def http1(*filters: Json, **more: Any) -> Json:
    """Return the options of HTTP/1.1 with these upstream filters."""
    return {
        "@type": f"type.googleapis.com/envoy.{OPTIONS}",
        "explicit_http_config": {"http_protocol_options": {}},
        **({"http_filters": [*filters, CODEC]} if filters else {}),
        **more,
    }


def refusal(listeners: list[Json], clusters: list[Json], **more: Any) -> str | None:
    """Return what Envoy says against a configuration without serving it; None: nothing."""
    boot = {"static_resources": {"listeners": listeners, "clusters": clusters}, **more}
    with tempfile.TemporaryDirectory(prefix="pl-") as folder:
        path = Path(folder) / "boot.json"
        path.write_text(json.dumps(boot))
        answer = subprocess.run(
            (*command(path, workers=1), "--mode", "validate"),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    return answer.stderr if answer.returncode else None


def records(root: Path, name: str = "main") -> list[Json]:
    """Return the whole lines of an access log so far."""
    path = root / f"{name}.log"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]
