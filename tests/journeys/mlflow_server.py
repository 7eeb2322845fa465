"""A real MLflow server on a Unix socket, started as a unit's supervisor would start it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from plinth.domain.access import workspace_of
from plinth.kit.errors import Temporary
from plinth.kit.home import DEFAULT_PORT, Home
from plinth.tracking.mlflow import Tracking
from plinth.tracking.server import command, mlflow_packages

READY_WITHIN_S = 120.0


def mlflow_python() -> Path:
    """Return the interpreter of an environment with MLflow; make it once for each user.

    uv links the packages from its cache, so a second environment costs seconds.
    """
    return environment("mlflow", mlflow_packages())


def environment(name: str, packages: tuple[str, ...]) -> Path:
    """Return the interpreter of an environment with `packages`, made on first use."""
    folder = Path(os.environ["PLINTH_TEST_CACHE"]) / "plain-environments" / name
    python = folder / "bin" / "python"
    mark = folder / "complete"
    wanted = "\n".join((sys.version, *packages))
    if mark.is_file() and mark.read_text() == wanted:
        return python
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    uv = str(Path(sys.executable).parent / "uv")
    _run(uv, "venv", "--quiet", "--python", sys.executable, str(folder))
    _run(uv, "pip", "install", "--quiet", "--python", str(python), *packages)
    mark.write_text(wanted)
    return python


def _run(*arguments: str) -> None:
    subprocess.run(arguments, check=True, timeout=600)


@contextmanager
def running_mlflow(home: Home) -> Iterator[subprocess.Popen[bytes]]:
    """Run MLflow on `home.socket("mlflow")` until the block ends; yield once it answers."""
    python = mlflow_python()
    process = start(home, python)
    try:
        wait_ready(home, process)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)


def start(home: Home, python: Path) -> subprocess.Popen[bytes]:
    """Start MLflow with a listening Unix socket as its file descriptor 3."""
    arguments, variables = command(home, python, DEFAULT_PORT)
    path = home.socket("mlflow")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with listener, (home.tracking / "log").open("ab") as log:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(128)
        # The shell moves the socket to number 3: subprocess can only keep numbers as they are.
        number = listener.fileno()
        script = 'exec 3<&"$0"; exec "$@"' if number != 3 else 'exec "$@"'
        return subprocess.Popen(
            ("/bin/bash", "-c", script, str(number), *arguments),
            pass_fds=(number,),
            env=variables,
            cwd=home.tracking,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def wait_ready(home: Home, process: subprocess.Popen[bytes]) -> None:
    """Wait until MLflow answers; fail with its log when it ended or took too long."""
    tracking = Tracking(home.socket("mlflow"))
    deadline = time.monotonic() + READY_WITHIN_S
    try:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                tracking.ready()
            except Temporary:
                time.sleep(0.1)
            else:
                return
    finally:
        tracking.close()
    raise AssertionError(f"MLflow did not start: {(home.tracking / 'log').read_text()[-4000:]}")


def as_team(home: Home, team: str) -> httpx.Client:
    """Return a client that MLflow takes for `team`'s, as the gateway would present it."""
    return httpx.Client(
        transport=httpx.HTTPTransport(uds=str(home.socket("mlflow"))),
        base_url="http://localhost",
        headers={"X-MLFLOW-WORKSPACE": workspace_of(team)},
        timeout=30.0,
    )


@contextmanager
def gateway_for(home: Home, team: str) -> Iterator[str]:
    """Run an Envoy that presents every caller to MLflow as `team`; yield its address.

    The real gateway takes the team from the key; here there are no keys.
    """
    folder = home.gateway
    ready = folder / "admin-address"
    (folder / "team.json").write_text(json.dumps(_envoy_configuration(home, team)))
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            (
                str(Path(sys.executable).parent / "envoy"),
                "--config-path",
                str(folder / "team.json"),
                "--admin-address-path",
                str(ready),
                "--use-dynamic-base-id",
                "--log-level",
                "warning",
            ),
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{_listening_port(ready, process)}"
    finally:
        process.terminate()
        process.wait(20)


def _listening_port(ready: Path, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        address = ready.read_text() if ready.exists() else ""
        if address:
            listeners = httpx.get(f"http://{address}/listeners?format=json").json()
            statuses = listeners.get("listener_statuses", [])
            if statuses:
                return int(statuses[0]["local_address"]["socket_address"]["port_value"])
        time.sleep(0.05)
    raise AssertionError("Envoy did not start")


def _envoy_configuration(home: Home, team: str) -> dict[str, Any]:
    types = "type.googleapis.com/envoy.extensions.filters"
    anywhere = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    route = {
        "match": {"prefix": "/"},
        "route": {"cluster": "mlflow", "timeout": "0s"},
        "request_headers_to_add": [
            {
                "header": {"key": "x-mlflow-workspace", "value": workspace_of(team)},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
        "request_headers_to_remove": ["authorization"],
    }
    manager = {
        "@type": f"{types}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "team",
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{types}.http.router.v3.Router"}}
        ],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    }
    socket_path = {"pipe": {"path": str(home.socket("mlflow"))}}
    cluster = {
        "name": "mlflow",
        "load_assignment": {
            "cluster_name": "mlflow",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket_path}}]}],
        },
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    return {
        "admin": {"address": anywhere},
        "static_resources": {
            "listeners": [{"name": "l", "address": anywhere, "filter_chains": [chain]}],
            "clusters": [cluster],
        },
    }
