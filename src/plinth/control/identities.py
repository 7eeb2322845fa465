"""Teams, grants and keys: what the API changes, and what the first start makes."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection

from plinth.access.rbac import decide_grant, holds
from plinth.control.context import ADMIN_PRINCIPAL, DEFAULT_TEAM, Context
from plinth.domain.access import (
    PLATFORM_PRINCIPAL,
    Actor,
    Grant,
    Principal,
    PrincipalKind,
    Role,
    Team,
)
from plinth.domain.base import Declared
from plinth.kit.errors import Conflict, Denied, NotFound
from plinth.kit.excerpt import excerpt
from plinth.kit.files import write_atomic
from plinth.store.audit import Entry, add_entry
from plinth.store.identities import (
    Key,
    add_grant,
    add_key,
    add_principal,
    add_team,
    find_member,
    find_principal,
    find_team,
    grants_to,
    grants_to_team,
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
    """Make a key for the member `name` of `team`, who has `role` on that team.

    A name that no member has becomes a program's. A second key for the same member is the same
    principal: both may be used while one is exchanged for the other. Raises NotFound when there
    is no such team, Conflict when the member has another role, Denied when it may do more than
    the actor.
    """
    if find_team(connection, team) is None:
        raise NotFound(f"there is no team `{excerpt(team)}`", hint="`plinth teams` lists them")
    now = context.clock.now()
    principal = find_member(connection, team, name)
    if principal is not None:
        require_as_much(connection, actor, principal)
        _check_role(connection, principal, role)
    else:
        principal = add_principal(
            connection, kind=PrincipalKind.SERVICE, name=name, team=team, now=now
        )
        require_as_much(connection, actor, principal)
        give_role(connection, context, actor, principal, role)
    return add_member_key(connection, context, principal, label=name, days=days)


def give_role(
    connection: Connection, context: Context, actor: Actor, principal: Principal, role: Role
) -> None:
    """Give a member that has no role of its own this one on its team.

    Raises Denied when the actor may not give it there.
    """
    grant = Grant(role=role, principal=principal.id, team=principal.team)
    decision = decide_grant(actor, grant)
    if not decision.allow:
        raise Denied(decision.reason, rule=decision.rule)
    if role is not MEMBER_ROLE:
        now = context.clock.now()
        add_grant(connection, grant, created_by=actor.principal.id, now=now)


def _check_role(connection: Connection, principal: Principal, role: Role) -> None:
    """Raise Conflict when the member holds another role: all its keys are one principal."""
    held = [
        grant.role
        for grant in grants_to(connection, principal)
        if grant.team in (None, principal.team) and grant.resource is None
    ]
    best = max((*held, MEMBER_ROLE), key=list(Role).index)
    if best is not role:
        raise Conflict(
            f"`{principal.name}` of team `{principal.team}` has role `{best}`, and so has every "
            f"key of it; `{role}` was asked for",
            hint=f"`--role {best}`, another name, or `plinth members set-role {principal.name} "
            f"--on-team {principal.team} --role {role}` for all of its keys",
        )


def require_as_much(connection: Connection, actor: Actor, principal: Principal) -> None:
    """Return if the actor could have granted all that the principal holds.

    A key is its holder: who could make or revoke keys of someone mightier would be that one. What
    was given to the whole team the actor must hold, as those of the team do. Raises Denied.
    """
    if principal.id == PLATFORM_PRINCIPAL:
        raise Denied(f"`{principal.name}` is Plinth itself, and gets no keys", rule="plinth-itself")
    for grant in grants_to(connection, principal):
        decision = decide_grant(actor, grant)
        if not decision.allow:
            raise Denied(
                f"`{principal.name}` holds role `{grant.role}`: {decision.reason}",
                hint="choose another name, or ask who holds that role",
                rule=decision.rule,
            )
    require_as_much_as_team(connection, actor, principal.team)


def require_as_much_as_team(connection: Connection, actor: Actor, team: str) -> None:
    """Return if the actor holds all that was given to the whole of `team`.

    Whoever acts as one of the team has that too: its members, and its jobs, which run whatever
    their author wrote. Raises Denied.
    """
    for grant in grants_to_team(connection, team):
        if not holds(actor, grant):
            raise Denied(
                f"all of team `{team}` have role `{grant.role}` on "
                f"{grant.resource or 'all'} of {grant.team or 'the platform'}, and "
                f"`{actor.principal.name}` has not",
                hint="ask somebody who is of that team",
                rule="more-than-held",
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
            minted = add_member_key(
                connection, context, admin, label="token file", days=_ADMIN_KEY_DAYS
            )
            _note_first(connection, minted.key)
            write_atomic(context.home.admin_token, minted.token.encode(), mode=0o600)


def add_member_key(
    connection: Connection, context: Context, principal: Principal, *, label: str, days: float
) -> MintedKey:
    """Add a key's row and sign the key; who may have one was decided before."""
    now = context.clock.now()
    key = add_key(
        connection,
        principal=principal,
        label=label,
        expires_at=now + timedelta(days=days),
        now=now,
    )
    return MintedKey(key=key, token=context.mint(principal, key.id, key.expires_at))


def platform_key(context: Context) -> str:
    """Return a short-lived key of the platform's own principal, for checking deployments."""
    now = context.clock.now()
    principal = Principal(
        id=PLATFORM_PRINCIPAL, kind=PrincipalKind.SERVICE, name="platform", team=DEFAULT_TEAM
    )
    return context.mint(principal, "k_platform", now + timedelta(minutes=10))


def _note_first(connection: Connection, key: Key) -> None:
    platform = find_principal(connection, PLATFORM_PRINCIPAL)
    assert platform is not None
    add_entry(
        connection,
        Entry(
            at=key.created_at,
            principal=platform,
            team=key.principal.team,
            action="create",
            subject=f"key/{key.id}",
            detail={
                "holder": key.principal.name,
                "label": key.label,
                "expires_at": key.expires_at.isoformat(),
            },
        ),
    )


def _is_current(connection: Connection, context: Context) -> bool:
    try:
        token = context.home.admin_token.read_text()
    except FileNotFoundError:
        return False
    claims = context.claims_of(token)
    if claims is None or load_actor(connection, claims.principal, claims.key_id) is None:
        return False
    return claims.expires_at > context.clock.now() + timedelta(days=_RENEW_BEFORE_DAYS)
