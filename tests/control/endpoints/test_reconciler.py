"""Traffic moves to what is ready, and what it replaced ends only after that."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update

from plinth.control.endpoints.service import remove_endpoint, stop_endpoint
from plinth.domain.access import Grant, Role
from plinth.domain.run import Phase
from plinth.kit.errors import Permanent, Temporary
from plinth.store import tables
from plinth.store.identities import add_grant, list_grants
from plinth.store.leases import Claim
from tests.control.plane import TEAM, Plane


def serving(plane: Plane) -> str:
    run = plane.apply().deployment
    plane.until(lambda: plane.serves(run))
    return run


def next_version(plane: Plane) -> str:
    plane.tracking.add_model(TEAM, "m", ("champion",))
    applied = plane.apply()
    assert applied.changed
    return applied.deployment


def want(plane: Plane, desired: str) -> None:
    endpoint = plane.endpoint()
    assert endpoint is not None
    change = stop_endpoint if desired == "stop" else remove_endpoint
    with plane.write() as connection:
        change(connection, plane.context, endpoint)


def reason(plane: Plane) -> str:
    endpoint = plane.endpoint()
    assert endpoint is not None
    return endpoint.reason


def test_the_first_deployment_serves_once_it_is_ready(plane: Plane) -> None:
    plane.not_ready = "the model is loading"
    run = plane.apply().deployment
    plane.until(lambda: "the model is loading" in getattr(plane.endpoint(), "message", ""))
    assert not plane.serves(run)
    plane.not_ready = None
    plane.until(lambda: plane.serves(run))
    assert reason(plane) == "Serving"


def test_the_same_file_and_version_changes_nothing(plane: Plane) -> None:
    run = serving(plane)
    again = plane.apply()
    assert (again.deployment, again.changed) == (run, False)
    same_version = plane.apply(model="models:/m/1")
    assert (same_version.deployment, same_version.changed) == (run, False)
    assert plane.apply(replicas=2).changed


def test_a_new_version_takes_over_and_then_the_old_one_is_stopped(plane: Plane) -> None:
    old = serving(plane)
    new = next_version(plane)
    plane.gateway_lags = True
    plane.until(lambda: plane.serves(new))
    for _ in range(8):
        plane.step()
    assert plane.run(old).desired == "run"
    plane.gateway_lags = False
    plane.until(lambda: plane.run(old).phase is Phase.STOPPED)
    assert plane.run(new).phase is Phase.RUNNING
    assert plane.serves(new)


def test_the_old_deployment_stays_while_nothing_is_known_of_the_gateway(plane: Plane) -> None:
    old = serving(plane)
    new = next_version(plane)
    plane.gateway_lags, plane.published = True, None
    plane.until(lambda: plane.serves(new))
    for _ in range(8):
        plane.step()
    assert plane.run(old).desired == "run"


def test_a_deployment_that_fails_leaves_the_old_one_serving(plane: Plane) -> None:
    old = serving(plane)
    plane.world.behave = lambda world, unit: world.end(unit, 3)
    new = next_version(plane)
    plane.until(lambda: reason(plane) == "DeploymentFailed")
    assert plane.run(new).phase is Phase.FAILED
    assert plane.serves(old)
    assert plane.run(old).phase is Phase.RUNNING
    endpoint = plane.endpoint()
    assert endpoint is not None
    assert "does not load" in endpoint.message


def test_the_same_file_is_tried_again_after_it_failed(plane: Plane) -> None:
    plane.world.behave = lambda world, unit: world.end(unit, 3)
    run = plane.apply().deployment
    plane.until(lambda: reason(plane) == "DeploymentFailed")
    plane.world.behave = lambda _world, _unit: None
    again = plane.apply()
    assert again.changed
    assert again.deployment != run
    plane.until(lambda: plane.serves(again.deployment))


def test_a_file_applied_while_another_is_deployed_replaces_it(plane: Plane) -> None:
    old = serving(plane)
    second = next_version(plane)
    plane.why_not[second] = "the model is loading"
    plane.until(lambda: plane.run(second).reason == "NotReady")
    third = next_version(plane)
    plane.until(lambda: plane.serves(third))
    plane.until(lambda: all(plane.run(r).phase is Phase.STOPPED for r in (old, second)))


def test_a_candidate_that_was_replaced_ends_before_the_next_is_ready(plane: Plane) -> None:
    serving(plane)
    second = next_version(plane)
    plane.why_not[second] = "the model is loading"
    plane.until(lambda: plane.run(second).reason == "NotReady")
    third = next_version(plane)
    plane.why_not[third] = "the model is loading"
    plane.until(lambda: plane.run(second).phase is Phase.STOPPED)
    assert plane.run(third).phase is Phase.STARTING


def test_a_switch_that_was_decided_before_a_new_file_is_discarded(plane: Plane) -> None:
    serving(plane)
    first = next_version(plane)
    with plane.write() as connection:
        connection.execute(
            update(tables.run).where(tables.run.c.id == first).values(phase="running")
        )
    with plane.database.read() as connection:
        state = plane.endpoints.load(connection, "delay")
    outcome = plane.endpoints.work(state, Claim("delay", "l_x"))
    assert outcome.changes["serving"] == {"main": first}
    second = next_version(plane)
    assert outcome.still is not None
    with plane.database.read() as connection:
        assert not outcome.still(connection)
    plane.until(lambda: plane.serves(second))


def test_a_deployment_that_was_stopped_under_the_endpoint_is_told(plane: Plane) -> None:
    run = serving(plane)
    with plane.write() as connection:
        connection.exec_driver_sql("update run set desired = 'stop', due_at = created_at")
    plane.until(lambda: plane.run(run).phase is Phase.STOPPED)
    plane.until(lambda: reason(plane) == "NotServing")


def test_stopping_takes_the_traffic_away_before_the_processes(plane: Plane) -> None:
    run = serving(plane)
    plane.step()
    plane.gateway_lags = True
    want(plane, "stop")
    for _ in range(8):
        plane.step()
    assert not plane.serves(run)
    assert plane.run(run).desired == "run"
    plane.gateway_lags = False
    plane.until(lambda: reason(plane) == "Stopped")
    assert plane.run(run).phase is Phase.STOPPED
    again = plane.apply()
    assert again.changed
    plane.until(lambda: plane.serves(again.deployment))


def test_a_file_applied_while_it_stops_serves_again(plane: Plane) -> None:
    run = serving(plane)
    want(plane, "stop")
    plane.step()
    again = plane.apply().deployment
    plane.until(lambda: plane.serves(again))
    plane.until(lambda: plane.run(run).phase is Phase.STOPPED)


def test_deleting_forgets_the_name_and_its_grants_when_all_has_ended(plane: Plane) -> None:
    run = serving(plane)
    grant = Grant(role=Role.VIEWER, subject_team="default", team=TEAM, resource="endpoint/delay")
    with plane.write() as connection:
        add_grant(connection, grant, created_by="admin", now=plane.clock.now())
    want(plane, "delete")
    plane.until(lambda: plane.run(run).closed)
    for _ in range(8):
        plane.step()
    endpoint = plane.endpoint()
    assert endpoint is not None
    assert "waits until the usage" in endpoint.message
    plane.parts.metering.collect()
    plane.until(lambda: plane.endpoint() is None)
    with plane.database.read() as connection:
        assert grant not in [stored.grant for stored in list_grants(connection)]
    assert plane.reasons("endpoint/delay") == []
    again = plane.apply().deployment
    plane.until(lambda: plane.serves(again))


def test_deleting_what_never_served_ends_it(plane: Plane) -> None:
    plane.builder.error = Temporary("building", code="building_environment")
    run = plane.apply().deployment
    plane.step()
    assert plane.run(run).phase is Phase.PENDING
    want(plane, "delete")
    plane.until(lambda: plane.endpoint() is None)
    assert plane.describe() == []


def test_deleting_an_endpoint_deletes_its_deployments_and_keeps_their_usage(plane: Plane) -> None:
    first = serving(plane)
    plane.clock.advance(60)
    second = next_version(plane)
    plane.until(lambda: plane.run(first).closed)
    assert [run[0] for run in plane.describe()] == [first, second]
    want(plane, "delete")
    plane.until(lambda: plane.run(second).closed)
    plane.parts.metering.collect()
    plane.world.fail_next("forget", Temporary("the agent is away"))
    plane.until(lambda: plane.endpoint() is None)
    assert plane.describe() == []
    assert plane.world.replicas == {}
    assert list(plane.home.runs.iterdir()) == []
    (row,) = plane.parts.metering.totals()
    assert row.serving_seconds > 60


def test_a_deletion_that_was_killed_half_way_goes_on(plane: Plane) -> None:
    run = serving(plane)
    want(plane, "delete")
    plane.until(lambda: plane.run(run).closed)
    plane.parts.metering.collect()
    with plane.database.read() as connection:
        state = plane.endpoints.load(connection, "delay")
    plane.endpoints.work(state, Claim("delay", "l_x"))
    assert not (plane.home.runs / run).exists()
    plane.restart()
    plane.until(lambda: plane.endpoint() is None)
    assert plane.describe() == []


def test_an_endpoint_reads_only_the_runs_that_matter_to_it(plane: Plane) -> None:
    old = serving(plane)
    new = next_version(plane)
    plane.until(lambda: plane.run(old).closed)
    with plane.database.read() as connection:
        state = plane.endpoints.load(connection, "delay")
    assert ([run.id for run in state.runs], state.ended) == ([new], ())


def test_a_deployment_that_ended_for_good_says_what_to_do(plane: Plane) -> None:
    run = serving(plane)
    plane.world.fail_next("observe", Permanent("the handle is of no engine"))
    plane.until(lambda: plane.run(run).phase is Phase.FAILED)
    plane.until(lambda: reason(plane) == "NotServing")
    endpoint = plane.endpoint()
    assert endpoint is not None
    assert "the handle is of no engine" in endpoint.message
    assert endpoint.message.endswith("`plinth apply` the file again to serve")
    again = plane.apply()
    assert again.changed
    plane.until(lambda: plane.serves(again.deployment))


def test_an_endpoint_goes_on_after_the_control_plane_was_killed(plane: Plane) -> None:
    old = serving(plane)
    new = next_version(plane)
    plane.step()
    plane.restart()
    plane.until(lambda: plane.serves(new))
    plane.restart()
    plane.until(lambda: plane.run(old).phase is Phase.STOPPED)
    assert len(plane.world.starts) == 2


def test_what_goes_wrong_is_shown(plane: Plane) -> None:
    serving(plane)
    with plane.database.read() as connection:
        state = plane.endpoints.load(connection, "delay")
    outcome = plane.endpoints.failed(state, Temporary("the gateway is away", retry_after_s=7))
    assert outcome.changes == {"reason": "Error", "message": "the gateway is away"}
    assert outcome.again_after_s == 7


# -- several deployments -------------------------------------------------------------------------

TWO: dict[str, Any] = {
    "deployments": {"blue": {"model": "models:/m/1"}, "green": {"model": "models:/m/2"}},
    "traffic": {"blue": 90, "green": 10},
}


def canary(plane: Plane, **fields: Any) -> dict[str, str]:
    """Apply two deployments and wait until both serve; return their runs."""
    for _ in range(2):
        plane.tracking.add_model(TEAM, "m", ("champion",))
    runs = plane.apply(**{**TWO, **fields}).deployments
    plane.until(lambda: served(plane) == runs)
    return runs


def served(plane: Plane) -> dict[str, str]:
    endpoint = plane.endpoint()
    assert endpoint is not None
    return endpoint.serving


def test_each_deployment_serves_as_soon_as_it_is_ready(plane: Plane) -> None:
    for _ in range(2):
        plane.tracking.add_model(TEAM, "m", ("champion",))
    runs = plane.apply(**TWO).deployments
    plane.why_not[runs["green"]] = "the model is loading"
    plane.until(lambda: served(plane) == {"blue": runs["blue"]})
    plane.until(lambda: "`green`" in getattr(plane.endpoint(), "message", ""))
    assert reason(plane) == "Deploying"
    plane.why_not.clear()
    plane.until(lambda: served(plane) == runs)
    plane.until(lambda: reason(plane) == "Serving")


def test_one_deployment_is_replaced_and_the_other_goes_on(plane: Plane) -> None:
    runs = canary(plane)
    deployments = {**TWO["deployments"], "green": {"model": "models:/m/2", "replicas": 2}}
    new = plane.apply(**{**TWO, "deployments": deployments}).deployments["green"]
    plane.until(lambda: served(plane) == {"blue": runs["blue"], "green": new})
    plane.until(lambda: plane.run(runs["green"]).phase is Phase.STOPPED)
    assert plane.run(runs["blue"]).phase is Phase.RUNNING


def test_other_shares_stop_and_start_nothing(plane: Plane) -> None:
    runs = canary(plane)
    starts = len(plane.world.starts)
    plane.apply(**{**TWO, "traffic": {"blue": 0, "green": 100}})
    for _ in range(8):
        plane.step()
    assert served(plane) == runs
    assert len(plane.world.starts) == starts


def test_what_is_removed_loses_its_traffic_before_it_stops(plane: Plane) -> None:
    runs = canary(plane)
    plane.step()
    plane.gateway_lags = True
    plane.apply(deployments={"green": {"model": "models:/m/2"}})
    assert served(plane) == {"green": runs["green"]}
    for _ in range(8):
        plane.step()
    assert plane.run(runs["blue"]).desired == "run"
    plane.gateway_lags = False
    plane.until(lambda: plane.run(runs["blue"]).phase is Phase.STOPPED)
    assert plane.run(runs["green"]).phase is Phase.RUNNING


def test_what_replaces_everything_is_ready_before_anything_stops(plane: Plane) -> None:
    runs = canary(plane)
    red = plane.apply(deployments={"red": {"model": "models:/m/1", "replicas": 2}}).deployments
    plane.why_not[red["red"]] = "the model is loading"
    for _ in range(12):
        plane.step()
    assert served(plane) == runs
    assert all(plane.run(run).desired == "run" for run in runs.values())
    plane.why_not.clear()
    plane.until(lambda: served(plane) == red)
    plane.until(lambda: all(plane.run(r).phase is Phase.STOPPED for r in runs.values()))


def test_a_deployment_that_fails_beside_one_that_serves_is_told(plane: Plane) -> None:
    for _ in range(2):
        plane.tracking.add_model(TEAM, "m", ("champion",))
    plane.world.behave = lambda world, unit: (
        world.end(unit, 3) if unit.startswith(doomed["run"]) else None
    )
    doomed = {"run": "none"}
    runs = plane.apply(**TWO).deployments
    doomed["run"] = runs["green"]
    plane.until(lambda: plane.run(runs["green"]).phase is Phase.FAILED)
    plane.until(lambda: served(plane) == {"blue": runs["blue"]})
    for _ in range(4):
        plane.step()
    assert reason(plane) == "DeploymentFailed"
    again = plane.apply(**TWO)
    assert again.deployments["blue"] == runs["blue"]
    assert again.deployments["green"] != runs["green"]


def test_stopping_stops_every_deployment(plane: Plane) -> None:
    runs = canary(plane)
    want(plane, "stop")
    plane.until(lambda: reason(plane) == "Stopped")
    assert served(plane) == {}
    assert all(plane.run(run).phase is Phase.STOPPED for run in runs.values())


def test_an_external_endpoint_is_stopped_and_deleted_without_runs(plane: Plane) -> None:
    plane.apply(external={"url": "https://1.1.1.1", "protocol": "open-inference"})
    plane.until(lambda: reason(plane) == "Serving")
    want(plane, "stop")
    plane.until(lambda: reason(plane) == "Stopped")
    plane.apply(external={"url": "https://1.1.1.1", "protocol": "open-inference"})
    plane.until(lambda: reason(plane) == "Serving")
    want(plane, "delete")
    plane.until(lambda: plane.endpoint() is None)


def test_what_was_not_well_is_called_well_again(plane: Plane) -> None:
    run = serving(plane)
    with plane.write() as connection:
        connection.exec_driver_sql("update endpoint set reason = 'Error', due_at = created_at")
    plane.until(lambda: reason(plane) == "Serving")
    assert plane.serves(run)
