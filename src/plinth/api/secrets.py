"""Secrets of teams: set, list, delete; rotate the master key. No route ever returns a value."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect

from plinth.access.vault import new_data_key
from plinth.api.caller import (
    CallerDep,
    ContextDep,
    needs,
    no_team,
    require_again,
    require_team,
)
from plinth.control.context import Context
from plinth.control.endpoints.resolution import users_of
from plinth.control.rotation import detail_of, rotate_master_key
from plinth.control.secrets import delete_secret, put_secret
from plinth.domain.access import Action, Resource
from plinth.domain.base import Name, TeamName
from plinth.domain.secret import MOST_SECRET_BYTES, check_secret
from plinth.gateway.credentials import check as check_credential
from plinth.kit.errors import Invalid, TooSlow
from plinth.store.secrets import list_secrets, no_secret

router = APIRouter(tags=["secrets"])

LONGEST_BODY_S = 30.0


@router.put("/secrets/{name}", **needs(Action.WRITE, "secret"))
async def put(
    name: Name,
    request: Request,
    context: ContextDep,
    caller: CallerDep,
    *,
    team: TeamName | None = None,
) -> dict[str, Any]:
    """Keep the body, byte for byte, as the next version of a secret."""
    owner = team or caller.actor.principal.team
    caller.require(Action.WRITE, _secret(owner, name), absent=no_team(owner))
    await asyncio.to_thread(require_team, context, owner)
    value = await _receive(request)
    return await asyncio.to_thread(_store, request, context, (owner, name), value)


@router.get("/secrets", **needs(Action.WRITE, "secret"))
def list_all(
    context: ContextDep, caller: CallerDep, *, team: TeamName | None = None
) -> list[dict[str, Any]]:
    """List the secrets of the teams for which the caller may set any, or of one."""
    if team is not None:
        caller.require(Action.WRITE, _secret(team), absent=no_team(team))
        require_team(context, team)
    with context.database.read() as connection:
        found = list_secrets(connection)
    return [
        secret.model_dump(mode="json")
        for secret in found
        if secret.team == (team or secret.team) and caller.may(Action.WRITE, _secret(secret.team))
    ]


@router.delete("/secrets/{name}", **needs(Action.DELETE, "secret"))
def delete(
    name: Name, context: ContextDep, caller: CallerDep, *, team: TeamName | None = None
) -> dict[str, Any]:
    """Delete a secret; the answer says for what it had been taken."""
    owner = team or caller.actor.principal.team
    caller.require(Action.DELETE, _secret(owner, name), absent=no_secret(owner, name))
    with context.database.write() as connection:
        deleted = delete_secret(connection, context, owner, name)
        caller.note(connection, "delete", f"secret/{name}", team=owner, version=deleted.version)
    context.hint()
    return {"deleted": name, **deleted.model_dump(mode="json", exclude={"name"})}


@router.post("/master-key/rotate", **needs(Action.OPERATE, "master-key"))
def rotate(context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Make a new master key, wrap every data key by it, and remove the old one."""
    caller.require(Action.OPERATE, Resource(kind="master-key"), absent=None)
    rotation = rotate_master_key(
        context,
        lambda connection, done: caller.note(
            connection, "rotate", f"master-key/{done.master_key}", team=None, **detail_of(done)
        ),
    )
    return rotation.model_dump(mode="json")


def _secret(team: str, name: str | None = None) -> Resource:
    return Resource(kind="secret", team=team, name=name)


async def _receive(request: Request) -> bytes:
    """Return the body, in memory only: it is on no disk before it is sealed.

    Raises Invalid for an empty one or when the caller goes away, TooLarge as soon as too much
    came, TooSlow.
    """
    value = bytearray()
    try:
        async with asyncio.timeout(LONGEST_BODY_S):
            async for chunk in request.stream():
                value += chunk[: MOST_SECRET_BYTES + 1]
                if len(value) > MOST_SECRET_BYTES:
                    break
    except TimeoutError as err:
        raise TooSlow(
            f"the value did not arrive in {LONGEST_BODY_S:.0f} s", hint="send it again"
        ) from err
    except ClientDisconnect as err:
        raise Invalid("the caller went away before the end of the value") from err
    return check_secret(bytes(value))


def _store(
    request: Request, context: Context, place: tuple[str, str], value: bytes
) -> dict[str, Any]:
    team, name = place
    caller = require_again(
        request, context, Action.WRITE, _secret(team, name), absent=no_team(team)
    )
    with context.database.read() as connection:
        for user in users_of(connection, team, name):
            check_credential(user, value)
    # May go over the network, so before the transaction.
    data_key = new_data_key(context.master_key)
    with context.database.write() as connection:
        version = put_secret(
            connection, context, caller.actor, place, value=value, data_key=data_key
        )
        caller.note(connection, "set", f"secret/{name}", team=team, version=version)
    context.hint()
    return {"team": team, "name": name, "version": version}
