"""People come to a team, change their role and go; nobody locks everybody out."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection

from plinth.access.rbac import decide
from plinth.control.context import ADMIN_PRINCIPAL, DEFAULT_TEAM
from plinth.control.identities import MintedKey, mint_key
from plinth.control.members import (
    add_member,
    remove_member,
    require_takable,
    role_of,
    set_role,
)
from plinth.domain.access import (
    PLATFORM_PRINCIPAL,
    Action,
    Actor,
    Grant,
    Principal,
    PrincipalKind,
    Resource,
    Role,
)
from plinth.kit.errors import Conflict, Denied, NotFound
from plinth.store.identities import (
    add_grant,
    find_member,
    find_member_by_id,
    find_principal,
    list_grants,
    list_keys,
    list_members,
    list_revoked,
    load_actor,
)
from tests.control.plane import TEAM, Plane


def add(plane: Plane, connection: Connection, name: str = "anna", **fields: Any) -> MintedKey:
    given = {"actor": plane.actor(), "team": TEAM, "role": Role.VIEWER, "days": 1.0, **fields}
    return add_member(connection, plane.context, given.pop("actor"), name=name, **given)


def actor_of(plane: Plane, connection: Connection, minted: MintedKey) -> Actor:
    claims = plane.context.claims_of(minted.token)
    assert claims is not None
    actor = load_actor(connection, claims.principal, claims.key_id)
    assert actor is not None
    return actor


def role_in(connection: Connection, principal: Principal) -> Role | None:
    return role_of(principal, [stored.grant for stored in list_grants(connection)])


@pytest.mark.parametrize("role", list(Role))
def test_a_new_member_is_a_person_with_a_key_and_the_role(plane: Plane, role: Role) -> None:
    with plane.write() as connection:
        minted = add(plane, connection, role=role)
        actor = actor_of(plane, connection, minted)
        assert actor.principal.kind is PrincipalKind.USER
        assert role_in(connection, actor.principal) is role
        may = decide(actor, Action.WRITE, Resource(kind="job", team=TEAM)).allow
    assert may == (role is not Role.VIEWER)


def test_a_name_is_one_member_of_a_team(plane: Plane) -> None:
    with plane.write() as connection:
        add(plane, connection)
        with pytest.raises(Conflict, match="has a member `anna` already"):
            add(plane, connection)
        add(plane, connection, team=DEFAULT_TEAM)
        with pytest.raises(NotFound):
            add(plane, connection, "ben", team="nobody")


def test_a_member_gets_further_keys_and_stays_one_principal(plane: Plane) -> None:
    with plane.write() as connection:
        first = add(plane, connection, role=Role.OPERATOR)
        options: dict[str, Any] = {"team": TEAM, "name": "anna", "days": 1.0}
        with pytest.raises(Conflict, match="has role `operator`"):
            mint_key(connection, plane.context, plane.actor(), role=Role.VIEWER, **options)
        second = mint_key(connection, plane.context, plane.actor(), role=Role.OPERATOR, **options)
        assert second.key.principal == first.key.principal
        (member,) = [m for m in list_members(connection, plane.clock.now()) if m.keys == 2]
        assert member.principal.name == "anna"


def test_the_administrators_name_gives_nobody_a_key_by_mistake(plane: Plane) -> None:
    with plane.write() as connection, pytest.raises(Conflict, match="has role `admin`"):
        mint_key(
            connection,
            plane.context,
            plane.actor(),
            team=DEFAULT_TEAM,
            name="admin",
            role=Role.VIEWER,
            days=1,
        )


def test_nobody_lets_in_someone_mightier(plane: Plane) -> None:
    with plane.write() as connection:
        operator = actor_of(plane, connection, add(plane, connection, role=Role.OPERATOR))
        with pytest.raises(Denied) as denied:
            add(plane, connection, "ben", actor=operator, role=Role.ADMIN)
    assert denied.value.rule == "more-than-held"


def test_a_role_is_replaced_not_added(plane: Plane) -> None:
    with plane.write() as connection:
        anna = add(plane, connection, role=Role.OPERATOR).key.principal
        for role in (Role.CONTRIBUTOR, Role.VIEWER, Role.ADMIN):
            assert set_role(connection, plane.context, plane.actor(), anna, role)
            assert not set_role(connection, plane.context, plane.actor(), anna, role)
            assert role_in(connection, anna) is role


def test_a_role_on_an_endpoint_is_not_touched(plane: Plane) -> None:
    with plane.write() as connection:
        anna = add(plane, connection).key.principal
        grant = Grant(role=Role.OPERATOR, principal=anna.id, team=TEAM, resource="endpoint/delay")
        add_grant(connection, grant, created_by="admin", now=plane.clock.now())
        set_role(connection, plane.context, plane.actor(), anna, Role.CONTRIBUTOR)
        assert grant in [stored.grant for stored in list_grants(connection)]
        assert role_in(connection, anna) is Role.CONTRIBUTOR


def test_who_has_a_role_on_the_platform_keeps_it_until_it_is_taken(plane: Plane) -> None:
    with plane.write() as connection:
        anna = add(plane, connection).key.principal
        grant = Grant(role=Role.ADMIN, principal=anna.id)
        add_grant(connection, grant, created_by="admin", now=plane.clock.now())
        with pytest.raises(Conflict, match="on the whole platform") as conflict:
            set_role(connection, plane.context, plane.actor(), anna, Role.VIEWER)
        assert "plinth grants take g_" in str(conflict.value.hint)


def test_who_left_has_no_key_no_grant_and_a_history(plane: Plane) -> None:
    with plane.write() as connection:
        minted = add(plane, connection, role=Role.OPERATOR)
        anna = minted.key.principal
        remove_member(connection, plane.context, plane.actor(), anna)
        assert load_actor(connection, anna.id, minted.key.id) is None
        assert find_member(connection, TEAM, "anna") is None
        assert find_member_by_id(connection, anna.id) is None
        assert find_principal(connection, anna.id) == anna
        assert anna.id not in [stored.grant.principal for stored in list_grants(connection)]
        assert minted.key.id in list_revoked(connection, plane.clock.now())
        again = add(plane, connection)
        assert again.key.principal.id != anna.id
        assert minted.key.id in [key.id for key in list_keys(connection, kinds=list(PrincipalKind))]


def test_a_key_that_was_made_for_someone_who_left_does_not_count(plane: Plane) -> None:
    with plane.write() as connection:
        minted = add(plane, connection)
        remove_member(connection, plane.context, plane.actor(), minted.key.principal)
        # Even if its row said nothing of the revocation.
        connection.exec_driver_sql("update key set revoked_at = null")
        assert load_actor(connection, minted.key.principal.id, minted.key.id) is None


def test_nobody_removes_or_changes_themselves(plane: Plane) -> None:
    with plane.write() as connection:
        minted = add(plane, connection, role=Role.OPERATOR)
        actor, anna = actor_of(plane, connection, minted), minted.key.principal
        with pytest.raises(Conflict, match="`anna` is you"):
            remove_member(connection, plane.context, actor, anna)
        with pytest.raises(Conflict, match="`anna` is you"):
            set_role(connection, plane.context, actor, anna, Role.VIEWER)


def test_nobody_removes_someone_mightier(plane: Plane) -> None:
    with plane.write() as connection:
        operator = actor_of(plane, connection, add(plane, connection, role=Role.OPERATOR))
        ben = add(plane, connection, "ben", role=Role.ADMIN).key.principal
        for act in (
            lambda: remove_member(connection, plane.context, operator, ben),
            lambda: set_role(connection, plane.context, operator, ben, Role.VIEWER),
        ):
            with pytest.raises(Denied, match="holds role `admin`"):
                act()


def test_the_administrator_of_the_token_file_stays(plane: Plane) -> None:
    with plane.write() as connection:
        second = add(plane, connection, "ben", team=DEFAULT_TEAM)
        grant = Grant(role=Role.ADMIN, principal=second.key.principal.id)
        add_grant(connection, grant, created_by="admin", now=plane.clock.now())
        ben = actor_of(plane, connection, second)
        admin = find_principal(connection, ADMIN_PRINCIPAL)
        assert admin is not None
        with pytest.raises(Conflict, match="token file"):
            remove_member(connection, plane.context, ben, admin)
        for stored in list_grants(connection):
            if stored.grant.principal in (ADMIN_PRINCIPAL, PLATFORM_PRINCIPAL):
                with pytest.raises(Conflict, match="Plinth's own"):
                    require_takable(stored)
            else:
                require_takable(stored)


def test_runs_are_no_members(plane: Plane) -> None:
    with plane.write() as connection:
        before = len(list_members(connection, plane.clock.now()))
    plane.submit()
    with plane.write() as connection:
        assert len(list_members(connection, plane.clock.now())) == before


def test_only_keys_that_are_valid_now_are_counted(plane: Plane) -> None:
    with plane.write() as connection:
        add(plane, connection, days=1.0)
    plane.clock.advance(2 * 86400)
    with plane.write() as connection:
        counts = {m.principal.name: m.keys for m in list_members(connection, plane.clock.now())}
    assert counts["anna"] == 0


def test_a_team_without_a_common_role_gives_its_members_none(plane: Plane) -> None:
    anna = Principal(id="p_a", kind=PrincipalKind.USER, name="anna", team=TEAM)
    assert role_of(anna, []) is None
