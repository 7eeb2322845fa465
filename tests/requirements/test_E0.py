"""E0: a development phase relaxes reliability; its data is often real, and controls on it stay."""

from __future__ import annotations

import pytest

from plinth.domain.application import Application
from plinth.domain.need import needs_of
from plinth.domain.plan import Outcome
from plinth.planning.rules import RULES_OF
from plinth.planning.rules.general import availability_relaxed
from plinth.planning.rules.place import region_survived, zones_survived
from plinth.planning.rules.protect import real_data_guarded
from tests.control.plane import make_plane
from tests.control.workspaces.session import opened, workspace
from tests.planning.rules.placed import application, need, place, with_facts


def explored(criticality: str = "dev", *, production: bool = True) -> Application:
    return application(
        "explore",
        requirements={"criticality": criticality},
        data={"orders": {"size": "1GB", "production": production}},
        explore={"data": ["orders"]},
    )


@pytest.mark.parametrize("criticality", ["dev", "test"])
def test_development_is_asked_for_neither_zones_nor_a_second_region(criticality: str) -> None:
    wanted = need(requirements={"criticality": criticality})
    said = availability_relaxed(wanted, place("local"))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        f"`{criticality}`: neither zones nor a second region are asked of it",
    )
    assert zones_survived(wanted, place("local")) is None
    assert region_survived(wanted, place("local")) is None


def test_production_is_not_relaxed() -> None:
    wanted = need(requirements={"criticality": "production"})
    assert availability_relaxed(wanted, place("local")) is None
    said = zones_survived(wanted, place("local"))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK


def test_real_data_is_guarded_in_development_too() -> None:
    said = real_data_guarded(needs_of(explored())[0], place("azureml-compute-instance"))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "`orders` is real data of production; it has private access, roles, egress control",
    )


@pytest.mark.parametrize("criticality", ["dev", "production"])
def test_where_a_control_is_missing_real_data_is_refused_whatever_depends_on_it(
    criticality: str,
) -> None:
    at = with_facts(place("azureml-compute-instance"), network={"egress_control": False})
    said = real_data_guarded(needs_of(explored(criticality))[0], at)
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.NOT_OK,
        "`orders` is real data of production; what it connects to cannot be limited",
    )
    # That the data is real is a fact, and no change to the file makes it another.
    assert said.change is None


def test_a_control_that_nobody_knows_is_unknown_and_made_up_data_needs_none() -> None:
    said = real_data_guarded(needs_of(explored())[0], place("foundry-hub"))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert said.reason.endswith("not known of it: private access, roles, egress control")
    invented = needs_of(explored(production=False))[0]
    assert real_data_guarded(invented, place("ray")) is None


def test_exploration_is_asked_nothing_about_zones() -> None:
    asked = {rule.id for rule in RULES_OF["explore"]}
    assert {"E0", "E0.data"} <= asked
    assert not asked & {"H4", "H4.zones", "H4.regions"}


def test_the_time_to_the_first_cell_is_measured_from_the_start_of_the_session() -> None:
    with make_plane() as plane:
        found = opened(plane)
        began = plane.run(str(found.run)).created_at
        plane.says(first_cell_at=plane.clock.now())
        cell_s = (plane.clock.now() - began).total_seconds()
        plane.until(lambda: workspace(plane).activity.first_cell_s is not None)
        activity = workspace(plane).activity
        assert activity.first_cell_s == pytest.approx(cell_s)
        assert activity.ready_s is not None
        assert 0 < activity.ready_s <= cell_s
