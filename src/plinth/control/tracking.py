"""Keep MLflow running as a unit, and a workspace in it for every team."""

from __future__ import annotations

from pathlib import Path

from plinth.control.context import Context
from plinth.environments.spec import EnvironmentSpec, this_python
from plinth.kit.errors import PlinthError
from plinth.kit.files import make_private
from plinth.kit.home import Home
from plinth.store.identities import list_teams
from plinth.tracking.server import command, mlflow_packages, temporary_folder
from plinth.units.spec import Confinement, UnitSpec

UNIT = "mlflow"


class TrackingKeeper:
    """Build MLflow's environment, start it, and make what teams need; called again and again."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._is_started = False
        self._known_teams: set[str] = set()
        self._state = "waiting"

    @property
    def state(self) -> str:
        """How it stands: `ready`, or what it waits for."""
        return self._state

    def keep(self) -> None:
        """Do what is missing. Raises Temporary while MLflow is being built or starts."""
        try:
            self._start()
            self._context.tracking.ready()
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
        context.agent.start(mlflow_unit(context.home, built.folder, built.python))
        self._is_started = True

    def _make_workspaces(self) -> None:
        with self._context.database.read() as connection:
            teams = {team.name for team in list_teams(connection)}
        for team in sorted(teams - self._known_teams):
            self._context.tracking.ensure_workspace(team)
            self._known_teams.add(team)


def mlflow_unit(home: Home, environment: Path, python: Path) -> UnitSpec:
    """Return MLflow's unit: a stranger's server, confined to its own files and to no network.

    `python` is the interpreter of the folder `environment`.
    """
    arguments, variables = command(home, python)
    return UnitSpec(
        id=UNIT,
        argv=arguments,
        env=variables,
        cwd=str(home.tracking),
        socket=str(home.socket(UNIT)),
        restart="always",
        confinement=Confinement(
            read=(str(environment),), write=(str(home.tracking),), connect_ports=()
        ),
    )
