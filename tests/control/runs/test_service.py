"""Submitting, stopping and deleting a run change the intent and nothing else."""

from __future__ import annotations

import pytest

from plinth.control.context import DEFAULT_TEAM
from plinth.control.identities import make_team
from plinth.control.runs.service import forget_files, removable, remove_run, stop_run
from plinth.domain.access import Actor, Grant, Principal, PrincipalKind, Role
from plinth.domain.run import Phase
from plinth.kit.errors import Conflict, Denied, NotFound
from plinth.store.identities import add_grant, add_principal, delete_grant, find_principal
from tests.control.plane import TEAM, Plane


def test_a_run_acts_as_a_principal_of_its_own(plane: Plane) -> None:
    first, second = plane.run(plane.submit()), plane.run(plane.submit())
    assert first.principal != second.principal
    with plane.database.read() as connection:
        principal = find_principal(connection, first.principal)
    assert principal is not None
    assert (principal.kind, principal.team) == (PrincipalKind.RUN, first.team)


def test_a_job_has_no_more_rights_than_who_wrote_it(plane: Plane) -> None:
    given = Grant(role=Role.VIEWER, subject_team=TEAM, team=DEFAULT_TEAM)
    with plane.write() as connection:
        now = plane.clock.now()
        make_team(connection, plane.context, "guests", created_by="admin")
        guest = add_principal(
            connection, kind=PrincipalKind.USER, name="ann", team="guests", now=now
        )
        member = add_principal(connection, kind=PrincipalKind.USER, name="ben", team=TEAM, now=now)
        add_grant(connection, given, created_by="admin", now=now)
    with pytest.raises(Denied, match="all of team `research` have role `viewer`") as denied:
        plane.submit(by=Actor(principal=guest, grants=(writes_as(guest),)))
    assert denied.value.rule == "more-than-held"
    assert plane.describe() == []
    assert plane.submit(by=Actor(principal=member, grants=(given, writes_as(member))))
    with plane.write() as connection:
        delete_grant(connection, add_grant(connection, given, created_by="admin", now=now).id)
    assert plane.submit(by=Actor(principal=guest, grants=(writes_as(guest),)))


def writes_as(principal: Principal) -> Grant:
    return Grant(role=Role.CONTRIBUTOR, principal=principal.id, team=TEAM)


def test_an_absent_team_or_data_version_is_refused(plane: Plane) -> None:
    with pytest.raises(NotFound, match="no team `nobody`"):
        plane.submit(team="nobody")
    with pytest.raises(NotFound, match="it has none"):
        plane.submit(data={"x": "flights"})
    assert plane.describe() == []


def test_a_deployment_is_stopped_with_its_endpoint(plane: Plane) -> None:
    run = plane.run(plane.apply().deployment)
    with pytest.raises(Conflict, match="deployment of endpoint"), plane.write() as connection:
        stop_run(connection, plane.context, run)


def test_a_run_is_deleted_only_when_all_of_its_end_was_done(plane: Plane) -> None:
    run = plane.submit()
    with pytest.raises(Conflict, match="only a run that has ended"), plane.write() as connection:
        remove_run(connection, plane.context, plane.run(run))


def ended(plane: Plane) -> str:
    run = plane.submit()
    plane.until(lambda: plane.run(run).phase is Phase.RUNNING)
    plane.world.end(f"{run}.0.1")
    plane.until(lambda: plane.run(run).closed)
    plane.parts.metering.collect()
    return run


def test_a_deletion_that_was_killed_after_the_files_can_be_repeated(plane: Plane) -> None:
    run = ended(plane)
    for _ in range(2):
        with plane.database.read() as connection:
            attempts = removable(connection, plane.run(run))
        forget_files(plane.context, run, attempts)
    assert not (plane.home.runs / run).exists()
    assert plane.world.replicas == {}
    with plane.write() as connection:
        remove_run(connection, plane.context, plane.run(run))
    assert plane.describe() == []


def test_a_deployment_is_deleted_alone_only_when_its_endpoint_is_gone(plane: Plane) -> None:
    run = plane.apply().deployment
    plane.until(lambda: plane.serves(run))
    with plane.write() as connection:
        connection.exec_driver_sql("update run set phase = 'failed', closed = true")
        connection.exec_driver_sql("update attempt set phase = 'failed', metered = true")
    with pytest.raises(Conflict, match="deployment of endpoint"), plane.write() as connection:
        remove_run(connection, plane.context, plane.run(run))
    with plane.write() as connection:
        connection.exec_driver_sql("delete from endpoint")
        remove_run(connection, plane.context, plane.run(run))
    assert plane.describe() == []


def test_the_files_of_a_run_may_be_gone_already(plane: Plane) -> None:
    forget_files(plane.context, "r_gone", [])
