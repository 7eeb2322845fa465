"""Whoever lost the right to a workspace's page has to leave, also where a WebSocket is open."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import Connection

from plinth.control.identities import MintedKey
from plinth.control.members import add_member, remove_member, set_role
from plinth.control.workspaces.visits import keys_to_leave, visitors_of
from plinth.domain.access import Principal, Role
from plinth.store.identities import find_member, list_grants, load_actor, revoke_key
from tests.control.plane import TEAM, Plane
from tests.control.workspaces.session import opened, until_open, until_stopped, workspace


def member(plane: Plane, connection: Connection, name: str) -> MintedKey:
    return add_member(
        *(connection, plane.context, plane.actor()),
        team=TEAM,
        name=name,
        role=Role.CONTRIBUTOR,
        days=1.0,
    )


def principal(connection: Connection, name: str) -> Principal:
    found = find_member(connection, TEAM, name)
    assert found is not None
    return found


def leaving(plane: Plane, *keys: str) -> tuple[str, ...]:
    with plane.database.read() as connection:
        return keys_to_leave(connection, workspace(plane), keys, plane.clock.now())


def visitors(plane: Plane) -> object:
    with plane.database.read() as connection:
        grants = [stored.grant for stored in list_grants(connection)]
        return visitors_of(connection, workspace(plane), grants)


def removed(plane: Plane, connection: Connection, _key: str) -> None:
    bob = principal(connection, "bob")
    remove_member(connection, plane.context, plane.actor(), bob)


def revoked(plane: Plane, connection: Connection, key: str) -> None:
    revoke_key(connection, key, plane.clock.now())


def made_a_viewer(plane: Plane, connection: Connection, _key: str) -> None:
    bob = principal(connection, "bob")
    set_role(connection, plane.context, plane.actor(), bob, Role.VIEWER)


@pytest.mark.parametrize("lose", [removed, revoked, made_a_viewer])
def test_who_lost_the_right_is_sent_away_and_nobody_else(
    plane: Plane, lose: Callable[[Plane, Connection, str], None]
) -> None:
    opened(plane, shared=True)
    with plane.write() as connection:
        bob, ann = (member(plane, connection, name).key.id for name in ("bob", "ann"))
    plane.says(visitors=[bob, ann])
    plane.step(10)
    assert plane.sent_away == []
    with plane.write() as connection:
        lose(plane, connection, bob)
    plane.step(10)
    assert set(plane.sent_away) == {bob}


def test_an_expired_key_and_one_that_never_was_have_to_leave(plane: Plane) -> None:
    opened(plane, shared=True)
    with plane.write() as connection:
        ann = member(plane, connection, "ann").key.id
    assert leaving(plane, ann, "k_never") == ("k_never",)
    plane.clock.advance(timedelta(days=1, seconds=1).total_seconds())
    assert leaving(plane, ann) == (ann,)
    assert leaving(plane) == ()


@pytest.mark.parametrize("lose", [removed, made_a_viewer])
def test_what_nobody_may_visit_any_more_is_stopped_and_keeps_its_name(
    plane: Plane, lose: Callable[[Plane, Connection, str], None]
) -> None:
    with plane.write() as connection:
        bob = member(plane, connection, "bob").key.id
        holder = load_actor(connection, principal(connection, "bob").id, bob)
    plane.open(by=holder)
    until_open(plane)
    plane.says(busy=("a cell",), visitors=[bob])
    plane.step(10)
    assert visitors(plane) == ((workspace(plane).owner,), ())
    with plane.write() as connection:
        lose(plane, connection, bob)
    assert visitors(plane) == ((), ())
    found = until_stopped(plane, "OwnerLeft")
    assert f"may not write in team `{TEAM}` any more" in found.message
    assert found.desired == "stop"


def test_one_that_is_not_shared_is_for_its_owner_only(plane: Plane) -> None:
    opened(plane)
    with plane.write() as connection:
        bob = member(plane, connection, "bob").key.id
    claims = plane.context.claims_of(plane.home.admin_token.read_text())
    assert claims is not None
    assert leaving(plane, claims.key_id, bob) == (bob,)
