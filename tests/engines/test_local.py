"""The local engine keeps the engine contract, with a real agent: what it promises is processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from plinth.engines.base import Engine
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
