"""`kill -9` of everything there is while jobs are held at named points of their life.

All jobs are held at once, so each shared part is killed once for all of them.
"""

from __future__ import annotations

import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from plinth.environments import EnvironmentSpec, this_python
from plinth.kit.files import locked
from tests.journeys import kill_points as at
from tests.journeys.kill_matrix import (
    Matrix,
    Subject,
    bring_back,
    end_of,
    is_at,
    pid_of,
    touch,
    try_often,
    wait_until_tidy,
)
from tests.journeys.kill_stage import Stage
from tests.journeys.plinth_node import Plinth, kill, running_plinth, wait_for

POINTS = (at.ACCEPTED, at.BUILDING, at.STARTING, at.RUNNING, at.ENDING, at.CLOSED)
# Nothing of it is installed, and no two sessions have the same: nobody has built it before.
UNBUILT = f"nothing=={secrets.randbelow(10**9)}; python_version < '3'"


@pytest.fixture(scope="module")
def stage(managed_environments: Path, free_port: Callable[[], int]) -> Iterator[Stage]:
    with running_plinth(managed_environments, free_port()) as plinth:
        yield Stage(plinth, Matrix(plinth))
    digest = EnvironmentSpec((UNBUILT,), this_python()).digest
    shutil.rmtree(managed_environments / digest, ignore_errors=True)
    (managed_environments / f".{digest}.lock").unlink(missing_ok=True)


def test_jobs_that_are_held_stay_where_they_are_whoever_is_killed(
    stage: Stage, managed_environments: Path
) -> None:
    plinth, matrix = stage.plinth, stage.matrix
    digest = EnvironmentSpec((UNBUILT,), this_python()).digest
    with locked(managed_environments / f".{digest}.lock"):
        building = stage.witness("building", environment={"packages": [UNBUILT]})
        running, ending = stage.running("running"), stage.ending("ending")
        closed = stage.running("closed")
        touch(plinth, closed)
        end_of(plinth, closed, "succeeded", 1)
        held = [
            Subject((at.BUILDING,), building, "pending", "BuildingEnvironment"),
            Subject((at.RUNNING,), running, "running", unit=f"{running}.0.1"),
            Subject((at.ENDING,), ending, "stopping", unit=f"{ending}.0.1"),
            Subject((at.CLOSED,), closed, "succeeded"),
        ]
        accepted: list[str] = []
        for victim in at.SHARED:
            with matrix.timed(victim, at.ACCEPTED):
                matrix.kill_shared(victim, held, lambda: accepted.append(stage.witness("accepted")))
                plinth.wait_for_line(accepted[-1], "running")
    # What held them is gone: each goes on as if nothing had been.
    for run in (building, running, *accepted):
        plinth.wait_for_line(run, "running")
        touch(plinth, run)
        end_of(plinth, run, "succeeded", 1)
    touch(plinth, ending, "end")
    end_of(plinth, ending, "stopped", 1)
    end_of(plinth, closed, "succeeded", 1)
    wait_until_tidy(plinth)


def test_a_job_whose_own_process_is_killed_is_tried_again_as_its_attempts_say(
    stage: Stage,
) -> None:
    plinth, matrix = stage.plinth, stage.matrix
    running = {who: stage.running(f"running-{who}", attempts=2) for who in ("supervisor", "child")}
    once = stage.running("once")
    ending = {who: stage.ending(f"ending-{who}") for who in ("supervisor", "child")}
    victims = {"supervisor": at.SUPERVISOR, "child": at.JOB}
    for who, victim in victims.items():
        with matrix.timed(victim, at.RUNNING, at.ENDING):
            for run in (running[who], ending[who]):
                kill(plinth.pid_of(f"{run}.0.1", who))
            if who == "supervisor":
                kill(plinth.pid_of(f"{once}.0.1", who))
            wait_for(lambda r=running[who]: is_at(plinth, r, "running", 2), "the second attempt")
            wait_for(lambda r=ending[who]: is_at(plinth, r, "stopped"), "the end of the other")
            wait_until_tidy(plinth)
    for run in running.values():
        touch(plinth, run, "go.2")
    reasons = {"supervisor": "its supervisor was killed", "child": "ended by SIGKILL"}
    for who, reason in reasons.items():
        first, second = end_of(plinth, running[who], "succeeded", 2).attempts()
        assert (first["phase"], first["reason"]) == ("failed", reason)
        assert (second["phase"], second["exit_code"]) == ("succeeded", 0)
        end_of(plinth, ending[who], "stopped", 1)
    failed = end_of(plinth, once, "failed", 1)
    assert failed.run["message"] == "its supervisor was killed"


# MLflow comes last: whoever follows would wait for it.
@pytest.mark.parametrize(
    "victim", [at.CONTROL, at.AGENT, at.ENVOY, at.SUPERVISOR, at.JOB, at.MLFLOW]
)
def test_a_job_that_is_just_starting_starts_each_attempt_once(stage: Stage, victim: str) -> None:
    plinth, matrix = stage.plinth, stage.matrix
    own = {at.SUPERVISOR: "supervisor", at.JOB: "child"}
    old = pid_of(plinth, victim) if victim in at.SHARED else None
    name = victim.partition(" ")[0].lower()
    strike = threading.Thread(target=_strike, args=(plinth, own.get(victim), old))
    strike.start()
    run = stage.witness(f"starting-{name}", attempts=2)
    strike.join()
    with matrix.timed(victim, at.STARTING):
        if old is not None and victim != at.MLFLOW:
            bring_back(plinth, victim, old)
        numbers = (1,) if victim in at.SHARED else (1, 2)
        try_often(
            lambda: any(is_at(plinth, run, "running", number) for number in numbers), "its start"
        )
    wait_until_tidy(plinth)
    touch(plinth, run)
    # Whether the kill came before the first attempt ran is seen at its end only.
    attempts = len(plinth.ended(run)["attempts"])
    assert attempts in numbers
    end_of(plinth, run, "succeeded", attempts)


def _strike(plinth: Plinth, who: str | None, pid: int | None) -> None:
    """Kill as soon as the next unit's folder is there: `pid`, or `who` as its identity names it."""
    known = set(os.listdir(plinth.home.units))
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        new = [name for name in os.listdir(plinth.home.units) if name not in known]
        units = [name for name in new if not name.startswith(".")]
        if units and pid is not None:
            kill(pid)
            return
        if units and (plinth.home.units / units[0] / "identity.json").exists():
            kill(plinth.pid_of(units[0], who or "child"))
            return
        time.sleep(0.0005)


def test_every_cell_of_these_points_was_tried(stage: Stage) -> None:
    print(f"\n{stage.matrix.table(POINTS)}")
    assert stage.matrix.missing(POINTS) == []
