"""`kill -9` while a part is paused, so that jobs are held between two steps of the control plane.

A process that is paused is the worst of the dead: it holds its locks and sockets, and may go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.journeys import kill_points as at
from tests.journeys.kill_matrix import (
    Matrix,
    Subject,
    bring_back,
    end_of,
    is_at,
    paused,
    pid_of,
    revive,
    touch,
    tree_of,
    try_often,
    wait_until_tidy,
)
from tests.journeys.kill_stage import Stage
from tests.journeys.plinth_node import is_alive, kill, running_plinth, wait_for

POINTS = (at.TRACKING, at.WRITTEN, at.EXIT_WRITTEN, at.NOT_CLOSED)


@pytest.fixture(scope="module")
def stage(managed_environments: Path, free_port: Callable[[], int]) -> Iterator[Stage]:
    with running_plinth(managed_environments, free_port()) as plinth:
        yield Stage(plinth, Matrix(plinth))


def test_jobs_that_wait_for_mlflow_go_on_whoever_is_killed(stage: Stage) -> None:
    plinth, matrix = stage.plinth, stage.matrix
    closing = stage.running("closing")
    with paused(*tree_of(plinth, "mlflow")):
        tracking = stage.witness("tracking")
        touch(plinth, closing)
        held = [
            Subject((at.TRACKING,), tracking, "pending"),
            Subject((at.NOT_CLOSED,), closing, "succeeded"),
        ]
        for victim in (at.CONTROL, at.AGENT, at.ENVOY):
            matrix.kill_shared(victim, held)
        assert stage.row(closing, "closed") == 0
        with matrix.timed(at.MLFLOW, at.TRACKING, at.NOT_CLOSED):
            old = pid_of(plinth, at.MLFLOW)
            kill(old)
            bring_back(plinth, at.MLFLOW, old)
            plinth.wait_for_line(tracking, "running")
            wait_for(lambda: stage.row(closing, "closed") == 1, "the end noted in MLflow")
    touch(plinth, tracking)
    for run in (tracking, closing):
        end_of(plinth, run, "succeeded", 1)
    wait_until_tidy(plinth)


# MLflow comes last: whoever follows would wait for it.
@pytest.mark.parametrize("victim", [at.CONTROL, at.AGENT, at.ENVOY, at.MLFLOW])
def test_an_attempt_that_was_written_starts_once_whoever_is_killed(
    stage: Stage, victim: str
) -> None:
    plinth, matrix = stage.plinth, stage.matrix
    old, agent = pid_of(plinth, victim), pid_of(plinth, at.AGENT)
    with ExitStack() as stack:
        with paused(*tree_of(plinth, "mlflow")):
            # A plan needs the agent; MLflow is asked after that, and before the attempt.
            run = stage.witness("written")
            stack.enter_context(paused(agent))
        wait_for(lambda: stage.row(run, "phase") == "starting", "the attempt's row")
        assert not (plinth.home.units / f"{run}.0.1").exists()
        kill(old)
        killed = time.monotonic()
    # Only now is there an agent again that starts what was killed.
    if victim != at.MLFLOW:
        bring_back(plinth, victim, old)
    try_often(lambda: is_at(plinth, run, "running"), "its start")
    matrix.cells[at.WRITTEN, victim] = time.monotonic() - killed
    wait_until_tidy(plinth)
    plinth.wait_for_line(run, "running")
    touch(plinth, run)
    end_of(plinth, run, "succeeded", 1)


def test_a_job_that_ended_unseen_has_ended_once_whoever_is_killed(stage: Stage) -> None:
    plinth, matrix = stage.plinth, stage.matrix
    run = stage.running("unseen")
    with matrix.timed(at.CONTROL, at.EXIT_WRITTEN):
        control = pid_of(plinth, at.CONTROL)
        with paused(control):
            touch(plinth, run)
            wait_for((plinth.home.units / f"{run}.0.1" / "exit.json").exists, "its end")
            for victim in (at.MLFLOW, at.ENVOY, at.AGENT):
                with matrix.timed(victim, at.EXIT_WRITTEN):
                    old = pid_of(plinth, victim)
                    kill(old)
                    if victim == at.AGENT:
                        revive(plinth)
                    wait_for(lambda o=old: not is_alive(o), f"the end of {victim}")
            assert stage.row(run, "phase") == "running"
            kill(control)
        bring_back(plinth, at.CONTROL, control)
        try_often(lambda: is_at(plinth, run, "succeeded"), "its end in the row")
    bring_back(plinth, at.MLFLOW, 0)
    end_of(plinth, run, "succeeded", 1)
    wait_until_tidy(plinth)


def test_mlflow_that_hangs_holds_up_no_job_that_runs(stage: Stage) -> None:
    plinth = stage.plinth
    ends = stage.running("ends-meanwhile")
    with paused(*tree_of(plinth, "mlflow")):
        # More than the control plane works on at once.
        waiting = [stage.witness(f"waits-{number}") for number in range(12)]
        time.sleep(1.0)
        touch(plinth, ends)
        wait_for(lambda: is_at(plinth, ends, "succeeded"), "its end in the row", within_s=15.0)
        for run in waiting:
            plinth.client.stop_run(run)
    end_of(plinth, ends, "succeeded", 1)
    for run in waiting:
        assert plinth.ended(run)["phase"] == "stopped"


def test_a_supervisor_that_is_killed_while_the_agent_is_paused_takes_its_job_with_it(
    stage: Stage,
) -> None:
    plinth = stage.plinth
    run = stage.running("unwatched", attempts=2)
    unit = f"{run}.0.1"
    tree = tree_of(plinth, unit)
    assert len(tree) == 2
    with paused(pid_of(plinth, at.AGENT)):
        kill(plinth.pid_of(unit, "supervisor"))
        wait_for((plinth.home.units / unit / "exit.json").exists, "its end", within_s=5.0)
        assert not any(map(is_alive, tree))
    try_often(lambda: is_at(plinth, run, "running", 2), "the second attempt")
    touch(plinth, run, "go.2")
    end_of(plinth, run, "succeeded", 2)


def test_a_job_whose_supervisor_is_paused_is_not_started_a_second_time(stage: Stage) -> None:
    plinth = stage.plinth
    went_on = stage.running("went-on", attempts=2)
    killed = stage.running("killed", attempts=2)
    supervisors = [plinth.pid_of(f"{run}.0.1", "supervisor") for run in (went_on, killed)]
    with paused(*supervisors):
        for run in (went_on, killed):
            kill(plinth.pid_of(f"{run}.0.1"))
        old = pid_of(plinth, at.CONTROL)
        kill(old)
        bring_back(plinth, at.CONTROL, old)
        # Nobody may say how they ended but their supervisors, which hold the locks.
        for run in (went_on, killed):
            try_often(lambda r=run: is_at(plinth, r, "running", 1), "its row")
        kill(supervisors[1])
        try_often(lambda: is_at(plinth, killed, "running", 2), "the second attempt")
        assert is_at(plinth, went_on, "running", 1)
    try_often(lambda: is_at(plinth, went_on, "running", 2), "the second attempt")
    for run, reason in ((went_on, "ended by SIGKILL"), (killed, "its supervisor was killed")):
        touch(plinth, run, "go.2")
        # Its child lived until its supervisor could end it, or was killed.
        first, _ = end_of(plinth, run, "succeeded", 2, slack_s=60.0).attempts()
        assert first["reason"] == reason
    wait_until_tidy(plinth)


def test_every_cell_of_these_points_was_tried(stage: Stage) -> None:
    print(f"\n{stage.matrix.table(POINTS)}")
    assert stage.matrix.missing(POINTS) == []
