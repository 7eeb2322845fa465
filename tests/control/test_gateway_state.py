"""What the rows say is what the gateway is told: routes, shares, credentials, who may call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plinth.control import gateway_state
from plinth.control.gateway_state import Credential, Rows, read_rows
from plinth.control.identities import make_team
from plinth.control.secrets import delete_secret
from plinth.domain.access import Grant, PrincipalKind, Role
from plinth.domain.run import Phase
from plinth.domain.traffic import EndpointRoute
from plinth.gateway.state import Writers
from plinth.store.identities import add_grant, add_principal
from tests.control.endpoints.keeping import keep_secret
from tests.control.plane import TEAM, Plane

ELSEWHERE = {"url": "https://1.1.1.1/v1", "protocol": "openai"}
CANARY: dict[str, Any] = {
    "deployments": {"blue": {"model": "models:/m/1"}, "green": {"model": "models:/m/2"}},
    "traffic": {"blue": 90, "green": 10},
}


def rows_of(plane: Plane) -> Rows:
    with plane.database.read() as connection:
        return read_rows(connection, plane.context)


def shares(route: EndpointRoute) -> dict[str, int]:
    return {each.name: weight for each, weight in route.shares()}


def test_the_members_of_a_team_and_those_granted_may_call(plane: Plane) -> None:
    plane.apply()
    (route,) = rows_of(plane).state.endpoints
    assert TEAM in route.caller_teams
    assert "admin" in route.callers


def test_contributors_may_write_in_mlflow_and_members_only_read(plane: Plane) -> None:
    with plane.write() as connection:
        ann = add_principal(
            connection, kind=PrincipalKind.SERVICE, name="ann", team=TEAM, now=plane.clock.now()
        )
        grant = Grant(role=Role.CONTRIBUTOR, principal=ann.id, team=TEAM)
        add_grant(connection, grant, created_by="admin", now=plane.clock.now())
        make_team(connection, plane.context, "other", created_by="admin")
        whole = Grant(role=Role.OPERATOR, subject_team="other", team="other")
        add_grant(connection, whole, created_by="admin", now=plane.clock.now())
    writers = {each.team: each for each in rows_of(plane).state.writers}
    # The administrator and Plinth itself may write everywhere.
    assert set(writers[TEAM].principals) == {"admin", "platform", ann.id}
    assert not writers[TEAM].everybody
    assert writers["other"].everybody
    assert writers["default"] == Writers("default", ("admin", "platform"))


def test_the_keys_of_an_ended_run_are_told_to_the_gateway(plane: Plane) -> None:
    run = plane.submit()
    plane.until(lambda: plane.run(run).phase is Phase.RUNNING)
    plane.world.end(f"{run}.0.1")
    plane.until(lambda: plane.run(run).closed)
    assert rows_of(plane).state.revoked == (plane.attempts(run)[0].key,)


def test_each_deployment_is_routed_by_its_name_with_its_share(plane: Plane) -> None:
    for _ in range(2):
        plane.tracking.add_model(TEAM, "m", ("champion",))
    runs = plane.apply(**CANARY, match={"green": {"x-variant": "green"}}).deployments
    plane.until(lambda: getattr(plane.endpoint(), "serving", None) == runs)
    rows = rows_of(plane)
    (route,) = rows.state.endpoints
    assert {each.name: each.id for each in route.deployments} == runs
    assert shares(route) == {"blue": 90, "green": 10}
    assert route.policy.match == {"green": {"x-variant": "green"}}
    assert (route.protocol, rows.serving) == ("open-inference", {"delay": runs})
    plane.apply(**{**CANARY, "traffic": {"blue": 50, "green": 50}})
    (changed,) = rows_of(plane).state.endpoints
    assert shares(changed) == {"blue": 50, "green": 50}
    assert rows_of(plane).files != rows.files


def test_replicas_are_sockets(plane: Plane) -> None:
    run = plane.apply(replicas=3).deployments["main"]
    plane.until(lambda: plane.serves(run))
    (route,) = rows_of(plane).state.endpoints
    (deployment,) = route.deployments
    assert [each.socket.rpartition("/")[2] for each in deployment.upstreams] == [
        f"{run}.{replica}.sock" for replica in range(3)
    ]


def test_an_external_one_is_routed_with_the_version_of_its_credential(
    plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_state, "credentials_folder", lambda _gateway: tmp_path)
    keep_secret(plane, "provider", b"sk-1")
    plane.apply(name="chat", external={**ELSEWHERE, "credential": "secret:provider"})
    rows = rows_of(plane)
    (route,) = rows.state.endpoints
    (deployment,) = route.deployments
    assert (deployment.id, deployment.secret_version, route.protocol) == ("chat.main", 1, "openai")
    assert rows.credentials == {"chat.main": Credential("chat", TEAM, "provider", 1)}
    assert rows.state.credentials == str(tmp_path)
    keep_secret(plane, "provider", b"sk-2")
    assert rows_of(plane).credentials["chat.main"].version == 2


def test_an_external_one_whose_credential_is_gone_gets_no_requests(
    plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_state, "credentials_folder", lambda _gateway: tmp_path)
    keep_secret(plane, "provider", b"sk-1")
    plane.apply(name="chat", external={**ELSEWHERE, "credential": "secret:provider"})
    with plane.write() as connection:
        delete_secret(connection, plane.context, TEAM, "provider")
    rows = rows_of(plane)
    (route,) = rows.state.endpoints
    assert (route.deployments, rows.credentials, rows.state.credentials) == ((), {}, "")
    # What is to be stopped is decided by what the rows say: it would never be acknowledged else.
    assert rows.serving == {"chat": {"main": "chat.main"}}


def test_private_addresses_are_allowed_by_the_setting_alone(plane: Plane) -> None:
    assert rows_of(plane).state.allow_private_upstreams is False
