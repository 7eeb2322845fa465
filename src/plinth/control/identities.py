"""Teams, grants and keys: what the API changes, and what the first start makes."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection

from plinth.access.rbac import decide_grant
from plinth.control.context import (
    ADMIN_PRINCIPAL,
    DEFAULT_TEAM,
    PLATFORM_PRINCIPAL,
    Context,
)
from plinth.domain.access import Actor, Grant, Principal, PrincipalKind, Role, Team
from plinth.domain.base import Declared
from plinth.kit.errors import Conflict, Denied, NotFound
from plinth.kit.files import write_atomic
from plinth.store.identities import (
    Key,
    add_grant,
    add_key,
    add_principal,
    add_team,
    find_principal,
    find_service,
    find_team,
    grants_to,
    load_actor,
)

_ADMIN_KEY_DAYS = 365
_RENEW_BEFORE_DAYS = 60
# What every principal of a team may do in it.
MEMBER_ROLE = Role.VIEWER


class MintedKey(Declared):
    """A key's row and the key itself, which is shown this once."""

    key: Key
    token: str


def mint_key(
    connection: Connection,
    context: Context,
    actor: Actor,
    *,
    team: str,
    name: str,
    role: Role,
    days: float,
) -> MintedKey:
    """Make a key for the service `name` of `team`, with `role` on that team
    (every member is a viewer).

    A second key for the same service is the same principal: both may be used while one is
    exchanged for the other. Raises NotFound when there is no such team, Conflict when the service
    has another role, Denied when it may do more than the actor.
    """
    if find_team(connection, team) is None:
        raise NotFound(f"there is no team `{team}`", hint="`plinth teams` lists them")
    now = context.clock.now()
    principal = find_service(connection, team, name)
    if principal is None:
        principal = add_principal(
            connection, kind=PrincipalKind.SERVICE, name=name, team=team, now=now
        )
    else:
        _check_role(connection, principal, role)
    require_as_much(connection, actor, principal)
    if role is not MEMBER_ROLE:
        grant = Grant(role=role, principal=principal.id, team=team)
        add_grant(connection, grant, created_by=actor.principal.id, now=now)
    return _mint(connection, context, principal, label=name, days=days)


def _check_role(connection: Connection, principal: Principal, role: Role) -> None:
    """Raise Conflict when the service holds another role: all its keys are one principal."""
    held = [
        grant.role
        for grant in grants_to(connection, principal)
        if grant.team == principal.team and grant.resource is None
    ]
    best = max((*held, MEMBER_ROLE), key=list(Role).index)
    if best is not role:
        raise Conflict(
            f"service `{principal.name}` of team `{principal.team}` has role `{best}`, and so has "
            f"every key of it; `{role}` was asked for",
            hint=f"choose another name for a key of another role, or `--role {best}`",
        )


def require_as_much(connection: Connection, actor: Actor, principal: Principal) -> None:
    """Return if the actor could have granted all that the principal holds.

    A key is its holder: who could make or revoke keys of someone mightier would be that one.
    Raises Denied.
    """
    if principal.id == PLATFORM_PRINCIPAL:
        raise Denied(f"`{principal.name}` is Plinth itself, and gets no keys")
    for grant in grants_to(connection, principal):
        decision = decide_grant(actor, grant)
        if not decision.allow:
            raise Denied(
                f"`{principal.name}` holds role `{grant.role}`: {decision.reason}",
                hint="choose another name, or ask who holds that role",
            )


def make_team(connection: Connection, context: Context, name: str, *, created_by: str) -> Team:
    """Add a team whose members may read and call what it has. Raises Conflict when it exists."""
    now = context.clock.now()
    team = add_team(connection, name, now)
    # One grant for all members, runs among them: the gateway's rules do not grow with the runs.
    grant = Grant(role=MEMBER_ROLE, subject_team=name, team=name)
    add_grant(connection, grant, created_by=created_by, now=now)
    return team


def make_first(context: Context) -> None:
    """Make the default team, the administrator and the platform's own principal, if absent.

    The administrator's key stands in a file that only its owner reads; it is renewed in time.
    """
    now = context.clock.now()
    with context.database.write() as connection:
        if find_team(connection, DEFAULT_TEAM) is None:
            make_team(connection, context, DEFAULT_TEAM, created_by=PLATFORM_PRINCIPAL)
        for principal_id, kind in (
            (ADMIN_PRINCIPAL, PrincipalKind.USER),
            (PLATFORM_PRINCIPAL, PrincipalKind.SERVICE),
        ):
            if find_principal(connection, principal_id) is None:
                add_principal(
                    connection,
                    kind=kind,
                    name=principal_id,
                    team=DEFAULT_TEAM,
                    now=now,
                    principal_id=principal_id,
                )
                grant = Grant(role=Role.ADMIN, principal=principal_id)
                add_grant(connection, grant, created_by=principal_id, now=now)
        admin = find_principal(connection, ADMIN_PRINCIPAL)
        assert admin is not None
        if not _is_current(connection, context):
            minted = _mint(connection, context, admin, label="token file", days=_ADMIN_KEY_DAYS)
            write_atomic(context.home.admin_token, minted.token.encode(), mode=0o600)


def platform_key(context: Context) -> str:
    """Return a short-lived key of the platform's own principal, for checking deployments."""
    now = context.clock.now()
    principal = Principal(
        id=PLATFORM_PRINCIPAL, kind=PrincipalKind.SERVICE, name="platform", team=DEFAULT_TEAM
    )
    return context.mint(principal, "k_platform", now + timedelta(minutes=10))


def _mint(
    connection: Connection, context: Context, principal: Principal, *, label: str, days: float
) -> MintedKey:
    now = context.clock.now()
    key = add_key(
        connection,
        principal=principal,
        label=label,
        expires_at=now + timedelta(days=days),
        now=now,
    )
    return MintedKey(key=key, token=context.mint(principal, key.id, key.expires_at))


def _is_current(connection: Connection, context: Context) -> bool:
    try:
        token = context.home.admin_token.read_text()
    except FileNotFoundError:
        return False
    claims = context.claims_of(token)
    if claims is None or load_actor(connection, claims.principal, claims.key_id) is None:
        return False
    return claims.expires_at > context.clock.now() + timedelta(days=_RENEW_BEFORE_DAYS)
