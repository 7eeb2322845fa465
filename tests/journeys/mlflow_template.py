"""MLflow's empty database, made once for a machine: its migrations take a second of every start.

Homes that a test brings itself, and `mlflow_server`, start without one, as a first start does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from plinth.kit.files import locked
from plinth.kit.home import DEFAULT_PORT, Home
from plinth.tracking.server import MLFLOW_SCHEMA, MLFLOW_VERSION, command, temporary_folder
from plinth.upkeep.contents import tracking_database

# What MLflow's server does at its first request.
_OPEN = (
    "from mlflow.server import handlers;"
    "handlers._get_tracking_store(); handlers._get_model_registry_store()"
)


def put_empty_database(home: Home, python: Path) -> None:
    """Put MLflow's empty database into a new home; `python`: that of MLflow's environment."""
    home.prepare()
    shutil.copyfile(_template(python), tracking_database(home))


def _template(python: Path) -> Path:
    folder = Path(os.environ["PLINTH_TEST_CACHE"])
    template = folder / f"mlflow-{MLFLOW_VERSION}-{MLFLOW_SCHEMA}.db"
    with locked(folder / "mlflow-template.lock"):
        if not template.exists():
            _make(template, python)
    return template


def _make(template: Path, python: Path) -> None:
    home = Home(Path(tempfile.mkdtemp(prefix="pl-")))
    home.prepare()
    temporary_folder(home).mkdir()
    _, variables = command(home, python, DEFAULT_PORT)
    arguments = [str(python), "-c", _OPEN]
    subprocess.run(arguments, env=variables, cwd=home.tracking, check=True, timeout=120)
    # One rename: nobody ever sees half a database.
    unfinished = template.with_suffix(".unfinished")
    shutil.copyfile(tracking_database(home), unfinished)
    unfinished.replace(template)
    shutil.rmtree(home.root)
