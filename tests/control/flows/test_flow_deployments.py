"""A flow is an endpoint with one deployment: versions by its code, a key, a run in MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from plinth.control.endpoints.service import remove_endpoint, stop_endpoint
from plinth.control.flows.preparation import flow_environment
from plinth.control.flows.resolution import check_folder
from plinth.domain.run import Phase
from plinth.engines.base import Elastic
from plinth.kit.errors import Conflict, Invalid
from plinth.runtimes.runtime import load_runtimes
from tests.control.flows.stand import PLAIN, apply_flow, flow_of, serves, upload
from tests.control.plane import TEAM, Plane, make_plane


@pytest.fixture
def plane() -> Iterator[Plane]:
    with make_plane() as plane:
        yield plane


def test_it_is_started_with_its_app_a_key_and_mlflow(plane: Plane) -> None:
    run = apply_flow(plane, variables={"A": "b"}).deployment
    plane.until(lambda: serves(plane, run))
    spec = plane.world.replicas[f"{run}.0.1"].spec
    assert spec.command[1:] == (
        *("-m", "flowhost", "--folder", str(plane.home.runs / str(run) / "work")),
        *("--name", "answers", "--fd", "3", "--app", "main:app"),
    )
    assert spec.variables["A"] == "b"
    assert spec.variables["PLINTH_ADDRESS"] == plane.context.address
    claims = plane.context.claims_of(spec.variables["PLINTH_KEY"])
    assert claims is not None
    assert (claims.team, claims.is_run) == (TEAM, True)
    assert spec.variables["MLFLOW_EXPERIMENT_NAME"] == "answers"
    assert spec.socket is not None
    assert (Path(spec.folder) / "main.py").read_text() == PLAIN["main.py"]


def test_the_same_code_goes_on_and_other_code_takes_over(plane: Plane) -> None:
    first = apply_flow(plane)
    plane.until(lambda: serves(plane, first.deployment))
    again = apply_flow(plane)
    assert (again.changed, again.deployment) == (False, first.deployment)
    changed = apply_flow(plane, {"main.py": "app = 2\n"})
    assert changed.changed
    assert changed.deployment != first.deployment
    plane.gateway_lags = True
    plane.until(lambda: serves(plane, changed.deployment))
    plane.step()
    # It is stopped only when the gateway sends it nothing any more.
    assert plane.run(str(first.deployment)).phase is Phase.RUNNING
    plane.gateway_lags = False
    plane.until(lambda: plane.run(str(first.deployment)).phase is Phase.STOPPED)
    assert plane.live_keys(str(first.deployment)) == 0
    assert plane.live_keys(str(changed.deployment)) == 1


def test_limits_take_effect_at_once_and_restart_nothing(plane: Plane) -> None:
    first = apply_flow(plane)
    plane.until(lambda: serves(plane, first.deployment))
    limited = apply_flow(plane, limits=[{"requests_per_minute": 5}])
    assert (limited.changed, limited.deployment) == (True, first.deployment)
    with plane.database.read() as connection:
        (route,) = plane.gateway.state(connection).endpoints
    assert (route.protocol, route.policy.limits[0].requests_per_minute) == ("flow", 5)


def test_one_that_does_not_load_says_why_and_is_no_model(plane: Plane) -> None:
    plane.not_ready = "the flow is loading"
    run = str(apply_flow(plane).deployment)
    plane.until(lambda: f"{run}.0.1" in plane.world.replicas)
    plane.world.replicas[
        f"{run}.0.1"
    ].output = b"error: flow `answers` does not load: ImportError: no `x`\n"
    plane.world.end(f"{run}.0.1", 3)
    plane.until(lambda: plane.run(run).phase is Phase.FAILED)
    assert plane.run(run).message == "the flow does not load: ImportError: no `x`"


def test_its_run_is_told_ready_in_words_of_its_own(plane: Plane) -> None:
    run = apply_flow(plane).deployment
    plane.until(lambda: serves(plane, run))
    assert plane.run(str(run)).message == "it is loaded, and answers through the gateway"


def test_it_is_stopped_and_forgotten_as_an_endpoint_is(plane: Plane) -> None:
    run = apply_flow(plane).deployment
    plane.until(lambda: serves(plane, run))
    found = plane.endpoint("answers")
    assert found is not None
    with plane.write() as connection:
        stop_endpoint(connection, plane.context, found)
    plane.until(lambda: plane.run(str(run)).phase is Phase.STOPPED)
    with plane.write() as connection:
        remove_endpoint(connection, plane.context, found)
    for _ in range(40):
        plane.step()
        plane.parts.metering.collect()
    assert plane.endpoint("answers") is None


def test_a_name_that_another_team_has_is_refused(plane: Plane) -> None:
    plane.apply(name="answers")
    with plane.write() as connection:
        connection.exec_driver_sql("update endpoint set team = 'default' where name = 'answers'")
    with pytest.raises(Conflict, match="is taken"):
        apply_flow(plane)


def test_what_is_wrong_with_the_folder_is_refused_and_nothing_is_written(plane: Plane) -> None:
    with pytest.raises(Invalid, match=r"`main.py` has no `app`"):
        apply_flow(plane, {"main.py": "other = 1\n"})
    with pytest.raises(Invalid, match=r"holds no `flow.dag.yaml`"):
        apply_flow(plane, app=None)
    assert plane.endpoint("answers") is None


def test_a_folder_has_to_be_uploaded_by_the_same_team(plane: Plane) -> None:
    digest = upload(plane, PLAIN, team="default")
    with pytest.raises(Invalid, match="was not uploaded"):
        check_folder(plane.context, flow_of(), digest)


def test_a_requirements_file_is_sent_as_lines(plane: Plane) -> None:
    with pytest.raises(Invalid, match="on the caller's machine"):
        apply_flow(plane, environment={"file": "requirements.txt"})


def test_what_could_not_be_built_is_refused_before_anything_is_written(plane: Plane) -> None:
    with pytest.raises(Invalid, match="names `uvicorn`, which `asgihost` itself needs"):
        apply_flow(plane, environment={"leave_out": ["uvicorn"]})
    assert plane.endpoint("answers") is None


def test_its_environment_has_its_packages_and_those_that_run_it() -> None:
    runtime = load_runtimes()["promptflow"]
    flow = flow_of(app=None, environment={"packages": ["jinja2==3.1.6"]})
    spec = flow_environment(flow, runtime)
    assert set(spec.packages) == {"jinja2==3.1.6", *runtime.packages}
    assert spec.without_dependencies == runtime.without_dependencies != ()


def test_what_the_host_stands_in_for_is_left_out_unless_the_flow_names_it() -> None:
    runtime = load_runtimes()["asgihost"]
    asked = {"packages": ["semantic-kernel==1.45.0"], "leave_out": ["av"]}
    spec = flow_environment(flow_of(environment=asked), runtime)
    assert spec.leave_out == ("av", "pybars4")
    # Whoever has a wheel of it on their index gets it.
    own = {"packages": ["PyBars4==0.9.13"]}
    assert flow_environment(flow_of(environment=own), runtime).leave_out == ()


def test_connections_reach_the_host_as_the_file_has_them(plane: Plane) -> None:
    dag = "nodes: [{name: a, type: prompt, source: {type: code, path: a.jinja2}}]\n"
    files = {"flow.dag.yaml": dag, "a.jinja2": "hello"}
    run = apply_flow(plane, files, app=None, connections={"search": {"KEY": "v"}}).deployment
    plane.until(lambda: serves(plane, run))
    spec = plane.world.replicas[f"{run}.0.1"].spec
    assert spec.variables["PLINTH_FLOW_CONNECTIONS"] == '{"search": {"KEY": "v"}}'
    assert "--app" not in spec.command


def test_one_that_scales_is_started_with_its_terms(plane: Plane) -> None:
    told = {"workers": "1..4", "idle": "90s", "concurrency": 3, "ready_timeout": "20s"}
    run = apply_flow(plane, **told).deployment
    plane.until(lambda: serves(plane, run))
    spec = plane.world.replicas[f"{run}.0.1"].spec
    assert spec.elastic == Elastic(least=1, most=4, start_s=20)
    words = " ".join(spec.command)
    assert "--concurrency 3 --idle-s 90 --least 1" in words


def test_it_scales_with_defaults_and_one_worker_does_not(plane: Plane) -> None:
    run = apply_flow(plane, workers="0..4").deployment
    plane.until(lambda: serves(plane, run))
    words = " ".join(plane.world.replicas[f"{run}.0.1"].spec.command)
    assert "--concurrency 8 --idle-s 300 --least 0" in words
    one = apply_flow(plane).deployment
    plane.until(lambda: serves(plane, one))
    spec = plane.world.replicas[f"{one}.0.1"].spec
    assert (spec.elastic, "--concurrency" in spec.command) == (None, False)
