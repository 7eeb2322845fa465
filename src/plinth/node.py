"""Start this machine's node: the agent, and through it Envoy and the control plane.

`plinth up` executes it: `python -m plinth.node up --home DIR --port N`.
It answers with one JSON object on standard output; errors have their one shape.
`plinth.upkeep.shutdown` stops the node, and imports far less.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plinth.access.keyring import ensure
from plinth.domain.access import PLATFORM_PRINCIPAL
from plinth.gateway import envoy
from plinth.gateway.bootstrap import bootstrap
from plinth.gateway.envoy_types import file_name
from plinth.gateway.native import library
from plinth.gateway.snapshot import GatewayState, render
from plinth.gateway.xds import write
from plinth.kit.clock import SystemClock
from plinth.kit.errors import Conflict, Invalid, Temporary
from plinth.kit.files import read_json, write_json
from plinth.kit.home import DEFAULT_PORT, Home, find_home
from plinth.kit.settings import load_settings
from plinth.kit.units import format_bytes
from plinth.store.session import Database
from plinth.units.client import AgentClient
from plinth.units.spec import UnitSpec
from plinth.upkeep.shutdown import answer, is_answering, passed_variables, start_agent
from plinth.upkeep.version import check_startable

# A database, a configuration and logs; an environment needs far more, and says so itself.
_LEAST_ROOM_BYTES = 32 * 1024 * 1024
_ADMIN_SOCKET = "envoy-admin"
_MOST_CONTROL_PLANES = 4


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
    ran = is_answering(agent)
    if not ran:
        start_agent(home, agent)
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
        argv=(sys.executable, "-P", "-m", "plinth.kit.launch", *server),
        env=passed_variables(os.environ),
        cwd=str(home.root),
        socket=str(home.socket(name)),
        restart="always",
    )


def _envoy(home: Home) -> UnitSpec:
    return UnitSpec(
        id="envoy",
        argv=envoy.command(home.gateway / "bootstrap.json"),
        env=envoy.variables(passed_variables(os.environ)),
        cwd=str(home.root),
        restart="always",
        signs=(str(home.gateway / "access.log"),),
    )


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Start the node; print JSON. Returns 0, or 1 with the error on standard output."""
    parser = argparse.ArgumentParser(prog="python -m plinth.node")
    parser.add_argument("action", choices=["up"])
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--port", type=int)
    asked = parser.parse_args(arguments)
    return answer(lambda: up(find_home({}, asked.home), asked.port))


if __name__ == "__main__":
    sys.exit(main())
