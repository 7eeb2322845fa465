"""What fits nowhere is refused before anything is written, and so is a start that breaks a rule."""

from __future__ import annotations

import pytest

from plinth.catalog.catalog import Catalog
from plinth.catalog.inventory import FILE, add_owned, remove_owned
from plinth.control.planning import PlanRefused, plan_or_refuse
from plinth.domain.inventory import Owned
from plinth.domain.plan import Outcome, Plan
from plinth.domain.run import Phase
from plinth.kit.errors import Invalid
from plinth.planning.explain import NoPlatformFits
from plinth.store.audit import StoredEntry, list_entries
from tests.control.plane import Plane, endpoint_of

EU = {"residency": "eu"}


def stand_in(plane: Plane, region: str) -> None:
    """State where this machine stands, in place of what was stated before."""
    folder = plane.home.catalog
    if (folder / FILE).exists():
        remove_owned(folder, "local")
    add_owned(folder, Owned(name="local", platform="local", region=region))


def residency(plan: Plan) -> Outcome:
    assert plan.chosen is not None
    return next(each.outcome for each in plan.chosen.verdicts if each.rule == "R2.residency")


def denied(plane: Plane) -> list[StoredEntry]:
    with plane.database.read() as connection:
        return [each for each in list_entries(connection, limit=100) if each.outcome == "denied"]


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


def test_where_this_machine_stands_is_what_the_inventory_says(plane: Plane) -> None:
    workload = endpoint_of(requirements=EU)
    stand_in(plane, "westeurope")
    assert residency(plan_or_refuse(plane.context, workload)) is Outcome.OK
    stand_in(plane, "eastus")
    with pytest.raises(PlanRefused, match="data must stay in `eu`") as raised:
        plan_or_refuse(plane.context, workload)
    assert raised.value.rules == ("R2.residency",)
    assert raised.value.subject == "endpoint/delay"
    assert raised.value.reason.startswith("no platform fits endpoint/delay: data must stay")


def test_the_day_is_part_of_what_a_plan_depends_on(plane: Plane) -> None:
    before = plan_or_refuse(plane.context, endpoint_of()).inputs_digest
    assert plan_or_refuse(plane.context, endpoint_of()).inputs_digest == before
    plane.clock.advance(86_400)
    assert plan_or_refuse(plane.context, endpoint_of()).inputs_digest != before


def test_a_damaged_inventory_is_named(plane: Plane) -> None:
    stand_in(plane, "westeurope")
    (plane.home.catalog / FILE).write_bytes(b"{")
    with pytest.raises(Invalid, match="was damaged"):
        plan_or_refuse(plane.context, endpoint_of())


def test_each_rule_that_refuses_is_named_once(plane: Plane) -> None:
    stand_in(plane, "eastus")
    with pytest.raises(PlanRefused) as raised:
        plan_or_refuse(plane.context, endpoint_of(requirements=EU, resources={"memory": "900GB"}))
    assert set(raised.value.rules) == {"R2.residency", "memory"}


def test_a_job_is_not_tried_again_where_its_data_may_not_be(plane: Plane) -> None:
    stand_in(plane, "westeurope")
    run = plane.submit(attempts=3, requirements=EU)
    plane.until(lambda: plane.run(run).phase is Phase.RUNNING)
    stand_in(plane, "eastus")
    plane.world.end(f"{run}.0.1", 1)
    plane.until(lambda: plane.run(run).phase.is_final)
    seen = plane.run(run)
    assert (seen.phase, seen.reason) == (Phase.FAILED, "NoPlatformFits")
    assert "`train` may not start on `local` any more: R2.residency: data must" in seen.message
    assert plane.world.starts == [f"{run}.0.1"]
    (entry,) = denied(plane)
    assert (entry.action, entry.subject, entry.team) == ("start", f"run/{run}", "research")
    assert (entry.principal, entry.detail["rule"]) == (seen.principal, "R2.residency")
    assert entry.detail["workload"] == "job/train"
    assert "data must stay in `eu`" in entry.detail["reason"]


def test_a_server_is_not_started_again_where_its_data_may_not_be(plane: Plane) -> None:
    stand_in(plane, "westeurope")
    run = plane.apply(requirements=EU).deployment
    plane.until(lambda: plane.run(run).phase is Phase.RUNNING)
    stand_in(plane, "eastus")
    plane.world.end(f"{run}.0.1", 137, "ended by SIGKILL")
    plane.until(lambda: plane.run(run).phase.is_final)
    seen = plane.run(run)
    assert (seen.phase, plane.world.starts) == (Phase.FAILED, [f"{run}.0.1"])
    assert "`delay` may not start on `local` any more" in seen.message
    assert [entry.detail["rule"] for entry in denied(plane)] == ["R2.residency"]


def test_a_start_waits_while_the_inventory_is_damaged(plane: Plane) -> None:
    stand_in(plane, "westeurope")
    run = plane.apply(requirements=EU).deployment
    plane.until(lambda: plane.run(run).phase is Phase.RUNNING)
    path = plane.home.catalog / FILE
    kept = path.read_bytes()
    path.write_bytes(b"{")
    plane.world.end(f"{run}.0.1", 137, "ended by SIGKILL")
    plane.until(lambda: "was damaged" in plane.run(run).message)
    assert plane.run(run).phase is Phase.RUNNING
    path.write_bytes(kept)
    plane.until(lambda: f"{run}.0.2" in plane.world.starts)
    assert denied(plane) == []


def test_what_no_rule_of_compliance_forbids_starts_again(plane: Plane) -> None:
    """The machine was larger when it was planned; it is its engine that says whether it starts."""
    run = plane.submit(attempts=2, resources={"memory": "1GB"})
    plane.until(lambda: plane.run(run).phase is Phase.RUNNING)
    plane.world.end(f"{run}.0.1", 1)
    plane.until(lambda: f"{run}.0.2" in plane.world.starts)
    assert denied(plane) == []


def test_where_nobody_says_that_this_machine_stands_no_data_is_kept(plane: Plane) -> None:
    with pytest.raises(PlanRefused, match="where it stands is not known") as raised:
        plan_or_refuse(plane.context, endpoint_of(requirements=EU))
    assert raised.value.rules == ("R2.residency",)
    assert raised.value.hint is not None
    assert "plinth inventory add local --region" in raised.value.hint


@pytest.mark.parametrize(
    ("requirements", "nearest"),
    [({"residency": "europa"}, "europe"), ({"regions": ["westeurpe"]}, "westeurope")],
)
def test_a_region_that_nobody_knows_is_refused_with_the_nearest(
    plane: Plane, requirements: dict[str, object], nearest: str
) -> None:
    stand_in(plane, "westeurope")
    with pytest.raises(Invalid, match=nearest):
        plan_or_refuse(plane.context, endpoint_of(requirements=requirements))


def test_regions_are_known_however_they_are_spelled(plane: Plane) -> None:
    stand_in(plane, "westeurope")
    wanted = {"residency": "EU", "regions": ["West Europe"]}
    made = plan_or_refuse(plane.context, endpoint_of(requirements=wanted))
    assert residency(made) is Outcome.OK


def test_no_catalog_is_read_for_what_names_no_region(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_self: object) -> None:
        raise AssertionError("the catalog was read")

    monkeypatch.setattr(Catalog, "regions", property(never))
    assert plan_or_refuse(plane.context, endpoint_of()).chosen is not None


def test_a_job_does_not_start_anew_once_nobody_says_where_the_machine_stands(
    plane: Plane,
) -> None:
    stand_in(plane, "westeurope")
    run = plane.submit(attempts=3, requirements={"residency": "EU"})
    plane.until(lambda: plane.run(run).phase is Phase.RUNNING)
    remove_owned(plane.home.catalog, "local")
    plane.world.end(f"{run}.0.1", 1)
    plane.until(lambda: plane.run(run).phase.is_final)
    seen = plane.run(run)
    assert (seen.phase, seen.reason) == (Phase.FAILED, "NoPlatformFits")
    assert "where it stands is not known" in seen.message
    (entry,) = denied(plane)
    assert entry.detail["rule"] == "R2.residency"
