"""The first start makes what must be there, once; keys are renewed in time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from plinth.access.rbac import decide
from plinth.control.context import ADMIN_PRINCIPAL, DEFAULT_TEAM
from plinth.control.identities import make_first, mint_key, platform_key
from plinth.control.members import add_member
from plinth.domain.access import (
    PLATFORM_PRINCIPAL,
    Action,
    Actor,
    Grant,
    PrincipalKind,
    Resource,
    Role,
)
from plinth.kit.errors import Conflict, Denied, NotFound
from plinth.store.identities import (
    add_grant,
    add_key,
    add_principal,
    find_principal,
    list_grants,
    list_keys,
    load_actor,
    revoke_keys_of,
)
from tests.control.plane import TEAM, Plane


def test_making_the_first_identities_twice_changes_nothing(plane: Plane) -> None:
    token = plane.home.admin_token.read_bytes()
    with plane.database.read() as connection:
        grants, keys = list_grants(connection), list_keys(connection, kinds=list(PrincipalKind))
    make_first(plane.context)
    assert plane.home.admin_token.read_bytes() == token
    with plane.database.read() as connection:
        assert list_grants(connection) == grants
        assert list_keys(connection, kinds=list(PrincipalKind)) == keys


def test_the_administrators_token_is_its_owners_alone_and_may_do_all(plane: Plane) -> None:
    assert plane.home.admin_token.stat().st_mode & 0o777 == 0o600
    assert decide(plane.actor(), Action.MANAGE_TEAMS, Resource(kind="team")).allow


@pytest.mark.parametrize("content", [None, "", "garbage", "plk_a.b.c"])
def test_a_token_file_that_is_gone_or_broken_is_written_again(
    plane: Plane, content: str | None
) -> None:
    if content is None:
        plane.home.admin_token.unlink()
    else:
        plane.home.admin_token.write_text(content)
    make_first(plane.context)
    assert plane.actor().principal.id == ADMIN_PRINCIPAL


def test_the_token_is_renewed_before_it_expires_and_when_it_was_revoked(plane: Plane) -> None:
    token = plane.home.admin_token.read_text()
    plane.clock.advance(304 * 86400)
    make_first(plane.context)
    assert plane.home.admin_token.read_text() == token
    plane.clock.advance(2 * 86400)
    make_first(plane.context)
    renewed = plane.home.admin_token.read_text()
    assert renewed != token
    with plane.write() as connection:
        revoke_keys_of(connection, ADMIN_PRINCIPAL, plane.clock.now())
    make_first(plane.context)
    assert plane.home.admin_token.read_text() != renewed


def test_the_platforms_key_is_short_lived_and_no_row(plane: Plane) -> None:
    claims = plane.context.claims_of(platform_key(plane.context))
    assert claims is not None
    assert claims.principal == PLATFORM_PRINCIPAL
    assert (claims.expires_at - plane.clock.now()).total_seconds() <= 600
    with plane.database.read() as connection:
        assert load_actor(connection, claims.principal, claims.key_id) is None
        assert find_principal(connection, PLATFORM_PRINCIPAL) is not None


def test_a_key_is_made_for_a_team_that_exists_by_who_holds_as_much(plane: Plane) -> None:
    options = {"name": "ci", "role": Role.OPERATOR, "days": 1.0}
    with plane.write() as connection:
        minted = mint_key(connection, plane.context, plane.actor(), team=TEAM, **options)
        claims = plane.context.claims_of(minted.token)
        assert claims is not None
        holder = load_actor(connection, claims.principal, claims.key_id)
        assert holder is not None
        assert decide(holder, Action.OPERATE, Resource(kind="endpoint", team=TEAM)).allow
        with pytest.raises(NotFound):
            mint_key(connection, plane.context, plane.actor(), team="nobody", **options)
        viewer = holder.model_copy(update={"grants": ()})
        with pytest.raises(Denied):
            mint_key(connection, plane.context, viewer, team=TEAM, **options)


@pytest.mark.parametrize(("first", "second"), [("operator", "viewer"), ("viewer", "operator")])
def test_all_keys_of_a_service_have_one_role(plane: Plane, first: str, second: str) -> None:
    with plane.write() as connection:

        def mint(role: str) -> object:
            return mint_key(
                connection,
                plane.context,
                plane.actor(),
                team=TEAM,
                name="batch",
                role=Role(role),
                days=1,
            )

        mint(first)
        mint(first)
        with pytest.raises(Conflict, match=f"has role `{first}`"):
            mint(second)


def operator_on(plane: Plane, home_team: str) -> Actor:
    """Return somebody of `home_team` who is an operator on TEAM."""
    now = plane.clock.now()
    with plane.write() as connection:
        holder = add_principal(
            connection, kind=PrincipalKind.USER, name="olga", team=home_team, now=now
        )
        grant = Grant(role=Role.OPERATOR, principal=holder.id, team=TEAM)
        add_grant(connection, grant, created_by=ADMIN_PRINCIPAL, now=now)
        expires_at = now + timedelta(days=1)
        key = add_key(connection, principal=holder, label="x", expires_at=expires_at, now=now)
        actor = load_actor(connection, holder.id, key.id)
    assert actor is not None
    return actor


@pytest.mark.parametrize(
    ("team", "resource"), [(None, None), (DEFAULT_TEAM, None), (DEFAULT_TEAM, "endpoint/delay")]
)
def test_who_is_not_of_a_team_makes_no_key_to_what_was_given_to_all_of_it(
    plane: Plane, team: str | None, resource: str | None
) -> None:
    outsider, insider = operator_on(plane, DEFAULT_TEAM), operator_on(plane, TEAM)
    shared = Grant(role=Role.OPERATOR, subject_team=TEAM, team=team, resource=resource)

    def make(make_key: Callable[..., object], actor: Actor, name: str) -> None:
        with plane.write() as connection:
            made_for = {"team": TEAM, "name": name, "role": Role.VIEWER, "days": 1}
            make_key(connection, plane.context, actor, **made_for)

    make(mint_key, outsider, "batch")
    make(add_member, outsider, "ann")
    with plane.write() as connection:
        add_grant(connection, shared, created_by=ADMIN_PRINCIPAL, now=plane.clock.now())
    # Whoever is of the team has it already.
    with plane.write() as connection:
        keys = list_keys(connection, kinds=[PrincipalKind.USER])
        (key,) = [key for key in keys if key.principal == insider.principal]
        inside = load_actor(connection, insider.principal.id, key.id)
    assert inside is not None
    for make_key, old, new in ((mint_key, "batch", "nightly"), (add_member, "bob", "carl")):
        for name in (old, new):
            with pytest.raises(Denied, match=f"all of team `{TEAM}`"):
                make(make_key, outsider, name)
        make(make_key, inside, new)
