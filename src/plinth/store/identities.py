"""Teams with their members, principals, grants and keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, func, insert, or_, select, update

from plinth.domain.access import Actor, Grant, Principal, PrincipalKind, Role, Team
from plinth.domain.base import Declared
from plinth.kit.errors import Conflict, NotFound
from plinth.kit.excerpt import excerpt
from plinth.kit.ids import new_id
from plinth.store import tables

MEMBER_KINDS = (PrincipalKind.USER, PrincipalKind.SERVICE)


class StoredGrant(Declared):
    """A grant with its row's id."""

    id: str
    grant: Grant
    created_at: datetime


class Key(Declared):
    """A key that was handed out; never the key itself."""

    id: str
    principal: Principal
    label: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None

    def state(self, now: datetime) -> str:
        """Return whether it counts: `valid`, `revoked` or `expired`."""
        if self.revoked_at is not None:
            return "revoked"
        return "valid" if now < self.expires_at else "expired"


class Member(Declared):
    """A person or program of a team. `keys`: how many of its keys are valid now."""

    principal: Principal
    created_at: datetime
    keys: int


def add_team(connection: Connection, name: str, now: datetime) -> Team:
    """Add a team. Raises Conflict when there is one of that name."""
    if find_team(connection, name) is not None:
        raise Conflict(f"team `{name}` exists already", code="team_exists")
    connection.execute(insert(tables.team).values(name=name, created_at=now))
    return Team(name=name, created_at=now)


def find_team(connection: Connection, name: str) -> Team | None:
    """Return the team, or None."""
    row = connection.execute(select(tables.team).where(tables.team.c.name == name)).one_or_none()
    return Team(**row._mapping) if row else None


def list_teams(connection: Connection) -> list[Team]:
    """Return all teams by name."""
    rows = connection.execute(select(tables.team).order_by(tables.team.c.name))
    return [Team(**row._mapping) for row in rows]


def add_principal(
    connection: Connection,
    *,
    kind: PrincipalKind,
    name: str,
    team: str,
    now: datetime,
    principal_id: str | None = None,
) -> Principal:
    """Add a principal that is charged to `team`."""
    principal = Principal(id=principal_id or new_id("p_"), kind=kind, name=name, team=team)
    connection.execute(insert(tables.principal).values(**principal.model_dump(), created_at=now))
    return principal


def find_principal(connection: Connection, principal_id: str) -> Principal | None:
    """Return the principal, also one whose membership ended, or None."""
    row = connection.execute(
        select(tables.principal).where(tables.principal.c.id == principal_id)
    ).one_or_none()
    return _principal(row._mapping) if row else None


def find_member(connection: Connection, team: str, name: str) -> Principal | None:
    """Return the person or program of that name in the team, or None. Names are unique there."""
    table = tables.principal
    row = connection.execute(
        select(table).where(
            table.c.team == team,
            table.c.name == name,
            table.c.kind.in_(MEMBER_KINDS),
            table.c.removed_at.is_(None),
        )
    ).first()
    return _principal(row._mapping) if row else None


def find_member_by_id(connection: Connection, principal_id: str) -> Principal | None:
    """Return the principal if its membership has not ended, or None."""
    table = tables.principal
    row = connection.execute(
        select(table).where(table.c.id == principal_id, table.c.removed_at.is_(None))
    ).one_or_none()
    return _principal(row._mapping) if row else None


def list_members(connection: Connection, now: datetime) -> list[Member]:
    """Return the people and programs of all teams, by team and name; runs are none."""
    table, key = tables.principal, tables.key
    valid = (
        select(key.c.principal, func.count().label("live"))
        .where(key.c.revoked_at.is_(None), key.c.expires_at > now)
        .group_by(key.c.principal)
        .subquery()
    )
    rows = connection.execute(
        select(table, func.coalesce(valid.c.live, 0).label("live"))
        .outerjoin(valid, valid.c.principal == table.c.id)
        .where(table.c.kind.in_(MEMBER_KINDS), table.c.removed_at.is_(None))
        .order_by(table.c.team, table.c.name, table.c.id)
    )
    return [
        Member(principal=_principal(row._mapping), created_at=row.created_at, keys=row.live)
        for row in rows
    ]


def end_membership(connection: Connection, principal_id: str, now: datetime) -> None:
    """Revoke every key of a principal and take away its own grants; its row and history stay."""
    table = tables.principal
    connection.execute(update(table).where(table.c.id == principal_id).values(removed_at=now))
    connection.execute(delete(tables.grant).where(tables.grant.c.principal == principal_id))
    revoke_keys_of(connection, principal_id, now)


def load_actor(connection: Connection, principal_id: str, key_id: str) -> Actor | None:
    """Return who holds the key, with the grants that hold now.

    None when either is unknown, the key was revoked, or the holder is no member any more.
    """
    row = connection.execute(_holder(), {"holder": principal_id, "held": key_id}).one_or_none()
    if row is None:
        return None
    principal = _principal(row._mapping)
    return Actor(principal=principal, grants=tuple(_grants_of(connection, principal)))


@cache
def _holder() -> Select[Any]:
    # Kept: each request asks it, and making it takes longer than asking.
    return (
        select(tables.principal)
        .join(tables.key, tables.key.c.principal == tables.principal.c.id)
        .where(
            tables.principal.c.id == bindparam("holder"),
            tables.principal.c.removed_at.is_(None),
            tables.key.c.id == bindparam("held"),
            tables.key.c.revoked_at.is_(None),
        )
    )


def add_grant(
    connection: Connection, grant: Grant, *, created_by: str, now: datetime
) -> StoredGrant:
    """Add a grant, or return the equal one that is there."""
    for stored in list_grants(connection):
        if stored.grant == grant:
            return stored
    stored = StoredGrant(id=new_id("g_"), grant=grant, created_at=now)
    connection.execute(
        insert(tables.grant).values(
            id=stored.id, **grant.model_dump(), created_at=now, created_by=created_by
        )
    )
    return stored


def list_grants(connection: Connection) -> list[StoredGrant]:
    """Return all grants in the order they were given."""
    rows = connection.execute(
        select(tables.grant).order_by(tables.grant.c.created_at, tables.grant.c.id)
    )
    return [
        StoredGrant(id=row.id, grant=_grant(row._mapping), created_at=row.created_at)
        for row in rows
    ]


def find_grant(connection: Connection, grant_id: str) -> StoredGrant:
    """Return the grant. Raises NotFound."""
    row = connection.execute(
        select(tables.grant).where(tables.grant.c.id == grant_id)
    ).one_or_none()
    if row is None:
        raise no_grant(grant_id)
    return StoredGrant(id=row.id, grant=_grant(row._mapping), created_at=row.created_at)


def no_grant(grant_id: str) -> NotFound:
    """Return the error for a grant that is absent, or that the caller may not see."""
    return NotFound(f"there is no grant `{excerpt(grant_id)}`", hint="`plinth grants` lists them")


def delete_grant(connection: Connection, grant_id: str) -> None:
    """Take a grant away; nothing happens when it is gone."""
    connection.execute(delete(tables.grant).where(tables.grant.c.id == grant_id))


def delete_grants_on(connection: Connection, team: str, resource: str) -> None:
    """Take away every grant on one resource, when the resource goes."""
    connection.execute(
        delete(tables.grant).where(tables.grant.c.team == team, tables.grant.c.resource == resource)
    )


def add_key(
    connection: Connection,
    *,
    principal: Principal,
    label: str,
    expires_at: datetime,
    now: datetime,
) -> Key:
    """Add the row of a key that is about to be minted."""
    key = Key(
        id=new_id("k_", 8),
        principal=principal,
        label=label,
        created_at=now,
        expires_at=expires_at,
    )
    connection.execute(insert(tables.key).values(**{**key.model_dump(), "principal": principal.id}))
    return key


def has_key(connection: Connection, key_id: str) -> bool:
    """Tell whether a key of this id was ever made."""
    found = select(tables.key.c.id).where(tables.key.c.id == key_id)
    return connection.execute(found).one_or_none() is not None


def find_key(connection: Connection, key_id: str) -> Key:
    """Return the key's row. Raises NotFound."""
    keys = _keys(connection, tables.key.c.id == key_id)
    if not keys:
        raise no_key(key_id)
    return keys[0]


def no_key(key_id: str) -> NotFound:
    """Return the error for a key that is absent, or that the caller may not see."""
    return NotFound(f"there is no key `{excerpt(key_id)}`", hint="`plinth keys` lists them")


def list_keys(connection: Connection, *, kinds: Sequence[PrincipalKind]) -> list[Key]:
    """Return the keys of principals of these kinds, newest last."""
    return _keys(connection, tables.principal.c.kind.in_(kinds))


def revoke_key(connection: Connection, key_id: str, now: datetime) -> None:
    """Mark a key, and those of the browsers that signed in by it, as revoked; once counts."""
    browsers = select(tables.sign_in.c.made).where(
        tables.sign_in.c.key == key_id, tables.sign_in.c.made.is_not(None)
    )
    connection.execute(
        update(tables.key)
        .where(
            or_(tables.key.c.id == key_id, tables.key.c.id.in_(browsers)),
            tables.key.c.revoked_at.is_(None),
        )
        .values(revoked_at=now)
    )


def revoke_keys_of(connection: Connection, principal_id: str, now: datetime) -> None:
    """Revoke every key of a principal, as when its run has ended."""
    connection.execute(
        update(tables.key)
        .where(tables.key.c.principal == principal_id, tables.key.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )


def list_revoked(connection: Connection, now: datetime) -> list[str]:
    """Return the ids of revoked keys that have not expired: the others fail by themselves."""
    table = tables.key
    rows = connection.execute(
        select(table.c.id)
        .where(table.c.revoked_at.is_not(None), table.c.expires_at > now)
        .order_by(table.c.id)
    )
    return [str(key_id) for key_id in rows.scalars()]


def _keys(connection: Connection, condition: object) -> list[Key]:
    table = tables.key
    query = (
        select(
            table.c.id,
            table.c.label,
            table.c.created_at,
            table.c.expires_at,
            table.c.revoked_at,
            tables.principal.c.id.label("principal_id"),
            tables.principal.c.kind,
            tables.principal.c.name,
            tables.principal.c.team,
        )
        .join(tables.principal, tables.principal.c.id == table.c.principal)
        .where(condition)  # type: ignore[arg-type]
        .order_by(table.c.created_at, table.c.id)
    )
    return [
        Key(
            id=row.id,
            label=row.label,
            created_at=row.created_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
            principal=Principal(id=row.principal_id, kind=row.kind, name=row.name, team=row.team),
        )
        for row in connection.execute(query)
    ]


def grants_to(connection: Connection, principal: Principal) -> list[Grant]:
    """Return what was granted to the principal itself, not to its whole team."""
    return [grant for grant in _grants_of(connection, principal) if grant.principal]


def grants_to_team(connection: Connection, team: str) -> list[Grant]:
    """Return what was granted to all of a team."""
    rows = connection.execute(select(tables.grant).where(tables.grant.c.subject_team == team))
    return [_grant(row._mapping) for row in rows]


def _grants_of(connection: Connection, principal: Principal) -> list[Grant]:
    rows = connection.execute(_granted(), {"holder": principal.id, "of_team": principal.team})
    return [_grant(row._mapping) for row in rows]


@cache
def _granted() -> Select[Any]:
    table = tables.grant
    to_both = (
        table.c.principal == bindparam("holder"),
        table.c.subject_team == bindparam("of_team"),
    )
    return select(table).where(or_(*to_both))


def _principal(row: object) -> Principal:
    return Principal(**{name: row[name] for name in ("id", "kind", "name", "team")})  # type: ignore[index]


def _grant(row: object) -> Grant:
    fields = ("principal", "subject_team", "team", "resource")
    return Grant(role=Role(row["role"]), **{name: row[name] for name in fields})  # type: ignore[index]
