"""Members: the people and programs of a team, with their role on it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy import Connection

from plinth.api.caller import Caller, CallerDep, ContextDep, needs, no_team
from plinth.control.identities import MEMBER_ROLE
from plinth.control.members import add_member, remove_member, role_of, set_role
from plinth.domain.access import PLATFORM_PRINCIPAL, Action, Grant, Principal, Resource, Role
from plinth.domain.base import Declared, Name, TeamName
from plinth.kit.errors import NotFound
from plinth.kit.excerpt import excerpt
from plinth.store.identities import Member, find_member, list_grants, list_members

router = APIRouter(tags=["identities"])


class NewMember(Declared):
    """A person to make a member of `team`. `days`: how long the first key holds."""

    team: TeamName
    name: Name
    role: Role = MEMBER_ROLE
    days: Annotated[float, Field(gt=0, le=365)] = 30.0


class NewRole(Declared):
    """The role of a member on its team."""

    role: Role


@router.get("/members", **needs(Action.READ, "member"))
def members(
    context: ContextDep, caller: CallerDep, *, team: str | None = None
) -> list[dict[str, Any]]:
    """List the members of the teams that the caller may see, or of one."""
    if team is not None:
        caller.require(Action.READ, _of(team), absent=no_team(team))
    with context.database.read() as connection:
        found = list_members(connection, context.clock.now())
        grants = [stored.grant for stored in list_grants(connection)]
    return [
        _shown(member, grants)
        for member in found
        if member.principal.team == (team or member.principal.team)
        and member.principal.id != PLATFORM_PRINCIPAL
        and caller.may(Action.READ, _of(member.principal.team))
    ]


@router.post("/members", status_code=201, **needs(Action.MANAGE_GRANTS, "member"))
def add(new: NewMember, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Make a person a member; the answer is the only place where the first key is ever shown."""
    caller.require(Action.MANAGE_GRANTS, _of(new.team), absent=no_team(new.team))
    with context.database.write() as connection:
        minted = add_member(
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
            "add",
            _subject(key.principal),
            team=new.team,
            role=new.role,
            principal=key.principal.id,
            key=key.id,
        )
    context.hint()
    return {**key.model_dump(mode="json"), "role": new.role, "token": minted.token}


@router.put("/members/{team}/{name}", **needs(Action.MANAGE_GRANTS, "member"))
def change(
    team: str, name: str, new: NewRole, context: ContextDep, caller: CallerDep
) -> dict[str, Any]:
    """Give a member another role on its team; it acts at once."""
    with context.database.write() as connection:
        member = _find(connection, caller, team, name)
        before = role_of(member, [stored.grant for stored in list_grants(connection)])
        if set_role(connection, context, caller.actor, member, new.role):
            caller.note(
                connection,
                "set-role",
                _subject(member),
                team=team,
                role=new.role,
                before=before,
                principal=member.id,
            )
    context.hint()
    return {**member.model_dump(mode="json"), "role": new.role}


@router.delete("/members/{team}/{name}", **needs(Action.MANAGE_GRANTS, "member"))
def remove(team: str, name: str, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """End a membership: its keys and grants count no more; the gateway refuses them at once."""
    with context.database.write() as connection:
        member = _find(connection, caller, team, name)
        before = role_of(member, [stored.grant for stored in list_grants(connection)])
        remove_member(connection, context, caller.actor, member)
        caller.note(
            connection,
            "remove",
            _subject(member),
            team=team,
            before=before,
            principal=member.id,
        )
    context.hint()
    return {"removed": name, "team": team, "principal": member.id}


def _of(team: str) -> Resource:
    return Resource(kind="member", team=team)


def _subject(principal: Principal) -> str:
    return f"member/{principal.name}"


def _find(connection: Connection, caller: Caller, team: str, name: str) -> Principal:
    absent = NotFound(
        f"team `{excerpt(team)}` has no member `{excerpt(name)}`",
        hint="`plinth members` lists them",
    )
    caller.require(
        Action.MANAGE_GRANTS, Resource(kind="member", team=team, name=name), absent=absent
    )
    member = find_member(connection, team, name)
    if member is None or member.id == PLATFORM_PRINCIPAL:
        raise absent
    return member


def _shown(member: Member, grants: list[Grant]) -> dict[str, Any]:
    shown = member.model_dump(mode="json")
    return {
        **shown.pop("principal"),
        **shown,
        "role": role_of(member.principal, grants),
    }
