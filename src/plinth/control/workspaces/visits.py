"""Who may be at a workspace's page, and who is there although their right has ended.

The gateway asks for the key when a connection is opened; a WebSocket is open for hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection

from plinth.access.rbac import openers_of
from plinth.domain.access import Actor, Grant
from plinth.kit.errors import NotFound
from plinth.store.identities import find_key, find_member_by_id, list_grants, load_actor
from plinth.store.workspaces import StoredWorkspace

Visitors = tuple[tuple[str, ...], tuple[str, ...]]
NOBODY: Visitors = ((), ())


def visitors_of(
    connection: Connection, workspace: StoredWorkspace, grants: Iterable[Grant]
) -> Visitors:
    """Return the principals, and the whole teams, that the gateway lets in.

    Owners too only as long as they may write it.
    """
    principals, teams = openers_of(workspace.team, workspace.name, grants)
    if workspace.workload.shared:
        return principals, teams
    owner = find_member_by_id(connection, workspace.owner)
    if owner is None or (owner.id not in principals and owner.team not in teams):
        return NOBODY
    return (owner.id,), ()


def is_orphan(connection: Connection, workspace: StoredWorkspace) -> bool:
    """Tell whether nobody may visit a workspace any more."""
    grants = [stored.grant for stored in list_grants(connection)]
    return visitors_of(connection, workspace, grants) == NOBODY


def keys_to_leave(
    connection: Connection, workspace: StoredWorkspace, keys: Sequence[str], now: datetime
) -> tuple[str, ...]:
    """Return those of the keys, by which somebody is there, that would not be let in any more."""
    if not keys:
        return ()
    grants = [stored.grant for stored in list_grants(connection)]
    principals, teams = visitors_of(connection, workspace, grants)
    holders = {key: _holder(connection, key, now) for key in keys}
    return tuple(
        key
        for key, actor in holders.items()
        if actor is None
        or (actor.principal.id not in principals and actor.principal.team not in teams)
    )


def _holder(connection: Connection, key_id: str, now: datetime) -> Actor | None:
    """Return whose key it is; None: it was revoked, has expired, or never was."""
    try:
        key = find_key(connection, key_id)
    except NotFound:
        return None
    if key.expires_at <= now:
        return None
    return load_actor(connection, key.principal.id, key_id)
