"""The local engine keeps the engine contract, with a real agent: what it promises is processes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from plinth.domain.run import Phase
from plinth.engines.base import Elastic, Engine
from plinth.engines.local import LocalEngine
from plinth.kit.clock import SystemClock
from plinth.kit.errors import Temporary
from plinth.kit.home import Home
from plinth.units.client import AgentClient
from tests.contracts.engine import EngineContract, EnginePlace
from tests.units.node import PYTHON, Node, running_node


class LocalPlace(EnginePlace):
    """A node of its own."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def engine(self) -> Engine:
        return LocalEngine(AgentClient(self.node.home.socket("agent")), self.node.home)

    def lose_everything(self) -> None:
        self.node.kill_agent()
        self.node.begin()

    def folder(self, run: str) -> Path:
        return self.node.work(run)

    def python(self) -> tuple[str, ...]:
        return (PYTHON, "-I", "-S", "-c")

    def since_boot_s(self) -> float:
        return SystemClock().since_boot_s()


@pytest.fixture
def place() -> Iterator[LocalPlace]:
    with running_node() as node:
        yield LocalPlace(node)


class TestLocalEngine(EngineContract):
    """The contract."""


def test_an_engine_without_its_agent_is_temporarily_unable(tmp_path: Path) -> None:
    home = Home(tmp_path)
    engine = LocalEngine(AgentClient(home.socket("agent")), home)
    assert engine.name == "local"
    with pytest.raises(Temporary):
        engine.observe([{"unit": "r_a.0.1"}])
    with pytest.raises(Temporary):
        _ = engine.capability


# Takes one connection, answers, and ends.
ONE = """
import os, socket
server = socket.socket(fileno=3)
os.write(4, b'.')
connection, _ = server.accept()
connection.sendall(b'hello')
"""


def test_an_elastic_replica_runs_a_worker_for_whoever_asks_and_tells_when(
    place: LocalPlace,
) -> None:
    path = str(place.node.home.socket("r_a.0"))
    spec = replace(place.spec(ONE), socket=path, elastic=Elastic(0, 1, 20.0))
    handle = place.engine().start(spec)
    asleep = place.wait_for(handle, lambda seen: seen.phase is Phase.RUNNING)
    assert asleep.workers == 0
    assert place.engine().worker_times(handle, 0) == ([], 0)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(20)
        caller.connect(path)
        assert caller.recv(10) == b"hello"
    place.wait_for(handle, lambda seen: seen.workers == 0)
    (worker,), following = place.engine().worker_times(handle, 0)
    assert worker.ended_at is not None
    assert asleep.started_at is not None
    assert asleep.started_at <= worker.started_at <= worker.ended_at
    assert place.engine().worker_times(handle, following) == ([], following)
    place.engine().stop(handle, 1.0)
    assert place.wait_for_end(handle).phase is Phase.STOPPED
    place.engine().forget(handle)
    assert place.engine().worker_times(handle, 0) == ([], 0)
