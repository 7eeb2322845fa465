"""E6a: a compute instance of Azure ML, with the team's file shares."""

from __future__ import annotations

from plinth.domain.plan import Outcome
from plinth.planning.rules.explore import team_files_shared
from tests.planning.rules.placed import application, apply, need, place

TEAM = {"team_share": True, "demand": {"users": 3}}


def test_a_compute_instance_mounts_the_files_of_the_team() -> None:
    said = team_files_shared(need(part="explore", explore=TEAM), place("azureml-compute-instance"))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "the team's files are mounted into 3 workspaces",
    )


def test_a_virtual_machine_mounts_none_and_is_rejected() -> None:
    machine = place("data-science-vm")
    said = team_files_shared(need(part="explore", explore=TEAM), machine)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason.endswith("it mounts none by itself")
    assert str(said.change) == "explore.team_share: false"
    assert said.change is not None
    changed = apply(application("explore", explore=TEAM), said.change, "explore")
    assert team_files_shared(changed, machine) is None


def test_of_databricks_it_is_unknown() -> None:
    said = team_files_shared(need(part="explore", explore=TEAM), place("databricks-jobs"))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert "`compute.file_share` is missing in platforms/databricks-jobs.yaml" in said.reason
