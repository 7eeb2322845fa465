"""Tracking against a real MLflow server: it is a process, so it cannot be a unit test."""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from plinth.domain.workload_fields import parse_model
from plinth.kit.errors import Conflict, Invalid, NotFound, TooLarge
from plinth.kit.home import Home
from plinth.tracking.artifacts import Limits, fetch_folder
from plinth.tracking.mlflow import Tracking
from plinth.tracking.rest import Rest
from tests.journeys.mlflow_server import as_team, running_mlflow

API = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    home = Home(Path(tempfile.mkdtemp(prefix="pl-")))
    home.prepare()
    with running_mlflow(home):
        yield home


@pytest.fixture
def tracking(home: Home) -> Iterator[Tracking]:
    with Tracking(home.socket("mlflow")) as tracking:
        tracking.ensure_workspace("research")
        yield tracking


def register(home: Home, tracking: Tracking, name: str) -> str:
    """Register one version with two files, as a client would; return where they are."""
    run = tracking.ensure_run("research", "train", f"r_{name}", {})
    with as_team(home, "research") as client:
        found = client.get(f"{API}/runs/get", params={"run_id": run}).json()
        root = str(found["run"]["info"]["artifact_uri"])
        for path in ("MLmodel", "data/weights"):
            address = f"{FILES}/{root.removeprefix('mlflow-artifacts:/')}/{path}"
            client.put(address, content=path.encode()).raise_for_status()
        client.post(f"{API}/registered-models/create", json={"name": name}).raise_for_status()
        body = {"name": name, "source": root, "run_id": run}
        client.post(f"{API}/model-versions/create", json=body).raise_for_status()
        body = {"name": name, "alias": "champion", "version": "1"}
        client.post(f"{API}/registered-models/alias", json=body).raise_for_status()
    return root


def test_a_workspace_is_made_once_and_odd_names_are_refused(tracking: Tracking) -> None:
    tracking.ensure_workspace("research")
    with pytest.raises(Invalid, match="must match the pattern"):
        tracking.ensure_workspace("a_b")


def test_a_run_is_made_once_and_finished_twice(home: Home, tracking: Tracking) -> None:
    first = tracking.ensure_run("research", "train", "r_1", {"plinth.team": "research"})
    assert tracking.ensure_run("research", "train", "r_1", {}) == first
    assert tracking.ensure_run("research", "train", "r_2", {}) != first
    for _ in range(2):
        tracking.finish_run("research", first, "FAILED")
    with as_team(home, "research") as client:
        run = client.get(f"{API}/runs/get", params={"run_id": first}).json()["run"]
    assert run["info"]["status"] == "FAILED"
    with pytest.raises(NotFound):
        tracking.finish_run("research", "0" * 32, "FINISHED")


def test_a_deleted_experiment_is_a_conflict(home: Home, tracking: Tracking) -> None:
    tracking.ensure_run("research", "gone", "r_3", {})
    with as_team(home, "research") as client:
        found = client.get(f"{API}/experiments/get-by-name", params={"experiment_name": "gone"})
        body = {"experiment_id": found.json()["experiment"]["experiment_id"]}
        client.post(f"{API}/experiments/delete", json=body).raise_for_status()
    with pytest.raises(Conflict, match="deleted"):
        tracking.ensure_run("research", "gone", "r_3", {})


def test_what_is_infinite_or_no_number_is_told_apart(home: Home, tracking: Tracking) -> None:
    run = tracking.ensure_run("research", "train", "r_4", {})
    with as_team(home, "research") as client:
        for step, value in enumerate((0.5, "Infinity", "-Infinity", "NaN")):
            body = {"run_id": run, "key": "loss", "value": value, "step": step, "timestamp": step}
            client.post(f"{API}/runs/log-metric", json=body).raise_for_status()
    values = [value for _, value in tracking.metric_history("research", run, "loss")]
    assert values[:3] == [0.5, sys.float_info.max, -sys.float_info.max]
    assert math.isnan(values[3])
    found = tracking.describe_run("research", run)
    assert (found.metrics, found.numberless) == ({}, ("loss",))


def test_the_versions_that_a_run_logged_are_found_by_it(home: Home, tracking: Tracking) -> None:
    register(home, tracking, "made")
    run = tracking.ensure_run("research", "train", "r_made", {})
    (made,) = tracking.models_of_run("research", run)
    assert (made.name, made.version, made.tracking_run_id) == ("made", 1, run)
    other = tracking.ensure_run("research", "train", "r_other", {})
    assert tracking.models_of_run("research", other) == []
    tracking.ensure_workspace("ops")
    assert tracking.models_of_run("ops", run) == []


def test_a_model_is_resolved_listed_and_fetched_whole(home: Home, tracking: Tracking) -> None:
    register(home, tracking, "echo")
    version = tracking.resolve_model("research", parse_model("models:/echo@champion"))
    assert (version.version, version.aliases) == (1, ("champion",))
    assert version in tracking.list_models("research")
    folder = tracking.download_model("research", version, home.models / "echo-1")
    assert (folder / "data" / "weights").read_bytes() == b"data/weights"
    assert tracking.download_model("research", version, folder) == folder


@pytest.mark.parametrize(
    ("reference", "message", "hint"),
    [
        ("models:/near@champoin", "has no alias `champoin`; it has `champion`", "near@champion"),
        ("models:/near/7", "has no version 7; it has `1`", ""),
        ("models:/naer@champion", "has no model `naer`", "models:/near"),
    ],
)
def test_a_missing_model_names_what_exists(
    home: Home, tracking: Tracking, reference: str, message: str, hint: str
) -> None:
    if not any(version.name == "near" for version in tracking.list_models("research")):
        register(home, tracking, "near")
    with pytest.raises(NotFound, match=message) as caught:
        tracking.resolve_model("research", parse_model(reference))
    assert hint in (caught.value.hint or "")


def test_another_team_sees_no_model(home: Home, tracking: Tracking) -> None:
    register(home, tracking, "secret")
    tracking.ensure_workspace("ops")
    assert tracking.list_models("ops") == []
    with pytest.raises(NotFound):
        tracking.resolve_model("ops", parse_model("models:/secret/1"))


def test_a_model_beyond_the_limits_leaves_no_folder(home: Home, tracking: Tracking) -> None:
    root = register(home, tracking, "large")
    rest = Rest(home.socket("mlflow"))
    try:
        for limits in (Limits(size_bytes=5), Limits(files=1), Limits(depth=0)):
            with pytest.raises(TooLarge):
                fetch_folder(rest, "research", root, home.models / "large", limits)
        with pytest.raises(Invalid, match="only `mlflow-artifacts"):
            fetch_folder(rest, "research", "file:///etc", home.models / "large")
    finally:
        rest.close()
    assert not [path for path in home.models.glob("*large*") if path.is_dir()]
