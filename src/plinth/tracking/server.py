"""How to run MLflow's server: its packages, its command, its environment.

Called by the composition root, which gives the result to the node agent as a unit. Pure: nothing
is started and nothing is read here.
"""

from __future__ import annotations

from pathlib import Path

from plinth.domain.traffic import TRACKING_HOST, tracking_origin
from plinth.kit.home import Home

MLFLOW_VERSION = "3.17.2"
# The schema that this version gives its database; a journey compares it with a real one.
MLFLOW_SCHEMA = "dc11669786a5"

# The listening socket that the unit's supervisor hands over.
_LISTENING_DESCRIPTOR = 3

# A model version's source is a promise about who may read it: only places that MLflow itself
# checks against the workspace are let in, never a raw bucket or file.
_ALLOWED_SOURCES = r"^(mlflow-artifacts:/[^/]|models:/|runs:/).*"

# Clients come through the gateway at a loopback address; `localhost` is also what our own client
# sends over the Unix socket.
_ALLOWED_HOSTS = f"localhost,localhost:*,127.0.0.1,127.0.0.1:*,{TRACKING_HOST},{TRACKING_HOST}:*"


def mlflow_packages() -> tuple[str, ...]:
    """Return the requirement lines of MLflow's own environment; uvicorn comes with them."""
    return (f"mlflow=={MLFLOW_VERSION}",)


def temporary_folder(home: Home) -> Path:
    """Return where MLflow keeps an upload until it is whole; it must exist before the start.

    On the disk of the artifacts, as a model may be larger than the memory behind `/tmp`.
    """
    return home.tracking / "tmp"


def guard_folder() -> Path:
    """Return the folder of ours that MLflow's process reads: the guard around its files."""
    return Path(__file__).parent / "inside"


def command(home: Home, python: Path, port: int) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the argument vector and the whole environment of MLflow's server.

    `python` is the interpreter of the environment that has `mlflow_packages()`. The server is one
    process that answers on the listening socket it finds as file descriptor 3. The database and
    the artifacts live below `home.tracking`, which is also the folder to start it in. `port` is
    the gateway's, behind which browsers find MLflow's pages.
    """
    arguments = (
        str(python),
        "-m",
        "uvicorn",
        "--app-dir",
        str(guard_folder()),
        "--factory",
        "application:create",
        "--fd",
        str(_LISTENING_DESCRIPTOR),
        "--workers",
        "1",
        "--log-level",
        "warning",
        "--no-access-log",
    )
    return arguments, _environment(home, python, port)


def _environment(home: Home, python: Path, port: int) -> dict[str, str]:
    database = f"sqlite:///{home.tracking / 'mlflow.db'}"
    return {
        "PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home.tracking),
        "TMPDIR": str(temporary_folder(home)),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "MLFLOW_ENABLE_WORKSPACES": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_SERVER_ALLOWED_HOSTS": _ALLOWED_HOSTS,
        # Pages of any other origin change nothing; the gateway refuses them before.
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": tracking_origin(port),
        "MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX": _ALLOWED_SOURCES,
        # `mlflow server` sets these for its workers; running uvicorn ourselves saves a process
        # and 300 MB, at the price of naming MLflow's private variables. The version is pinned.
        "_MLFLOW_SERVER_FILE_STORE": database,
        "_MLFLOW_SERVER_REGISTRY_STORE": database,
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(home.tracking / "artifacts"),
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
    }
