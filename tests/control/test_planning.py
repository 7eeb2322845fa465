"""What fits nowhere is refused before anything is written."""

from __future__ import annotations

import pytest

from plinth.control.planning import plan_or_refuse
from plinth.planning.explain import NoPlatformFits
from tests.control.plane import Plane, endpoint_of


def test_a_plan_has_a_chosen_place(plane: Plane) -> None:
    made = plan_or_refuse(plane.context, endpoint_of())
    assert made.chosen is not None
    assert made.chosen.platform == "local"


def test_what_is_too_large_is_refused_with_the_reason(plane: Plane) -> None:
    with pytest.raises(NoPlatformFits, match="local"):
        plan_or_refuse(plane.context, endpoint_of(resources={"memory": "900GB"}))


def test_a_platform_that_has_no_engine_yet_is_refused_as_such(plane: Plane) -> None:
    with pytest.raises(NoPlatformFits, match="cannot run anything there yet"):
        plan_or_refuse(plane.context, endpoint_of(requirements={"platform": "aks"}))
