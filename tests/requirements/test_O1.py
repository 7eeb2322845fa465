"""O1: a flow in production: its own key, no caller but those granted, nothing done twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from plinth.gateway.flow_routes import flow_routes
from tests.control.flows.stand import apply_flow, serves
from tests.control.plane import TEAM, Plane, make_plane


@pytest.fixture
def plane() -> Iterator[Plane]:
    with make_plane() as plane:
        yield plane


@pytest.fixture
def run(plane: Plane) -> str:
    run = str(apply_flow(plane).deployment)
    plane.until(lambda: serves(plane, run))
    return run


def test_it_calls_models_with_a_key_of_its_own_that_ends_with_it(plane: Plane, run: str) -> None:
    first = plane.world.replicas[f"{run}.0.1"].spec.variables["PLINTH_KEY"]
    plane.world.end(f"{run}.0.1", 1)
    plane.until(lambda: f"{run}.0.2" in plane.world.replicas)
    second = plane.world.replicas[f"{run}.0.2"].spec.variables["PLINTH_KEY"]
    assert first != second
    assert plane.live_keys(run) == 1
    claims = plane.context.claims_of(second)
    assert claims is not None
    assert (claims.team, claims.principal) == (TEAM, plane.run(run).principal)


def test_only_its_own_team_may_call_it_until_it_is_granted(plane: Plane, run: str) -> None:
    with plane.database.read() as connection:
        (route,) = plane.gateway.state(connection).endpoints
    assert (route.caller_teams, route.name) == ((TEAM,), "answers")


def test_what_was_sent_to_it_is_never_sent_again(plane: Plane, run: str) -> None:
    with plane.database.read() as connection:
        (route,) = plane.gateway.state(connection).endpoints
    policy = flow_routes(route)[-1]["route"]["retry_policy"]
    assert "reset-before-request" in policy["retry_on"].split(",")
    assert not {"reset", "5xx", "gateway-error"} & set(policy["retry_on"].split(","))


def test_it_is_confined_as_a_job_is(plane: Plane, run: str) -> None:
    spec = plane.world.replicas[f"{run}.0.1"].spec
    assert spec.network == "gateway"
    writable = [mount.path for mount in spec.mounts if mount.writable]
    assert writable == [str(plane.home.runs / run)]


def test_a_crashed_host_is_started_again(plane: Plane, run: str) -> None:
    for attempt in (1, 2):
        plane.world.end(f"{run}.0.{attempt}", 1)
        plane.until(lambda attempt=attempt: f"{run}.0.{attempt + 1}" in plane.world.replicas)
    plane.step()
    assert serves(plane, run)
