"""MLflow is started once as a unit, and every team gets its workspace."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from plinth.control.identities import make_team
from plinth.control.tracking import TrackingKeeper
from plinth.kit.errors import Temporary
from plinth.units.client import AgentClient
from plinth.units.spec import UnitSpec
from tests.control.plane import TEAM, Plane


@dataclass
class FakeAgent:
    """Notes what was started."""

    started: list[UnitSpec] = field(default_factory=list)

    def start(self, spec: UnitSpec) -> Any:
        self.started.append(spec)


@pytest.fixture
def agent() -> FakeAgent:
    return FakeAgent()


@pytest.fixture
def keeper(plane: Plane, agent: FakeAgent) -> TrackingKeeper:
    return TrackingKeeper(replace(plane.context, agent=cast("AgentClient", agent)))


def test_it_waits_for_its_environment_and_says_so(
    plane: Plane, keeper: TrackingKeeper, agent: FakeAgent
) -> None:
    plane.builder.error = Temporary("building the environment: fetching", code="building")
    with pytest.raises(Temporary):
        keeper.keep()
    assert (keeper.state, agent.started) == ("building the environment: fetching", [])


def test_it_is_started_once_and_is_ready_when_it_answers(
    plane: Plane, keeper: TrackingKeeper, agent: FakeAgent
) -> None:
    plane.tracking.error = Temporary("nobody answers")
    for _ in range(2):
        with pytest.raises(Temporary):
            keeper.keep()
        assert keeper.state == "is starting"
    plane.tracking.error = None
    keeper.keep()
    assert keeper.state == "ready"
    (unit,) = agent.started
    assert (unit.id, unit.restart) == ("mlflow", "always")
    assert unit.socket == str(plane.home.socket("mlflow"))
    assert Path(unit.env["TMPDIR"]).is_dir()


def test_it_may_touch_its_own_files_and_no_network(
    plane: Plane, keeper: TrackingKeeper, agent: FakeAgent
) -> None:
    keeper.keep()
    confinement = agent.started[0].confinement
    assert confinement is not None
    assert confinement.connect_ports == ()
    assert confinement.write == (str(plane.home.tracking),)
    assert not any(plane.home.secrets.is_relative_to(path) for path in confinement.read)


def test_every_team_gets_its_workspace(plane: Plane, keeper: TrackingKeeper) -> None:
    keeper.keep()
    assert plane.tracking.workspaces == {"default", TEAM}
    with plane.write() as connection:
        make_team(connection, plane.context, "late", created_by="admin")
    keeper.keep()
    assert "late" in plane.tracking.workspaces
