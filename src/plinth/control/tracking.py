"""Keep MLflow running as a unit, and a workspace in it for every team."""

from __future__ import annotations

import math
from pathlib import Path

from plinth.control.context import Context
from plinth.control.duties import Duty
from plinth.environments.spec import EnvironmentSpec, this_python
from plinth.kit.errors import PlinthError, Temporary
from plinth.kit.files import make_private
from plinth.kit.home import Home
from plinth.store.identities import list_teams
from plinth.tracking.layout import bring_forward, is_old
from plinth.tracking.server import command, guard_folder, mlflow_packages, temporary_folder
from plinth.units.spec import Confinement, UnitSpec

UNIT = "mlflow"


class TrackingKeeper:
    """Build MLflow's environment, start it, and make what teams need; called again and again."""

    def __init__(self, context: Context, duty: Duty | None = None) -> None:
        self._context = context
        self._duty = duty
        self._is_started = False
        self._known_teams: set[str] = set()
        self._state = "waiting"

    @property
    def state(self) -> str:
        """How it stands: `ready`, or what it waits for."""
        return self._state

    def keep(self) -> None:
        """Do what is missing. Raises Temporary while MLflow is being built or starts.

        While another control plane has the duty, only look whether it answers.
        """
        try:
            is_ours = self._duty is None or self._duty.hold()
            if is_ours:
                self._start()
            self._context.tracking.ready()
            if is_ours:
                self._make_workspaces()
        except PlinthError as err:
            starting = self._is_started and err.code == "unavailable"
            self._state = "is starting" if starting else err.message
            raise
        self._state = "ready"

    def _start(self) -> None:
        if self._is_started:
            return
        context = self._context
        spec = EnvironmentSpec(packages=mlflow_packages(), python=this_python())
        built = context.builder.need(spec, "MLflow")
        make_private(temporary_folder(context.home))
        self._bring_forward()
        unit = mlflow_unit(context.home, built.folder, built.python, context.port)
        until = self._duty.valid_until if self._duty is not None else math.inf
        context.agent.start(unit, valid_until=until)
        self._is_started = True

    def _bring_forward(self) -> None:
        """Rename what the first Plinth left, with MLflow stopped. Raises Temporary until it is."""
        context = self._context
        if not is_old(context.home):
            return
        if any(unit.phase in ("starting", "running") for unit in context.agent.observe([UNIT])):
            context.agent.stop(UNIT)
            raise Temporary("MLflow is stopped, to give its workspaces their new names")
        if self._duty is not None:
            self._duty.check()
        with context.database.read() as connection:
            teams = [team.name for team in list_teams(connection)]
        bring_forward(context.home, teams)

    def _make_workspaces(self) -> None:
        with self._context.database.read() as connection:
            teams = {team.name for team in list_teams(connection)}
        for team in sorted(teams - self._known_teams):
            self._context.tracking.ensure_workspace(team)
            self._known_teams.add(team)


def mlflow_unit(home: Home, environment: Path, python: Path, port: int) -> UnitSpec:
    """Return MLflow's unit: a stranger's server, confined to its own files and to no network.

    `python` is the interpreter of the folder `environment`; `port` the gateway's.
    """
    arguments, variables = command(home, python, port)
    return UnitSpec(
        id=UNIT,
        argv=arguments,
        env=variables,
        cwd=str(home.tracking),
        socket=str(home.socket(UNIT)),
        restart="always",
        confinement=Confinement(
            read=(str(environment), str(guard_folder())),
            write=(str(home.tracking),),
            connect_ports=(),
        ),
    )
