"""Small servers on Unix sockets behind a real Envoy, for the gateway's journey."""

from __future__ import annotations

import http.client
import http.server
import json
import os
import shutil
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from plinth.access import keyring, tokens
from plinth.access.keyring import Keyring
from plinth.access.tokens import Claims
from plinth.domain.traffic import Deployment, Upstream
from plinth.gateway import envoy, snapshot, xds
from plinth.gateway.access_log import AccessRecord, parse
from plinth.gateway.bootstrap import bootstrap
from plinth.gateway.snapshot import GatewayState
from plinth.kit.files import write_json

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
        self.send_header("set-cookie", f"from={self.server.name}; Path=/")
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET  # noqa: N815 - http.server looks for these names

    def log_message(self, *_: Any) -> None:
        """Say nothing: the test's own output is enough."""


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(str(path), _Echo)
        self.name, self.path = name, path
        self.callers: list[socket.socket] = []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def get_request(self) -> tuple[Any, Any]:
        caller, address = super().get_request()
        self.callers.append(caller)
        return caller, address

    def end(self) -> None:
        self.shutdown()
        self.server_close()
        self.path.unlink()

    def die(self) -> None:
        """End as a killed process does: its connections end with it."""
        self.end()
        for caller in self.callers:
            with suppress(OSError):
                caller.shutdown(socket.SHUT_RDWR)


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
    workers: int = 1
    servers: dict[str, Server] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.root / "envoy.log").open("ab") as log:
            # It ends with the thread that starts it: pytest's main thread, which outlives the test.
            self.process = subprocess.Popen(
                envoy.command(self.root / "boot.json", workers=self.workers),
                env=envoy.variables(os.environ),
                stdout=log,
                stderr=log,
            )
        assert eventually(self.listens), (self.root / "envoy.log").read_text()

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.state.port)) == 0

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
        self,
        principal: str = "p_ann",
        team: str = "ops",
        key_id: str = "k_1",
        *,
        lives_s: int = 600,
        is_run: bool = False,
        page: str | None = None,
    ) -> str:
        end = datetime.now(UTC) + timedelta(seconds=lives_s)
        return tokens.mint(self.ring, Claims(principal, team, key_id, end, is_run, page))

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


@contextmanager
def running_gateway(port: int, *, workers: int = 1) -> Iterator[Gateway]:
    """Run Envoy with servers in the place of the control plane and MLflow until the block ends."""
    root = Path(tempfile.mkdtemp(prefix="pl-"))
    (root / "run").mkdir(mode=0o700)
    ring = keyring.ensure(root / "secrets", datetime.now(UTC))
    state = GatewayState(
        port=port,
        sockets=str(root / "run"),
        folder=str(root / "gateway"),
        access_log=str(root / "access.log"),
        jwks=ring.public_jwks(),
        platform=PLATFORM,
    )
    running = Gateway(root, ring, state, workers)
    (root / "gateway").mkdir()
    xds.write(snapshot.render(state), root / "gateway")
    boot = bootstrap(node="test", admin_socket=running.admin, folder=root / "gateway")
    write_json(root / "boot.json", boot)
    try:
        running.start()
        for name in ("control", "mlflow"):
            running.serve(name)
        yield running
    finally:
        if running.process is not None:
            running.process.terminate()
            running.process.wait(10)
        for server in running.servers.values():
            server.end()
        shutil.rmtree(root)


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


def eventually(claim: Callable[[], bool], deadline_s: float = 30.0) -> bool:
    end = time.monotonic() + deadline_s
    while not claim():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
