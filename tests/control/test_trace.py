"""A response is traced to what made it, whatever was deployed or deleted since."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from plinth.control.endpoints.service import remove_endpoint
from plinth.control.trace import Trace, find_trace
from plinth.domain.run import Phase
from plinth.kit.errors import NotFound
from tests.control.plane import TEAM, Plane
from tests.control.test_lineage import forget, trained


def serving(plane: Plane, **fields: Any) -> str:
    run = plane.apply(**fields).deployment
    plane.until(lambda: plane.serves(run))
    return run


def trace(plane: Plane, response_id: str = "one") -> Trace:
    return find_trace(plane.context, response_id, lambda _record, _run: True)


def delete_endpoint(plane: Plane) -> None:
    found = plane.endpoint()
    assert found is not None
    with plane.write() as connection:
        remove_endpoint(connection, plane.context, found)

    def is_gone() -> bool:
        plane.parts.metering.collect()
        return plane.endpoint() is None

    plane.until(is_gone)


def test_a_response_is_traced_to_its_unit_model_job_and_people(plane: Plane) -> None:
    job, model = trained(plane, parameters={"lr": "0.1"})
    run = serving(plane)
    record = plane.respond("one", replica=0, principal=plane.run(job).principal)
    found = trace(plane)
    assert (found.id, found.answered_at) == ("one", record.ended_at)
    assert (found.endpoint, found.team, found.deployment) == ("delay", TEAM, run)
    assert (found.unit, found.replica, found.attempt) == (f"{run}.0.1", 0, 1)
    assert found.called_by is not None
    assert found.called_by.name == f"run {job} of train"
    assert (found.deployed_by.name, found.deployed_by.team) == ("admin", "default")
    assert found.deployed_at == plane.run(run).created_at
    assert (found.approved_by, found.deleted_at) == (None, None)
    assert found.model == model
    assert found.lineage == plane.run(run).lineage
    assert found.lineage is not None
    assert (found.lineage.run, found.lineage.parameters) == (job, {"lr": "0.1"})
    assert found.run_by is not None
    assert found.run_by.id == "admin"


def test_each_response_keeps_its_own_version(plane: Plane) -> None:
    first = serving(plane)
    plane.respond("one")
    plane.tracking.add_model(TEAM, "m", ("champion",))
    second = serving(plane)
    plane.respond("two")
    shown = [trace(plane, name) for name in ("one", "two")]
    assert [each.deployment for each in shown] == [first, second]
    assert [each.model and each.model.version for each in shown] == [1, 2]


def test_the_unit_is_the_attempt_that_ran_then(plane: Plane) -> None:
    run = serving(plane, replicas=2)
    plane.respond("one", replica=1)
    plane.world.end(f"{run}.1.1", exit_code=1)
    plane.until(lambda: len(plane.attempts(run)) == 3)
    plane.until(lambda: all(a.phase.is_final or a.started_at for a in plane.attempts(run)))
    plane.clock.advance(60)
    plane.respond("two", replica=1)
    plane.respond("three", replica=0)
    plane.respond("four")
    units = [trace(plane, name).unit for name in ("one", "two", "three", "four")]
    # Which replica the last was is not known: there are two.
    assert units == [f"{run}.1.1", f"{run}.1.2", f"{run}.0.1", None]


def test_one_replica_needs_no_naming(plane: Plane) -> None:
    run = serving(plane)
    plane.respond("one", replica=None)
    assert trace(plane).unit == f"{run}.0.1"


def test_a_response_is_traced_after_its_endpoint_its_job_and_its_mlflow_run_were_deleted(
    plane: Plane,
) -> None:
    job, _ = trained(plane)
    run = serving(plane)
    plane.respond("one")
    before = trace(plane)
    forget(plane, job)
    plane.tracking.logged.clear()
    delete_endpoint(plane)
    deleted = plane.clock.now()
    found = trace(plane)
    assert found.deleted_at is not None
    assert abs(found.deleted_at - deleted) < timedelta(seconds=5)
    assert found == before.model_copy(update={"deleted_at": found.deleted_at})
    assert found.unit == f"{run}.0.1"


def test_a_name_that_others_use_again_says_nothing_of_the_first(plane: Plane) -> None:
    serving(plane)
    plane.respond("one")
    delete_endpoint(plane)
    plane.tracking.add_model("default", "m", ("champion",))
    second = serving(plane, team="default")
    plane.respond("two")
    assert (trace(plane, "one").team, trace(plane, "two").team) == (TEAM, "default")
    with plane.database.read() as connection:
        shown = plane.endpoints.load(connection, "delay").runs
    assert [run.id for run in shown] == [second]


def test_who_may_not_see_it_is_told_what_is_said_of_none(plane: Plane) -> None:
    run = serving(plane)
    record = plane.respond("one")
    asked = []

    def sees(*of: Any) -> bool:
        asked.append(of)
        return False

    with pytest.raises(NotFound) as hidden:
        find_trace(plane.context, "one", sees)
    with pytest.raises(NotFound) as absent:
        find_trace(plane.context, "two", sees)
    assert asked == [(record, plane.run(run))]
    assert hidden.value.message.replace("one", "two") == absent.value.message
    assert hidden.value.hint == absent.value.hint
    assert "in a second" in (absent.value.hint or "")


def test_what_is_too_old_is_said_to_be(plane: Plane) -> None:
    run = serving(plane)
    plane.respond("one")
    plane.clock.advance(29.9 * 86400)
    assert trace(plane).deployment == run
    plane.clock.advance(0.2 * 86400)
    with pytest.raises(NotFound, match="last 30 days") as expired:
        trace(plane)
    assert expired.value.code == "trace_expired"
    with pytest.raises(NotFound, match="there is no response"):
        find_trace(plane.context, "one", lambda _record, _run: False)


def test_what_is_gone_is_said_to_be_too_old(plane: Plane) -> None:
    run = serving(plane)
    plane.respond("one", run="r_gone")
    with pytest.raises(NotFound) as expired:
        trace(plane)
    assert expired.value.code == "trace_expired"
    assert plane.run(run).phase is Phase.RUNNING


def test_seconds_of_replicas_are_no_response(plane: Plane) -> None:
    serving(plane)
    plane.respond("one", run=None)
    with pytest.raises(NotFound, match="there is no response"):
        trace(plane)


def test_a_response_of_a_model_elsewhere_says_so_to_who_may_know(plane: Plane) -> None:
    serving(plane)
    plane.respond("far", run=None, deployment="azure", model="gpt-4o")
    with pytest.raises(NotFound, match="`azure` of `endpoint/delay` with the model") as elsewhere:
        trace(plane, "far")
    assert elsewhere.value.code == "trace_elsewhere"
    with pytest.raises(NotFound, match="there is no response `far`") as hidden:
        find_trace(plane.context, "far", lambda _record, _run: False)
    assert hidden.value.code == "not_found"
