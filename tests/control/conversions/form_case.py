"""A model of scikit-learn on a whole control plane, and the conversion that looks for its form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plinth.control.conversions.preparation import FORM
from plinth.domain.model import ModelVersion
from plinth.domain.run import Phase
from plinth.domain.workload import Endpoint
from plinth.kit.ids import digest_of
from plinth.store.runs import StoredRun, list_runs
from tests.control.plane import Plane

MLMODEL = """
flavors:
  python_function: {predict_fn: predict}
  sklearn: {}
signature: {inputs: '[]'}
saved_input_example_info: {artifact_path: input_example.json}
"""
ONNX = b"onnx"
COMPARED = {
    "agrees": True,
    "rows": 1003,
    "tolerance": "1e-05 + 0.0001 x the value",
    "largest_difference": 2e-7,
    "speed": {
        "pyfunc": {"one_row_ms": 5.6, "rows_per_s": 20000.0},
        "onnx": {"one_row_ms": 0.007, "rows_per_s": 900000.0},
    },
}


def with_models(plane: Plane, monkeypatch: pytest.MonkeyPatch, mlmodel: str = MLMODEL) -> Plane:
    """Have the registry give models of scikit-learn, and take tags."""
    download = plane.tracking.download_model

    def with_model(team: str, version: ModelVersion, folder: Path) -> Path:
        download(team, version, folder)
        (folder / "MLmodel").write_text(mlmodel)
        return folder

    monkeypatch.setattr(plane.tracking, "download_model", with_model)
    monkeypatch.setattr(plane.tracking, "tag_model", lambda *_: None, raising=False)
    return plane


def conversions(plane: Plane) -> list[StoredRun]:
    """Return the conversions that there are, newest first."""
    with plane.database.read() as connection:
        return list_runs(connection, kind="conversion")


def conversion(plane: Plane) -> StoredRun:
    """Return the conversion that runs, once it does."""

    def runs() -> bool:
        return any(run.phase is Phase.RUNNING for run in conversions(plane))

    plane.until(runs)
    return next(run for run in conversions(plane) if run.phase is Phase.RUNNING)


def finish(plane: Plane, run: StoredRun, **form: Any) -> None:
    """End a conversion with what it found; without more, an ONNX form that agrees."""
    found = {"form": "onnx", "why": "it answers 1,003 rows as before", "compared": COMPARED}
    folder = plane.home.runs / run.id / "work" / FORM
    folder.mkdir()
    (folder / "model.onnx").write_bytes(ONNX)
    found |= {"digest": digest_of(ONNX), **form}
    (folder / "form.json").write_text(json.dumps(found))
    plane.world.end(f"{run.id}.0.{plane.attempts(run.id)[-1].number}")
    plane.until(lambda: plane.run(run.id).phase.is_final)


def served(plane: Plane, name: str = "main") -> StoredRun:
    """Return the run that serves a deployment."""
    endpoint = plane.endpoint()
    assert endpoint is not None
    return plane.run(endpoint.serving[name])


def form_of(run: StoredRun) -> str:
    """Return the form of a deployment's run."""
    assert isinstance(run.workload, Endpoint)
    return run.workload.form
