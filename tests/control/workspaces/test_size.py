"""What is too large is refused with the profile that fits instead."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.control.planning import PlanRefused
from plinth.control.workspaces.size import plan_workspace
from plinth.domain.workspace import Workspace
from tests.control.plane import TEAM, Plane


def lab(**fields: Any) -> Workspace:
    return Workspace.model_validate({"kind": "workspace", "name": "lab", "team": TEAM, **fields})


def test_what_fits_has_a_plan(plane: Plane) -> None:
    assert plan_workspace(plane.context, lab()).chosen is not None


def test_the_largest_profile_that_fits_is_named(plane: Plane) -> None:
    for profile in ("large", "gpu"):
        gpu = {"gpu": {"reason": "tune", "max_time": "4h"}} if profile == "gpu" else {}
        with pytest.raises(PlanRefused) as caught:
            plan_workspace(plane.context, lab(profile=profile, **gpu))
        assert caught.value.hint == "profile `medium` fits, the largest that does"


def test_where_the_file_says_the_size_it_is_told_of_that(plane: Plane) -> None:
    with pytest.raises(PlanRefused) as caught:
        plan_workspace(plane.context, lab(resources={"cpu": 500}))
    assert "`resources.cpu:" in str(caught.value.hint)


def test_where_no_size_would_do_the_hint_stays(plane: Plane) -> None:
    with pytest.raises(PlanRefused) as caught:
        plan_workspace(plane.context, lab(requirements={"platform": "team-k8s"}))
    assert "profile" not in str(caught.value.hint)
