"""The gateways that benchmarks compare, and what stands behind them, each started and ended here.

A `Stand` has a folder of its own and ends every process that it started. Ours is the real chain:
its files are those that the product writes, and Envoy reads them as it does there.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import mock_model
from benchmarks.machine import cpu_s, free_port
from benchmarks.mock_model import Behaviour
from plinth.access import keyring, tokens
from plinth.access.keyring import Keyring
from plinth.access.tokens import Claims
from plinth.domain.traffic import EndpointRoute, Upstream
from plinth.gateway import envoy, snapshot, xds
from plinth.gateway.bootstrap import bootstrap
from plinth.gateway.envoy_types import Json, header, typed
from plinth.gateway.memory import Memory
from plinth.gateway.snapshot import GatewayState
from plinth.kit.files import write_json

_MANAGER = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = typed("envoy.filters.http.router", "extensions.filters.http.router.v3.Router")
_PATIENCE_S = 60.0
_TEAM = "ops"


@dataclass(frozen=True)
class Chain:
    """One gateway that runs: who answers at `port`, and which processes that takes."""

    name: str
    port: int
    pids: tuple[int, ...]

    def cpu_s(self) -> float:
        """Return the seconds of CPU that it has used."""
        return cpu_s(*self.pids)

    def memory_bytes(self) -> int:
        """Return what it has in memory, resident."""
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids)
        return pages * os.sysconf("SC_PAGE_SIZE")


@dataclass
class Stand:
    """A folder and the processes in it. Everything is started with its own output in a file."""

    folder: Path
    ring: Keyring
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a process that writes to `<name>.log`."""
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        self._processes.append(process)
        return process

    def end(self) -> None:
        """End every process, the last one first, and remove the folder."""
        for process in reversed(self._processes):
            process.terminate()
            process.wait()
        shutil.rmtree(self.folder)

    def socket(self, name: str) -> Path:
        """Return the path of a model server's socket."""
        return self.folder / "run" / f"{name}.sock"

    def upstream(self, name: str) -> Upstream:
        """Return the model server's socket as the gateway is told of it."""
        return Upstream(socket=str(self.socket(name)))

    def serve(self, models: Mapping[str, Behaviour], *, port: int | None = None) -> int:
        """Start one process that answers at all these sockets; return its id."""
        places = [f"{self.socket(name)}={behaviour}" for name, behaviour in models.items()]
        at = [] if port is None else ["--port", str(port)]
        name = f"mock-{len(self._processes)}"
        command = [sys.executable, mock_model.__file__, *at, *places]
        process = self.start(name, command)
        log = self.folder / f"{name}.log"
        wait_for(lambda: log.read_text().startswith("ready"), process, log)
        return process.pid

    def answer(self, model: str, *, port: int) -> None:
        """Start an Envoy that answers by itself at a socket and a port, quicker than any server."""
        write_json(self.folder / "answering.json", answering(self.socket(model), port))
        command = envoy.command(self.folder / "answering.json", workers=1)
        self._listens(port, "answering", self.start("answering", command))

    def bare(self, model: str) -> Chain:
        """Start an Envoy that only forwards to one model server, otherwise as Envoy comes."""
        port = free_port()
        write_json(self.folder / "bare.json", forwarding(port, self.socket(model)))
        process = self.start("bare", envoy.command(self.folder / "bare.json", workers=1))
        self._listens(port, "bare", process)
        return Chain("bare", port, (process.pid,))

    def state(self, endpoints: Sequence[EndpointRoute], *, revoked: int = 0) -> GatewayState:
        """Return what a gateway of this stand is told; `revoked`: how many keys are refused."""
        return GatewayState(
            port=free_port(),
            sockets=str(self.folder / "run"),
            folder="",
            access_log="",
            jwks=self.ring.public_jwks(),
            platform="p_platform00",
            endpoints=tuple(endpoints),
            revoked=tuple(f"k_{number:08}" for number in range(revoked)),
            is_guarded=True,
        )

    def gateway(self, name: str, state: GatewayState) -> Gateway:
        """Start our chain with this state, in a folder of its own."""
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        state = replace(state, folder=str(folder), access_log=str(folder / "access.log"))
        memory = Memory()
        xds.write(snapshot.render(state, memory), folder)
        admin = folder / "admin.sock"
        boot = bootstrap(node="bench", admin_socket=admin, folder=folder)
        write_json(folder / "bootstrap.json", boot)
        command = envoy.command(folder / "bootstrap.json", workers=1)
        process = self.start(name, command, envoy.variables(os.environ))
        self._listens(state.port, name, process)
        return Gateway(Chain(name, state.port, (process.pid,)), state, folder, admin, memory)

    def key(self, principal: str, key_id: str, *, team: str = _TEAM) -> str:
        """Sign a key that lives for hours."""
        end = datetime.now(UTC) + timedelta(hours=6)
        return tokens.mint(self.ring, Claims(principal, team, key_id, end))

    def _listens(self, port: int, name: str, process: subprocess.Popen[bytes]) -> None:
        wait_for(lambda: is_open(port), process, self.folder / f"{name}.log")


@dataclass
class Gateway:
    """Our chain, and how it is told of something new."""

    chain: Chain
    state: GatewayState
    folder: Path
    admin: Path
    memory: Memory

    def apply(self, state: GatewayState) -> None:
        """Have it use another state; return when it does."""
        self.state = replace(
            state, port=self.state.port, folder=self.state.folder, access_log=self.state.access_log
        )
        xds.apply(snapshot.render(self.state, self.memory), self.folder, self.admin)


@contextmanager
def standing() -> Iterator[Stand]:
    """Have a stand until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="pl-"))
    (folder / "run").mkdir(mode=0o700)
    stand = Stand(folder, keyring.ensure(folder / "secrets", datetime.now(UTC)))
    try:
        yield stand
    finally:
        stand.end()


def forwarding(port: int, upstream: Path) -> Json:
    """Return an Envoy that only forwards, with everything else as Envoy has it."""
    address = {"endpoint": {"address": {"pipe": {"path": str(upstream)}}}}
    cluster = {
        "name": "upstream",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "upstream",
            "endpoints": [{"lb_endpoints": [address]}],
        },
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}
    listener = _listener(_loopback(port), route)
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def answering(path: Path, port: int) -> Json:
    """Return an Envoy that answers as the mock model does, whatever is asked of it."""
    routes = [
        _answer("/v2", mock_model.answer(mock_model.Asked("/v2/models/any/infer", {}), "envoy")),
        _answer("/", mock_model.answer(mock_model.Asked("/v1/chat/completions", {}), "envoy")),
    ]
    places: list[Json] = [{"pipe": {"path": str(path)}}, _loopback(port)]
    whole = typed("buffer", "extensions.filters.http.buffer.v3.Buffer", max_request_bytes=1 << 20)
    listeners = [
        {**_listener(place, *routes, filters=(whole,)), "name": f"answering-{number}"}
        for number, place in enumerate(places)
    ]
    return {"static_resources": {"listeners": listeners}}


def _answer(prefix: str, body: Json) -> Json:
    return {
        "match": {"prefix": prefix},
        "direct_response": {"status": 200, "body": {"inline_string": json.dumps(body)}},
        "response_headers_to_add": [header("content-type", "application/json")],
    }


def _loopback(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _listener(address: Json, *routes: Json, filters: Sequence[Json] = ()) -> Json:
    host = {"name": "all", "domains": ["*"], "routes": list(routes)}
    manager: dict[str, Any] = {
        "stat_prefix": "bench",
        "http_filters": [*filters, _ROUTER],
        "route_config": {"virtual_hosts": [host]},
    }
    chain = {"filters": [typed("http", _MANAGER, **manager)]}
    return {"name": "bench", "address": address, "filter_chains": [chain]}


def wait_for(claim: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the claim is true. Raises RuntimeError with the log's end when it is not to be."""
    end = time.monotonic() + _PATIENCE_S
    while not claim():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"`{log.stem}` does not answer: {log.read_text()[-2000:]}")
        time.sleep(0.02)


def is_open(port: int) -> bool:
    """Say whether somebody listens at the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
