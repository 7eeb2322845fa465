"""E3a: MLflow tracking is set up in every job; a script needs no address, key or experiment."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.control.flows.stand import apply_flow, serves
from tests.control.plane import TEAM, Plane, make_plane
from tests.control.workspaces.session import opened


@pytest.fixture
def plane() -> Iterator[Plane]:
    with make_plane() as plane:
        yield plane


def started(plane: Plane, run: str) -> dict[str, str]:
    """Return the variables that the job was started with."""
    plane.until(lambda: f"{run}.0.1" in plane.world.replicas)
    return dict(plane.world.replicas[f"{run}.0.1"].spec.variables)


def test_a_job_finds_mlflows_address_its_run_and_its_experiment(plane: Plane) -> None:
    run = plane.submit(name="churn")
    variables = started(plane, run)
    assert variables["MLFLOW_TRACKING_URI"] == plane.context.address
    assert variables["MLFLOW_EXPERIMENT_NAME"] == "churn"
    assert variables["MLFLOW_RUN_ID"] == plane.run(run).tracking_run == plane.tracking.runs[run]


def test_its_key_is_its_own_and_of_its_team_and_ends_with_it(plane: Plane) -> None:
    run = plane.submit()
    claims = plane.context.claims_of(started(plane, run)["MLFLOW_TRACKING_TOKEN"])
    assert claims is not None
    assert (claims.team, claims.principal, claims.is_run) == (TEAM, plane.run(run).principal, True)
    assert plane.live_keys(run) == 1
    plane.world.end(f"{run}.0.1")
    plane.until(lambda: plane.run(run).closed)
    assert plane.live_keys(run) == 0


def test_every_attempt_logs_to_the_same_run_and_its_end_is_told(plane: Plane) -> None:
    run = plane.submit(attempts=2)
    first = started(plane, run)
    plane.world.end(f"{run}.0.1", exit_code=1)
    plane.until(lambda: f"{run}.0.2" in plane.world.replicas)
    second = dict(plane.world.replicas[f"{run}.0.2"].spec.variables)
    assert first["MLFLOW_RUN_ID"] == second["MLFLOW_RUN_ID"]
    assert first["MLFLOW_TRACKING_TOKEN"] != second["MLFLOW_TRACKING_TOKEN"]
    plane.world.end(f"{run}.0.2")
    plane.until(lambda: plane.run(run).closed)
    assert plane.tracking.finished[first["MLFLOW_RUN_ID"]] == ["FINISHED"]


def test_a_flow_finds_mlflows_address_its_run_and_its_experiment(plane: Plane) -> None:
    run = str(apply_flow(plane).deployment)
    plane.until(lambda: serves(plane, run))
    variables = plane.world.replicas[f"{run}.0.1"].spec.variables
    assert variables["MLFLOW_TRACKING_URI"] == plane.context.address
    assert variables["MLFLOW_EXPERIMENT_NAME"] == "answers"
    assert variables["MLFLOW_RUN_ID"] == plane.run(run).tracking_run


def test_a_notebook_finds_mlflow_as_a_job_does_and_begins_its_own_runs(plane: Plane) -> None:
    run = str(opened(plane, name="lab").run)
    variables = dict(plane.world.replicas[f"{run}.0.1"].spec.variables)
    assert variables["MLFLOW_TRACKING_URI"] == plane.context.address
    assert variables["MLFLOW_EXPERIMENT_NAME"] == "lab"
    assert "MLFLOW_RUN_ID" not in variables
    assert json.loads(variables["MLFLOW_RUN_CONTEXT"])["plinth.run"] == run
    claims = plane.context.claims_of(variables["MLFLOW_TRACKING_TOKEN"])
    assert claims is not None
    assert (claims.team, claims.is_run) == (TEAM, True)
