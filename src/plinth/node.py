"""Start and stop this machine's node: the agent, and through it Envoy and the control plane.

`plinth up` and `plinth down` execute it: `python -m plinth.node up --home DIR --port N`.
It answers with one JSON object on standard output; errors have their one shape.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from plinth.access.keyring import ensure
from plinth.control.context import PLATFORM_PRINCIPAL
from plinth.gateway import envoy
from plinth.gateway.bootstrap import bootstrap
from plinth.gateway.credentials import forget
from plinth.gateway.envoy_types import file_name
from plinth.gateway.native import library
from plinth.gateway.snapshot import GatewayState, render
from plinth.gateway.xds import write
from plinth.kit.clock import SystemClock
from plinth.kit.errors import Conflict, Invalid, Permanent, PlinthError, Temporary
from plinth.kit.files import locked, read_json, write_json
from plinth.kit.home import DEFAULT_PORT, Home, find_home
from plinth.kit.settings import load_settings
from plinth.kit.units import format_bytes
from plinth.store.session import Database
from plinth.units.client import AgentClient
from plinth.units.spec import UnitSpec
from plinth.upkeep.running import living
from plinth.upkeep.version import check_startable

_AGENT_START_S = 10.0
_SHUTDOWN_S = 120.0
_POLL_S = 0.05
# A database, a configuration and logs; an environment needs far more, and says so itself.
_LEAST_ROOM_BYTES = 32 * 1024 * 1024
_ADMIN_SOCKET = "envoy-admin"
_MOST_CONTROL_PLANES = 4
# What the node's own processes may see of the shell that called. It is written to disk with them,
# so nothing is passed that may be a secret. Package indexes' settings are for environments.
_PASSED = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR", "NETRC"}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
    | {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
)
_PASSED_PREFIXES = ("UV_", "PIP_")


def up(home: Home, port: int | None) -> dict[str, Any]:
    """Start what is not running; return the node's address and whether it ran already.

    Safe to repeat: units that run are adopted, never started twice. Raises Invalid for a home
    that cannot be used, Conflict for a port that is taken or not the one in use, and for a home
    that a newer Plinth wrote.
    """
    home.prepare()
    _check_room(home)
    check_startable(home)
    # Its filter is built before anything runs: where that cannot be, nothing is half started.
    library(say=_say)
    controls = control_planes(home)
    node = read_json(home.node_file) or {}
    agent = AgentClient(home.socket("agent"))
    ran = _answers(agent)
    if not ran:
        _start_agent(home, agent)
    running = {unit.id for unit in agent.observe() if unit.phase == "running"}
    if "envoy" in running:
        if port not in (None, node.get("port")):
            raise Conflict(
                f"Plinth in `{home.root}` runs on port {node['port']}, not on {port}",
                hint="`plinth down` first, then `plinth up --port` with the new one",
            )
        port = int(node["port"])
    else:
        port = port or int(node.get("port", DEFAULT_PORT))
        try:
            _check_port(port)
        except Conflict:
            if not ran and not running:
                agent.shutdown()
            raise
    already = ran and {"envoy", *controls} <= running
    address = f"http://127.0.0.1:{port}"
    decided = {"port": port, "address": address, "control_planes": len(controls)}
    write_json(home.node_file, decided)
    if "envoy" not in running:
        _configure(home, port, controls)
    for spec in (*(_control(home, name) for name in controls), _envoy(home)):
        agent.start(spec)
    for unit in running & set(Home.control_planes(_MOST_CONTROL_PLANES)) - set(controls):
        agent.stop(unit)
    return {"address": address, "home": str(home.root), "already": already}


def down(home: Home) -> dict[str, Any]:
    """Stop every unit and the agent; return when they are gone. Not running is success."""
    agent = AgentClient(home.socket("agent"))
    if not _answers(agent):
        if not any(home.units.glob("*/identity.json")):
            return {"stopped": 0}
        # The agent was killed and its units live: only an agent can end them.
        _start_agent(home, agent)
    count = sum(unit.phase in ("starting", "running") for unit in agent.observe())
    agent.shutdown()
    ends_at = time.monotonic() + _SHUTDOWN_S
    while _answers(agent) or not _is_free(home.root / "agent.lock"):
        if time.monotonic() > ends_at:
            raise Temporary(
                f"some units have not ended after {_SHUTDOWN_S:.0f} s",
                hint="`plinth status` shows which; run `plinth down` again",
            )
        time.sleep(_POLL_S)
    forget(home.gateway)
    return {"stopped": count}


def status(home: Home) -> dict[str, Any]:
    """Return what the agent knows, for when the control plane does not answer."""
    agent = AgentClient(home.socket("agent"))
    node = read_json(home.node_file)
    if not _answers(agent):
        started = node is not None
        return {"node": None, "units": [], "started": started, "living": living(home)}
    units = [asdict(unit) for unit in agent.observe(memory=True)]
    return {"node": asdict(agent.ping()), "units": units, "started": True, **(node or {})}


def _answers(agent: AgentClient) -> bool:
    try:
        agent.ping()
    except Temporary:
        return False
    return True


def _is_free(lock: Path) -> bool:
    # The agent stops answering a moment before it ends; its lock goes with the process.
    with locked(lock, wait=False) as free:
        return free


def _start_agent(home: Home, agent: AgentClient) -> None:
    with (home.root / "agent.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "plinth.units.agent", "--home", str(home.root)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home.root,
            env=passed_variables(os.environ),
            # It must not end with the terminal that started it.
            start_new_session=True,
        )
    ends_at = time.monotonic() + _AGENT_START_S
    while not _answers(agent):
        if process.poll() is not None or time.monotonic() > ends_at:
            raise Permanent(
                "the node agent did not start",
                hint=f"`{home.root / 'agent.log'}` says why",
                code="agent_failed",
            )
        time.sleep(_POLL_S)


def _check_room(home: Home) -> None:
    free = shutil.disk_usage(home.root).free
    if free < _LEAST_ROOM_BYTES:
        raise Temporary(
            f"{format_bytes(free)} are free on the disk of `{home.root}`; Plinth needs "
            f"{format_bytes(_LEAST_ROOM_BYTES)} to start",
            hint="free some space, or choose another folder: `plinth up --home DIR`",
            code="disk_full",
        )


def _check_port(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Envoy takes the port in the same way; a closed connection's rest does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as err:
            raise Conflict(
                f"port {port} cannot be used: {err.strerror}",
                hint="choose another: `plinth up --port N`",
                code="port_taken",
            ) from err


def _configure(home: Home, port: int, controls: tuple[str, ...]) -> None:
    """Give Envoy a configuration to start with; what it routed before stays until the next one.

    The listener is always written anew: some of it cannot change while Envoy runs.
    """
    keyring = ensure(home.secrets, SystemClock().now())
    first = bootstrap(node="plinth", admin_socket=home.socket(_ADMIN_SOCKET), folder=home.gateway)
    write_json(home.gateway / "bootstrap.json", first)
    state = GatewayState(
        port=port,
        sockets=str(home.sockets),
        folder=str(home.gateway),
        access_log=str(home.gateway / "access.log"),
        jwks=keyring.public_jwks(),
        platform=PLATFORM_PRINCIPAL,
        control_planes=controls,
    )
    # Nobody has acknowledged what is written now.
    home.gateway_record.unlink(missing_ok=True)
    is_first = not (home.gateway / "rds" / file_name("rds")).exists()
    write(render(state), home.gateway, kinds=None if is_first else {"lds", "ecds"})


def control_planes(home: Home) -> tuple[str, ...]:
    """Return the units of the control planes that the settings ask for.

    Raises Invalid for settings that cannot be, Temporary when the database does not answer.
    """
    settings = load_settings(home.root)
    database = Database.of(home, settings)
    if database.is_shared:
        database.check()
        database.close()
    elif settings.control_planes > 1:
        raise Invalid(
            f"`control_planes` is {settings.control_planes}; with SQLite only 1 is possible: one "
            "that stands still as it writes would hold up the others",
            hint="set `database` to a PostgreSQL database: docs/howto/postgresql.md",
        )
    return Home.control_planes(settings.control_planes)


def _control(home: Home, name: str) -> UnitSpec:
    server = ("plinth.server", "--home", str(home.root), "--name", name)
    return UnitSpec(
        id=name,
        argv=(sys.executable, "-m", "plinth.kit.launch", *server),
        env=passed_variables(os.environ),
        cwd=str(home.root),
        socket=str(home.socket(name)),
        restart="always",
    )


def _envoy(home: Home) -> UnitSpec:
    return UnitSpec(
        id="envoy",
        argv=envoy.command(home.gateway / "bootstrap.json"),
        env=passed_variables(os.environ),
        cwd=str(home.root),
        restart="always",
        signs=(str(home.gateway / "access.log"),),
    )


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")


def passed_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Return what the agent, Envoy and the control plane get of the calling shell's variables."""
    return {
        name: value
        for name, value in variables.items()
        if name in _PASSED or name.startswith(_PASSED_PREFIXES)
    } | {"PYTHONUNBUFFERED": "1"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked; print JSON. Returns 0, or 1 with the error on standard output."""
    parser = argparse.ArgumentParser(prog="python -m plinth.node")
    parser.add_argument("action", choices=["up", "down", "status"])
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int)
    asked = parser.parse_args(arguments)
    home = find_home({}, asked.home)
    os.umask(0o077)
    try:
        actions = {"down": lambda: down(home), "status": lambda: status(home)}
        answer = actions.get(asked.action, lambda: up(home, asked.port))()
    except PlinthError as err:
        sys.stdout.write(json.dumps({**err.to_json(), "status": err.status}) + "\n")
        return 1
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
