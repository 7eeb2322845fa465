"""O0: the tools around a prompt flow cover its whole life: check, deploy, trace, vary, evaluate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from plinth.control.flows.evaluation import add_evaluation
from plinth.control.flows.resolution import resolve_evaluation
from plinth.control.flows.traces import list_traces
from plinth.domain.dag import flow_problems
from plinth.domain.flow import FlowEvaluation
from plinth.kit.errors import Invalid
from plinth.kit.files import read_text_below
from tests.control.flows.stand import apply_flow, flow_of, serves, upload
from tests.control.plane import Plane, make_plane

EXAMPLE = Path(__file__).parents[2] / "examples" / "flow" / "answers"


@pytest.fixture
def plane() -> Iterator[Plane]:
    with make_plane() as plane:
        yield plane


def example() -> dict[str, str]:
    return {path.name: path.read_text() for path in EXAMPLE.iterdir() if path.is_file()}


def test_the_example_is_checked_without_running_it() -> None:
    assert flow_problems(None, {}, lambda name: read_text_below(EXAMPLE, name)) == []


def test_a_folder_is_deployed_as_it_is(plane: Plane) -> None:
    run = apply_flow(plane, example(), app=None).deployment
    plane.until(lambda: serves(plane, run))
    work = Path(plane.world.replicas[f"{run}.0.1"].spec.folder)
    assert {path.name: path.read_text() for path in work.iterdir()} == example()


def test_a_folder_that_cannot_run_is_not_deployed(plane: Plane) -> None:
    broken = example() | {"flow.dag.yaml": "nodes: [{name: a, type: llm}]"}
    with pytest.raises(Invalid, match="node `a`"):
        apply_flow(plane, broken, app=None)
    assert plane.endpoint("answers") is None


def test_its_variants_are_evaluated_side_by_side(plane: Plane) -> None:
    variants = ("ask.plain", "ask.terse")
    asked = FlowEvaluation.of(flow_of(app=None), variants=variants, expected="right")
    digest = upload(plane, example())
    plan = resolve_evaluation(plane.context, asked, digest)
    with plane.write() as connection:
        run = add_evaluation(
            connection, plane.context, plane.actor(), asked, plan=plan, code_digest=digest
        )
    plane.until(lambda: f"{run.id}.0.1" in plane.world.replicas)
    spec = plane.world.replicas[f"{run.id}.0.1"].spec
    assert json.loads(spec.command[-1])["variants"] == list(variants)
    assert spec.variables["MLFLOW_RUN_ID"] == plane.run(run.id).tracking_run


def test_its_requests_can_be_looked_at(plane: Plane) -> None:
    flow = apply_flow(plane, example(), app=None).endpoint
    assert list_traces(plane.context, flow, 20) == []
