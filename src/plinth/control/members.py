"""Members of a team: people and programs come, change their role and go.

Called by the API inside its transaction; never commits.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from plinth.control.context import ADMIN_PRINCIPAL, Context
from plinth.control.identities import (
    MEMBER_ROLE,
    MintedKey,
    add_member_key,
    give_role,
    require_as_much,
)
from plinth.domain.access import (
    PLATFORM_PRINCIPAL,
    Actor,
    Grant,
    Principal,
    PrincipalKind,
    Role,
)
from plinth.kit.errors import Conflict, NotFound
from plinth.kit.excerpt import excerpt
from plinth.store.identities import (
    StoredGrant,
    add_principal,
    delete_grant,
    end_membership,
    find_member,
    find_team,
    list_grants,
)

_RANK = {role: rank for rank, role in enumerate(Role)}


def add_member(
    connection: Connection,
    context: Context,
    actor: Actor,
    *,
    team: str,
    name: str,
    role: Role,
    days: float,
) -> MintedKey:
    """Make a person a member of `team`, with a first key.

    Raises NotFound when there is no such team, Conflict when a member has the name, Denied when
    the role is more than the actor may give, or the team was given more than the actor holds.
    """
    if find_team(connection, team) is None:
        raise NotFound(f"there is no team `{excerpt(team)}`", hint="`plinth teams` lists them")
    if find_member(connection, team, name) is not None:
        raise Conflict(
            f"team `{team}` has a member `{name}` already",
            hint=f"`plinth keys create {name} --team {team}` makes another key for it",
            code="member_exists",
        )
    now = context.clock.now()
    principal = add_principal(connection, kind=PrincipalKind.USER, name=name, team=team, now=now)
    require_as_much(connection, actor, principal)
    give_role(connection, context, actor, principal, role)
    return add_member_key(connection, context, principal, label=name, days=days)


def set_role(
    connection: Connection, context: Context, actor: Actor, principal: Principal, role: Role
) -> bool:
    """Give a member this role on its own team, in place of the one it has; tell whether it changed.

    Raises Conflict for oneself and for who is mightier by a role on the whole platform, Denied
    when the actor could not have given the old role or the new one.
    """
    _require_another(actor, principal)
    require_as_much(connection, actor, principal)
    held = [stored for stored in list_grants(connection) if _is_role_of(stored.grant, principal)]
    for stored in held:
        if stored.grant.team is None:
            raise Conflict(
                f"`{principal.name}` has role `{stored.grant.role}` on the whole platform",
                hint=f"`plinth grants take {stored.id}` takes it away",
            )
    if [stored.grant.role for stored in held] == [role] or (not held and role is MEMBER_ROLE):
        return False
    for stored in held:
        delete_grant(connection, stored.id)
    give_role(connection, context, actor, principal, role)
    return True


def remove_member(
    connection: Connection, context: Context, actor: Actor, principal: Principal
) -> None:
    """End a membership: no key of the member counts from now on. What it did stays written.

    Raises Conflict for oneself and for the administrator of the token file (so somebody can
    always let others in), Denied when the member may do more than the actor.
    """
    if principal.id == ADMIN_PRINCIPAL:
        raise Conflict(
            f"`{principal.name}` is the administrator of this Plinth's token file, who lets others "
            "in, and stays",
            code="administrator",
        )
    _require_another(actor, principal)
    require_as_much(connection, actor, principal)
    end_membership(connection, principal.id, context.clock.now())


def require_takable(stored: StoredGrant) -> None:
    """Return if the grant may be taken away. Raises Conflict for those Plinth cannot do without."""
    if stored.grant.principal in (ADMIN_PRINCIPAL, PLATFORM_PRINCIPAL) and not stored.grant.team:
        raise Conflict(
            f"grant `{stored.id}` is Plinth's own: without it nobody could let others in",
            code="administrator",
        )


def role_of(principal: Principal, grants: Iterable[Grant]) -> Role | None:
    """Return the highest role of a member on its own team, however it was given; None: none."""
    roles = [
        grant.role
        for grant in grants
        if _is_role_of(grant, principal)
        or (_is_wide(grant, principal.team) and grant.subject_team == principal.team)
    ]
    return max(roles, key=lambda role: _RANK[role], default=None)


def _require_another(actor: Actor, principal: Principal) -> None:
    if actor.principal.id == principal.id:
        raise Conflict(
            f"`{principal.name}` is you", hint="ask another operator", code="own_membership"
        )


def _is_role_of(grant: Grant, principal: Principal) -> bool:
    return grant.principal == principal.id and _is_wide(grant, principal.team)


def _is_wide(grant: Grant, team: str) -> bool:
    return grant.resource is None and grant.team in (None, team)
