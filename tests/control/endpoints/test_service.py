"""Applying, stopping and deleting change the intent and nothing else."""

from __future__ import annotations

import pytest

from plinth.control.endpoints.service import check_runtime, remove_endpoint, stop_endpoint
from plinth.control.identities import make_team
from plinth.kit.errors import Conflict, Invalid, NotFound
from tests.control.plane import TEAM, Plane, endpoint_of


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


def test_an_unknown_runtime_is_refused_with_those_there_are(plane: Plane) -> None:
    check_runtime(plane.context, endpoint_of())
    with pytest.raises(Invalid, match="v2server"):
        check_runtime(plane.context, endpoint_of(runtime="nope"))
