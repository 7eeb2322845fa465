"""MLflow's command keeps its promises: workspaces on, nothing called home, nothing inherited."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plinth.kit.home import Home
from plinth.tracking.server import command, mlflow_packages

ARGUMENTS, VARIABLES = command(Home(Path("/srv/p")), Path("/srv/env/bin/python"), 8470)


def test_the_packages_are_pinned() -> None:
    assert all("==" in line for line in mlflow_packages())


def test_it_serves_the_socket_that_it_is_handed() -> None:
    assert ARGUMENTS[0] == "/srv/env/bin/python"
    assert ARGUMENTS[ARGUMENTS.index("--fd") + 1] == "3"


def test_teams_are_apart_and_nothing_is_reported_home() -> None:
    assert VARIABLES["MLFLOW_ENABLE_WORKSPACES"] == "true"
    assert VARIABLES["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert VARIABLES["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_only_pages_of_its_own_origin_may_change_something() -> None:
    assert VARIABLES["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] == "http://mlflow.localhost:8470"
    _, variables = command(Home(Path("/srv/p")), Path("/srv/env/bin/python"), 80)
    assert variables["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] == "http://mlflow.localhost"


def test_it_is_served_with_the_guard_around_its_files() -> None:
    place = ARGUMENTS.index("--app-dir")
    module, _, factory = ARGUMENTS[ARGUMENTS.index("--factory") + 1].partition(":")
    source = Path(ARGUMENTS[place + 1]) / f"{module}.py"
    assert f"def {factory}() -> " in source.read_text()


def test_everything_lives_below_the_home() -> None:
    assert VARIABLES["_MLFLOW_SERVER_FILE_STORE"] == "sqlite:////srv/p/mlflow/mlflow.db"
    assert VARIABLES["_MLFLOW_SERVER_ARTIFACT_DESTINATION"] == "/srv/p/mlflow/artifacts"


@pytest.mark.parametrize(
    ("source", "accepted"),
    [
        ("models:/m-1", True),
        ("runs:/1/model", True),
        ("mlflow-artifacts:/workspaces/a", True),
        ("mlflow-artifacts://other/x", False),
        ("s3://other-team/x", False),
        ("file:///etc", False),
        ("/etc", False),
    ],
)
def test_sources_of_model_versions_are_limited(source: str, accepted: bool) -> None:
    pattern = VARIABLES["MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX"]
    assert bool(re.match(pattern, source)) is accepted
