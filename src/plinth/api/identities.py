"""Teams, grants and keys."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import Connection

from plinth.api.caller import CallerDep, ContextDep, needs, no_team, require_team
from plinth.control.context import ADMIN_PRINCIPAL
from plinth.control.identities import (
    MEMBER_ROLE,
    make_first,
    make_team,
    mint_key,
    require_as_much,
)
from plinth.control.members import require_takable
from plinth.domain.access import (
    PLATFORM_PRINCIPAL,
    Action,
    Grant,
    PrincipalKind,
    Resource,
    Role,
)
from plinth.domain.base import Declared, Name, TeamName
from plinth.kit.errors import Invalid, NotFound
from plinth.kit.excerpt import excerpt
from plinth.store.endpoints import find_endpoint
from plinth.store.identities import (
    StoredGrant,
    add_grant,
    delete_grant,
    find_grant,
    find_key,
    find_member_by_id,
    find_principal,
    find_team,
    list_grants,
    list_keys,
    list_members,
    list_teams,
    no_grant,
    no_key,
    revoke_key,
)

router = APIRouter(tags=["identities"])


class NewTeam(Declared):
    """A team to add."""

    name: TeamName


class NewKey(Declared):
    """A key to make, for the member `name` of `team`: a program's, if no member has the name.

    `days`: how long it holds.
    """

    team: TeamName
    name: Name
    role: Role = MEMBER_ROLE
    days: Annotated[float, Field(gt=0, le=365)] = 30.0


@router.get("/whoami", **needs(Action.READ, "self"))
def whoami(caller: CallerDep) -> dict[str, Any]:
    """Show who the key's holder is and what was granted."""
    return caller.actor.model_dump(mode="json")


@router.get("/teams", **needs(Action.READ, "team"))
def teams(context: ContextDep, caller: CallerDep) -> list[dict[str, Any]]:
    """List the teams that the caller may see, with the number of their members."""
    with context.database.read() as connection:
        found = list_teams(connection)
        members = Counter(
            member.principal.team
            for member in list_members(connection, context.clock.now())
            if member.principal.id != PLATFORM_PRINCIPAL
        )
    return [
        {**team.model_dump(mode="json"), "members": members[team.name]}
        for team in found
        if caller.may(Action.READ, Resource(kind="team", team=team.name))
    ]


@router.post("/teams", status_code=201, **needs(Action.MANAGE_TEAMS, "team"))
def add(team: NewTeam, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Add a team."""
    caller.require(Action.MANAGE_TEAMS, Resource(kind="team"), absent=None)
    with context.database.write() as connection:
        made = make_team(connection, context, team.name, created_by=caller.actor.principal.id)
        caller.note(connection, "add", f"team/{team.name}", team=team.name)
    context.hint()
    return made.model_dump(mode="json")


@router.get("/grants", **needs(Action.READ, "grant"))
def grants(context: ContextDep, caller: CallerDep) -> list[dict[str, Any]]:
    """List the grants on what the caller may see."""
    with context.database.read() as connection:
        return [
            _shown(connection, each)
            for each in list_grants(connection)
            if caller.may(Action.READ, _on(each.grant))
        ]


@router.post("/grants", status_code=201, **needs(Action.MANAGE_GRANTS, "grant"))
def give(grant: Grant, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Give a role; nobody gives more than they hold."""
    _check_grant(grant)
    caller.require(Action.MANAGE_GRANTS, _on(grant), absent=no_team(grant.team))
    caller.require_grant(grant)
    with context.database.write() as connection:
        _check_parties(connection, grant)
        now = context.clock.now()
        is_new = all(each.grant != grant for each in list_grants(connection))
        stored = add_grant(connection, grant, created_by=caller.actor.principal.id, now=now)
        if is_new:
            caller.note(
                connection, "give", f"grant/{stored.id}", team=grant.team, **_noted(stored.grant)
            )
        shown = _shown(connection, stored)
    context.hint()
    return shown


@router.delete("/grants/{grant_id}", **needs(Action.MANAGE_GRANTS, "grant"))
def take(grant_id: str, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Take a grant away; it acts at once."""
    with context.database.write() as connection:
        stored = find_grant(connection, grant_id)
        absent = no_grant(grant_id)
        caller.require(Action.MANAGE_GRANTS, _on(stored.grant), absent=absent)
        caller.require_grant(stored.grant)
        require_takable(stored)
        delete_grant(connection, grant_id)
        caller.note(
            connection, "take", f"grant/{grant_id}", team=stored.grant.team, **_noted(stored.grant)
        )
    context.hint()
    return {"deleted": grant_id}


@router.get("/keys", **needs(Action.MANAGE_KEYS, "key"))
def keys(
    context: ContextDep, caller: CallerDep, *, team: str | None = None
) -> list[dict[str, Any]]:
    """List the keys of the teams whose keys the caller manages, or of one; never their text.

    `state`: `valid`, `revoked` or `expired`.
    """
    if team is not None:
        resource = Resource(kind="key", team=team)
        caller.require(Action.MANAGE_KEYS, resource, absent=no_team(team))
        require_team(context, team)
    with context.database.read() as connection:
        found = list_keys(connection, kinds=[PrincipalKind.USER, PrincipalKind.SERVICE])
    now = context.clock.now()
    return [
        {**key.model_dump(mode="json"), "state": key.state(now)}
        for key in found
        if key.principal.team == (team or key.principal.team)
        and caller.may(Action.MANAGE_KEYS, Resource(kind="key", team=key.principal.team))
    ]


@router.post("/keys", status_code=201, **needs(Action.MANAGE_KEYS, "key"))
def create(new: NewKey, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Make a key; the answer is the only place where it is ever shown."""
    resource = Resource(kind="key", team=new.team)
    caller.require(Action.MANAGE_KEYS, resource, absent=no_team(new.team))
    with context.database.write() as connection:
        minted = mint_key(
            connection,
            context,
            caller.actor,
            team=new.team,
            name=new.name,
            role=new.role,
            days=new.days,
        )
        key = minted.key
        caller.note(
            connection,
            "create",
            f"key/{key.id}",
            team=new.team,
            role=new.role,
            principal=key.principal.id,
            expires_at=key.expires_at.isoformat(),
            holder=new.name,
        )
    context.hint()
    return {**minted.key.model_dump(mode="json"), "token": minted.token}


@router.delete("/keys/{key_id}", **needs(Action.MANAGE_KEYS, "key"))
def revoke(key_id: str, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Revoke a key; the gateway refuses it at once.

    The key of the token file has a successor at once: somebody can always let others in.
    """
    with context.database.write() as connection:
        key = find_key(connection, key_id)
        resource = Resource(kind="key", team=key.principal.team)
        caller.require(Action.MANAGE_KEYS, resource, absent=no_key(key_id))
        require_as_much(connection, caller.actor, key.principal)
        if key.revoked_at is None:
            revoke_key(connection, key_id, context.clock.now())
            caller.note(
                connection,
                "revoke",
                f"key/{key_id}",
                team=key.principal.team,
                principal=key.principal.id,
                holder=key.principal.name,
            )
    if key.principal.id == ADMIN_PRINCIPAL:
        make_first(context)
    context.hint()
    return {"revoked": key_id}


def _check_grant(grant: Grant) -> None:
    if (grant.principal is None) == (grant.subject_team is None):
        raise Invalid("a grant names who gets it: give one of `principal` and `subject_team`")
    if grant.resource is None:
        return
    kind, _, name = grant.resource.partition("/")
    if grant.team is None or not kind or not name:
        raise Invalid(
            f"`resource` is `{excerpt(grant.resource)}` of team `{excerpt(grant.team)}`; "
            "it is `kind/name`, like `endpoint/flights-delay`, within a `team`"
        )


def _on(grant: Grant) -> Resource:
    kind, _, name = (grant.resource or "team").partition("/")
    return Resource(kind=kind, team=grant.team, name=name or None)


def _check_parties(connection: Connection, grant: Grant) -> None:
    """Return if all that the grant names is there. Raises NotFound."""
    for team in (grant.team, grant.subject_team):
        if team is not None and find_team(connection, team) is None:
            raise no_team(team)
    if grant.principal is not None and find_member_by_id(connection, grant.principal) is None:
        raise NotFound(
            f"there is no principal `{excerpt(grant.principal)}`",
            hint="`plinth members` lists them",
        )
    kind, _, name = (grant.resource or "").partition("/")
    if kind == "endpoint":
        endpoint = find_endpoint(connection, name)
        if endpoint is None or endpoint.team != grant.team:
            raise NotFound(f"team `{grant.team}` has no endpoint `{excerpt(name)}`")


def _noted(grant: Grant) -> dict[str, Any]:
    """Return what the audit log says of a grant."""
    to = grant.principal or f"team {grant.subject_team}"
    return {"role": grant.role, "to": to, "on": grant.resource or "all"}


def _shown(connection: Connection, stored: StoredGrant) -> dict[str, Any]:
    """Return a grant; `name`: of the principal who got it."""
    grant = stored.grant
    holder = find_principal(connection, grant.principal) if grant.principal else None
    return {
        "id": stored.id,
        **grant.model_dump(mode="json"),
        "name": holder.name if holder else None,
        "created_at": stored.model_dump(mode="json")["created_at"],
    }
