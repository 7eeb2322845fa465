"""A Plinth on which jobs, or endpoints, are held at a point of their life by files."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from plinth.environments import EnvironmentSpec, this_python
from plinth.kit.files import locked
from tests.journeys.kill_matrix import Matrix, bring_back, is_at, pid_of, touch
from tests.journeys.kill_points import CONTROL
from tests.journeys.plinth_node import (
    MODEL_PACKAGES,
    SERVING_PACKAGES,
    Plinth,
    infer,
    kill,
    running_plinth,
    wait_for,
)

MODEL, UNBUILT_MODEL = "models:/gate/1", "models:/gate/2"
# Nothing of it is installed, and no two sessions have the same: nobody has built it before.
UNBUILT = f"nothing=={secrets.randbelow(10**9)}; python_version < '3'"


@dataclass
class Stage:
    """A Plinth, and the matrix that is filled on it."""

    plinth: Plinth
    matrix: Matrix

    def witness(self, name: str, **fields: object) -> str:
        """Submit a job that says when it ran; return its id."""
        return self.plinth.submit(name, "python", "witness.py", **fields)  # type: ignore[arg-type]

    def running(self, name: str, **fields: object) -> str:
        """Submit one and wait until it runs, and its row says so."""
        run = self.witness(name, **fields)
        self.plinth.wait_for_line(run, "running")
        wait_for(lambda: is_at(self.plinth, run, "running"), "its row")
        return run

    def ending(self, name: str) -> str:
        """Submit one, stop it, and hold it in its handler of SIGTERM."""
        run = self.running(name, grace=90)
        touch(self.plinth, run, "slow")
        self.plinth.client.stop_run(run)
        self.plinth.wait_for_line(run, "ending")
        return run

    def row(self, run: str, column: str) -> object:
        """Return what stands in the run's row; asks no control plane."""
        with sqlite3.connect(f"file:{self.plinth.home.database}?mode=ro", uri=True) as connection:
            found = connection.execute(f"select {column} from run where id = ?", (run,)).fetchone()
        connection.close()
        return found[0]


@dataclass
class Served:
    """A Plinth with its matrix, a key to call endpoints, and the deployments by name."""

    plinth: Plinth
    matrix: Matrix
    key: str

    def apply(self, name: str, *files: str, **fields: object) -> str:
        """Apply an endpoint whose model finds these files; return the deployment."""
        run = str(self.plinth.apply(name, MODEL, **fields)["deployment"])  # type: ignore[arg-type]
        folder = self.plinth.home.runs / run
        wait_for(folder.exists, f"the folder of {name}")
        for file in files:
            (folder / file).touch()
        return run

    def touch(self, run: str, name: str) -> None:
        (self.plinth.home.runs / run / name).touch()

    def wait_until_serving(self, name: str, run: str) -> None:
        wait_for(lambda: run in self.serving(name), f"{name} serving")
        self.wait_for_answer(name)

    def serving(self, name: str) -> set[str]:
        """Return the runs that serve an endpoint."""
        return set(self.plinth.client.endpoint(name)["serving"].values())

    def wait_for_answer(self, name: str) -> None:
        with self.plinth.http(self.key) as client:
            wait_for(lambda: infer(client, name, 2.0).status_code == 200, f"an answer of {name}")

    def wait_for_loading(self, run: str, attempt: int) -> None:
        log = self.plinth.home.units / f"{run}.0.{attempt}" / "log"
        what = f"attempt {attempt} of {run} loading"
        wait_for(lambda: log.exists() and "loading" in log.read_text(), what)


@contextmanager
def serving_gates(cache: Path, free_port: Callable[[], int]) -> Iterator[Served]:
    """Start a Plinth for a block, with both versions of the model `gate`.

    The environment of the second is never built: another builder has its lock.
    """
    unbuilt = EnvironmentSpec((*MODEL_PACKAGES, UNBUILT, *SERVING_PACKAGES), this_python())
    lock = cache / f".{unbuilt.digest}.lock"
    with locked(lock), running_plinth(cache, free_port()) as plinth:
        command = ("python", "gates.py", UNBUILT)
        run = plinth.run("gates", *command, environment={"packages": SERVING_PACKAGES})
        assert run["phase"] == "succeeded", plinth.log(run["id"])
        yield Served(plinth, Matrix(plinth), plinth.key("default"))
    lock.unlink()


@contextmanager
def nobody_publishes(plinth: Plinth) -> Iterator[None]:
    """Give the duty to tell the gateway its routes to nobody for a block, of some minutes at most.

    It is as if another control plane of this node had it. Ours notices as it begins anew.
    """
    until = datetime.now(UTC) + timedelta(minutes=9)
    take = "update duty set holder = 'stranger', until = ? where name like 'gateway@%'"
    write(plinth, take, until.strftime("%Y-%m-%d %H:%M:%S.%f"))
    old = pid_of(plinth, CONTROL)
    kill(old)
    bring_back(plinth, CONTROL, old)
    try:
        yield
    finally:
        write(plinth, "delete from duty where holder = 'stranger'")


def write(plinth: Plinth, statement: str, *values: object) -> None:
    """Change a row of the home's database behind the control plane's back."""
    with closing(sqlite3.connect(plinth.home.database, timeout=30)) as connection, connection:
        assert connection.execute(statement, values).rowcount == 1, statement
