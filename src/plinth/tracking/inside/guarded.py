"""MLflow's application, which opens no file outside the workspace of the request.

uvicorn calls `create` inside MLflow's environment. MLflow takes the place of a trace's payload from
the trace's tags, which every writer may set, and opens it whatever workspace it lies in; so the
files are guarded where all of MLflow opens them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
from mlflow.server import ARTIFACTS_DESTINATION_ENV_VAR, handlers
from mlflow.server.fastapi_app import app
from mlflow.store.artifact import artifact_repository_registry as repositories
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.workspace_context import get_request_workspace

_LOCAL_SCHEMES = ("", "file")


def create() -> Any:
    """Return the ASGI application. Raises when this MLflow is not made as the guard expects."""
    # The one repository that is the root of all: its paths MLflow itself puts into the workspace.
    handlers._get_artifact_repo_mlflow_artifacts()
    registry = repositories._artifact_repository_registry
    for scheme in tuple(repositories.get_registered_artifact_repositories()):
        registry.register(scheme, _within_workspace if scheme in _LOCAL_SCHEMES else _nowhere)
    return app


def _within_workspace(
    artifact_uri: str, tracking_uri: str | None = None, registry_uri: str | None = None
) -> LocalArtifactRepository:
    """Open a folder of the request's workspace."""
    path = Path(local_file_uri_to_path(artifact_uri)).resolve()
    workspace = get_request_workspace()
    root = Path(os.environ[ARTIFACTS_DESTINATION_ENV_VAR]) / "workspaces"
    if not workspace or not path.is_relative_to((root / workspace).resolve()):
        raise _absent()
    return LocalArtifactRepository(artifact_uri, tracking_uri, registry_uri)


def _nowhere(
    artifact_uri: str,  # noqa: ARG001 - MLflow names its arguments
    tracking_uri: str | None = None,  # noqa: ARG001
    registry_uri: str | None = None,  # noqa: ARG001
) -> LocalArtifactRepository:
    """Open nothing: this server keeps its artifacts in its own folder only."""
    raise _absent()


def _absent() -> MlflowException:
    return MlflowException("there is no such artifact", error_code=RESOURCE_DOES_NOT_EXIST)
