"""Notebooks find MLflow and the models by the session's own key."""

from __future__ import annotations

from datetime import timedelta

from tests.control.plane import TEAM, Plane
from tests.control.workspaces.session import (
    opened,
    stop,
    until_stopped,
)


def test_its_session_has_a_key_of_its_own_until_it_ends(plane: Plane) -> None:
    run = opened(plane, max_time="2h").run
    assert run is not None
    spec = plane.world.replicas[f"{run}.0.1"].spec
    key = spec.variables["OPENAI_API_KEY"]
    claims = plane.context.claims_of(key)
    assert claims is not None
    assert (claims.team, claims.is_run) == (TEAM, True)
    longest = plane.clock.now() + timedelta(hours=2, minutes=11)
    assert claims.expires_at < longest
    assert spec.variables["OPENAI_BASE_URL"] == f"{plane.context.address}/v1"
    assert spec.variables["MLFLOW_TRACKING_TOKEN"] == key
    assert plane.live_keys(run) == 1
    stop(plane)
    until_stopped(plane)
    assert plane.live_keys(run) == 0
