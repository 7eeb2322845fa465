"""Applying, stopping and deleting change the intent and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.control.endpoints.routing import routed
from plinth.control.endpoints.service import remove_endpoint, stop_endpoint
from plinth.control.identities import make_team
from plinth.domain.run import Phase
from plinth.domain.workload import Endpoint
from plinth.kit.errors import Conflict, NotFound
from plinth.store.endpoints import StoredEndpoint
from tests.control.plane import TEAM, Plane


def test_a_name_is_one_teams_only(plane: Plane) -> None:
    plane.apply()
    with plane.write() as connection:
        make_team(connection, plane.context, "other", created_by="admin")
    with pytest.raises(Conflict, match="taken") as caught:
        plane.apply(team="other")
    assert caught.value.code == "name_taken"


def test_an_unknown_team_is_refused(plane: Plane) -> None:
    with pytest.raises(NotFound, match="no team `nobody`"):
        plane.apply(team="nobody")


def test_what_is_being_deleted_is_not_applied(plane: Plane) -> None:
    endpoint = plane.apply().endpoint
    with plane.write() as connection:
        remove_endpoint(connection, plane.context, endpoint)
        remove_endpoint(connection, plane.context, endpoint)
    with pytest.raises(Conflict, match="being deleted"):
        plane.apply()


def test_stopping_what_is_being_deleted_does_not_keep_it(plane: Plane) -> None:
    endpoint = plane.apply().endpoint
    with plane.write() as connection:
        remove_endpoint(connection, plane.context, endpoint)
    deleted = plane.endpoint()
    assert deleted is not None
    with plane.write() as connection:
        stop_endpoint(connection, plane.context, deleted)
    assert getattr(plane.endpoint(), "desired", None) == "delete"


def test_a_model_that_was_registered_anew_is_another_one(plane: Plane) -> None:
    first = plane.apply()
    assert not plane.apply().changed
    (model,) = plane.tracking.models[(TEAM, "m")]
    anew = model.model_copy(update={"artifact_uri": "mlflow-artifacts:/m/another"})
    plane.tracking.models[(TEAM, "m")] = [anew]
    again = plane.apply()
    assert again.changed
    assert again.deployment != first.deployment


def two(**fields: Any) -> dict[str, Any]:
    return {
        "deployments": {"blue": {"model": "models:/m/1"}, "green": {"model": "models:/m/2"}},
        "traffic": {"blue": 90, "green": 10},
        **fields,
    }


def versions(plane: Plane, count: int = 2) -> None:
    while len(plane.tracking.models.get((TEAM, "m"), [])) < count:
        plane.tracking.add_model(TEAM, "m", ("champion",))


def stored(plane: Plane) -> StoredEndpoint:
    found = plane.endpoint()
    assert found is not None
    return found


def test_each_deployment_is_a_run_of_its_own_part_of_the_file(plane: Plane) -> None:
    versions(plane)
    applied = plane.apply(**two(resources={"cpu": 2}))
    assert set(applied.deployments) == {"blue", "green"}
    assert applied.deployment == applied.deployments["blue"]
    assert stored(plane).next == applied.deployments
    run = plane.run(applied.deployments["green"])
    assert (run.deployment, run.model.version if run.model else 0) == ("green", 2)
    assert isinstance(run.workload, Endpoint)
    assert (run.workload.model, run.workload.deployments) == ("models:/m/2", {})
    assert run.workload.resources.cpu == 2


def test_only_what_changed_is_deployed_anew(plane: Plane) -> None:
    versions(plane)
    first = plane.apply(**two())
    plane.until(lambda: stored(plane).next == {})
    shares = plane.apply(**two(traffic={"blue": 50, "green": 50}, timeouts={"request": "5s"}))
    assert (shares.changed, shares.deployments) == (True, first.deployments)
    assert stored(plane).next == {}
    again = plane.apply(**two(traffic={"blue": 50, "green": 50}, timeouts={"request": "5s"}))
    assert not again.changed
    larger = two()
    larger["deployments"]["green"]["replicas"] = 2
    changed = plane.apply(**larger)
    assert changed.deployments["blue"] == first.deployments["blue"]
    assert stored(plane).next == {"green": changed.deployments["green"]}


def test_going_back_to_what_serves_needs_no_run(plane: Plane) -> None:
    versions(plane)
    first = plane.apply(model="models:/m/1")
    plane.until(lambda: plane.serves(first.deployments["main"]))
    plane.why_not[plane.apply(model="models:/m/2").deployments["main"]] = "loading"
    back = plane.apply(model="models:/m/1")
    assert (back.changed, back.deployments, stored(plane).next) == (True, first.deployments, {})


def test_what_serves_goes_on_under_another_name(plane: Plane) -> None:
    versions(plane)
    first = plane.apply(model="models:/m/1")
    run = first.deployments["main"]
    plane.until(lambda: plane.serves(run))
    both = plane.apply(**two())
    assert both.deployments["blue"] == run
    assert (stored(plane).serving, stored(plane).before) == ({"blue": run}, None)
    assert plane.run(run).deployment == "blue"


def test_one_run_is_taken_over_by_one_name_only(plane: Plane) -> None:
    versions(plane)
    run = plane.apply(model="models:/m/1").deployments["main"]
    plane.until(lambda: plane.serves(run))
    same = {"deployments": {name: {"model": "models:/m/1"} for name in ("a", "b")}}
    applied = plane.apply(**same, traffic={"a": 50, "b": 50})
    assert applied.deployments["a"] == run
    assert applied.deployments["b"] != run


def test_a_new_file_waits_for_something_that_takes_its_traffic(plane: Plane) -> None:
    versions(plane)
    run = plane.apply(model="models:/m/1").deployments["main"]
    plane.until(lambda: plane.serves(run))
    plane.apply(**two(traffic={"green": 100}))
    # Blue is what served as `main`, but nothing goes there; green is not ready.
    assert stored(plane).before is not None
    assert routed(stored(plane)) == {"main": run}
    plane.until(lambda: stored(plane).before is None)
    assert set(routed(stored(plane))) == {"blue", "green"}
    assert plane.run(run).phase is Phase.RUNNING


def test_an_external_endpoint_has_no_run(plane: Plane) -> None:
    applied = plane.apply(external={"url": "https://1.1.1.1", "protocol": "open-inference"})
    assert (applied.deployments, applied.deployment, applied.changed) == ({}, None, True)
    plane.until(lambda: stored(plane).reason == "Serving")
    assert routed(stored(plane)) == {"main": "delay.main"}


def test_an_alias_that_now_names_the_same_version_changes_nothing_but_the_text(
    plane: Plane,
) -> None:
    plane.apply()
    again = plane.apply(model="models:/m/1")
    assert not again.changed
    assert stored(plane).workload.model == "models:/m/1"
