"""An evaluation is a run that ends: with the flow's code, a key of its own, a run in MLflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plinth.control.flows.evaluation import add_evaluation
from plinth.control.flows.resolution import resolve_evaluation
from plinth.control.preparation import code_key
from plinth.domain.flow import FlowEvaluation, PromptFlow
from plinth.domain.run import Phase
from plinth.kit.archive import pack
from plinth.store.runs import StoredRun
from tests.control.plane import TEAM, Plane, make_plane


@pytest.fixture
def plane() -> Iterator[Plane]:
    with make_plane() as plane:
        yield plane


@pytest.fixture
def digest(plane: Plane, tmp_path: Path) -> str:
    (tmp_path / "main.py").write_text("app = 1\n")
    code = pack(tmp_path)
    source = tmp_path / "code.tar.gz"
    source.write_bytes(code.content)
    plane.context.storage.put_file(source, code_key(TEAM, code.digest))
    return code.digest


def evaluation(**fields: Any) -> FlowEvaluation:
    flow = PromptFlow(kind="flow", name="answers", team=TEAM, app="main:app")
    return FlowEvaluation.of(flow, **fields)


def submit(plane: Plane, digest: str, **fields: Any) -> StoredRun:
    asked = evaluation(**fields)
    plan = resolve_evaluation(plane.context, asked, digest)
    with plane.write() as connection:
        return add_evaluation(
            connection, plane.context, plane.actor(), asked, plan=plan, code_digest=digest
        )


def test_it_runs_the_rows_beside_the_code_to_their_end(plane: Plane, digest: str) -> None:
    run = submit(plane, digest, expected="right")
    plane.until(lambda: f"{run.id}.0.1" in plane.world.replicas)
    spec = plane.world.replicas[f"{run.id}.0.1"].spec
    asked = json.loads(spec.command[-1])
    assert asked == {
        "rows": ".plinth-rows.jsonl", "results": ".plinth-results.jsonl", "variants": [],
        "expected": "right", "output": None,
    }  # fmt: skip
    assert spec.socket is None
    assert spec.variables["PLINTH_KEY"]
    assert spec.variables["MLFLOW_EXPERIMENT_NAME"] == "answers"
    plane.world.end(f"{run.id}.0.1")
    plane.until(lambda: plane.run(run.id).phase is Phase.SUCCEEDED)
    assert plane.live_keys(run.id) == 0


def test_one_that_ends_wrongly_has_failed_and_is_not_tried_again(plane: Plane, digest: str) -> None:
    run = submit(plane, digest)
    plane.until(lambda: f"{run.id}.0.1" in plane.world.replicas)
    plane.world.end(f"{run.id}.0.1", 3)
    plane.until(lambda: plane.run(run.id).phase is Phase.FAILED)
    assert f"{run.id}.0.2" not in plane.world.replicas
