"""Small servers on Unix sockets behind a real Envoy, for the gateway's journey."""

from __future__ import annotations

import http.client
import http.server
import json
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from plinth.access import tokens
from plinth.access.keyring import Keyring
from plinth.access.tokens import Claims
from plinth.domain.traffic import Deployment, Upstream
from plinth.gateway import snapshot, xds
from plinth.gateway.access_log import AccessRecord, parse
from plinth.gateway.snapshot import GatewayState

PLATFORM = "p_platform"
INFER = "/v2/models/delay/infer"


class _Echo(http.server.BaseHTTPRequestHandler):
    """Say which server this is and what it was asked."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        received = len(self.rfile.read(length))
        if "slow" in self.path:
            time.sleep(0.6)
        asked = {"path": self.path, "headers": dict(self.headers), "received": received}
        body = json.dumps({"server": self.server.name, **asked}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_GET  # noqa: N815 - http.server looks for these names

    def log_message(self, *_: Any) -> None:
        """Say nothing: the test's own output is enough."""


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(str(path), _Echo)
        self.name, self.path = name, path
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def end(self) -> None:
        self.shutdown()
        self.server_close()
        self.path.unlink()


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Gateway:
    """A running Envoy, what it was told, and the servers behind it."""

    root: Path
    ring: Keyring
    state: GatewayState
    servers: dict[str, Server] = field(default_factory=dict)

    def apply(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)
        xds.apply(snapshot.render(self.state), self.root / "gateway", self.admin)

    @property
    def admin(self) -> Path:
        return self.root / "run" / "envoy.sock"

    def serve(self, name: str) -> Deployment:
        path = self.root / "run" / f"{name}.sock"
        self.servers[name] = Server(name, path)
        return Deployment(id=name, upstreams=(Upstream(socket=str(path)),))

    def key(
        self, principal: str = "p_ann", team: str = "ops", key_id: str = "k_1", lives_s: int = 600
    ) -> str:
        end = datetime.now(UTC) + timedelta(seconds=lives_s)
        return tokens.mint(self.ring, Claims(principal, team, key_id, end))

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.state.port, timeout=20)

    def ask(self, path: str, key: str | None = None, **more: Any) -> Answer:
        connection = self.connect()
        try:
            return ask(connection, path, key, **more)
        finally:
            connection.close()

    def records(self) -> list[AccessRecord]:
        path = Path(self.state.access_log)
        return parse(path.read_bytes())[0] if path.exists() else []


def ask(
    connection: http.client.HTTPConnection,
    path: str,
    key: str | None = None,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> Answer:
    """Send exactly this path and these headers; nothing is tidied on the way."""
    connection.putrequest(method, path, skip_accept_encoding=True)
    if key is not None:
        connection.putheader("authorization", f"Bearer {key}")
    for name, value in (headers or {}).items():
        connection.putheader(name, value)
    connection.putheader("content-length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    found = {name.lower(): value for name, value in answer.getheaders()}
    return Answer(answer.status, found, answer.read())


def eventually(claim: Callable[[], bool], deadline_s: float = 10.0) -> bool:
    end = time.monotonic() + deadline_s
    while not claim():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
