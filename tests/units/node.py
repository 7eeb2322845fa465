"""A real node agent in a home of its own, for journeys and contract suites."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from plinth.kit.errors import Temporary
from plinth.kit.home import Home
from plinth.units import processes
from plinth.units.client import AgentClient
from plinth.units.isolation import HIGHEST
from plinth.units.spec import UnitSpec, UnitState

# Not the environment's: a confined process may read only the base interpreter.
PYTHON = os.path.realpath(sys.executable)
PATIENCE_S = 60.0
NOBODY = processes.Process(-1, 0)


def wait_for(seen: Callable[[], Any], what: str = "it", within_s: float = PATIENCE_S) -> Any:
    """Poll until `seen()` is truthy and return that; fail after a deadline."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        value = seen()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"{what} did not happen in {within_s} s")


class Node:
    """An agent process and its home; the agent can be killed and begun anew."""

    def __init__(self, isolation: int = HIGHEST) -> None:
        self.home = Home(Path(tempfile.mkdtemp(prefix="pl-")))
        self.client = AgentClient(self.home.socket("agent"))
        self.isolation = isolation
        self.agent: subprocess.Popen[bytes] | None = None
        self.begin()

    def command(self) -> list[str]:
        return [
            sys.executable,
            "-m",
            "plinth.units.agent",
            "--home",
            str(self.home.root),
            "--isolation",
            str(self.isolation),
        ]

    def begin(self) -> None:
        with (self.home.root / "agent.log").open("ab") as log:
            self.agent = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stderr=log)
        wait_for(self.answers, "the agent's answer")

    def answers(self) -> bool:
        assert self.agent is not None
        assert self.agent.poll() is None, (self.home.root / "agent.log").read_text()
        try:
            return self.client.ping().pid == self.agent.pid
        except Temporary:
            return False

    def kill_agent(self, number: int = signal.SIGKILL) -> int:
        assert self.agent is not None
        self.agent.send_signal(number)
        return self.agent.wait(PATIENCE_S)

    def spec(self, unit: str, *argv: str, **more: Any) -> UnitSpec:
        work = self.work(unit)
        env = {"PATH": "/usr/bin:/bin", "TMPDIR": str(work), "HOME": str(work)}
        return UnitSpec(id=unit, argv=argv, env=env, cwd=str(work), **more)

    def python(self, unit: str, code: str, **more: Any) -> UnitSpec:
        return self.spec(unit, PYTHON, "-I", "-S", "-u", "-c", code, **more)

    def work(self, unit: str) -> Path:
        folder = self.home.runs / unit
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def state(self, unit: str) -> UnitState:
        return self.client.observe([unit])[0]

    def wait_for_phase(self, unit: str, phase: str) -> UnitState:
        def seen() -> UnitState | None:
            state = self.state(unit)
            return state if state.phase == phase else None

        found: UnitState = wait_for(seen, f"{unit} {phase}")
        return found

    def log(self, unit: str) -> str:
        path = self.home.units / unit / "log"
        return path.read_text() if path.exists() else ""

    def wait_for_line(self, unit: str, text: str) -> None:
        wait_for(lambda: text in self.log(unit), f"`{text}` in the log of {unit}")

    def record(self, unit: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home.units / unit / name).read_text())
        return found

    def supervisor(self, unit: str) -> processes.Process:
        return processes.Process(**self.record(unit, "identity.json")["supervisor"])

    def guard(self, unit: str) -> processes.Process:
        return processes.Process(**self.record(unit, "identity.json")["guard"])

    def main(self, unit: str) -> processes.Process:
        return processes.Process(**self.record(unit, "identity.json")["child"])

    def remains(self) -> list[processes.Process]:
        """Return the living processes of this node's units."""
        found = []
        for folder in self.home.units.iterdir():
            found += processes.left_behind(NOBODY, str(folder))
        return found

    def end(self) -> None:
        assert self.agent is not None
        if self.agent.poll() is not None:
            self.begin()
        for state in self.client.observe():
            self.client.stop(state.id, 0.0)
        self.client.shutdown()
        self.agent.wait(PATIENCE_S)
        shutil.rmtree(self.home.root)


@contextmanager
def running_node(isolation: int = HIGHEST) -> Iterator[Node]:
    """Run a node for a block and leave nothing of it."""
    node = Node(isolation)
    try:
        yield node
    finally:
        node.end()
