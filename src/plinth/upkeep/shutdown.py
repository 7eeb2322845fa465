"""Stop this machine's node, and tell what of it lives when its control plane does not answer.

`plinth down` and `plinth status` execute it: `python -m plinth.upkeep.shutdown down --home DIR`.
It answers with one JSON object on standard output; errors have their one shape. `plinth.node`
starts the node, with what of it both need: the agent's start.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from plinth.gateway.credentials import forget
from plinth.kit.errors import Permanent, PlinthError, Temporary
from plinth.kit.files import locked, read_json
from plinth.kit.home import Home, find_home
from plinth.units.client import AgentClient
from plinth.upkeep.running import living

_AGENT_START_S = 10.0
_SHUTDOWN_S = 120.0
_POLL_S = 0.05
# What the node's own processes may see of the shell that called. It is written to disk with them,
# so nothing is passed that may be a secret. Package indexes' settings are for environments.
_PASSED = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR", "NETRC"}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}
    | {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
)
_PASSED_PREFIXES = ("UV_", "PIP_")


def down(home: Home) -> dict[str, Any]:
    """Stop every unit and the agent; return when they are gone. Not running is success."""
    agent = AgentClient(home.socket("agent"))
    if not is_answering(agent):
        if not any(home.units.glob("*/identity.json")):
            return {"stopped": 0}
        # The agent was killed and its units live: only an agent can end them.
        start_agent(home, agent)
    count = sum(unit.phase in ("starting", "running") for unit in agent.observe())
    agent.shutdown()
    ends_at = time.monotonic() + _SHUTDOWN_S
    while is_answering(agent) or not _is_free(home.root / "agent.lock"):
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
    if not is_answering(agent):
        started = node is not None
        return {"node": None, "units": [], "started": started, "living": living(home)}
    units = [asdict(unit) for unit in agent.observe(memory=True)]
    return {"node": asdict(agent.ping()), "units": units, "started": True, **(node or {})}


def start_agent(home: Home, agent: AgentClient) -> None:
    """Start the node agent; return when it answers. Raises Permanent when it does not."""
    with (home.root / "agent.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "plinth.units.agent", "--home", str(home.root)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home.root,
            env=passed_variables(os.environ),
            # It must not end with the terminal that started it.
            start_new_session=True,
        )
    ends_at = time.monotonic() + _AGENT_START_S
    while not is_answering(agent):
        if process.poll() is not None or time.monotonic() > ends_at:
            raise Permanent(
                "the node agent did not start",
                hint=f"`{home.root / 'agent.log'}` says why",
                code="agent_failed",
            )
        time.sleep(_POLL_S)


def is_answering(agent: AgentClient) -> bool:
    """Tell whether the node agent answers."""
    try:
        agent.ping()
    except Temporary:
        return False
    return True


def passed_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Return what the agent, Envoy and the control plane get of the calling shell's variables."""
    return {
        name: value
        for name, value in variables.items()
        if name in _PASSED or name.startswith(_PASSED_PREFIXES)
    } | {"PYTHONUNBUFFERED": "1"}


def answer(action: Callable[[], dict[str, Any]]) -> int:
    """Do it and print what it returns; return 0, or 1 with the error on standard output.

    What it writes is this user's alone.
    """
    os.umask(0o077)
    try:
        done = action()
    except PlinthError as err:
        sys.stdout.write(json.dumps({**err.to_json(), "status": err.status}) + "\n")
        return 1
    sys.stdout.write(json.dumps(done) + "\n")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked; print JSON. Returns 0, or 1 with the error on standard output."""
    parser = argparse.ArgumentParser(prog="python -m plinth.upkeep.shutdown")
    parser.add_argument("action", choices=["down", "status"])
    parser.add_argument("--home", type=Path, required=True)
    asked = parser.parse_args(arguments)
    act = {"down": down, "status": status}[asked.action]
    return answer(lambda: act(find_home({}, asked.home)))


def _is_free(lock: Path) -> bool:
    # The agent stops answering a moment before it ends; its lock goes with the process.
    with locked(lock, wait=False) as free:
        return free


if __name__ == "__main__":
    sys.exit(main())
