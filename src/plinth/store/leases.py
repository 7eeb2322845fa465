"""Leases: rows that are due are taken by one reconciler at a time, each under a token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, case, or_, select, update

from plinth.kit.ids import new_id


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to change one row until its lease ends: the row's key and the token."""

    key: str
    token: str


def any_due(connection: Connection, table: Table, now: datetime) -> bool:
    """Tell whether `claim_due` would find a row."""
    rows = select(_identity(table)).where(_is_due(table, now)).limit(1)
    return connection.execute(rows).first() is not None


def claim_due(
    connection: Connection, table: Table, *, now: datetime, lease_s: float, limit: int
) -> list[Claim]:
    """Take up to `limit` rows that are due, or whose holder let its lease end.

    A claimed row's `due_at` is emptied, so that a hint that comes in between is seen by `apply`.
    """
    identity = _identity(table)
    rows = select(identity).where(_is_due(table, now)).order_by(table.c.due_at).limit(limit)
    claims = [Claim(str(key), new_id("l_")) for key in connection.execute(rows).scalars()]
    until = now + timedelta(seconds=lease_s)
    for claim in claims:
        connection.execute(
            update(table)
            .where(identity == claim.key)
            .values(lease_token=claim.token, lease_until=until, due_at=None)
        )
    return claims


def apply_leased(
    connection: Connection,
    table: Table,
    claim: Claim,
    changes: Mapping[str, Any],
    due_at: datetime | None,
) -> bool:
    """Write `changes` and give the lease back; False when the lease is another's by now.

    `due_at`: when to look again, None for not until a hint. A hint that came meanwhile wins.
    """
    result = connection.execute(
        update(table)
        .where(_identity(table) == claim.key, table.c.lease_token == claim.token)
        .values(
            **changes,
            due_at=case((table.c.due_at.is_not(None), table.c.due_at), else_=due_at),
            lease_token=None,
            lease_until=None,
        )
    )
    return result.rowcount == 1


def hint(connection: Connection, table: Table, key: str, now: datetime) -> None:
    """Make the row due now. Who holds it keeps the lease, and the row is due again after it."""
    connection.execute(update(table).where(_identity(table) == key).values(due_at=now))


def release_all(connection: Connection, table: Table, now: datetime) -> None:
    """Free every lease; only for the one control plane of a node, as it starts."""
    connection.execute(
        update(table)
        .where(table.c.lease_token.is_not(None))
        .values(lease_token=None, lease_until=None, due_at=now)
    )


def _is_due(table: Table, now: datetime) -> ColumnElement[bool]:
    due = and_(table.c.due_at <= now, or_(table.c.lease_until.is_(None), table.c.lease_until < now))
    abandoned = and_(table.c.lease_token.is_not(None), table.c.lease_until < now)
    return or_(due, abandoned)


def _identity(table: Table) -> ColumnElement[Any]:
    (identity,) = table.primary_key
    return identity
