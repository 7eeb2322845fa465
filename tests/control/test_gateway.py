"""What the rows say is rendered whole, and written only when it is new."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plinth.control import gateway
from plinth.control.duties import Duty
from plinth.control.gateway import GatewayReconciler
from plinth.control.identities import make_team
from plinth.domain.access import Grant, PrincipalKind, Role
from plinth.domain.run import Phase
from plinth.gateway.state import Writers
from plinth.gateway.xds import is_on_disk, write
from plinth.kit.errors import Permanent, PlinthError, Temporary
from plinth.kit.files import write_json
from plinth.store.identities import add_grant, add_principal
from plinth.store.leases import Holder
from tests.control.plane import TEAM, Plane


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    snapshots: list[Any] = []

    def apply(snapshot: Any, folder: Path, _socket: Path, *, fence: Callable[[], None]) -> None:
        write(snapshot, folder, fence=fence)
        snapshots.append(snapshot)

    # Envoy itself belongs to the journeys.
    monkeypatch.setattr(gateway, "apply", apply)
    return snapshots


def test_a_candidate_is_routed_for_the_platform_before_it_serves(
    plane: Plane, written: list[Any]
) -> None:
    reconciler = GatewayReconciler(plane.context)
    assert reconciler.deployments() == frozenset()
    plane.not_ready = "the model is loading"
    run = plane.apply().deployment
    plane.until(lambda: plane.run(run).phase is Phase.STARTING)
    reconciler.publish()
    assert reconciler.published is not None
    assert reconciler.published.serving == {"delay": None}
    assert reconciler.deployments() == {run}
    plane.not_ready = None
    plane.until(lambda: plane.serves(run))
    reconciler.publish()
    assert reconciler.published.serving == {"delay": run}
    assert len(written) == 2


def test_the_same_rows_are_written_once(plane: Plane, written: list[Any]) -> None:
    reconciler = GatewayReconciler(plane.context)
    for _ in range(3):
        reconciler.publish()
    assert len(written) == 1
    assert plane.hints == 1


def test_every_control_plane_that_was_started_is_routed_to(
    plane: Plane, written: list[Any]
) -> None:
    reconciler = GatewayReconciler(plane.context)
    reconciler.publish()
    # `plinth up` starts a second one beside this one, which runs on.
    write_json(plane.home.node_file, {"port": 1, "control_planes": 2})
    reconciler.publish()
    assert len(written) == 2
    assert b"control-2.sock" in written[1].clusters.to_bytes()
    assert b"control-2.sock" not in written[0].clusters.to_bytes()


def test_what_envoy_did_not_take_is_not_published(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **_more: Any) -> None:
        raise Temporary("Envoy is away")

    monkeypatch.setattr(gateway, "apply", refuse)
    reconciler = GatewayReconciler(plane.context)
    with pytest.raises(Temporary):
        reconciler.publish()
    assert reconciler.published is None


def test_while_a_version_is_handed_over_nobody_relies_on_the_one_before(
    plane: Plane, written: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    reconciler = GatewayReconciler(plane.context)
    reconciler.publish()
    before = reconciler.settled
    assert before is not None
    errors: list[PlinthError] = [Temporary("Envoy is away"), Permanent("Envoy refuses it")]

    def fail(*_: Any, **_more: Any) -> None:
        raise errors.pop(0)

    monkeypatch.setattr(gateway, "apply", fail)
    plane.apply()
    with pytest.raises(Temporary):
        reconciler.publish()
    assert reconciler.settled is None
    assert reconciler.published == replace(before, is_settled=False)
    with pytest.raises(Permanent):
        reconciler.publish()
    # What was refused was put back.
    assert reconciler.published == replace(before, is_settled=False)


def test_what_one_control_plane_published_the_others_know(plane: Plane, written: list[Any]) -> None:
    GatewayReconciler(plane.context).publish()
    other = GatewayReconciler(plane.context)
    assert other.settled is not None
    assert other.settled.version == written[0].version


def test_a_file_that_is_not_what_was_published_is_put_right(
    plane: Plane, written: list[Any]
) -> None:
    reconciler = GatewayReconciler(plane.context)
    reconciler.publish()
    reconciler.publish()
    assert len(written) == 1
    (plane.home.gateway / "rds" / "rds.json").write_text("{}")
    reconciler.publish()
    assert len(written) == 2
    assert is_on_disk(written[0], plane.home.gateway)


def test_who_lost_the_duty_replaces_no_file(plane: Plane, written: list[Any]) -> None:
    duty = Duty("gateway", plane.database, plane.clock, Holder.begin("control@x"), 10.0)
    reconciler = GatewayReconciler(plane.context, duty)
    assert duty.hold()
    reconciler.publish()
    plane.apply()
    plane.clock.advance(10.0)
    with pytest.raises(Temporary) as caught:
        reconciler.publish()
    assert caught.value.code == "stale_order"
    assert len(written) == 1
    assert is_on_disk(written[0], plane.home.gateway)
    assert duty.hold()
    reconciler.publish()
    assert len(written) == 2


def test_who_takes_the_duty_asks_envoy_anew(plane: Plane, written: list[Any]) -> None:
    holders = [Holder.begin(name) for name in ("control@x", "control-2@x")]
    duties = [Duty("gateway", plane.database, plane.clock, each, 10.0) for each in holders]
    first, second = (GatewayReconciler(plane.context, duty) for duty in duties)
    assert duties[0].hold()
    first.publish()
    plane.clock.advance(11.0)
    assert duties[1].hold()
    second.publish()
    second.publish()
    assert len(written) == 2
    assert written[0] == written[1]


def test_the_members_of_a_team_and_those_granted_may_call(plane: Plane, written: list[Any]) -> None:
    plane.apply()
    reconciler = GatewayReconciler(plane.context)
    with plane.database.read() as connection:
        (route,) = reconciler._state(connection).endpoints
    assert TEAM in route.caller_teams
    assert "admin" in route.callers


def test_contributors_may_write_in_mlflow_and_members_only_read(
    plane: Plane, written: list[Any]
) -> None:
    with plane.write() as connection:
        ann = add_principal(
            connection, kind=PrincipalKind.SERVICE, name="ann", team=TEAM, now=plane.clock.now()
        )
        grant = Grant(role=Role.CONTRIBUTOR, principal=ann.id, team=TEAM)
        add_grant(connection, grant, created_by="admin", now=plane.clock.now())
        make_team(connection, plane.context, "other", created_by="admin")
        whole = Grant(role=Role.OPERATOR, subject_team="other", team="other")
        add_grant(connection, whole, created_by="admin", now=plane.clock.now())
    with plane.database.read() as connection:
        writers = {
            each.team: each for each in GatewayReconciler(plane.context)._state(connection).writers
        }
    # The administrator and Plinth itself may write everywhere.
    assert set(writers[TEAM].principals) == {"admin", "platform", ann.id}
    assert not writers[TEAM].everybody
    assert writers["other"].everybody
    assert writers["default"] == Writers("default", ("admin", "platform"))


def test_the_keys_of_an_ended_run_are_told_to_the_gateway(plane: Plane, written: list[Any]) -> None:
    run = plane.submit()
    plane.until(lambda: plane.run(run).phase is Phase.RUNNING)
    plane.world.end(f"{run}.0.1")
    plane.until(lambda: plane.run(run).closed)
    with plane.database.read() as connection:
        state = GatewayReconciler(plane.context)._state(connection)
    assert state.revoked == (plane.attempts(run)[0].key,)
