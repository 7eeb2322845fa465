"""MLflow is started once as a unit, and every team gets its workspace."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from plinth.control.duties import Duty
from plinth.control.identities import make_team
from plinth.control.tracking import TrackingKeeper
from plinth.kit.errors import Temporary
from plinth.store.leases import Holder
from plinth.tracking.layout import is_old
from plinth.units.client import AgentClient
from plinth.units.spec import UnitSpec, UnitState
from tests.control.plane import TEAM, Plane


@dataclass
class FakeAgent:
    """Notes what was started and stopped. `running`: the units that run."""

    started: list[UnitSpec] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    running: set[str] = field(default_factory=set)

    def observe(self, units: list[str]) -> list[UnitState]:
        return [UnitState(id=unit, phase="running") for unit in units if unit in self.running]

    def stop(self, unit: str) -> None:
        self.stopped.append(unit)
        self.running.discard(unit)

    def start(self, spec: UnitSpec, *, valid_until: float) -> Any:
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


def test_an_mlflow_of_the_first_plinth_is_stopped_before_its_files_are_renamed(
    plane: Plane, keeper: TrackingKeeper, agent: FakeAgent
) -> None:
    agent.running.add("mlflow")
    with pytest.raises(Temporary, match="new names"):
        keeper.keep()
    assert (agent.stopped, agent.started, is_old(plane.home)) == (["mlflow"], [], True)
    keeper.keep()
    assert (len(agent.started), is_old(plane.home)) == (1, False)


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


def test_without_the_duty_it_only_looks_whether_mlflow_answers(
    plane: Plane, agent: FakeAgent
) -> None:
    holders = [Holder.begin(name) for name in ("control@x", "control-2@x")]
    duties = [Duty("tracking", plane.database, plane.clock, each, 10.0) for each in holders]
    context = replace(plane.context, agent=cast("AgentClient", agent))
    first, second = (TrackingKeeper(context, duty) for duty in duties)
    first.keep()
    second.keep()
    assert (first.state, second.state) == ("ready", "ready")
    assert len(agent.started) == 1
    plane.clock.advance(10.1)
    second.keep()
    assert len(agent.started) == 2
