"""The guard runs while a limit of tokens is in force, and is asked once it answers."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import pytest

from plinth.control import guarding
from plinth.control.guarding import Guarding, answers, guard_unit, limits_of
from plinth.control.published import Published
from plinth.domain.traffic import EndpointRoute
from plinth.gateway.guard.unit import UNIT, limits_file
from plinth.kit.errors import Temporary
from plinth.kit.home import Home
from plinth.units.client import AgentClient
from plinth.units.spec import UnitSpec
from tests.control.plane import Plane

_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


class FakeAgent:
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: Temporary | None = None

    def start(self, spec: UnitSpec, *, valid_until: float) -> None:
        if self.error is not None:
            raise self.error
        self.asked.append(f"start {spec.id}")

    def stop(self, unit: str, *, valid_until: float) -> None:
        self.asked.append(f"stop {unit}")


@pytest.fixture
def agent(plane: Plane) -> FakeAgent:
    made = FakeAgent()
    object.__setattr__(plane.context, "agent", cast("AgentClient", made))
    return made


def route(*limits: dict[str, Any]) -> EndpointRoute:
    return EndpointRoute.model_validate(
        {"name": "chat", "team": "ops", "policy": {"limits": limits}}
    )


TOKENS = {"each": "key", "tokens_per_minute": 100, "default_max_tokens": 10}


@contextmanager
def listening(home: Home, reply: bytes) -> Iterator[None]:
    """Listen where the guard does, and say `reply` to whoever comes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(home.socket(UNIT)))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            # A caller that has heard enough leaves with words unread.
            with connection, suppress(ConnectionResetError):
                connection.sendall(reply)
                # Closed with bytes unread, it would take its own words back.
                while connection.recv(100):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def test_limits_are_those_of_tokens_with_whom_they_are_about() -> None:
    limits = limits_of([route({"requests_per_minute": 5}, TOKENS, {"tokens_per_minute": 7})])
    assert [(each.id, each.per_minute, each.each) for each in limits] == [
        ("chat:1", 100, "key"),
        ("chat:2", 7, None),
    ]
    assert all(each.endpoint == each.owner == "chat" for each in limits)
    assert limits[0].default_max_tokens == 10


def test_without_a_limit_nothing_is_written_or_started(plane: Plane, agent: FakeAgent) -> None:
    guard = Guarding(plane.context)
    guard.prepare([route({"requests_per_minute": 5})])
    guard.end_if_unasked()
    assert (agent.asked, limits_file(plane.home).exists()) == ([], False)
    assert not guard.is_on(None)


def test_it_is_started_and_asked_once_it_answers(plane: Plane, agent: FakeAgent) -> None:
    guard = Guarding(plane.context)
    guard.prepare([route(TOKENS)])
    assert agent.asked == ["start guard"]
    assert json.loads(limits_file(plane.home).read_text())["limits"][0]["per_minute"] == 100
    assert not guard.is_on(None)
    with listening(plane.home, _SETTINGS):
        assert guard.is_on(None)
    # Away for a moment it is asked on: a chain of filters is not changed for that.
    asked = Published("v", {}, frozenset(), {}, is_guarded=True)
    assert guard.is_on(asked)


def test_it_ends_when_no_limit_is_left(plane: Plane, agent: FakeAgent) -> None:
    guard = Guarding(plane.context)
    guard.prepare([route(TOKENS)])
    plane.home.socket(UNIT).touch()
    guard.end_if_unasked()
    guard.prepare([route()])
    assert json.loads(limits_file(plane.home).read_text())["limits"] == []
    assert not guard.is_on(Published("v", {}, frozenset(), {}, is_guarded=True))
    guard.end_if_unasked()
    guard.end_if_unasked()
    assert agent.asked == ["start guard", "stop guard"]


def test_an_agent_that_is_away_is_told(plane: Plane, agent: FakeAgent) -> None:
    agent.error = Temporary("the agent is away")
    guard = Guarding(plane.context)
    with pytest.raises(Temporary):
        guard.prepare([route(TOKENS)])
    assert not guard.is_on(None)


def test_a_socket_alone_is_no_answer(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarding, "_PATIENCE_S", 0.05)
    assert not answers(plane.home)
    with listening(plane.home, b"HTTP/1.1 400 Bad Request\r\n\r\n"):
        assert not answers(plane.home)


def test_its_unit_is_kept_running(plane: Plane) -> None:
    unit = guard_unit(plane.home)
    assert (unit.id, unit.restart, unit.socket) == ("guard", "always", str(plane.home.socket(UNIT)))
    assert not any(name.startswith("LISTEN_") for name in unit.env)
