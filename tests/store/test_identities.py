"""Teams, principals, grants and keys are kept, found and taken away."""

from __future__ import annotations

import pytest

from plinth.domain.access import Grant, Principal, PrincipalKind, Role
from plinth.kit.errors import Conflict, NotFound
from plinth.store.identities import (
    add_grant,
    add_key,
    add_principal,
    add_team,
    delete_grant,
    delete_grants_on,
    end_membership,
    find_grant,
    find_key,
    find_member,
    find_member_by_id,
    find_principal,
    find_team,
    grants_to,
    list_grants,
    list_keys,
    list_members,
    list_revoked,
    list_teams,
    load_actor,
    revoke_key,
    revoke_keys_of,
)
from plinth.store.session import Database
from tests.store.rows import NOW, later


@pytest.fixture
def service(database: Database) -> Principal:
    with database.write() as connection:
        for name in ("ops", "research"):
            add_team(connection, name, NOW)
        return add_principal(
            connection, kind=PrincipalKind.SERVICE, name="dash", team="ops", now=NOW
        )


def test_teams_are_listed_by_name_and_exist_once(database: Database, service: Principal) -> None:
    with database.write() as connection:
        assert [team.name for team in list_teams(connection)] == ["ops", "research"]
        with pytest.raises(Conflict):
            add_team(connection, "ops", NOW)
        assert find_team(connection, "nobody") is None


def test_principals_are_found(database: Database, service: Principal) -> None:
    with database.read() as connection:
        assert find_principal(connection, service.id) == service
        assert find_principal(connection, "p_nobody") is None
        assert find_member(connection, "ops", "dash") == service
        assert find_member(connection, "research", "dash") is None


def test_an_actor_has_its_own_grants_and_its_teams(database: Database, service: Principal) -> None:
    own = Grant(role=Role.OPERATOR, principal=service.id, team="research")
    teams = Grant(role=Role.VIEWER, subject_team="ops", team="ops")
    others = Grant(role=Role.ADMIN, subject_team="research")
    with database.write() as connection:
        for grant in (own, teams, others):
            add_grant(connection, grant, created_by="admin", now=NOW)
        key = add_key(connection, principal=service, label="x", expires_at=later(9), now=NOW)
        actor = load_actor(connection, service.id, key.id)
        assert actor is not None
        assert set(actor.grants) == {own, teams}
        assert grants_to(connection, service) == [own]
        assert load_actor(connection, "p_other", key.id) is None
        revoke_key(connection, key.id, NOW)
        assert load_actor(connection, service.id, key.id) is None


def test_an_equal_grant_is_the_one_that_is_there(database: Database, service: Principal) -> None:
    grant = Grant(role=Role.VIEWER, subject_team="ops", team="research", resource="endpoint/delay")
    with database.write() as connection:
        first = add_grant(connection, grant, created_by="admin", now=NOW)
        assert add_grant(connection, grant, created_by="admin", now=later(1)) == first
        assert find_grant(connection, first.id) == first
        delete_grants_on(connection, "research", "endpoint/other")
        assert list_grants(connection) == [first]
        delete_grants_on(connection, "research", "endpoint/delay")
        assert list_grants(connection) == []
        delete_grant(connection, first.id)
        with pytest.raises(NotFound):
            find_grant(connection, first.id)


def test_keys_are_revoked_once_and_only_live_ones_are_told(
    database: Database, service: Principal
) -> None:
    with database.write() as connection:
        short, long, kept = (
            add_key(connection, principal=service, label=label, expires_at=later(s), now=NOW)
            for label, s in (("short", 10), ("long", 1000), ("kept", 1000))
        )
        for key in (short, long):
            revoke_key(connection, key.id, later(1))
        revoke_key(connection, long.id, later(5))
        assert find_key(connection, long.id).revoked_at == later(1)
        assert set(list_revoked(connection, later(2))) == {short.id, long.id}
        assert list_revoked(connection, later(20)) == [long.id]
        revoke_keys_of(connection, service.id, later(3))
        assert find_key(connection, long.id).revoked_at == later(1)
        assert find_key(connection, kept.id).revoked_at == later(3)
        with pytest.raises(NotFound):
            find_key(connection, "k_nobody")


def test_keys_are_listed_by_the_kind_of_their_holder(
    database: Database, service: Principal
) -> None:
    with database.write() as connection:
        run = add_principal(connection, kind=PrincipalKind.RUN, name="r", team="ops", now=NOW)
        for holder in (run, service):
            add_key(connection, principal=holder, label="x", expires_at=later(9), now=NOW)
        (key,) = list_keys(connection, kinds=[PrincipalKind.SERVICE])
        assert key.principal == service
        assert len(list_keys(connection, kinds=list(PrincipalKind))) == 2


def test_members_are_people_and_programs_with_their_valid_keys(database: Database) -> None:
    with database.write() as connection:
        add_team(connection, "ops", NOW)
        made = {
            kind: add_principal(connection, kind=kind, name=kind.value, team="ops", now=NOW)
            for kind in PrincipalKind
        }
        person = made[PrincipalKind.USER]
        for seconds in (5, 50, 500):
            add_key(connection, principal=person, label="x", expires_at=later(seconds), now=NOW)
        found = list_members(connection, later(10))
    assert [(member.principal.name, member.keys) for member in found] == [
        ("service", 0),
        ("user", 2),
    ]


def test_who_left_is_no_member_and_is_still_known(database: Database) -> None:
    with database.write() as connection:
        add_team(connection, "ops", NOW)
        anna = add_principal(connection, kind=PrincipalKind.USER, name="anna", team="ops", now=NOW)
        add_grant(
            connection,
            Grant(role=Role.OPERATOR, principal=anna.id, team="ops"),
            created_by="admin",
            now=NOW,
        )
        key = add_key(connection, principal=anna, label="x", expires_at=later(9), now=NOW)
        assert find_member_by_id(connection, anna.id) == anna
        end_membership(connection, anna.id, later(1))
        assert find_member(connection, "ops", "anna") is None
        assert find_member_by_id(connection, anna.id) is None
        assert find_principal(connection, anna.id) == anna
        assert list_members(connection, later(2)) == []
        assert list_grants(connection) == []
        assert list_revoked(connection, later(2)) == [key.id]
        assert load_actor(connection, anna.id, key.id) is None
