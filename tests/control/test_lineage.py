"""What a model version came from, as our rows and MLflow's tags say it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete, update

from plinth.control.lineage import (
    LONGEST_VALUE,
    MOST_VALUES,
    Person,
    find_lineage,
    lineage_of_data,
    lineage_of_model,
)
from plinth.control.runs.service import remove_run
from plinth.control.tags import BY, tags_of
from plinth.control.trace import find_trace
from plinth.domain.access import PrincipalKind
from plinth.domain.model import CodeOrigin, DataVersion, Lineage, ModelVersion
from plinth.domain.workload_fields import parse_model
from plinth.kit.errors import NotFound, Temporary
from plinth.store import tables
from plinth.store.data_versions import add_data_version
from plinth.store.identities import add_principal
from plinth.tracking.mlflow import RUN_TAG
from tests.control.plane import TEAM, Plane
from tests.store.test_lineage import data_of

ASKED = "models:/m@champion"
CODE = CodeOrigin(commit="a" * 40, branch="main")


def add_data(plane: Plane) -> DataVersion:
    version = data_of()
    with plane.write() as connection:
        add_data_version(connection, version)
    return version


def trained(plane: Plane, **logged: Any) -> tuple[str, ModelVersion]:
    """Train and register a model in a job of ours; return its run and the version."""
    add_data(plane)
    run = plane.submit(origin=CODE, data={"in": "flights@1"})
    plane.until(lambda: bool(plane.world.starts))
    plane.world.end(f"{run}.0.1")
    plane.until(lambda: plane.run(run).closed)
    tracked = plane.run(run).tracking_run
    assert tracked is not None
    plane.tracking.log(TEAM, tracked, tags=plane.tracking.tags[run], **logged)
    return run, plane.tracking.add_model(TEAM, "m", ("champion",), tracked)


def forget(plane: Plane, run: str) -> None:
    """Delete the run, and let all time pass that it is kept for."""
    plane.parts.metering.collect()
    with plane.write() as connection:
        remove_run(connection, plane.context, plane.run(run))
        connection.execute(delete(tables.attempt).where(tables.attempt.c.run == run))
        connection.execute(delete(tables.run).where(tables.run.c.id == run))


def test_a_model_of_a_job_comes_from_all_that_the_job_was_given(plane: Plane) -> None:
    run, model = trained(plane, parameters={"lr": "0.1"}, metrics={"auc": 0.9})
    assert find_lineage(plane.context, ASKED, model) == Lineage(
        reference=ASKED,
        tracking_run=model.tracking_run_id,
        run=run,
        run_by="admin",
        code=CODE,
        data={"in": data_of()},
        parameters={"lr": "0.1"},
        metrics={"auc": 0.9},
    )


def test_what_the_tags_say_is_left_when_the_job_is_gone(plane: Plane) -> None:
    run, model = trained(plane)
    before = find_lineage(plane.context, ASKED, model)
    forget(plane, run)
    # The administrator is of another team: that a tag names one proves nothing.
    left = before.model_copy(update={"run_by": None})
    assert find_lineage(plane.context, ASKED, model) == left


def test_data_that_is_another_now_is_not_named(plane: Plane) -> None:
    run, model = trained(plane)
    forget(plane, run)
    with plane.write() as connection:
        connection.execute(update(tables.data_version).values(digest="f" * 64))
    assert find_lineage(plane.context, ASKED, model).data == {}


def test_a_model_that_was_registered_by_hand_has_less(plane: Plane) -> None:
    model = plane.tracking.add_model(TEAM, "m", ("champion",))
    assert find_lineage(plane.context, ASKED, model) == Lineage(reference=ASKED)
    gone = plane.tracking.add_model(TEAM, "m", (), "deleted-in-mlflow")
    found = find_lineage(plane.context, "models:/m/2", gone)
    assert found == Lineage(reference="models:/m/2", tracking_run="deleted-in-mlflow")


def test_a_run_that_another_program_logged_has_its_commit_and_no_job(plane: Plane) -> None:
    plane.tracking.log(TEAM, "laptop", tags={"mlflow.source.git.commit": "b" * 40})
    model = plane.tracking.add_model(TEAM, "m", ("champion",), "laptop")
    found = find_lineage(plane.context, ASKED, model)
    assert (found.run, found.run_by, found.code) == (None, None, CodeOrigin(commit="b" * 40))


def test_a_tag_that_names_another_teams_job_opens_nothing_of_it(plane: Plane) -> None:
    other = plane.submit(team="default")
    plane.tracking.log(TEAM, "forged", tags=tags_of(plane.run(other)))
    model = plane.tracking.add_model(TEAM, "m", ("champion",), "forged")
    found = find_lineage(plane.context, ASKED, model)
    assert found == Lineage(reference=ASKED, tracking_run="forged")


@pytest.mark.parametrize(("team", "name"), [("default", None), (TEAM, "ann")])
def test_a_tag_names_nobody_of_another_team(plane: Plane, team: str, name: str | None) -> None:
    now = plane.clock.now()
    with plane.write() as connection:
        named = add_principal(connection, kind=PrincipalKind.USER, name="ann", team=team, now=now)
    forged = {RUN_TAG: "r_gone", BY: named.id}
    plane.tracking.log(TEAM, "forged", tags=forged)
    plane.tracking.add_model(TEAM, "m", ("champion",), "forged")
    found = lineage_of_model(plane.context, TEAM, parse_model(ASKED), lambda _: True)
    assert found.run_by == (Person(id=named.id, name=name, team=team) if name else None)
    deployment = plane.apply().deployment
    plane.until(lambda: plane.serves(deployment))
    plane.respond("one")
    traced = find_trace(plane.context, "one", lambda _record, _run: True)
    assert traced.run_by == found.run_by


def test_what_a_job_logs_without_bounds_is_kept_within_some(plane: Plane) -> None:
    _, model = trained(
        plane,
        parameters={f"p{number:05}": "x" * 5000 for number in range(1000)},
        metrics={f"m{number:05}": 1.0 for number in range(1000)},
    )
    found = find_lineage(plane.context, ASKED, model)
    assert len(found.parameters) == len(found.metrics) == MOST_VALUES
    assert set(map(len, found.parameters.values())) == {LONGEST_VALUE}


def test_mlflow_that_does_not_answer_is_not_called_a_model_without_a_past(plane: Plane) -> None:
    _, model = trained(plane)
    plane.tracking.error = Temporary("MLflow is starting")
    with pytest.raises(Temporary):
        find_lineage(plane.context, ASKED, model)


def test_a_deployment_keeps_what_its_model_came_from(plane: Plane) -> None:
    _, model = trained(plane)
    expected = find_lineage(plane.context, ASKED, model)
    deployment = plane.apply().deployment
    plane.tracking.logged.clear()
    assert plane.run(deployment).lineage == expected


def test_a_model_is_shown_both_ways(plane: Plane) -> None:
    run, model = trained(plane)
    first = plane.apply().deployment
    plane.until(lambda: plane.serves(first))
    plane.tracking.add_model(TEAM, "m", ("champion",))
    second = plane.apply().deployment
    plane.until(lambda: plane.serves(second))
    plane.until(lambda: plane.run(first).phase.is_final)
    found = lineage_of_model(plane.context, TEAM, parse_model("models:/m/1"), lambda _: True)
    assert found.model == model.model_copy(update={"aliases": ()})
    assert (found.came_from.run, found.came_from.reference) == (run, "models:/m/1")
    assert found.run_by is not None
    assert found.run_by.name == "admin"
    (served,) = found.deployments
    assert (served.run, served.serves, served.reference) == (first, False, ASKED)
    assert served.until is not None
    newer = lineage_of_model(plane.context, TEAM, parse_model(ASKED), lambda _: True)
    assert [(each.run, each.serves, each.until) for each in newer.deployments] == [
        (second, True, None)
    ]
    hidden = lineage_of_model(plane.context, TEAM, parse_model(ASKED), lambda _: False)
    assert hidden.deployments == ()
    with pytest.raises(NotFound):
        lineage_of_model(plane.context, TEAM, parse_model("models:/absent/1"), lambda _: True)


def test_data_is_followed_to_jobs_models_and_deployments_also_when_the_job_is_gone(
    plane: Plane,
) -> None:
    run, model = trained(plane)
    deployment = plane.apply().deployment
    found = lineage_of_data(plane.context, data_of(), lambda _: True)
    assert [(each.run, each.name) for each in found.runs] == [(run, "train")]
    assert [each.version for each in found.models] == [model.version]
    assert [each.run for each in found.deployments] == [deployment]
    forget(plane, run)
    found = lineage_of_data(plane.context, data_of(), lambda _: True)
    assert (found.runs, [each.version for each in found.models]) == ((), [model.version])
    nothing = lineage_of_data(plane.context, data_of(2), lambda _: True)
    assert (nothing.runs, nothing.models, nothing.deployments) == ((), (), ())
